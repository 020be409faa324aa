//! `topk verify`: counts the log again and compares tables, boards and accounts with it, beside a running job too. Reads
//! only; what could not be compared is said and is never taken for verified.

use crate::assemble::Assembly;
use crate::cli::SettingsArguments;
use crate::logging::bar;
use crate::recount::{Cuts, Gathered, boards_of, rules_of, tables_of};
use crate::settings::{BoardKind, Settings, SourceKind, TablesKind};
use crate::shown::{grouped, printable};
use runtime::journal::{Decisions, Journal, PackedGroup, Rebuilt, Recovered};
use sources::JsonDecoder;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use stream::{EventTime, Fault, LedgerLine, LossKind, Sequence, WindowId, WindowState};
use verify::{Coverage, Cut, Ground, Lane, Recount, Report, Rules};

/// Differences of each check that are shown by name.
const SHOWN: u64 = 20;

pub(super) fn verify(arguments: &SettingsArguments) -> Result<ExitCode, Fault> {
    let assembly = Assembly::new(Settings::read(&super::loaded(arguments)?)?);
    let journal = assembly.existing_journal()?;
    let mut rules = rules_of(&assembly)?;
    same_settings(&assembly, &journal)?;

    let (stored_tables, stored_boards) = (assembly.table_readings(false)?, assembly.board_readings(false)?);
    let (mut gathered, mut report) = (Gathered::default(), Report::new(SHOWN));
    let rows = bar("reading tables: {human_pos} rows");
    if let Some(tables) = &stored_tables {
        tables_of(tables, &mut rules, &mut gathered, &|number| rows.set_position(number))?;
    }
    let tables = gathered.tables.as_of.as_ref().map(|as_of| as_of.epoch);
    if let Some(boards) = &stored_boards {
        boards_of(&assembly, boards, tables, &mut rules, &mut gathered)?;
    }
    // Read last, so that it knows every epoch that something carries.
    let Some(decisions) = journal.decisions()? else { return Err(empty(&assembly.journal_place())) };
    unreached(&assembly, tables, &mut report);
    accepted(&decisions, &mut report);
    let built_up = decisions.rebuilt.iter().filter(|rebuilt| tables.is_some_and(|epoch| rebuilt.record <= epoch));
    rules.lacking = built_up.map(|rebuilt| (rebuilt.after, rebuilt.until)).collect();
    let (cuts, ranked) = cuts(&journal, &decisions, &gathered)?;

    let ground = ground(&assembly, &decisions);
    let mut lanes = Lanes::default();
    counted(&assembly, &journal, &ground, &cuts, &mut rules, &mut gathered, &mut report, &mut lanes)?;
    rows.finish_and_clear();

    // The journal tells what was counted as of the main cut alone.
    let is_told = |cut: &usize| lanes.coverage.is_empty() || *cut == 0;
    if tables.is_some() {
        let ranked = ranked.filter(is_told);
        let Gathered { counts, tables, .. } = &gathered;
        tables.compare(&mut rules, counts, &cuts.all, ranked, &mut report);
        tables.compare_accounts(&lanes.lanes, &lanes.journaled, &mut report);
    }
    if stored_boards.is_some() {
        let may_be_gone = may_be_gone(&assembly, &decisions, tables.is_some());
        let Gathered { counts, tables, boards } = &gathered;
        let cut_of = |carried: &verify::Carried| cuts.of(carried, tables).filter(is_told);
        boards.compare(&mut rules, counts, &cuts.all, &cut_of, &may_be_gone, &mut report);
    }
    print!("{}", shown(&assembly, &cuts, &gathered, &lanes, &report));
    Ok(verdict(&report))
}

/// A recount by other rules would say nothing.
fn same_settings(assembly: &Assembly, journal: &Journal) -> Result<(), Fault> {
    let Some(glance) = journal.look()? else { return Err(empty(&assembly.journal_place())) };
    let differences = glance.genesis.differences(&assembly.settings.semantic());
    let Some((name, journaled, configured)) = differences.first() else { return Ok(()) };
    Err(Fault::usage(
        format!("cannot verify job \"{}\"", assembly.settings.name),
        format!("it counts by {name} = {journaled}, and the settings say {configured}"),
        "give the settings that this job runs with (--config FILE)",
    ))
}

/// What a person said may be lost.
fn accepted(decisions: &Decisions, report: &mut Report) {
    for loss in &decisions.losses {
        let what = match loss.kind {
            LossKind::Unread => "it was gone before it was read, and is in no count",
            LossKind::Cut => "it had been counted when the log ended before it",
            LossKind::Replaced => "something else stands there, and is in no count",
            LossKind::Gone => "the partition was gone",
            LossKind::Renewed => "the source was made anew",
        };
        let at = EventTime::from_millis(loss.at.0);
        report.notes.push(format!("accepted as lost at {at}: {}: {what}", printable(&loss.to_string())));
    }
    for Rebuilt { follower, after, until, at, .. } in &decisions.rebuilt {
        let (at, after) =
            (EventTime::from_millis(at.0), after.map_or_else(String::new, |after| format!("after W {after} and ")));
        report.notes.push(format!(
            "the tables in {follower} were built up again at {at}: they have no rows of windows that became final {after}by W {until}, and these are not compared"
        ));
    }
}

/// What cannot be seen from here.
fn unreached(assembly: &Assembly, tables: Option<Sequence>, report: &mut Report) {
    let settings = &assembly.settings;
    match (settings.tables, tables) {
        (TablesKind::None, _) => report.notes.push("there are no tables (sink.tables = \"none\")".to_owned()),
        (_, None) => report.not_compared.push("tables: nothing was written to them yet".to_owned()),
        (_, Some(_)) => {}
    }
    match settings.board {
        BoardKind::Redis => {}
        BoardKind::Memory => {
            report.notes.push(
                "boards are in the job's memory (sink.board = \"memory\") and cannot be reached from outside"
                    .to_owned(),
            );
        }
        BoardKind::None => report.notes.push("there are no boards (sink.board = \"none\")".to_owned()),
    }
}

/// The cut of the tables or of the journal's end, of the rankings, and of every board that is not as the tables are; and
/// which of them is that of the rankings.
fn cuts(journal: &Journal, decisions: &Decisions, gathered: &Gathered) -> Result<(Cuts, Option<usize>), Fault> {
    let main = match &gathered.tables.as_of {
        Some(as_of) => Cut { record: as_of.epoch, watermark: as_of.as_of, offsets: as_of.offsets.clone() },
        None => {
            let stood = journal.stood(decisions.sequence)?.unwrap_or_default();
            Cut { record: decisions.sequence, watermark: stood.watermark, offsets: stood.offsets }
        }
    };
    let mut cuts = Cuts::new(main, gathered.boards.published);
    let ranked = gathered.tables.as_of.as_ref().and_then(|as_of| as_of.top_k_epoch);
    let ranked = ranked.map(|epoch| cuts.learn(journal, epoch)).transpose()?.flatten();
    cuts.learn_of(journal, gathered.boards.carried().cloned(), &gathered.tables)?;
    Ok((cuts, ranked))
}

fn ground(assembly: &Assembly, decisions: &Decisions) -> Ground {
    let partitions = decisions.partitions.iter();
    Ground {
        starts: decisions.genesis.partitions.iter().map(|(name, start)| (name.clone(), start.offset)).collect(),
        floors: partitions.map(|(name, state)| (name.clone(), state.floors.clone())).collect(),
        future: decisions.future.clone(),
        losses: decisions.losses.clone(),
        source: Some(decisions.source.clone()),
        began_at: decisions.began_at.0,
        now: assembly.clock.now().0,
    }
}

/// Partitions after the recount.
#[derive(Default)]
struct Lanes {
    lanes: Vec<Lane>,
    coverage: Coverage,
    /// Accounts by the journal, of partitions that the log no longer tells whole.
    journaled: BTreeMap<Arc<str>, LedgerLine>,
}

/// Fill in what is expected: from the log, or where that does not tell all, from the journal.
#[allow(clippy::too_many_arguments, reason = "everything that was gathered comes together here")]
fn counted(
    assembly: &Assembly,
    journal: &Journal,
    ground: &Ground,
    cuts: &Cuts,
    rules: &mut Rules,
    gathered: &mut Gathered,
    report: &mut Report,
    lanes: &mut Lanes,
) -> Result<(), Fault> {
    let settings = &assembly.settings;
    let decoder = Box::new(JsonDecoder::new(settings.event.clone()));
    let source = match settings.source {
        SourceKind::Generator => None,
        SourceKind::Kafka | SourceKind::File => Some(assembly.outside_source(true)?),
    };
    let Gathered { counts, .. } = gathered;
    // A refused recount leaves its complaints with it.
    let mut recount = Recount::new(rules, counts, report, decoder, ground, &cuts.all);
    let coverage = match &source {
        None => {
            let why = "the views were made up by the job itself, and no log has them";
            recount.lanes.iter().map(|lane| (lane.name.clone(), why.to_owned())).collect()
        }
        Some(source) => {
            if ground.source.as_ref() != Some(&source.identity()?) {
                let why = "the log is not the one that the job reads (another cluster, topic or folder)";
                recount.lanes.iter().map(|lane| (lane.name.clone(), why.to_owned())).collect()
            } else {
                verify::coverage(&recount.lanes, &source.partitions()?, &ground.losses)
            }
        }
    };
    if !coverage.is_empty() {
        recount.accounts_only();
    }
    if let Some(source) = &source {
        let reading = bar("{bar:40} {human_pos} of {human_len} of the log");
        verify::read(&**source, &mut recount, &coverage, &*assembly.clock, &|done, total| {
            reading.set_length(total);
            reading.set_position(done);
        })?;
    }
    lanes.lanes = std::mem::take(&mut recount.lanes);
    drop(recount);
    if !coverage.is_empty() {
        report.not_covered.extend(coverage.iter().map(|(name, why)| format!("partition {}: {why}", printable(name))));
        let main = &cuts.all[0];
        match journal.read_at(main.record)? {
            Some(recovered) => {
                journaled(&recovered, &coverage, cuts, rules, gathered, report, lanes);
            }
            None => report
                .not_compared
                .push(format!("counts: the journal no longer has what they were at epoch {}", main.record)),
        }
    }
    lanes.coverage = coverage;
    Ok(())
}

fn journaled(
    recovered: &Recovered,
    coverage: &Coverage,
    cuts: &Cuts,
    rules: &mut Rules,
    gathered: &mut Gathered,
    report: &mut Report,
    lanes: &mut Lanes,
) {
    let Gathered { counts, tables, .. } = gathered;
    let groups = recovered.groups.iter().cloned().map(PackedGroup::unpack);
    let totals = &recovered.totals;
    let watermark = cuts.all[0].watermark;
    verify::expect_from_totals(rules, counts, groups, totals, watermark, tables.as_of.is_some(), report);
    let of_journal = recovered.ledger.iter().filter(|(name, _)| coverage.contains_key(*name));
    lanes.journaled = of_journal.map(|(name, line)| (name.clone(), *line)).collect();
}

/// Whether a window's board may be missing: it lived for its retention, or it is final and tables have it.
fn may_be_gone(assembly: &Assembly, decisions: &Decisions, tables: bool) -> impl Fn(WindowId, WindowState) -> bool {
    let (retention, now) = (assembly.settings.retention.clone(), assembly.clock.now().0);
    let age = |since: i64| Duration::from_millis(u64::try_from(now - since).unwrap_or(0));
    let (begun, written) = (age(decisions.began_at.0), age(decisions.written_at.0));
    move |window, state| {
        let is_final = state == WindowState::Final;
        let lives = retention[usize::from(window.kind)];
        let expired = lives.is_some_and(|lives| if is_final { begun >= lives } else { written >= lives });
        expired || (is_final && tables)
    }
}

fn shown(assembly: &Assembly, cuts: &Cuts, gathered: &Gathered, lanes: &Lanes, report: &Report) -> String {
    let mut text = String::new();
    let mut say = |line: String| writeln!(text, "{line}").expect("a text takes all");
    let main = &cuts.all[0];
    let carrier = if gathered.tables.as_of.is_some() { "tables are" } else { "the journal is" };
    say(format!("job {}: {carrier} as of epoch {}", assembly.settings.name, main.record));
    if let Some(published) = gathered.boards.published {
        say(format!(
            "boards are published up to epoch {published}, {} of them",
            grouped(gathered.boards.carried().count() as u64)
        ));
    }
    for lane in &lanes.lanes {
        let name = printable(&lane.name);
        let (line, by) = match lanes.journaled.get(&lane.name) {
            Some(line) => (line, ", by the journal alone"),
            None => (&lane.line, ""),
        };
        if lanes.coverage.contains_key(&lane.name) && by.is_empty() {
            say(format!("partition {name}: not counted"));
            continue;
        }
        let [consumed, counted, dead] = [line.consumed, line.counted, line.dead_lettered].map(grouped);
        say(format!("partition {name}: consumed {consumed} = counted {counted} + dead_lettered {dead}{by}"));
    }
    for (name, check) in &report.checks {
        say(format!("{name}: {} compared, {} differ", grouped(check.compared), grouped(check.differing)));
    }
    report.notes.iter().for_each(|note| say(format!("note: {note}")));
    report.not_covered.iter().for_each(|what| say(format!("not covered: {what}")));
    report.not_compared.iter().for_each(|what| say(format!("not compared: {what}")));
    report.differences.iter().for_each(|difference| say(format!("differs: {difference}")));
    text
}

fn verdict(report: &Report) -> ExitCode {
    if report.is_verified() {
        println!("verified: all was compared with the log, and nothing differs");
        return ExitCode::SUCCESS;
    }
    println!(
        "not verified: {} differences, {} parts not covered by the log, {} not compared",
        grouped(report.differing()),
        report.not_covered.len(),
        report.not_compared.len()
    );
    ExitCode::FAILURE
}

fn empty(place: &str) -> Fault {
    Fault::failed(
        format!("there is no journal in {place}"),
        "the directory has no record",
        "name the job's settings with --config FILE; a job that has run with them has a journal there",
    )
}

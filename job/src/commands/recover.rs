//! `topk recover`: a journal that was lost, built again from the tables that follow it. It reads tables, boards and dead
//! letters, changes none of them, and writes into an empty journal only.

use crate::assemble::Assembly;
use crate::cli::RecoverArguments;
use crate::logging::bar;
use crate::settings::{Settings, TablesKind};
use crate::shown::{grouped, printable};
use runtime::journal::{Ack, Journal, Rebuild, Remembered, Shown};
use sinks::{TableReadings, TableRow, TablesAsOf};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use stream::{DeadCode, Fault, Generation, LedgerLine, Sequence, WindowId, WindowState, WindowTotals};

pub(super) fn recover(arguments: &RecoverArguments) -> Result<ExitCode, Fault> {
    let assembly = Assembly::new(Settings::read(&super::loaded(&arguments.settings)?)?);
    let (kind, name) =
        if arguments.from_postgres { (TablesKind::Postgres, "postgres") } else { (TablesKind::Sqlite, "sqlite") };
    if assembly.settings.tables != kind {
        return Err(Fault::usage(
            format!("cannot recover from {name}"),
            "the job's tables (sink.tables) are elsewhere, and the journal would not be theirs",
            "give the settings that this job runs with (--config FILE)",
        ));
    }
    let journal = assembly.journal()?;
    if let Some(glance) = journal.look()? {
        return Err(Fault::refused(
            format!("there is a journal in {}", assembly.journal_place()),
            format!("its last record is {} of generation {}", glance.sequence, glance.generation),
            "start the job with it (topk run); or move it away, if it is only the rest of a lost one",
        ));
    }
    let readings = assembly.table_readings(false)?.expect("the job has tables");
    let Some(tables) = Tables::read(&assembly, &journal, &readings)? else {
        return Err(Fault::refused(
            format!("there is nothing to recover from in {name}"),
            "nothing was ever written to these tables",
            "start the job: it begins anew",
        ));
    };
    let (outside, unknown) = outside(&assembly, &tables)?;
    let ack = Ack { sequence: tables.as_of.epoch, hash: tables.as_of.hash, watermark: tables.as_of.as_of };
    let (keys, counts) = tables.counts.size();
    let (consumed, epoch) = (tables.ledger.values().map(|line| line.consumed).sum(), tables.as_of.epoch);
    let record = journal.rebuild(
        Shown {
            remembered: tables.remembered,
            tables: (name.to_owned(), ack),
            partitions: tables.as_of.partitions,
            ledger: tables.ledger,
            totals: tables.totals,
            future: outside.future,
            delivered: outside.delivered,
            above: outside.above,
        },
        tables.counts,
    )?;
    println!("recovered: {} as of epoch {epoch} of the tables in {name}", assembly.journal_place());
    println!("  record    {record}; the next start goes on from it: topk run");
    println!("  holds     {} keys, {} counts in windows that may still change", grouped(keys), grouped(counts));
    println!("  accounts  {} records consumed; what came after them is read again from the log", grouped(consumed));
    unknown.iter().for_each(|line| println!("  note      {line}"));
    Ok(ExitCode::SUCCESS)
}

/// What the tables say.
struct Tables {
    as_of: TablesAsOf,
    remembered: Remembered,
    ledger: BTreeMap<Arc<str>, LedgerLine>,
    totals: BTreeMap<WindowId, WindowTotals>,
    counts: Rebuild,
}

impl Tables {
    /// None where nothing was written yet.
    fn read(assembly: &Assembly, journal: &Journal, readings: &TableReadings) -> Result<Option<Self>, Fault> {
        let windows = &assembly.settings.windows;
        let mut found: Option<Tables> = None;
        let (rows, mut number) = (bar("reading tables: {human_pos} rows"), 0);
        readings.whole(&mut |row| {
            number += 1;
            if number % 10_000 == 0 {
                rows.set_position(number);
            }
            let TableRow::AsOf(as_of) = row else {
                let tables = found.as_mut().expect("what they are as of comes first");
                return tables.take(&row, |name| windows.index_of(name));
            };
            let remembered = remembered(assembly, &as_of)?;
            let counts = Rebuild::new(journal, as_of.as_of);
            let (ledger, totals) = Default::default();
            found = Some(Tables { as_of, remembered, ledger, totals, counts });
            Ok(())
        })?;
        rows.finish_and_clear();
        Ok(found)
    }

    fn take(&mut self, row: &TableRow<'_>, kind_of: impl Fn(&str) -> Option<u8>) -> Result<(), Fault> {
        match *row {
            TableRow::AsOf(_) | TableRow::Ranked { .. } => {}
            TableRow::Ledger { partition, consumed, counted, dead_lettered, lost } => {
                let line = LedgerLine {
                    consumed: number(consumed)?,
                    counted: number(counted)?,
                    dead_lettered: number(dead_lettered)?,
                    lost: number(lost)?,
                };
                self.ledger.insert(partition.into(), line);
            }
            TableRow::Count { kind, start, key, count } => self.counts.count(kind, start, key, number(count)?),
            TableRow::Status { kind, start, events, keys, late, .. } => {
                let kind = kind_of(kind).ok_or_else(|| odd(format!("window_status has a window \"{kind}\"")))?;
                let totals = WindowTotals { events: number(events)?, keys: number(keys)?, late: number(late)? };
                self.totals.insert(WindowId { kind, start }, totals);
            }
        }
        Ok(())
    }
}

/// What the journal began with; counts mean what they meant then.
fn remembered(assembly: &Assembly, as_of: &TablesAsOf) -> Result<Remembered, Fault> {
    let Some(journal) = as_of.journal.clone() else {
        return Err(Fault::refused(
            "the tables do not say what their journal began with",
            "the last start that claimed them was of a version that did not write it down yet",
            "restore the journal from a copy of the state; or count anew with fresh tables and a fresh job.state",
        ));
    };
    let remembered: Remembered =
        serde_json::from_value(journal).map_err(|error| odd(format!("topk_job.journal: {error}")))?;
    let differences = remembered.genesis.differences(&assembly.settings.semantic());
    let list: Vec<String> = differences.iter().map(|(name, was, is)| format!("{name} was {was} and is {is}")).collect();
    if list.is_empty() {
        return Ok(remembered);
    }
    Err(Fault::usage(
        "the tables were counted by other settings",
        list.join("; "),
        "give the settings that this job ran with (--config FILE)",
    ))
}

/// What boards and dead letters show beyond the tables.
struct Outside {
    above: (Generation, Sequence),
    future: BTreeSet<(Arc<str>, i64)>,
    delivered: BTreeMap<Arc<str>, i64>,
}

/// It, and what nobody can know any more.
fn outside(assembly: &Assembly, tables: &Tables) -> Result<(Outside, Vec<String>), Fault> {
    let mut outside = Outside {
        above: (tables.as_of.generation, tables.as_of.epoch),
        future: BTreeSet::new(),
        delivered: BTreeMap::new(),
    };
    let mut there: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    let mut ahead = 0;
    let positions = &tables.as_of.partitions;
    for follower in &mut assembly.followers()? {
        if let Some(mark) = tables.remembered.genesis.marks.get(follower.name()) {
            follower.begin_after(*mark);
        }
        if let Some(progress) = follower.look()? {
            outside.above = (outside.above.0.max(progress.generation), outside.above.1.max(progress.sequence));
        }
        follower.letters(&mut |partition, offset, code| {
            let name: Arc<str> = partition.into();
            if positions.get(&name).is_none_or(|state| offset >= state.next_offset) {
                // It is read again, and refused again; its letter is out.
                let last = outside.delivered.entry(name).or_insert(offset);
                *last = offset.max(*last);
                ahead += 1;
                return;
            }
            *there.entry(name.clone()).or_default() += 1;
            if code == DeadCode::TimeFuture.name() {
                outside.future.insert((name, offset));
            }
        })?;
    }
    let mut unknown = Vec::new();
    for (name, line) in &tables.ledger {
        let lacking = line.dead_lettered.saturating_sub(there.get(name).copied().unwrap_or(0));
        if lacking > 0 {
            unknown.push(format!(
                "{} dead letters of partition {} are not where dead letters are kept: retention took them, or the lost journal alone had them; their records are in the log",
                grouped(lacking),
                printable(name)
            ));
        }
    }
    if ahead > 0 {
        unknown.push(format!("{} dead letters are out already and are not written again", grouped(ahead)));
    }
    let lateness = assembly.settings.rules.allowed_lateness;
    let is_final =
        |id: &WindowId| assembly.settings.windows.find(*id).state(tables.as_of.as_of, lateness) == WindowState::Final;
    let finals = tables.totals.keys().filter(|id| is_final(id)).count();
    unknown.push(format!(
        "{} final windows stay as the tables have them; rows that retention has dropped stay dropped",
        grouped(finals as u64)
    ));
    unknown.push(
        "what the lost journal decided by the clock after that epoch (idle partitions, records of the future) is decided again".to_owned(),
    );
    Ok((outside, unknown))
}

fn number(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| odd(format!("{number} is no count")))
}

fn odd(why: String) -> Fault {
    Fault::refused(
        "cannot build a journal on these tables",
        why,
        "look who else writes these tables; restore a copy of them",
    )
}

//! `topk journal ls|show|check`: what is committed, how large it is, and whether it is whole. Reads only, beside a running
//! job too.

use super::say;
use crate::assemble::Assembly;
use crate::cli::{JournalVerb, SettingsArguments};
use crate::settings::Settings;
use crate::shown::{grouped, size};
use runtime::journal::{Contents, Findings, Journal};
use serde_json::json;
use std::process::ExitCode;
use stream::{EventTime, Fault, Sequence, WallTime};

pub(super) fn journal(what: &JournalVerb) -> Result<ExitCode, Fault> {
    match what {
        JournalVerb::Ls { last, all, json, settings } => {
            let (journal, place) = open(settings)?;
            let contents = journal.list(if *all { usize::MAX } else { *last })?.ok_or_else(|| empty(&place))?;
            say(if *json { lines(&contents) } else { listing(&contents, &place) })?;
        }
        JournalVerb::Show { record, settings } => {
            let (journal, place) = open(settings)?;
            let shown = match record {
                Some(number) => journal.show(Sequence(*number))?.ok_or_else(|| absent(*number, &place))?,
                None => journal.standing()?.ok_or_else(|| empty(&place))?,
            };
            say(format!("{shown:#}\n"))?;
        }
        JournalVerb::Check { settings } => return check(settings),
    }
    Ok(ExitCode::SUCCESS)
}

fn open(arguments: &SettingsArguments) -> Result<(Journal, String), Fault> {
    let assembly = Assembly::new(Settings::read(&super::loaded(arguments)?)?);
    let place = assembly.journal_place();
    Ok((assembly.existing_journal()?, place))
}

fn check(arguments: &SettingsArguments) -> Result<ExitCode, Fault> {
    let assembly = Assembly::new(Settings::read(&super::loaded(arguments)?)?);
    let (journal, place) = (assembly.existing_journal()?, assembly.journal_place());
    let Some(glance) = journal.look()? else { return Err(empty(&place)) };
    let differences = glance.genesis.differences(&assembly.settings.semantic());
    if let Some((name, journaled, configured)) = differences.first() {
        return Err(Fault::usage(
            format!("cannot check the journal in {place}"),
            format!("it counts by {name} = {journaled}, and the settings say {configured}"),
            "give the settings that this job runs with (--config FILE)",
        ));
    }
    let bar = crate::logging::bar("{bar:40} {human_pos} of {human_len} objects");
    let findings = journal.check(&|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let findings = findings.ok_or_else(|| empty(&place))?;
    say(summary(&findings, &place))?;
    if findings.wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for wrong in &findings.wrong {
        eprintln!("wrong: {wrong}");
    }
    Err(Fault::failed(
        format!("the journal in {place} is damaged"),
        format!("{} things are wrong with it, listed above", findings.wrong.len()),
        "restore these objects from a copy of the state; nothing was changed",
    ))
}

fn summary(findings: &Findings, place: &str) -> String {
    let Findings { wrong, records: (oldest, last, count), base_parts, keys, counts, left_over, bytes } = findings;
    let mut text = format!("journal in {place}: {}\n", if wrong.is_empty() { "whole" } else { "damaged" });
    text += &format!(
        "  read      {} in {} records ({oldest} to {last}) and {base_parts} base parts\n",
        size(*bytes),
        grouped(*count)
    );
    text +=
        &format!("  holds     {} keys, {} counts in windows that may still change\n", grouped(*keys), grouped(*counts));
    if left_over.0 > 0 {
        let (objects, bytes) = (grouped(left_over.0), size(left_over.1));
        text +=
            &format!("  left over {objects} objects of {bytes}: harmless, a later compaction deletes what it may\n");
    }
    text
}

fn listing(contents: &Contents, place: &str) -> String {
    let Contents { glance, records, base_parts, newest } = contents;
    let mut text = format!(
        "journal of {} in {place}: generation {}, {} records of {}, {} base parts of {}\n",
        glance.genesis.job,
        glance.generation,
        grouped(records.0 as u64),
        size(records.1),
        grouped(base_parts.0 as u64),
        size(base_parts.1),
    );
    text +=
        &format!("{:>10}  {:<10}  {:>10}  {:<24}  {:>10}  what\n", "record", "kind", "generation", "written", "bytes");
    for entry in newest {
        let generation = entry.generation.to_string();
        let written = moment(entry.written_at);
        let bytes = grouped(entry.bytes);
        let record = entry.record.to_string();
        let kind = entry.kind;
        text += &format!("{record:>10}  {kind:<10}  {generation:>10}  {written:<24}  {bytes:>10}  {}\n", entry.says);
    }
    text
}

/// One JSON object for each record.
fn lines(contents: &Contents) -> String {
    contents.newest.iter().map(|entry| format!("{}\n", json!(entry))).collect()
}

fn moment(at: WallTime) -> String {
    match at.0 {
        0 => "-".to_owned(),
        millis => EventTime::from_millis(millis).to_string(),
    }
}

fn empty(place: &str) -> Fault {
    Fault::failed(
        format!("there is no journal in {place}"),
        "the directory has no record",
        "name the job's settings with --config FILE; a job that has run with them has a journal there",
    )
}

fn absent(record: u64, place: &str) -> Fault {
    Fault::failed(
        format!("there is no record {record} in {place}"),
        "it was not written yet, or compaction has deleted it",
        "topk journal ls --all lists what there is",
    )
}

//! The start-up decision table: what is found in journal, tables, boards and log decides whether a job goes on, starts
//! afresh, or refuses rather than lose. Decisions are pure functions; the order of looking is: journal, empty-journal
//! check, fence, followers' claims, state, source.

mod log;

use crate::journal::{Coverage, Genesis, Standing};
pub(crate) use log::{Found, GoOn, add_losses, check_log, check_new, check_source};
use serde_json::Value;
use std::collections::BTreeMap;
use stream::{Fault, Generation, LossName, Progress, Sequence};

/// What a person has accepted, by flags. Each is used up by what it leads to: the journal names it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// Ranges that are missing from the log (`--accept-loss`).
    pub losses: Vec<LossName>,
    /// The source to go on with, as it is named (`--accept-source`).
    pub source: Option<String>,
    /// The tables that may be built up again (`--rebuild-sink`).
    pub rebuild: Option<String>,
}

/// A changed semantic setting over existing state is refused, with the list of differences.
pub(crate) fn check_settings(genesis: &Genesis, configured: &BTreeMap<String, Value>) -> Result<(), Fault> {
    let differences = genesis.differences(configured);
    if differences.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = differences
        .iter()
        .map(|(name, journaled, configured)| format!("{name} was {journaled} and is now {configured}"))
        .collect();
    Err(Fault::usage(
        "settings that decide what counts mean were changed over existing state",
        list.join("; "),
        "set them back, or give the job a fresh job.state, job.name and sinks to count anew",
    ))
}

/// An empty journal beside tables with progress means that the journal is lost: refused. Boards and dead letters alone
/// are overwritten or passed over, from a generation above theirs.
pub(crate) fn check_empty_journal(followers: &[(&'static str, bool, Option<Progress>)]) -> Result<Generation, Fault> {
    let mut above = Generation(0);
    for (name, holds_counts, progress) in followers {
        let Some(progress) = progress else { continue };
        // Tables that were claimed and never written have a generation and no hash.
        if *holds_counts && progress.hash.is_some() {
            return Err(Fault::refused(
                format!("the journal is empty, but the tables in {name} have progress"),
                format!(
                    "they are as of epoch {} of generation {}: the journal they follow is lost or job.state names another place",
                    progress.sequence, progress.generation
                ),
                format!(
                    "restore the journal or correct job.state; or build it again from these tables: topk recover --from-{name} (with your settings, then topk run); to count anew, give the job fresh tables (sink.postgres.table_prefix or schema, sink.sqlite.path)"
                ),
            ));
        }
        above = above.max(progress.generation);
    }
    Ok(above)
}

/// What becomes of the rows of tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rows {
    /// They stay, and what changed since is written again.
    Stay,
    /// They are an older copy: what the journal has is written again, and what it no longer has goes.
    AreOld,
    /// They are of another life, and go.
    Go,
}

/// Tables that follow our chain, with all that they lack still in it, go on. What else is found is refused, unless a person
/// lets them be built up again. `gap`: the record up to which the journal has lost some of what they lack.
pub(crate) fn check_tables(
    name: &str,
    progress: Option<&Progress>,
    standing: Standing,
    acknowledged: bool,
    gap: Option<Sequence>,
    accepted: &Accepted,
) -> Result<Rows, Fault> {
    let is_accepted = accepted.rebuild.as_deref() == Some(name);
    let (rows, why, means) = match (standing, gap) {
        (Standing::InChain, None) => return Ok(Rows::Stay),
        (Standing::Gone, None) if acknowledged => return Ok(Rows::Stay),
        (Standing::InChain, Some(gap)) | (Standing::Gone, Some(gap)) if acknowledged || standing == Standing::InChain => (
            Rows::AreOld,
            format!("records up to {gap} that they have not acted on were compacted away; an older backup was restored, or the tables were emptied"),
            "rows of windows that became final in between are gone; all else is written again",
        ),
        (Standing::NotInChain, _) => (
            Rows::Go,
            "the journal has no such record: it lost commits, or the tables are from another life".to_owned(),
            "the tables are emptied, and everything that the journal has is written anew; windows that were final before its last compaction stay without rows",
        ),
        (Standing::InChain | Standing::Gone, _) => (
            Rows::AreOld,
            "that record has been compacted away, and the journal does not remember that they acknowledged it: an older backup was restored, or the tables are from another life".to_owned(),
            "they are taken for an older copy of this job's tables; rows of windows that became final in between are gone, and all else is written again",
        ),
    };
    if is_accepted {
        return Ok(rows);
    }
    let as_of = match progress {
        Some(Progress { sequence, hash: Some(hash), .. }) => {
            format!("they are as of epoch {sequence} with commit hash {hash}; ")
        }
        _ => "they have nothing yet; ".to_owned(),
    };
    let what = match rows {
        Rows::AreOld if standing == Standing::InChain => {
            format!("the tables in {name} lack what the journal no longer has")
        }
        _ => format!("the tables in {name} do not follow this journal"),
    };
    Err(Fault::refused(
        what,
        format!("{as_of}{why}"),
        format!(
            "restore the journal or the tables (a newer backup) that belong together; or build them up again: topk run --rebuild-sink {name} (with your other arguments; {means}; it is kept in the journal)"
        ),
    ))
}

/// What a follower lacks must still be in the journal.
pub(crate) fn check_coverage(what: &str, coverage: Coverage) -> Result<(), Fault> {
    let Coverage::Gap(through) = coverage else { return Ok(()) };
    Err(Fault::refused(
        format!("{what} lack what the journal no longer has"),
        format!(
            "records up to {through} that they have not acted on were compacted away; an older backup was restored"
        ),
        "restore a newer backup, or start afresh with a new job.state, job.name and sinks",
    ))
}

/// Progress that an earlier journal left behind is no progress in ours. Generation 0 is not told: such a follower began
/// after its mark.
pub(crate) fn own_progress(progress: Option<Progress>, first: Generation) -> Option<Progress> {
    progress.filter(|progress| progress.generation >= first || progress.generation == Generation(0))
}

#[cfg(test)]
mod tests;

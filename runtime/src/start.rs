//! The start-up decision table: what is found in journal, tables, boards and log decides whether a job goes on, starts
//! afresh, or refuses rather than lose. Decisions are pure functions; the order of looking is: journal, empty-journal
//! check, fence, followers' claims, state, source.

mod log;

use crate::journal::{Coverage, Genesis, Standing};
pub(crate) use log::{Found, GoOn, add_losses, check_log, check_new, check_source};
use serde_json::Value;
use std::collections::BTreeMap;
use stream::{Fault, Generation, LossName, Progress};

/// What a person has accepted, by flags. Each is used up by what it leads to: the journal names it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// Ranges that are missing from the log (`--accept-loss`).
    pub losses: Vec<LossName>,
    /// The source to go on with, as it is named (`--accept-source`).
    pub source: Option<String>,
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
                "restore the journal or correct job.state; to count anew, give the job fresh tables (sink.postgres.table_prefix or schema, sink.sqlite.path)",
            ));
        }
        above = above.max(progress.generation);
    }
    Ok(above)
}

/// Tables whose last commit is not in our chain are of another life, or the journal lost commits.
pub(crate) fn check_chain(
    name: &str,
    progress: &Progress,
    standing: Standing,
    acknowledged: bool,
) -> Result<(), Fault> {
    let why = match standing {
        Standing::InChain => return Ok(()),
        Standing::Gone if acknowledged => return Ok(()),
        Standing::Gone => {
            "that record has been compacted away, and the journal does not remember that they acknowledged it"
        }
        Standing::NotInChain => "the journal has no such record: it lost commits, or the tables are from another life",
    };
    Err(Fault::refused(
        format!("the tables in {name} do not follow this journal"),
        format!(
            "they are as of epoch {} with commit hash {}; {why}",
            progress.sequence,
            progress.hash.unwrap_or_default()
        ),
        "restore the journal or the tables that belong together; to count anew, give the job fresh job.state and tables",
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

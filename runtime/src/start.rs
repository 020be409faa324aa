//! The start-up decision table: what is found in journal, tables, boards and log decides whether a job goes on, starts
//! afresh, or refuses rather than lose. Decisions are pure functions; the order of looking is: journal, empty-journal
//! check, fence, followers' claims, state, source.

use crate::journal::{Coverage, Genesis, Standing};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{Fault, Generation, PartitionInfo, PartitionState, Progress, SourceIdentity};

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

/// A journal goes on only on the source it began with.
pub(crate) fn check_source(genesis: &Genesis, found: &SourceIdentity) -> Result<(), Fault> {
    if genesis.source == *found {
        return Ok(());
    }
    let show =
        |source: &SourceIdentity| format!("{} {} {} {}", source.kind, source.cluster, source.topic, source.topic_id);
    Err(Fault::refused(
        "the source is not the one this journal began with",
        format!("journaled: {}; found: {}", show(&genesis.source), show(found)),
        "point the job at the source it began with, or give it a fresh job.state, job.name and sinks",
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

/// What the log still holds against where we stand: an offset that is gone is refused with the exact range. Partitions
/// the journal does not know are read from their beginning, which must be 0, and rejoin by the rule for new ones.
pub(crate) fn check_offsets(
    journaled: &BTreeMap<Arc<str>, PartitionState>,
    found: &[PartitionInfo],
) -> Result<BTreeMap<Arc<str>, PartitionState>, Fault> {
    let mut partitions = journaled.clone();
    for (name, state) in journaled {
        let Some(info) = found.iter().find(|info| info.name == *name) else {
            return Err(Fault::refused(
                format!("partition {name} is gone from the source"),
                format!("the journal stands at offset {} in it", state.next_offset),
                "bring the partition (or file) back, or start afresh with a new job.state, job.name and sinks",
            ));
        };
        let lost = if info.earliest > state.next_offset {
            Some(format!(
                "records {} to {} of partition {name} are no longer in the log, which starts at {}",
                state.next_offset,
                info.earliest - 1,
                info.earliest
            ))
        } else if info.end < state.next_offset {
            Some(format!(
                "the log of partition {name} ends at {}, before our offset {}: records {} to {} that were counted are gone",
                info.end,
                state.next_offset,
                info.end,
                state.next_offset - 1
            ))
        } else {
            None
        };
        if let Some(why) = lost {
            return Err(Fault::refused(
                "the log no longer holds what comes next",
                why,
                "bring the records back (retention, a restored log), or start afresh with a new job.state, job.name and sinks",
            ));
        }
    }
    for info in found.iter().filter(|info| !journaled.contains_key(&info.name)) {
        partitions.insert(info.name.clone(), check_new(info)?);
    }
    Ok(partitions)
}

/// A partition that the journal does not know, at start or while the job runs: read from its beginning, which must be 0,
/// and held until it is granted a floor.
pub(crate) fn check_new(info: &PartitionInfo) -> Result<PartitionState, Fault> {
    if info.earliest > 0 {
        return Err(Fault::refused(
            format!("new partition {} cannot be read from its beginning", info.name),
            format!("its log starts at {}: records 0 to {} are gone", info.earliest, info.earliest - 1),
            "start afresh with a new job.state, job.name and sinks",
        ));
    }
    Ok(PartitionState::held_from(0, 0))
}

#[cfg(test)]
mod tests;

//! The log against where the journal stands. What is missing is found, named exactly, and refused, unless a person has
//! accepted that very range; then it is written down, and reading goes on where the log does.

use super::Accepted;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use stream::{
    Fault, LedgerLine, Loss, LossKind, LossName, PartitionInfo, PartitionState, Sequence, SourceIdentity, WallTime,
};

/// What a start found.
pub(crate) struct Found<'a> {
    /// Every partition as the journal has it.
    pub(crate) journaled: &'a BTreeMap<Arc<str>, PartitionState>,
    /// Partitions as the source has them.
    pub(crate) partitions: &'a [PartitionInfo],
    /// Those that hold another record before our position than was read there.
    pub(crate) replaced: &'a [Arc<str>],
    /// The log was made anew: no offset of ours means anything in it.
    pub(crate) renewed: bool,
    /// What was accepted before.
    pub(crate) known: &'a [Loss],
}

/// How reading goes on.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct GoOn {
    pub(crate) partitions: BTreeMap<Arc<str>, PartitionState>,
    /// To be journaled before anything is read.
    pub(crate) losses: Vec<Loss>,
}

/// What the log still holds against where we stand. Partitions the journal does not know are read from their beginning,
/// which must be 0, and rejoin by the rule for new ones.
pub(crate) fn check_log(found: &Found<'_>, accepted: &Accepted, now: WallTime) -> Result<GoOn, Fault> {
    let (partitions, losses) = look(found, now);
    // A new log is accepted as a whole, by its name.
    let named: Vec<(LossName, &Loss)> =
        losses.iter().filter(|_| !found.renewed).map(|loss| (name_of(loss, found.known), loss)).collect();
    let is_missing = |name: &LossName| named.iter().any(|(missing, _)| missing == name);
    let was_accepted = |name: &LossName| found.known.iter().filter(|loss| loss.is_of(name)).count() >= name.time;
    let strays: Vec<String> = accepted
        .losses
        .iter()
        .filter(|name| !is_missing(name) && !was_accepted(name))
        .map(|name| format!("{name} is not what is missing"))
        .collect();
    if strays.is_empty() && named.iter().all(|(name, _)| accepted.losses.contains(name)) {
        return Ok(GoOn { partitions, losses });
    }
    let mut why: Vec<String> = named.iter().map(|(_, loss)| told(loss, found.partitions)).collect();
    why.extend(strays);
    if named.is_empty() {
        return Err(Fault::refused(
            "a loss was accepted that is none",
            format!("{}: the log has all that comes next", why.join("; ")),
            "start without --accept-loss",
        ));
    }
    Err(Fault::refused("the log no longer holds what comes next", why.join("; "), hint(&named)))
}

/// The flags of one partition that was found while the job ran.
pub(crate) fn check_new(info: &PartitionInfo) -> Result<PartitionState, Fault> {
    let found = Found {
        journaled: &BTreeMap::new(),
        partitions: std::slice::from_ref(info),
        replaced: &[],
        renewed: false,
        known: &[],
    };
    check_log(&found, &Accepted::default(), WallTime(0))?;
    Ok(PartitionState::held_from(info.earliest, 0))
}

/// Accounts with these losses in them.
pub(crate) fn add_losses(ledger: &mut BTreeMap<Arc<str>, LedgerLine>, losses: &[Loss]) {
    for loss in losses {
        ledger.entry(loss.partition.clone()).or_default().lost += loss.offsets();
    }
}

/// Partitions as they would go on, and what is missing for it.
fn look(found: &Found<'_>, now: WallTime) -> (BTreeMap<Arc<str>, PartitionState>, Vec<Loss>) {
    let mut partitions = found.journaled.clone();
    let mut losses = Vec::new();
    for (name, state) in &mut partitions {
        let info = found.partitions.iter().find(|info| info.name == *name);
        let Some((kind, first, last, next)) = missing(name, state, info, found) else { continue };
        (state.next_offset, state.fingerprint) = (next, 0);
        // What is gone holds back nobody. Should it come back, it waits for a floor.
        state.active &= kind != LossKind::Gone && info.is_some();
        losses.push(Loss {
            partition: name.clone(),
            first,
            last,
            kind,
            next_offset: next,
            at: now,
            record: Sequence(0),
        });
    }
    for info in found.partitions.iter().filter(|info| !found.journaled.contains_key(&info.name)) {
        partitions.insert(info.name.clone(), PartitionState::held_from(info.earliest, 0));
        if info.earliest > 0 && !found.renewed {
            losses.push(Loss {
                partition: info.name.clone(),
                first: 0,
                last: Some(info.earliest - 1),
                kind: LossKind::Unread,
                next_offset: info.earliest,
                at: now,
                record: Sequence(0),
            });
        }
    }
    (partitions, losses)
}

/// Of one partition: how it came to be missing, its first and last offset, and where reading would go on.
fn missing(
    name: &Arc<str>,
    state: &PartitionState,
    info: Option<&PartitionInfo>,
    found: &Found<'_>,
) -> Option<(LossKind, i64, Option<i64>, i64)> {
    let next = state.next_offset;
    let Some(info) = info else {
        let before = found.known.iter().rev().find(|loss| loss.partition == *name);
        let is_known =
            !state.active && before.is_some_and(|loss| loss.kind == LossKind::Gone && loss.next_offset == next);
        return (!is_known).then_some((LossKind::Gone, next, None, next));
    };
    if found.renewed {
        Some((LossKind::Renewed, next, None, info.earliest))
    } else if info.earliest > next {
        Some((LossKind::Unread, next, Some(info.earliest - 1), info.earliest))
    } else if info.end < next {
        Some((LossKind::Cut, info.end, Some(next - 1), info.end))
    } else if found.replaced.contains(name) {
        Some((LossKind::Replaced, info.earliest, Some(next - 1), next))
    } else {
        None
    }
}

/// By this name it is accepted: not by one that was used up.
fn name_of(loss: &Loss, known: &[Loss]) -> LossName {
    let Loss { partition, first, last, .. } = loss;
    let mut name = LossName { partition: partition.clone(), first: *first, last: *last, time: 1 };
    name.time += known.iter().filter(|known| known.is_of(&name)).count();
    name
}

fn told(loss: &Loss, found: &[PartitionInfo]) -> String {
    let Loss { partition, first, next_offset, .. } = loss;
    let info = found.iter().find(|info| info.name == *partition);
    let (earliest, end) = info.map_or((0, 0), |info| (info.earliest, info.end));
    let last = loss.last.unwrap_or(*first);
    match loss.kind {
        LossKind::Unread => format!(
            "records {first} to {last} of partition {partition} are no longer in the log, which starts at {earliest}"
        ),
        LossKind::Cut => format!(
            "the log of partition {partition} ends at {end}, before our offset {}: records {first} to {last} that were counted are gone",
            last + 1
        ),
        LossKind::Replaced => format!(
            "the record before offset {next_offset} of partition {partition} is not the one that was read there: the log was cut and filled again, or replaced, so that some of the records {first} to {last} are not those that were counted"
        ),
        LossKind::Gone | LossKind::Renewed => {
            format!("partition {partition} is gone from the source; the journal stands at offset {first} in it")
        }
    }
}

/// How to bring it back, and the flags that accept it, ready to paste.
fn hint(named: &[(LossName, &Loss)]) -> String {
    let mut hint =
        "bring the records back (a restored log, longer retention); or go on without them: topk run".to_owned();
    for (name, _) in named {
        write!(hint, " --accept-loss {}", quoted(&name.to_string())).expect("a text takes all");
    }
    let kinds: Vec<LossKind> = named.iter().map(|(_, loss)| loss.kind).collect();
    let mut means = Vec::new();
    if kinds.contains(&LossKind::Unread) {
        means.push("what was not read is never counted");
    }
    if kinds.contains(&LossKind::Cut) {
        means.push("what was counted stays counted, and what is written from the log's end on is counted too");
    }
    if kinds.contains(&LossKind::Replaced) {
        means.push("what was counted stays counted, and what stands in its place is not");
    }
    if kinds.contains(&LossKind::Gone) {
        means.push("nobody waits for what is gone, and if it comes back it is read on from there");
    }
    write!(hint, " (with your other arguments; {}; it is kept in the journal)", means.join("; "))
        .expect("a text takes all");
    hint
}

/// As a shell takes it for one word.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A journal goes on only on the source it was read from, or on one that was accepted in its place. Whether the log is a
/// new one, in which our offsets mean nothing.
pub(crate) fn check_source(
    current: &SourceIdentity,
    found: &SourceIdentity,
    accepted: &Accepted,
) -> Result<bool, Fault> {
    let name = found.to_string();
    let stray = accepted.source.as_ref().filter(|source| **source != name);
    // An id that nobody could tell, and that is known now, makes no other topic.
    let is_named =
        current.topic_id.is_empty() && SourceIdentity { topic_id: String::new(), ..found.clone() } == *current;
    if (current == found || is_named) && stray.is_none() {
        return Ok(false);
    }
    if let (Some(stray), true) = (stray, current == found) {
        return Err(Fault::refused(
            "a source was accepted that is not the one found",
            format!("accepted: {stray}; found, and read before: {name}"),
            "start without --accept-source",
        ));
    }
    let is_of_a_kind = current.kind == found.kind && found.kind != "generator";
    // Files are known by their names, wherever the folder is: they go on where they were, and each is looked at.
    let renewed = found.kind != "file";
    if is_of_a_kind && stray.is_none() && accepted.source.is_some() {
        return Ok(renewed);
    }
    let why = format!("journaled: {}; found: {}", spaced(current), spaced(found));
    let what = "the source is not the one this journal was read from";
    if !is_of_a_kind {
        return Err(Fault::refused(
            what,
            why,
            "point the job at the source it was read from, or give it a fresh job.state, job.name and sinks",
        ));
    }
    let means = if renewed {
        "every partition is read from where the new log begins, and what the old one had after the journal's offsets is never counted"
    } else {
        "every file of the same name is read on from where it was"
    };
    Err(Fault::refused(
        what,
        why,
        format!(
            "point the job at the source it was read from; or go on with the one found: topk run --accept-source {} (with your other arguments; {means}; it is kept in the journal)",
            quoted(&name)
        ),
    ))
}

fn spaced(source: &SourceIdentity) -> String {
    format!("{} {} {} {}", source.kind, source.cluster, source.topic, source.topic_id)
}

#[cfg(test)]
mod tests;

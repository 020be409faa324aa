//! Slots: `generation/{x}`, one for every generation, created by starts and kept for ever. They stop an instance that
//! slept through a take-over and finds that the name it was about to create has been deleted meanwhile.

use super::chain::{self, Put, Record, create, numbered};
use super::store::Objects;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use stream::{Fault, Generation, RecordHash, Sequence};

const FOLDER: &str = "generation";

/// The name of a generation's slot.
pub(super) fn name_of(generation: Generation) -> String {
    format!("{FOLDER}/{:020}", generation.0)
}

/// The last record; none if the journal is empty. A slot is closed only after the fence of its generation is durable, so a
/// chain that ends before the greatest slot's generation has lost commits. Slots are looked at first: whoever takes over
/// meanwhile makes the chain longer, never shorter.
///
/// # Errors
/// Commits are lost (refused); the store.
pub(super) fn tail(objects: &Objects) -> Result<Option<Record>, Fault> {
    let greatest = closed(objects)?.last().copied();
    let tail = chain::tail(objects)?;
    let reached = tail.as_ref().map_or(0, |tail| tail.link.generation.0);
    match greatest.filter(|greatest| *greatest > reached) {
        Some(greatest) => Err(lost(objects, Generation(greatest), tail.as_ref())?),
        None => Ok(tail),
    }
}

/// The content of a slot.
#[derive(Deserialize)]
struct Slot {
    fence: Sequence,
}

fn lost(objects: &Objects, greatest: Generation, tail: Option<&Record>) -> Result<Fault, Fault> {
    let slot = objects.read(&name_of(greatest))?;
    let last = tail.map_or(Sequence(0), |tail| tail.link.sequence);
    let ends = match tail {
        Some(tail) => format!("the journal ends with record {last} of generation {}", tail.link.generation),
        None => "the journal has no record at all".to_owned(),
    };
    let first = last.0 + 1;
    let why = match slot.and_then(|slot| serde_json::from_slice::<Slot>(&slot).ok()) {
        Some(Slot { fence }) if fence > last => {
            let missing =
                if fence.0 == first { format!("record {first}") } else { format!("records {first} to {fence}") };
            format!(
                "generation {greatest} took over at record {fence}, and {ends}: {missing} and whatever came after are missing"
            )
        }
        _ => format!("generation {greatest} has run, and {ends}: record {first} and whatever came after are missing"),
    };
    let hint = format!(
        "restore {} and all that came after it from a copy of the state ({}/ belongs with {FOLDER}/); or move the journal away and build it again from the tables (topk recover); to count anew, give the job fresh job.state and sinks",
        chain::name_of(Sequence(first)),
        chain::COMMITS
    );
    Ok(Fault::refused("the journal lost commits", why, hint))
}

/// Close every slot up to our own. Ours says which fence it belongs to, so that an instance whose stale fence got the
/// same generation on a deleted name finds out here.
pub(super) fn close(objects: &Objects, generation: Generation, fence: Sequence, hash: RecordHash) -> Result<(), Fault> {
    let closed = closed(objects)?;
    let content = |owner: &str| format!("{{\"fence\":{fence},\"hash\":\"{hash}\",\"owner\":{owner}}}\n");
    for missing in (1..generation.0).filter(|slot| !closed.contains(slot)) {
        // Whoever closes it, it is closed.
        create(objects, &name_of(Generation(missing)), &content("false").into())?;
    }
    match create(objects, &name_of(generation), &content("true").into())? {
        Put::Ours => check_next(objects, generation),
        Put::Foreign(_) => Err(overtaken(generation)),
    }
}

/// The generations whose slots are closed.
pub(super) fn closed(objects: &Objects) -> Result<BTreeSet<u64>, Fault> {
    Ok(objects.list(FOLDER)?.iter().filter_map(|object| numbered(&object.name, FOLDER)).collect())
}

/// Whether somebody else has started as this generation.
///
/// # Errors
/// Somebody has (exit 4); the store.
pub(super) fn check_free(objects: &Objects, generation: Generation) -> Result<(), Fault> {
    if objects.exists(&name_of(generation))? { Err(overtaken(generation)) } else { Ok(()) }
}

/// To be asked after each commit and before anything of it is shown.
pub(super) fn check_next(objects: &Objects, generation: Generation) -> Result<(), Fault> {
    if objects.exists(&name_of(Generation(generation.0 + 1)))? { Err(overtaken(generation)) } else { Ok(()) }
}

/// Tells whoever writes outside the journal whether it is still his to write.
pub struct Fence {
    objects: Arc<Objects>,
    generation: Generation,
}

impl Fence {
    pub(super) fn new(objects: Arc<Objects>, generation: Generation) -> Self {
        Fence { objects, generation }
    }

    /// # Errors
    /// A newer instance has taken over (exit 4); the store failed.
    pub fn check(&self) -> Result<(), Fault> {
        check_next(&self.objects, self.generation)
    }

    /// What a fault comes of: whoever was overtaken judges by what a newer instance has changed since, so that is why.
    pub fn explain(&self, fault: Fault) -> Fault {
        overtaken_or(&self.objects, self.generation, fault)
    }
}

/// Something failed: if a newer instance has taken over, that is why, for it may have deleted what we were reading, or what
/// we know a follower by. Whoever cannot ask does not know, and says that: a start that is tried again will.
pub(super) fn overtaken_or(objects: &Objects, generation: Generation, fault: Fault) -> Fault {
    check_next(objects, generation).err().unwrap_or(fault)
}

fn overtaken(generation: Generation) -> Fault {
    Fault::fenced(format!("cannot go on as generation {generation}"), "a newer instance of this job has taken over")
}

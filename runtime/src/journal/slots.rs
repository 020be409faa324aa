//! Slots: `generation/{x}`, one for every generation, created by starts and kept for ever. They stop an instance that
//! slept through a take-over and finds that the name it was about to create has been deleted meanwhile.

use super::chain::{Put, create, numbered};
use super::store::Objects;
use std::collections::BTreeSet;
use stream::{Exit, Fault, Generation, RecordHash, Sequence};

const FOLDER: &str = "generation";

/// The name of a generation's slot.
pub(super) fn name_of(generation: Generation) -> String {
    format!("{FOLDER}/{:020}", generation.0)
}

/// Close every slot up to our own. Ours says which fence it belongs to, so that an instance whose stale fence got the
/// same generation on a deleted name finds out here.
pub(super) fn close(objects: &Objects, generation: Generation, fence: Sequence, hash: RecordHash) -> Result<(), Fault> {
    let closed: BTreeSet<u64> =
        objects.list(FOLDER)?.iter().filter_map(|object| numbered(&object.name, FOLDER)).collect();
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

/// To be asked after each commit and before anything of it is shown.
pub(super) fn check_next(objects: &Objects, generation: Generation) -> Result<(), Fault> {
    if objects.exists(&name_of(Generation(generation.0 + 1)))? { Err(overtaken(generation)) } else { Ok(()) }
}

/// Reading failed: if a newer instance has taken over, that is why, for it may have deleted what we were reading.
pub(super) fn overtaken_or(objects: &Objects, generation: Generation, fault: Fault) -> Fault {
    check_next(objects, generation).err().filter(|fault| fault.exit == Exit::Fenced).unwrap_or(fault)
}

fn overtaken(generation: Generation) -> Fault {
    Fault::fenced(format!("cannot go on as generation {generation}"), "a newer instance of this job has taken over")
}

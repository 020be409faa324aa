//! The chain of records: their names, reading them with every link checked, and the one way to write anything.

use super::attempts::Attempts;
use super::format::{self, Kind, Opened, unreadable};
use super::record::{EpochBody, FIRST, Link};
use super::store::{Attempt, Objects};
use super::{columns, letters};
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use stream::{Bug, DeadLetter, Fault, Generation, RecordHash, Sequence, seeded};

/// The folder of records.
pub(super) const COMMITS: &str = "commit";

/// The name of a record.
pub(super) fn name_of(sequence: Sequence) -> String {
    format!("{COMMITS}/{:020}", sequence.0)
}

/// The inverse of [`name_of`]; none for anything else that lies there.
pub(super) fn sequence_of(name: &str) -> Option<Sequence> {
    numbered(name, COMMITS).map(Sequence)
}

/// The number in `folder/00000000000000000042`.
pub(super) fn numbered(name: &str, folder: &str) -> Option<u64> {
    let digits = name.strip_prefix(folder)?.strip_prefix('/')?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_ours { digits.parse().ok() } else { None }
}

/// A record as it stands in the chain.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) link: Link,
    pub(super) opened: Opened,
}

/// An epoch record taken apart.
#[derive(Clone, Debug)]
pub(super) struct EpochRecord {
    pub(super) sequence: Sequence,
    pub(super) hash: RecordHash,
    pub(super) body: EpochBody,
    pub(super) delta: columns::Delta,
    pub(super) dead_letters: Vec<DeadLetter>,
}

impl Record {
    /// Understand the bytes of the object at this number.
    pub(super) fn open(sequence: Sequence, bytes: &Bytes) -> Result<Self, Fault> {
        let opened = format::open(&name_of(sequence), bytes)?;
        let link: Link = opened.header()?;
        if link.sequence != sequence {
            return Err(unreadable(&opened.name, format!("it says that it is record {}", link.sequence)));
        }
        if (opened.kind == Kind::Genesis) != (sequence == FIRST) || opened.kind == Kind::Part {
            return Err(unreadable(&opened.name, format!("a {:?} does not belong there", opened.kind)));
        }
        Ok(Record { link, opened })
    }

    /// The newest base record at or before this record; 0 if there is none.
    pub(super) fn base(&self) -> Sequence {
        if self.opened.kind == Kind::Base { self.link.sequence } else { self.link.base }
    }

    /// The epoch inside; none if it is another kind of record.
    pub(super) fn epoch(&self) -> Result<Option<EpochRecord>, Fault> {
        if self.opened.kind != Kind::Epoch {
            return Ok(None);
        }
        let wrong = |why| unreadable(&self.opened.name, why);
        Ok(Some(EpochRecord {
            sequence: self.link.sequence,
            hash: self.opened.hash,
            body: self.opened.json(0)?,
            delta: columns::decode(&self.opened.section(1)?).map_err(wrong)?,
            dead_letters: letters::decode(&self.opened.section(2)?).map_err(wrong)?,
        }))
    }
}

/// Read one record; none if there is no such object.
pub(super) fn read(objects: &Objects, sequence: Sequence) -> Result<Option<Record>, Fault> {
    let bytes = objects.read(&name_of(sequence))?;
    bytes.map(|bytes| Record::open(sequence, &bytes)).transpose()
}

/// Read one record that must be there.
pub(super) fn read_existing(objects: &Objects, sequence: Sequence) -> Result<Record, Fault> {
    read(objects, sequence)?.ok_or_else(|| missing(&name_of(sequence)))
}

/// The fault of an object that must be there and is not.
pub(super) fn missing(name: &str) -> Fault {
    Fault::refused(
        format!("cannot read journal object {name}"),
        "it is not there, and the state cannot be put together without it",
        "restore the object from a copy of the state, or move the journal away and build it again from the tables (topk recover)",
    )
}

/// The last record; none if the chain is empty.
pub(super) fn tail(objects: &Objects) -> Result<Option<Record>, Fault> {
    let mut gone = None;
    loop {
        let last = greatest(objects)?;
        let found = last.map(|last| read(objects, last)).transpose()?.flatten();
        match (last, found) {
            (_, Some(record)) => return Ok(Some(record)),
            // Since we listed it, a newer one has become the last, and this one was compacted away.
            (Some(last), None) if gone != Some(last) => gone = Some(last),
            (Some(last), None) => return Err(missing(&name_of(last))),
            (None, _) => return gone.map_or(Ok(None), |last| Err(missing(&name_of(last)))),
        }
    }
}

fn greatest(objects: &Objects) -> Result<Option<Sequence>, Fault> {
    Ok(objects.list(COMMITS)?.iter().filter_map(|object| sequence_of(&object.name)).max())
}

/// Whether the record that we have created is part of the chain. Whoever slept since it saw the chain's end may find that the
/// name after it is free again: what was there has been compacted away, and the chain goes on elsewhere. The last record is
/// never deleted, so there is one above such a name.
pub(super) fn holds(objects: &Objects, sequence: Sequence, hash: RecordHash) -> Result<bool, Fault> {
    if greatest(objects)?.is_none_or(|greatest| greatest <= sequence) {
        return Ok(true);
    }
    Ok(read(objects, Sequence(sequence.0 + 1))?.is_some_and(|next| next.link.previous == hash))
}

/// A stretch of records in order, all of which must be there, each naming the hash of the one before.
/// Read and unpacked by several threads.
pub(super) fn stretch(
    objects: &Objects,
    first: Sequence,
    last: Sequence,
) -> Result<Vec<(Record, Option<EpochRecord>)>, Fault> {
    let count = (last.0 + 1).saturating_sub(first.0) as usize;
    let read = in_parallel(objects.threads, count, |index| {
        let record = read_existing(objects, Sequence(first.0 + index as u64))?;
        let epoch = record.epoch()?;
        Ok((record, epoch))
    })?;
    for pair in read.windows(2) {
        follows(&pair[0].0, &pair[1].0)?;
    }
    Ok(read)
}

/// Check that one record follows another.
pub(super) fn follows(before: &Record, after: &Record) -> Result<(), Fault> {
    let steps = after.link.generation.0.checked_sub(before.link.generation.0);
    let expected = u64::from(after.opened.kind == Kind::Fence);
    if after.link.previous != before.opened.hash && !seeded(Bug::LinkNotChecked) {
        let why = format!("it does not follow {}: it names another record before it", before.opened.name);
        return Err(unreadable(&after.opened.name, why));
    }
    if steps != Some(expected) {
        let (after_generation, before_generation) = (after.link.generation, before.link.generation);
        let why = format!("its generation is {after_generation}, after {before_generation}");
        return Err(unreadable(&after.opened.name, why));
    }
    Ok(())
}

/// How a create ended.
#[derive(Debug)]
pub(super) enum Put {
    /// The object is there with our bytes.
    Ours,
    /// The object is there with somebody else's.
    Foreign(Bytes),
}

/// Create an object. AlreadyExists and unknown outcomes are settled by reading back; anything else is tried again with
/// the same bytes until patience ends. That a bucket says "conflict" while another put of the name is under way is an
/// AlreadyExists too: then nothing is read back, and our bytes are offered again.
pub(super) fn create(objects: &Objects, name: &str, bytes: &Bytes) -> Result<Put, Fault> {
    let mut attempts = Attempts::of(objects, "write", name);
    loop {
        let fault = match objects.create_once(name, bytes) {
            Attempt::Created => return Ok(Put::Ours),
            Attempt::Exists if seeded(Bug::ExistsIsOurs) => return Ok(Put::Ours),
            Attempt::Exists => None,
            Attempt::Unknown(fault) => Some(fault),
        };
        match objects.read(name)? {
            Some(found) if found == *bytes => return Ok(Put::Ours),
            Some(found) => return Ok(Put::Foreign(found)),
            None => {}
        }
        let fault = fault.unwrap_or_else(|| {
            Fault::transient(
                format!("cannot write journal object {name}"),
                "the store says both that it exists and that it does not",
                "check the directory or bucket that holds the state",
            )
        });
        if !attempts.again(&fault) {
            return Err(fault);
        }
    }
}

/// What it means that our fence has won and yet somebody else's record stands where ours should.
pub(super) fn foreign(ours: Generation, sequence: Sequence, bytes: &Bytes) -> Fault {
    match Record::open(sequence, bytes) {
        Ok(theirs) if theirs.link.generation > ours => Fault::fenced(
            format!("cannot commit record {sequence} as generation {ours}"),
            format!("generation {} has taken over", theirs.link.generation),
        ),
        Ok(theirs) => Fault::failed(
            format!("cannot commit record {sequence} as generation {ours}"),
            format!("another record of generation {} stands there", theirs.link.generation),
            "report this as a bug; nothing was overwritten",
        ),
        Err(fault) => fault,
    }
}

/// Run `work` for each index on `threads` threads and give the results in order; the first fault by index wins.
pub(super) fn in_parallel<T: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T, Fault> + Sync,
) -> Result<Vec<T>, Fault> {
    let threads = threads.min(count);
    if threads <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let result = work(index);
                    if result.is_err() {
                        next.store(count, Ordering::Relaxed);
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

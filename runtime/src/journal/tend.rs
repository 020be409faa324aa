//! Compaction beside the data path: the commit thread starts it when due, takes its result without ever waiting, writes
//! the base record, and hands deletion to a thread again.

use super::bound::{Bound, Full, Records};
use super::collect::{self, Listing};
use super::compact::{self, Finished, Order, is_due};
use super::format::Kind;
use super::record::{Ack, Mark};
use super::recover::Loaded;
use super::settings::Hold;
use super::start::nonce;
use super::store::Objects;
use super::writer::{Status, Writer};
use super::{chain, slots};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;
use stream::{Bug, Fault, Generation, RecordHash, Sequence, seeded};

/// After a store failure, compaction is not tried again for this long.
const REST: Duration = Duration::from_secs(10);

/// What is known of the need to compact, and what is under way.
pub(super) struct Compaction {
    records: usize,
    bytes: u64,
    base_bytes: u64,
    stored_bytes: u64,
    /// When the bases so far were made, as far as that matters.
    marks: Vec<Mark>,
    bound: Bound,
    work: Work,
    not_before: Duration,
}

enum Work {
    None,
    /// Folding; and how many records and bytes it takes in.
    Fold(Box<Task<Finished>>, usize, u64),
    Delete(Task<u64>),
}

/// Work on a thread of its own.
struct Task<T> {
    result: Receiver<Result<T, Fault>>,
    taken: Option<Result<T, Fault>>,
}

impl<T: Send + 'static> Task<T> {
    fn start(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<Self, Fault> {
        let (give, result) = sync_channel(1);
        // Nobody takes the result only when the process is ending.
        let work = move || drop(give.send(work()));
        #[cfg(test)]
        let Some(work) = crate::simulation::background(work) else { return Ok(Task { result, taken: None }) };
        std::thread::Builder::new()
            .name("journal-compaction".to_owned())
            .spawn(work)
            .map_err(|error| Fault::failed("cannot start a compaction thread", error, "look at process limits"))?;
        Ok(Task { result, taken: None })
    }

    fn is_finished(&mut self) -> bool {
        if self.taken.is_none() {
            self.taken = match self.result.try_recv() {
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => Some(Err(panicked())),
                Ok(result) => Some(result),
            };
        }
        true
    }

    fn join(mut self) -> Result<T, Fault> {
        self.taken.take().unwrap_or_else(|| self.result.recv().unwrap_or_else(|_| Err(panicked())))
    }
}

fn panicked() -> Fault {
    Fault::failed("compaction panicked", "see the message above", "report this as a bug")
}

impl Compaction {
    pub(super) fn new(objects: &Objects, max_bytes: u64, loaded: &Loaded) -> Result<Self, Fault> {
        let stored = objects.list(chain::COMMITS)?.into_iter().chain(objects.list(compact::BASES)?);
        Ok(Compaction {
            records: loaded.records,
            bytes: loaded.bytes,
            base_bytes: loaded.base.as_ref().map_or(0, |base| base.parts.iter().map(|part| part.length).sum()),
            stored_bytes: stored.map(|object| object.size).sum(),
            marks: loaded.base.as_ref().map_or_else(Vec::new, |base| base.marks.clone()),
            bound: Bound::new(max_bytes),
            work: Work::None,
            not_before: Duration::ZERO,
        })
    }

    pub(super) fn appended(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
        self.stored_bytes += bytes;
    }

    pub(super) fn status(&self, generation: Generation, sequence: Sequence, hash: RecordHash) -> Status {
        Status {
            generation,
            sequence,
            hash,
            records_since_base: self.records,
            bytes_since_base: self.bytes,
            base_bytes: self.base_bytes,
            stored_bytes: self.stored_bytes,
            compacting: !matches!(self.work, Work::None),
        }
    }
}

impl Writer {
    /// Tend to compaction: start it when due, write its base record when it is done, delete afterwards. Never waits
    /// for the work itself; to be called often by the thread that commits.
    ///
    /// # Errors
    /// As [`Writer::append`]; also a journal that cannot be read any more.
    pub fn tend(&mut self) -> Result<(), Fault> {
        let finished = match &mut self.compaction.work {
            Work::None => return self.begin(),
            Work::Fold(task, ..) => task.is_finished(),
            Work::Delete(task) => task.is_finished(),
        };
        if finished { self.take() } else { Ok(()) }
    }

    /// Wait until nothing is under way.
    ///
    /// # Errors
    /// As [`Writer::tend`].
    pub fn settle(&mut self) -> Result<(), Fault> {
        while !matches!(self.compaction.work, Work::None) {
            self.take()?;
        }
        Ok(())
    }

    /// Compact now, due or not, and wait for it. For tools and tests; the job itself tends.
    ///
    /// # Errors
    /// As [`Writer::tend`].
    pub fn compact(&mut self) -> Result<(), Fault> {
        self.settle()?;
        assert!(self.gate.close(), "bug: compacted by hand beside readers");
        self.fold()?;
        self.settle()
    }

    /// What followers have acknowledged by now: what compaction may drop and delete. It need not wait for the next record.
    pub fn hear(&mut self, acks: BTreeMap<String, Ack>) {
        self.acks = acks;
    }

    /// Why nothing more should be written, if that is so. It passes by itself, if [`Writer::tend`] goes on.
    pub fn full(&self) -> Option<Full> {
        let state = &self.compaction;
        state.bound.is_full(state.stored_bytes).then(|| Full {
            stored: state.stored_bytes,
            max: state.bound.max(),
            held_by: self.held_by(),
        })
    }

    /// The follower that holds most records back, if any follower does.
    fn held_by(&self) -> Option<String> {
        let behind = self.settings.followers.iter().filter(|(_, hold)| *hold != Hold::WithinRetain).map(|(name, _)| {
            let reached = self.acks.get(name).or(self.summary.acks.get(name)).map_or(Sequence(0), |ack| ack.sequence);
            (reached, name)
        });
        behind.filter(|(reached, _)| *reached < self.summary.last_epoch.0).min().map(|(_, name)| name.clone())
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let state = &mut self.compaction;
        let mut acks = self.summary.acks.clone();
        let last = self.summary.last_epoch.0;
        let records = || {
            acks.extend(self.acks.clone());
            let reachable = compact::passed(&self.settings, &acks).min(last);
            let aged = compact::aged(&self.settings, &state.marks, self.clock.now());
            let marked = state.marks.iter().map(|mark| mark.covered).max().unwrap_or_default();
            Records { last, deletable: aged.min(reachable), reachable, marked }
        };
        let wanted = state.bound.wants(state.stored_bytes, records);
        let due = is_due(state.records, state.bytes, state.base_bytes, &self.settings);
        let now = self.clock.monotonic();
        if !(due || wanted) || now < state.not_before {
            return Ok(());
        }
        if !self.gate.close() {
            // Whoever reads counts again needs the base that is there.
            state.bound.tried();
            return Ok(());
        }
        if wanted {
            state.not_before = now + REST;
        }
        self.fold()
    }

    fn fold(&mut self) -> Result<(), Fault> {
        let order = Order {
            base: self.base,
            through: self.tail,
            generation: self.generation,
            nonce: nonce(),
            now: self.clock.now(),
            acks: self.acks.clone(),
        };
        let (objects, settings, origin) = (self.objects.clone(), self.settings.clone(), self.origin.clone());
        let task = Task::start(move || compact::fold(&objects, &settings, &origin, &order))?;
        self.compaction.work = Work::Fold(Box::new(task), self.compaction.records, self.compaction.bytes);
        Ok(())
    }

    /// Take the result of what is under way, waiting for it if need be.
    fn take(&mut self) -> Result<(), Fault> {
        let taken = self.take_result();
        if matches!(self.compaction.work, Work::None) {
            self.gate.open(self.base);
        }
        taken
    }

    fn take_result(&mut self) -> Result<(), Fault> {
        let outcome = match std::mem::replace(&mut self.compaction.work, Work::None) {
            Work::None => Ok(()),
            Work::Fold(task, records, bytes) => match task.join() {
                Ok(finished) => return self.append_base(finished, records, bytes),
                Err(fault) => Err(slots::overtaken_or(&self.objects, self.generation, fault)),
            },
            Work::Delete(task) => task.join().map(|freed| {
                self.compaction.stored_bytes = self.compaction.stored_bytes.saturating_sub(freed);
                self.compaction.bound.tried();
            }),
        };
        match outcome {
            Err(fault) if fault.is_transient() => {
                tracing::warn!(%fault, "compaction failed; it will be tried again");
                self.compaction.not_before = self.clock.monotonic() + REST;
                self.compaction.bound.tried();
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The base record; when it stands and the slot was checked, what it lists may go.
    fn append_base(&mut self, finished: Finished, records: usize, bytes: u64) -> Result<(), Fault> {
        let Finished { body, listing, deletes } = finished;
        if seeded(Bug::DeletedBeforeBase) {
            delete(&self.objects, &listing)?;
        }
        let json = serde_json::to_vec(&body)
            .map_err(|error| Fault::failed("cannot write a base record", error, "report this as a bug"))?;
        let (sequence, _) = self.put(Kind::Base, &[json])?;
        self.base = sequence;
        self.summary.hear(&body.summary.acks);
        let base_bytes: u64 = body.parts.iter().map(|part| part.length).sum();
        tracing::info!(
            sequence = sequence.0,
            covered = body.covered.0,
            parts = body.parts.len(),
            base_bytes,
            "compacted"
        );
        let state = &mut self.compaction;
        state.records -= records;
        state.bytes -= bytes;
        state.base_bytes = base_bytes;
        state.stored_bytes += base_bytes;
        state.marks = body.marks;
        state.bound.compacted(deletes);
        let objects = self.objects.clone();
        self.compaction.work = Work::Delete(Task::start(move || delete(&objects, &listing))?);
        Ok(())
    }
}

fn delete(objects: &Arc<Objects>, listing: &Listing) -> Result<u64, Fault> {
    collect::delete(objects, listing).map(|()| listing.bytes)
}

//! The one thread that writes the journal: decides each epoch, makes its record durable, and only then says so. Runs
//! compaction beside the data path.

use crate::acks::Acks;
use crate::ceiling::Ceiling;
use crate::commit::Uncommitted;
use crate::committer::{Committer, Decided};
use crate::drift::{Alignment, Drift, Outgrown};
use crate::journal::Writer;
use crate::observe::Observer;
use crate::ticker::Ticker;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::{Bug, Clock, Commit, FailPoint, Fault, RecordHash, Sequence, seeded};
use timely::scheduling::SyncActivator;

pub(crate) struct CommitThread {
    pub(crate) writer: Writer,
    pub(crate) committer: Committer,
    /// The last epoch record and its hash.
    pub(crate) last: (Sequence, RecordHash),
    pub(crate) acks: Arc<Acks>,
    pub(crate) uncommitted: Receiver<Uncommitted>,
    pub(crate) committed: Sender<Arc<Commit>>,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
    pub(crate) observer: Observer,
    pub(crate) drift: Drift,
    pub(crate) alignment: Arc<Alignment>,
    pub(crate) ceiling: Ceiling,
    pub(crate) clock: Arc<dyn Clock>,
    /// Keys of all workers, as of the last epoch.
    pub(crate) keys: u64,
    /// Of a run to the end: how it is ended, and where it is said why, when memory will not let it get there.
    pub(crate) end: Option<(Arc<Ticker>, Arc<OnceLock<Fault>>)>,
}

impl CommitThread {
    /// Run until worker 0 lets go of the line.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        // A start may bring more with it than it may read on with.
        self.look_for_room();
        loop {
            match self.uncommitted.recv_timeout(Duration::from_millis(200)) {
                Ok(uncommitted) => self.commit(uncommitted)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.tend()?;
        }
    }

    /// Compaction, and whether there is room for more.
    pub(crate) fn tend(&mut self) -> Result<(), Fault> {
        self.writer.hear(self.acks.all());
        self.writer.tend()?;
        self.look_for_room();
        Ok(())
    }

    /// A full journal, and full memory, stop reading; once there is room again they let it go on.
    fn look_for_room(&mut self) {
        let full = self.writer.full();
        if full.is_some() != self.alignment.has_outgrown(Outgrown::Journal) {
            self.alignment.set_outgrown(Outgrown::Journal, full.is_some());
            self.observer.full(full.as_ref());
        }
        let now = self.clock.monotonic();
        let turned = self.ceiling.look(now);
        if turned {
            self.alignment.set_outgrown(Outgrown::Memory, self.ceiling.is_over());
        }
        self.observer.memory(&self.ceiling, self.keys, turned);
        if self.ceiling.is_stuck(now)
            && let Some((ticker, why)) = self.end.take()
        {
            // What was read is committed and shown, and then this ends the run. Nobody else sets it.
            let _ = why.set(self.observer.out_of_memory(&self.ceiling, self.keys));
            ticker.stop();
        }
    }

    /// Decide an epoch, make it durable, say so.
    pub(crate) fn commit(&mut self, uncommitted: Uncommitted) -> Result<(), Fault> {
        let Uncommitted { epoch, parts, reports } = uncommitted;
        let last = reports.iter().any(|report| report.last);
        self.keys += parts.iter().map(|part| part.new_keys.len() as u64).sum::<u64>();
        let Decided { content, changed } = self.committer.decide(reports, parts, self.acks.all(), last);
        if changed && !seeded(Bug::ShowBeforeCommit) {
            self.last = self.writer.append(&content)?;
        }
        let unwritten = (changed && seeded(Bug::ShowBeforeCommit)).then(|| content.clone());
        let commit = Arc::new(Commit {
            epoch,
            generation: self.writer.status().generation,
            sequence: self.last.0,
            hash: self.last.1,
            changed,
            last,
            watermark: content.watermark,
            partitions: Arc::new(content.partitions),
            ledger: Arc::new(content.ledger),
            late: content.late,
            dead_letters: content.dead_letters,
            granted: content.granted,
            evictable: self.acks.evictable(content.watermark),
        });
        self.observer.committed(&commit, &self.writer);
        if let Some(held) = self.drift.after(&commit.partitions) {
            self.alignment.set(held);
            self.observer.held(held);
        }
        FailPoint::CommitBeforeTell.pass();
        // Worker 0 outlives this thread, or the process is ending.
        let _ = self.committed.send(commit);
        if let Some(wake) = self.wake.get() {
            let _ = wake.activate();
        }
        if let Some(content) = unwritten {
            self.last = self.writer.append(&content)?;
        }
        Ok(())
    }
}

//! The one thread that writes the journal: decides each epoch, makes its record durable, and only then says so. Runs
//! compaction beside the data path.

use crate::acks::Acks;
use crate::commit::Uncommitted;
use crate::committer::{Committer, Decided};
use crate::drift::{Alignment, Drift};
use crate::journal::Writer;
use crate::observe::Observer;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::{Bug, Commit, Fault, RecordHash, Sequence, seeded};
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
}

impl CommitThread {
    /// Run until worker 0 lets go of the line.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
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

    /// A full journal stops reading; one that has room again lets it go on.
    fn look_for_room(&mut self) {
        let full = self.writer.full();
        if full.is_some() != self.alignment.is_full() {
            self.alignment.set_full(full.is_some());
            self.observer.full(full.as_ref());
        }
    }

    /// Decide an epoch, make it durable, say so.
    pub(crate) fn commit(&mut self, uncommitted: Uncommitted) -> Result<(), Fault> {
        let Uncommitted { epoch, parts, reports } = uncommitted;
        let last = reports.iter().any(|report| report.last);
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

//! A reader's thread: read, hand to the intake, close epochs when the ticker says so. It blocks when the dataflow is
//! gated, which stops reading, which stops the transport's fetching.

use crate::drift::Alignment;
use crate::pauses::Pauses;
use crate::silence::{Silence, Verdict};
use crate::ticker::{Close, Ticker};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::{Clock, DeltaBatch, Epoch, Fault, Grant, PartitionEnd, PartitionPosition, ReadState, Reader, Report};
use timely::scheduling::SyncActivator;

/// What a reader's thread tells its worker's source operator.
pub(crate) struct Closed {
    pub(crate) epoch: Epoch,
    pub(crate) close: Close,
    pub(crate) batches: Vec<DeltaBatch>,
    pub(crate) report: Report,
}

/// What the runtime tells a reader's thread.
pub(crate) enum Tell {
    /// Partitions may go on.
    Granted(Vec<Grant>),
    /// Next offsets that are committed, for outside monitoring; whether nothing follows.
    Committed(Vec<(Arc<str>, i64)>, bool),
    /// Partitions to read too.
    Added(Vec<PartitionPosition>),
}

/// Everything a reader's thread needs.
pub(crate) struct ReaderThread {
    pub(crate) index: usize,
    pub(crate) reader: Reader,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) closed: SyncSender<Closed>,
    pub(crate) told: Receiver<Tell>,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
    /// Where each partition ends, in a bounded run.
    pub(crate) until: Option<Vec<i64>>,
    pub(crate) lag: Arc<crate::lag::Lag>,
    /// How long silence lasts before a partition may be idle; none in a bounded run, which takes no idle decisions.
    pub(crate) idle_timeout: Option<Duration>,
    /// Who is too far ahead of others.
    pub(crate) alignment: Arc<Alignment>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// How many records are read between looks at the ticker.
const BATCH: usize = 4096;
/// How long the last commit is waited for, to publish its offsets.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a read may wait for its first record, and so delay a close.
const WAIT: Duration = Duration::from_millis(5);

impl ReaderThread {
    /// Run until the last epoch is closed.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        let mut epoch: Epoch = 0;
        let mut pauses = Pauses::default();
        let mut silence = self.idle_timeout.map(|timeout| Silence::new(timeout, &self.reader.intake.positions()));
        loop {
            while let Ok(told) = self.told.try_recv() {
                self.hear(told)?;
            }
            pauses.apply(&mut self.reader, &self.alignment)?;
            if let Some(close) = self.ticker.close_of(epoch) {
                if self.close(epoch, close) {
                    return self.publish_last();
                }
                epoch += 1;
                continue;
            }
            let finished = self.is_finished();
            if finished || self.ticker.is_stopping() {
                self.ticker.finished(self.index, finished);
                self.ticker.wait_for_close(epoch, WAIT);
                continue;
            }
            self.ticker.finished(self.index, false);
            let room = usize::try_from(self.ticker.room()).unwrap_or(BATCH).min(BATCH);
            if room == 0 || self.reader.intake.is_full() {
                // Whatever keeps the epoch open (another reader that waits for its transport), it grows no further.
                self.ticker.wait_for_close(epoch, Duration::from_millis(50));
                continue;
            }
            let before = self.reader.intake.records();
            let started = self.clock.monotonic();
            let state = self.reader.read(WAIT, room)?;
            if let Some(silence) = &mut silence {
                let spent = self.clock.monotonic().saturating_sub(started);
                for index in silence.after_read(spent, &self.reader.intake.positions(), pauses.paused()) {
                    self.reader.source.ask_end(index)?;
                }
                for (index, end) in self.reader.source.told_ends() {
                    match silence.told(index, end) {
                        Verdict::Nothing => {}
                        Verdict::Idle => self.reader.intake.propose_idle(index),
                        Verdict::StandsStill => return Err(stands_still(&self.reader.partitions[index].name, end)),
                    }
                }
            }
            let is_full = self.reader.intake.is_full();
            self.ticker.took(if is_full { u64::MAX } else { self.reader.intake.records() - before });
            self.tell_lag();
            if state == ReadState::Waiting && self.reader.partitions.is_empty() {
                self.ticker.wait_for_close(epoch, Duration::from_millis(50));
            }
        }
    }

    /// Close an epoch; whether it was the last.
    fn close(&mut self, epoch: Epoch, close: Close) -> bool {
        let (batches, report) = self.reader.intake.close(epoch);
        // Blocks while the source operator is gated: nothing is read meanwhile.
        let sent = self.closed.send(Closed { epoch, close, batches, report });
        assert!(sent.is_ok(), "bug: the source operator ended before its reader");
        if let Some(wake) = self.wake.get() {
            // The worker is gone only when the process ends.
            let _ = wake.activate();
        }
        self.ticker.closed();
        close.last
    }

    /// Whether nothing follows.
    fn hear(&mut self, told: Tell) -> Result<bool, Fault> {
        match told {
            Tell::Granted(grants) => grants.iter().for_each(|grant| self.reader.intake.grant(grant)),
            Tell::Added(added) => {
                self.reader.source.add(&added)?;
                added.iter().for_each(|partition| self.reader.intake.add(partition));
                self.reader.partitions.extend(added);
            }
            Tell::Committed(offsets, last) => {
                let own = |(name, offset): &(Arc<str>, i64)| {
                    let index = self.reader.partitions.iter().position(|partition| partition.name == *name)?;
                    Some((index, *offset))
                };
                let offsets: Vec<(usize, i64)> = offsets.iter().filter_map(own).collect();
                if let Err(fault) = self.reader.source.publish_progress(&offsets) {
                    tracing::debug!(%fault, "progress was not published for monitoring; nothing depends on it");
                }
                return Ok(last);
            }
        }
        Ok(false)
    }

    /// Outside monitoring sees the end of the run too.
    fn publish_last(&mut self) -> Result<(), Fault> {
        while let Ok(told) = self.told.recv_timeout(LAST_WORDS) {
            if self.hear(told)? {
                break;
            }
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        let Some(until) = &self.until else { return false };
        let positions = self.reader.intake.positions();
        self.reader.intake.held().is_empty() && positions.iter().zip(until).all(|(position, end)| position >= end)
    }

    fn tell_lag(&self) {
        for (index, position) in self.reader.intake.positions().into_iter().enumerate() {
            let end = match &self.until {
                Some(until) => Some(until[index]),
                None => self.reader.source.end(index),
            };
            self.lag.set(&self.reader.partitions[index].name, position, end);
        }
    }
}

/// Only a start looks whether the log is still the one that was read, so that is what goes on.
fn stands_still(partition: &str, end: Option<PartitionEnd>) -> Fault {
    let readable = end.map_or(0, |end| end.readable);
    Fault::failed(
        format!("nothing comes of partition {partition}"),
        format!(
            "it can be read up to {readable}, and for half a minute its transport has not gone on: it has lost sight of it"
        ),
        "nothing, if the job is started again by itself: it goes on where it stood. If this comes back, look at the brokers",
    )
}

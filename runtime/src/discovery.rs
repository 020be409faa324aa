//! Partitions that are added while the job runs: found by asking the source now and then, dealt to readers, and from
//! there into the journal with the reader's next report. They hold their records until the committer grants a floor.

use crate::reader_thread::Tell;
use crate::start;
use crate::ticker::Ticker;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use stream::{Bug, Fault, PartitionPosition, Source, seeded};

/// What the thread needs.
pub(crate) struct Discovery {
    pub(crate) source: Arc<dyn Source>,
    /// How often it asks.
    pub(crate) every: Duration,
    /// Every partition that a reader has.
    pub(crate) known: BTreeSet<Arc<str>>,
    /// How many partitions each reader has, and where to tell it.
    pub(crate) readers: Vec<(usize, Sender<Tell>)>,
    pub(crate) ticker: Arc<Ticker>,
}

impl Discovery {
    /// Run until readers stop.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        let mut failing = false;
        while !self.ticker.wait_for_stop(self.every) {
            match self.look() {
                Ok(()) => failing = false,
                Err(fault) if fault.is_transient() => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%fault, "cannot look for partitions that were added; trying on");
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Fault> {
        let mut dealt: Vec<Vec<PartitionPosition>> = self.readers.iter().map(|_| Vec::new()).collect();
        let found = self.source.added(&self.known)?;
        for info in &found {
            let state = start::check_new(info)?;
            let least = self.readers.iter_mut().enumerate().min_by_key(|(_, (partitions, _))| *partitions);
            let (reader, (partitions, _)) = least.expect("a job has a reader");
            *partitions += 1;
            let offset = if seeded(Bug::AddedAtLatest) { info.end } else { state.next_offset };
            let name = info.name.clone();
            tracing::info!(partition = %name, reader, end = info.end, "a partition was added: it is read from its beginning");
            dealt[reader].push(PartitionPosition { name: name.clone(), offset, fingerprint: state.fingerprint });
            self.known.insert(name);
        }
        for (added, (_, tell)) in dealt.into_iter().zip(&self.readers) {
            if !added.is_empty() {
                // A reader that is gone has closed its last epoch: the next start finds them.
                let _ = tell.send(Tell::Added(added));
            }
        }
        Ok(())
    }
}

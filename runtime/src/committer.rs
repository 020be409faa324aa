//! What an epoch means, from every reader's report: positions, accounts, the job watermark, who is idle and who may
//! rejoin. Pure decisions; the commit thread writes them down.

use crate::journal::{Ack, EpochContent, Recovered};
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{EventTime, Grant, LedgerLine, Part, PartitionReport, PartitionState, Report, job_watermark};

/// Folds reports into epochs. One per job; starts where the journal ends.
pub struct Committer {
    partitions: BTreeMap<Arc<str>, PartitionState>,
    ledger: BTreeMap<Arc<str>, LedgerLine>,
    watermark: Option<EventTime>,
    /// Where each partition ends, in a bounded run; such a run takes no idle decisions.
    until: Option<BTreeMap<Arc<str>, i64>>,
}

/// An epoch, decided.
#[derive(Clone, PartialEq, Debug)]
pub struct Decided {
    /// What the journal gets, if anything changed.
    pub content: EpochContent,
    /// Whether it gets a record.
    pub changed: bool,
}

impl Committer {
    /// Go on from the journal. `until`: where each partition ends, in a bounded run.
    pub fn new(recovered: &Recovered, until: Option<BTreeMap<Arc<str>, i64>>) -> Self {
        Committer {
            partitions: recovered.partitions.clone(),
            ledger: recovered.ledger.clone(),
            watermark: recovered.watermark,
            until,
        }
    }

    /// Partitions as of the last decided epoch.
    pub fn partitions(&self) -> &BTreeMap<Arc<str>, PartitionState> {
        &self.partitions
    }

    /// Accounts as of the last decided epoch.
    pub fn ledger(&self) -> &BTreeMap<Arc<str>, LedgerLine> {
        &self.ledger
    }

    /// The job watermark as of the last decided epoch.
    pub fn watermark(&self) -> Option<EventTime> {
        self.watermark
    }

    /// Decide an epoch from all readers' reports and all workers' parts. `last`: the run ends with it.
    pub fn decide(
        &mut self,
        reports: Vec<Report>,
        parts: Vec<Part>,
        acks: BTreeMap<String, Ack>,
        last: bool,
    ) -> Decided {
        let mut content = EpochContent { parts, acks, ..EpochContent::default() };
        let mut dead_letters = Vec::new();
        let (mut waiting, mut refused, mut moved) = (Vec::new(), Vec::new(), false);
        for report in reports {
            dead_letters.extend(report.dead_letters);
            content.late.extend(report.late);
            for partition in report.partitions {
                moved |= self.fold(&partition);
                let state = self.partitions.get_mut(&partition.name).expect("a report names known partitions");
                if partition.idle && self.until.is_none() && state.active {
                    state.active = false;
                    moved = true;
                } else if partition.idle {
                    refused.push(partition.name.clone());
                }
                if partition.waiting && !state.active {
                    waiting.push(partition.name);
                }
            }
        }
        content.late = merged(content.late);
        dead_letters.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
        content.dead_letters = Arc::new(dead_letters);

        moved |= last && self.leave_out();
        let active = self.partitions.values().filter(|state| state.active);
        let watermark = job_watermark(self.watermark, active.map(|state| state.watermark));
        moved |= watermark != self.watermark;
        self.watermark = watermark;
        content.granted = refused.into_iter().map(|partition| Grant { partition, floor: None }).collect();
        for name in waiting {
            let state = self.partitions.get_mut(&name).expect("a report names known partitions");
            let floor = state.watermark.max(watermark);
            state.active = true;
            state.watermark = floor;
            state.floors.extend(floor.map(|floor| (state.next_offset, floor)));
            content.granted.push(Grant { partition: name, floor });
        }
        let changed = moved
            || !content.granted.is_empty()
            || !content.late.is_empty()
            || !content.dead_letters.is_empty()
            || content.parts.iter().any(|part| !part.rows.is_empty() || !part.new_keys.is_empty());
        content.watermark = self.watermark;
        content.partitions = self.partitions.clone();
        content.ledger = self.ledger.clone();
        Decided { content, changed }
    }

    /// At the end of a bounded run, partitions that were read to their end and hold no accepted record are left out of
    /// the minimum. They become idle: the watermark passes them, so that what they bring later must wait for a floor. A
    /// run that is stopped before its end leaves nobody out. Whether anybody was.
    fn leave_out(&mut self) -> bool {
        let Some(until) = &self.until else { return false };
        // One that is gone has no end.
        let is_read =
            |(name, state): (&Arc<str>, &PartitionState)| until.get(name).is_none_or(|end| state.next_offset >= *end);
        if !self.partitions.iter().all(is_read) {
            return false;
        }
        let mut left = false;
        for state in self.partitions.values_mut() {
            if state.active && state.watermark.is_none() {
                state.active = false;
                left = true;
            }
        }
        left
    }

    /// Take over a partition's position, account and watermark. Whether anything moved. The first report of a partition
    /// that was added makes it known.
    fn fold(&mut self, report: &PartitionReport) -> bool {
        let known = self.partitions.contains_key(&report.name);
        let state = self.partitions.entry(report.name.clone()).or_insert_with(|| PartitionState::held_from(0, 0));
        let before = state.clone();
        assert!(report.next_offset >= state.next_offset, "bug: {} went back", report.name);
        state.next_offset = report.next_offset;
        state.fingerprint = report.fingerprint;
        // A reader that has not seen its grant yet still tells the old W(p); the floor stands.
        state.watermark = state.watermark.max(report.watermark);
        let line = self.ledger.entry(report.name.clone()).or_default();
        line.consumed += report.consumed;
        line.counted += report.counted;
        line.dead_lettered += report.dead_lettered;
        assert_eq!(
            line.consumed,
            line.counted + line.dead_lettered,
            "bug: the ledger of {} does not balance",
            report.name
        );
        !known || *state != before
    }
}

fn merged(late: Vec<(stream::WindowId, u64)>) -> Vec<(stream::WindowId, u64)> {
    let mut sums = BTreeMap::new();
    for (window, count) in late {
        *sums.entry(window).or_insert(0) += count;
    }
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests;

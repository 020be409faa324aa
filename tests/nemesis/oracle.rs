//! What the load has put into the log, record by record, as the broker acknowledged it: what a state of the job can be held
//! against while it runs, at whatever offsets it stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What becomes of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It counts for the video of this number.
    Counted(u32),
    Dead,
}

/// The name of a video.
pub(crate) fn video(number: u32) -> String {
    format!("v{number}")
}

/// Filled by producers, read by the watcher.
#[derive(Debug, Default)]
pub(crate) struct Oracle(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By partition, in order of offsets.
    partitions: BTreeMap<i32, Vec<(i64, Fate)>>,
    /// What is being sent: records of it may be in the log already and not here.
    open: BTreeSet<u64>,
    next: u64,
    /// When the log first had a view of this event time or later, ascending in both.
    reached: Vec<(i64, Duration)>,
}

/// Something that is being sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(u64);

impl Oracle {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nobody panics with the oracle")
    }

    /// From now on the log may hold what is not here.
    pub(crate) fn begin(&self) -> Ticket {
        let mut known = self.known();
        let ticket = known.next;
        known.next += 1;
        known.open.insert(ticket);
        Ticket(ticket)
    }

    /// What was begun with this ticket is here: these records, and the greatest event time among those that counted.
    pub(crate) fn end(&self, ticket: Ticket, records: &[(i32, i64, Fate)], newest: Option<i64>, now: Duration) {
        let mut known = self.known();
        for (partition, offset, fate) in records {
            let lane = known.partitions.entry(*partition).or_default();
            match lane.last() {
                Some((last, _)) if last > offset => {
                    let at = lane.partition_point(|(other, _)| other < offset);
                    lane.insert(at, (*offset, *fate));
                }
                _ => lane.push((*offset, *fate)),
            }
        }
        if let Some(newest) = newest.filter(|newest| known.reached.last().is_none_or(|(last, _)| last < newest)) {
            known.reached.push((newest, now));
        }
        known.open.remove(&ticket.0);
    }

    /// What is sent after this moment has tickets from here on.
    pub(crate) fn moment(&self) -> Ticket {
        Ticket(self.known().next)
    }

    /// Whether all that was sent before the moment is here.
    pub(crate) fn knows(&self, moment: Ticket) -> bool {
        self.known().open.first().is_none_or(|first| *first >= moment.0)
    }

    /// By partition, the offset after the last record.
    pub(crate) fn ends(&self) -> BTreeMap<i32, i64> {
        let known = self.known();
        known.partitions.iter().filter_map(|(partition, lane)| Some((*partition, lane.last()?.0 + 1))).collect()
    }

    /// Records in the log.
    pub(crate) fn records(&self) -> u64 {
        self.known().partitions.values().map(|lane| lane.len() as u64).sum()
    }

    /// When the log first had a view after this event time: how long something as of it has been behind.
    pub(crate) fn behind_since(&self, as_of: i64) -> Option<Duration> {
        let known = self.known();
        let at = known.reached.partition_point(|(time, _)| *time <= as_of);
        known.reached.get(at).map(|(_, when)| *when)
    }
}

/// All that is before some offsets, counted; the offsets only grow.
#[derive(Debug, Default)]
pub(crate) struct Prefix {
    /// By partition: where in its lane, counted, dead.
    pub(crate) partitions: BTreeMap<i32, Lane>,
    pub(crate) views: HashMap<u32, u64>,
}

/// One partition's part of a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lane {
    at: usize,
    pub(crate) counted: u64,
    pub(crate) dead: u64,
}

impl Prefix {
    /// Go on to these offsets.
    pub(crate) fn advance(&mut self, oracle: &Oracle, offsets: &BTreeMap<i32, i64>) {
        let known = oracle.known();
        for (partition, end) in offsets {
            let lane = self.partitions.entry(*partition).or_default();
            let records = known.partitions.get(partition).map_or(&[][..], Vec::as_slice);
            while let Some((_, fate)) = records.get(lane.at).filter(|(offset, _)| offset < end) {
                lane.at += 1;
                match fate {
                    Fate::Counted(video) => {
                        lane.counted += 1;
                        *self.views.entry(*video).or_default() += 1;
                    }
                    Fate::Dead => lane.dead += 1,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_counts_what_is_before_its_offsets_and_a_ticket_says_what_is_not_known_yet() {
        let oracle = Oracle::default();
        let (first, second) = (oracle.begin(), oracle.begin());
        let moment = oracle.moment();
        oracle.end(
            first,
            &[(0, 0, Fate::Counted(7)), (0, 3, Fate::Dead), (1, 0, Fate::Counted(7))],
            Some(50),
            Duration::ZERO,
        );
        assert!(!oracle.knows(moment));
        // An open transaction's records come later, between the others.
        oracle.end(second, &[(0, 1, Fate::Counted(8))], Some(40), Duration::from_secs(1));
        assert!(oracle.knows(moment));
        let mut prefix = Prefix::default();
        prefix.advance(&oracle, &BTreeMap::from([(0, 3)]));
        assert_eq!((prefix.partitions[&0].counted, prefix.partitions[&0].dead), (2, 0));
        prefix.advance(&oracle, &BTreeMap::from([(0, 4), (1, 1)]));
        assert_eq!((prefix.partitions[&0].dead, prefix.views[&7], prefix.views[&8]), (1, 2, 1));
        assert_eq!((oracle.ends(), oracle.records()), (BTreeMap::from([(0, 4), (1, 1)]), 4));
        assert_eq!((oracle.behind_since(49), oracle.behind_since(50)), (Some(Duration::ZERO), None));
    }
}

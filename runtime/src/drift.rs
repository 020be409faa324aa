//! Reading partitions in step: one that is further ahead of the slowest than `time.max_drift` is read no further until
//! the slowest has come nearer. This bounds how many windows are open at once while catching up, and changes no count:
//! lateness is judged by each partition's own records. Decided after each commit, from what it says; readers look at the
//! outcome between reads, so a partition overshoots by the epochs that are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::{EventTime, PartitionState};

/// A held partition goes on once it is nearer than this part of the allowed drift, so that it is not held and let go
/// with every epoch: whatever was fetched is fetched again then.
const LET_GO_AT: f64 = 0.9;

/// Who is held, and by whom.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    pub(crate) partitions: BTreeSet<Arc<str>>,
    /// The slowest active partition, for which they wait.
    pub(crate) by: Option<Arc<str>>,
}

/// Decides who is held.
pub(crate) struct Drift {
    max: Duration,
    /// Where each partition ends, in a bounded run: nobody waits for one that was read to its end.
    until: Option<BTreeMap<Arc<str>, i64>>,
    held: Held,
}

impl Drift {
    pub(crate) fn new(max: Duration, until: Option<BTreeMap<Arc<str>, i64>>) -> Self {
        Drift { max, until, held: Held::default() }
    }

    /// Who is held, as of these partitions; `None` if that is as before. A partition without an accepted record holds
    /// nobody: how far it is, is not known.
    pub(crate) fn after(&mut self, partitions: &BTreeMap<Arc<str>, PartitionState>) -> Option<&Held> {
        let is_finished = |name: &Arc<str>, state: &PartitionState| {
            self.until.as_ref().is_some_and(|until| until.get(name).is_none_or(|end| state.next_offset >= *end))
        };
        let slowest = partitions
            .iter()
            .filter(|(name, state)| state.active && !is_finished(name, state))
            .filter_map(|(name, state)| Some((state.watermark?, name)))
            .min();
        let held = match slowest {
            None => Held::default(),
            Some((least, by)) => {
                let bound = |name: &Arc<str>| {
                    let was_held = self.held.partitions.contains(name);
                    EventTime::plus(least, if was_held { self.max.mul_f64(LET_GO_AT) } else { self.max })
                };
                let is_ahead = |(name, state): &(&Arc<str>, &PartitionState)| {
                    state.active && state.watermark.is_some_and(|watermark| watermark > bound(name))
                };
                let held: BTreeSet<Arc<str>> =
                    partitions.iter().filter(is_ahead).map(|(name, _)| name.clone()).collect();
                let by = (!held.is_empty()).then(|| by.clone());
                Held { partitions: held, by }
            }
        };
        if held == self.held {
            return None;
        }
        self.held = held;
        Some(&self.held)
    }
}

/// Why nothing at all is read for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outgrown {
    /// `journal.max_bytes`.
    Journal = 1,
    /// `job.max_memory`.
    Memory = 2,
    /// Dead letters wait for their sink.
    Letters = 4,
}

/// Who is held, and whether all are, told by those who find out and looked at by readers.
#[derive(Default)]
pub(crate) struct Alignment {
    version: AtomicU64,
    held: Mutex<Held>,
    outgrown: AtomicU8,
}

impl Alignment {
    pub(crate) fn set(&self, held: &Held) {
        *self.held.lock().expect("nobody panics while holding the alignment") = held.clone();
        self.version.fetch_add(1, Ordering::Release);
    }

    /// This has outgrown its bound: nothing is read; or it has room again.
    pub(crate) fn set_outgrown(&self, what: Outgrown, has: bool) {
        match has {
            true => self.outgrown.fetch_or(what as u8, Ordering::Relaxed),
            false => self.outgrown.fetch_and(!(what as u8), Ordering::Relaxed),
        };
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whether this has outgrown its bound.
    pub(crate) fn has_outgrown(&self, what: Outgrown) -> bool {
        self.outgrown.load(Ordering::Relaxed) & what as u8 != 0
    }

    /// Whether all partitions are held.
    pub(crate) fn holds_all(&self) -> bool {
        self.outgrown.load(Ordering::Relaxed) != 0
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn held(&self) -> Held {
        self.held.lock().expect("nobody panics while holding the alignment").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn at(minutes: Option<i64>, next_offset: i64, active: bool) -> PartitionState {
        let watermark = minutes.map(|minutes| EventTime::from_millis(minutes * MINUTE));
        PartitionState { next_offset, fingerprint: 0, watermark, active, floors: Vec::new() }
    }

    fn partitions(states: &[(&str, PartitionState)]) -> BTreeMap<Arc<str>, PartitionState> {
        states.iter().map(|(name, state)| ((*name).into(), state.clone())).collect()
    }

    fn told(held: Option<&Held>) -> Option<(Vec<String>, Option<String>)> {
        let names = |held: &Held| held.partitions.iter().map(|name| name.to_string()).collect();
        held.map(|held| (names(held), held.by.as_deref().map(str::to_owned)))
    }

    fn names(of: &[&str], by: &str) -> Option<(Vec<String>, Option<String>)> {
        Some((of.iter().map(|name| (*name).to_owned()).collect(), Some(by.to_owned())))
    }

    /// Flink, WatermarkAlignmentITCase and SourceCoordinatorAlignmentTest: whoever is ahead by more than the drift waits
    /// for the slowest, exactly at it nobody does, and all go on once the slowest has come nearer.
    #[test]
    fn who_is_too_far_ahead_waits_for_the_slowest() {
        let mut drift = Drift::new(Duration::from_secs(600), None);
        let mut decide = |a: i64, b: i64, c: i64| {
            let active = [("a", a), ("b", b), ("c", c)].map(|(name, minutes)| (name, at(Some(minutes), 0, true)));
            told(drift.after(&partitions(&active)))
        };
        assert_eq!(decide(0, 10, 5), None);
        assert_eq!(decide(0, 11, 5), names(&["b"], "a"));
        assert_eq!(decide(0, 11, 12), names(&["b", "c"], "a"));
        assert_eq!(decide(1, 11, 12), None, "let go only a little later");
        assert_eq!(decide(2, 11, 12), names(&["c"], "a"));
        assert_eq!(decide(30, 11, 12), names(&["a"], "b"));
        assert_eq!(decide(30, 31, 32), Some((Vec::new(), None)));
    }

    /// Flink, FLINK-28975: an idle source holds nobody; nor does one whose place is not known yet.
    #[test]
    fn idle_and_unknown_partitions_hold_nobody_and_are_not_held() {
        let mut drift = Drift::new(Duration::from_secs(600), None);
        let one = [("a", at(Some(0), 0, false)), ("b", at(Some(60), 0, true)), ("c", at(None, 0, true))];
        assert_eq!(told(drift.after(&partitions(&one))), None);
        let other = [("a", at(Some(0), 0, true)), ("b", at(Some(60), 0, false)), ("c", at(None, 0, true))];
        assert_eq!(told(drift.after(&partitions(&other))), None);
        assert_eq!(told(drift.after(&BTreeMap::new())), None);
    }

    #[test]
    fn in_a_bounded_run_nobody_waits_for_what_was_read_to_its_end() {
        let until = BTreeMap::from([("a".into(), 10), ("b".into(), 10)]);
        let mut drift = Drift::new(Duration::from_secs(600), Some(until));
        let mut decide = |next: i64| {
            let states = [("a", at(Some(0), next, true)), ("b", at(Some(60), 5, true))];
            told(drift.after(&partitions(&states)))
        };
        assert_eq!(decide(9), names(&["b"], "a"));
        assert_eq!(decide(10), Some((Vec::new(), None)));
    }
}

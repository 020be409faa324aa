//! `journal.max_bytes`: a journal that has outgrown it is compacted first, due or not; it is full only when that has not
//! helped. Decisions alone; `tend` acts on them.

use stream::Sequence;

/// What is known about room in the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    max: u64,
    /// Since it outgrew the bound, compaction has done what it can.
    tried: bool,
    /// Up to here compaction has deleted, or is about to.
    deleted: Sequence,
}

/// Which records are still wanted.
pub(super) struct Records {
    /// The last epoch record.
    pub(super) last: Sequence,
    /// Up to here they may go now.
    pub(super) deletable: Sequence,
    /// Up to here they may go once they are older than `journal.retain`: followers are past them.
    pub(super) reachable: Sequence,
    /// Up to here it is known, or will be, how old they are: a base covers them.
    pub(super) marked: Sequence,
}

/// A journal that has outgrown `journal.max_bytes` for good, as far as can be seen now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Full {
    /// Bytes of all objects.
    pub stored: u64,
    /// `journal.max_bytes`.
    pub max: u64,
    /// The follower that is furthest behind what it must have before records may go; none if only time holds them.
    pub held_by: Option<String>,
}

impl Bound {
    pub(super) fn new(max: u64) -> Self {
        Bound { max, tried: false, deleted: Sequence(0) }
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Whether to compact for the bound's sake, with `stored` bytes there. A base that lets few records go makes the
    /// journal larger: at least half of them must go, at once, or as soon as they are old enough.
    pub(super) fn wants(&mut self, stored: u64, records: impl FnOnce() -> Records) -> bool {
        if stored <= self.max {
            self.tried = false;
            return false;
        }
        let Records { last, deletable, reachable, marked } = records();
        let gains = |through: Sequence| {
            let (gone, all) = (through.0.saturating_sub(self.deleted.0), last.0.saturating_sub(self.deleted.0));
            gone > 0 && 2 * gone >= all
        };
        let is_worth = gains(deletable) || (reachable > marked && gains(reachable));
        self.tried |= !is_worth;
        is_worth
    }

    /// A base stands, and lists what may go up to here.
    pub(super) fn compacted(&mut self, deletes: Sequence) {
        self.deleted = self.deleted.max(deletes);
    }

    /// What it listed is deleted; or none of this could be done for now.
    pub(super) fn tried(&mut self) {
        self.tried = true;
    }

    pub(super) fn is_full(&self, stored: u64) -> bool {
        stored > self.max && self.tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(last: u64, deletable: u64, reachable: u64, marked: u64) -> Records {
        let [last, deletable, reachable, marked] = [last, deletable, reachable, marked].map(Sequence);
        Records { last, deletable, reachable, marked }
    }

    #[test]
    fn it_is_full_only_once_compaction_has_not_helped() {
        let mut bound = Bound::new(100);
        assert!(!bound.wants(100, || records(9, 9, 9, 9)) && !bound.is_full(100), "there is room");
        assert!(bound.wants(101, || records(9, 0, 8, 0)), "a base tells how old the records are");
        assert!(!bound.is_full(101), "not tried yet");
        bound.compacted(Sequence(0));
        bound.tried();
        assert!(bound.is_full(120));
        assert!(!bound.wants(120, || records(9, 0, 8, 9)), "now time must pass");
        assert!(bound.wants(120, || records(9, 8, 8, 9)), "it has");
        bound.compacted(Sequence(8));
        bound.tried();
        assert!(bound.is_full(120) && !bound.wants(120, || records(9, 8, 8, 12)), "and that was all");
        assert!(!bound.is_full(100) && !bound.wants(100, || records(9, 9, 9, 9)));
        assert!(!bound.is_full(101), "it began anew");
    }

    #[test]
    fn a_base_is_not_written_for_a_few_records_while_a_follower_holds_the_rest() {
        let mut bound = Bound::new(100);
        assert!(!bound.wants(101, || records(100, 10, 40, 0)) && bound.is_full(101));
        assert!(bound.wants(101, || records(100, 10, 50, 0)), "it has come near enough");
        assert!(!bound.wants(101, || records(0, 0, 0, 0)), "nothing was written yet");
    }
}

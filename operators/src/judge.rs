//! One partition's prefix: what it has seen decides lateness, and nothing else does.

use stream::{Assigner, Bug, EventTime, LateMask, TimeRules, seeded};

/// W(p) and whether the partition's records are held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartitionJudge {
    /// W(p).
    pub watermark: Option<EventTime>,
    /// Idle in the journal, or proposed to be: its records wait for a grant.
    pub holding: bool,
}

impl PartitionJudge {
    /// Judge a record with W(p) before it, then let it move W(p).
    #[inline]
    pub fn accept(&mut self, at: EventTime, rules: &TimeRules, assigner: &mut Assigner) -> LateMask {
        let mask = rules.judge(at, self.watermark, assigner);
        self.watermark = Some(rules.advance(self.watermark, at));
        mask
    }

    /// Rejoin at a floor: W(p) := max(W(p), floor).
    pub fn rejoin(&mut self, floor: Option<EventTime>) {
        self.watermark = self.watermark.max(floor.filter(|_| !seeded(Bug::FloorNotApplied)));
        self.holding = false;
    }
}

//! The K best keys of one window on one worker. Within a window counts only grow and each key has one owner, so the
//! global top K is inside the union of the workers' top Ks; a changed key below the threshold needs no further look.

use crate::dictionary::Slot;
use std::cmp::Reverse;

/// Candidates of one window: at most K, best first (count descending, then key ascending, bytewise).
#[derive(Clone, Debug, Default)]
pub struct TopK {
    members: Vec<(u64, Slot)>,
    changed: Vec<Slot>,
}

/// A candidate that came, went, or has another count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemberChange {
    pub(crate) slot: Slot,
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
}

impl TopK {
    /// Note a key's new count; keys below the threshold are not looked at again.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot, count: u64, k: usize) {
        if self.members.len() < k || count >= self.members[k - 1].0 {
            self.changed.push(slot);
        }
    }

    /// How many keys were noted since the last update.
    pub(crate) fn noted(&self) -> usize {
        self.changed.len()
    }

    /// Present candidates, best first.
    pub(crate) fn members(&self) -> &[(u64, Slot)] {
        &self.members
    }

    /// Re-rank the noted keys among the members and say what changed.
    pub(crate) fn update<'a>(
        &mut self,
        k: usize,
        count: impl Fn(Slot) -> u64,
        key: impl Fn(Slot) -> &'a str,
    ) -> Vec<MemberChange> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let changed = std::mem::take(&mut self.changed);
        let before = std::mem::take(&mut self.members);
        let mut after: Vec<(u64, Slot)> =
            before.iter().copied().filter(|(_, slot)| changed.binary_search(slot).is_err()).collect();
        after.extend(changed.iter().map(|slot| (count(*slot), *slot)));
        let order =
            |a: &(u64, Slot), b: &(u64, Slot)| Reverse(a.0).cmp(&Reverse(b.0)).then_with(|| key(a.1).cmp(key(b.1)));
        if after.len() > k {
            after.select_nth_unstable_by(k, order);
            after.truncate(k);
        }
        after.sort_unstable_by(order);
        let changes = difference(&before, &after);
        self.members = after;
        changes
    }
}

fn difference(before: &[(u64, Slot)], after: &[(u64, Slot)]) -> Vec<MemberChange> {
    let by_slot = |members: &[(u64, Slot)]| {
        let mut members: Vec<(Slot, u64)> = members.iter().map(|(count, slot)| (*slot, *count)).collect();
        members.sort_unstable();
        members
    };
    let (before, after) = (by_slot(before), by_slot(after));
    let (mut left, mut right) = (before.iter().peekable(), after.iter().peekable());
    let mut changes = Vec::new();
    loop {
        let (slot, old, new) = match (left.peek(), right.peek()) {
            (None, None) => return changes,
            (Some((slot, old)), None) => (*slot, Some(*old), None),
            (None, Some((slot, new))) => (*slot, None, Some(*new)),
            (Some((a, old)), Some((b, new))) if a == b => (*a, Some(*old), Some(*new)),
            (Some((a, old)), Some((b, _))) if a < b => (*a, Some(*old), None),
            (Some(_), Some((b, new))) => (*b, None, Some(*new)),
        };
        if old.is_some() {
            left.next();
        }
        if new.is_some() {
            right.next();
        }
        if old != new {
            changes.push(MemberChange { slot, before: old, after: new });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_sorting_everything() {
        let keys: Vec<String> = (0..300u32).map(|slot| format!("{:x}", slot.wrapping_mul(2_654_435_761))).collect();
        for k in [1, 2, 10, 299, 1000] {
            let mut counts = vec![0u64; keys.len()];
            let mut top = TopK::default();
            let mut shown: Vec<(u64, Slot)> = Vec::new();
            let mut random = 7u64;
            for _ in 0..200 {
                for _ in 0..40 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let slot = ((random >> 33) % 300) as u32;
                    counts[slot as usize] += (random >> 60) + 1;
                    top.touch(slot, counts[slot as usize], k);
                }
                for change in top.update(k, |slot| counts[slot as usize], |slot| &keys[slot as usize]) {
                    if let Some(old) = change.before {
                        shown.retain(|member| *member != (old, change.slot));
                    }
                    shown.extend(change.after.map(|new| (new, change.slot)));
                }
                let mut all: Vec<(u64, Slot)> = (0..300)
                    .filter(|slot| counts[*slot as usize] > 0)
                    .map(|slot| (counts[slot as usize], slot))
                    .collect();
                let order = |a: &(u64, Slot), b: &(u64, Slot)| {
                    Reverse(a.0).cmp(&Reverse(b.0)).then_with(|| keys[a.1 as usize].cmp(&keys[b.1 as usize]))
                };
                all.sort_by(order);
                all.truncate(k);
                shown.sort_by(order);
                assert_eq!(shown, all);
                assert_eq!(top.members(), all);
            }
        }
    }
}

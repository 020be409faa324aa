//! The K best keys of one window on one worker. Within a window counts only grow and each key has one owner, so the
//! global top K is inside the union of the workers' top Ks; a changed key below the threshold needs no further look.

use crate::slots::Slot;
use std::cmp::Reverse;
use stream::{Bug, seeded};

/// Candidates of one window: the K best (count descending, then key ascending, bytewise), in no order of merit: only the
/// union of all workers' is ranked.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    /// By slot.
    members: Vec<(Slot, u64)>,
    /// The last place of a full list, count and key: what a key must beat or equal to be looked at. 0 while there is room.
    last: (u64, String),
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
    /// Note a key's new count; keys behind the last place are not looked at again.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot, count: u64, key: &str) {
        let (least, last) = &self.last;
        if count > *least || (count == *least && is_at_most(key, last)) {
            self.changed.push(slot);
        }
    }

    /// How many keys were noted since the last update.
    pub(crate) fn noted(&self) -> usize {
        self.changed.len()
    }

    /// Present candidates, by slot.
    pub(crate) fn members(&self) -> &[(Slot, u64)] {
        &self.members
    }

    /// Choose anew among the members and the noted keys, and say what changed.
    pub(crate) fn update<'a>(
        &mut self,
        k: usize,
        count: impl Fn(Slot) -> u64,
        key: impl Fn(Slot) -> &'a str,
    ) -> Vec<MemberChange> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let mut after: Vec<(Slot, u64)> =
            self.members.iter().copied().filter(|(slot, _)| changed.binary_search(slot).is_err()).collect();
        after.extend(changed.iter().map(|slot| (*slot, count(*slot))));
        keep_best(&mut after, k, &key);
        after.sort_unstable();
        self.last = match after.len() < k {
            true => (0, String::new()),
            false => {
                let least = after.iter().map(|(_, count)| *count).min().unwrap_or(0);
                let tied = after.iter().filter(|(_, count)| *count == least);
                (least, tied.map(|(slot, _)| key(*slot)).max().unwrap_or_default().to_owned())
            }
        };
        let before = std::mem::replace(&mut self.members, after);
        difference(&before, &self.members)
    }
}

/// `key <= bound`, bytewise. Where all counts are small, most keys tie with the last place, and most differ from it soon.
#[inline]
fn is_at_most(key: &str, bound: &str) -> bool {
    match (key.as_bytes().first_chunk::<8>(), bound.as_bytes().first_chunk::<8>()) {
        (Some(head), Some(other)) if head != other => u64::from_be_bytes(*head) < u64::from_be_bytes(*other),
        _ => key <= bound,
    }
}

/// Leave the `k` best. Counts decide first; keys, which lie far apart in memory, are read only where counts tie at the
/// boundary.
fn keep_best<'a>(entries: &mut Vec<(Slot, u64)>, k: usize, key: impl Fn(Slot) -> &'a str) {
    if entries.len() <= k {
        return;
    }
    let (_, (_, boundary), _) = entries.select_nth_unstable_by_key(k - 1, |(_, count)| Reverse(*count));
    let boundary = *boundary;
    entries.retain(|(_, count)| *count >= boundary);
    if entries.len() > k {
        entries.sort_unstable_by_key(|(_, count)| Reverse(*count));
        let above = entries.partition_point(|(_, count)| *count > boundary);
        entries[above..].select_nth_unstable_by(k - 1 - above, |a, b| match seeded(Bug::TiesByArrival) {
            true => a.0.cmp(&b.0),
            false => key(a.0).cmp(key(b.0)),
        });
        entries.truncate(k);
    }
}

/// What differs between two lists that are ordered by slot.
fn difference(before: &[(Slot, u64)], after: &[(Slot, u64)]) -> Vec<MemberChange> {
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
            let mut shown: Vec<(Slot, u64)> = Vec::new();
            let mut random = 7u64;
            for _ in 0..200 {
                for _ in 0..40 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let slot = ((random >> 33) % 300) as u32;
                    counts[slot as usize] += (random >> 60) + 1;
                    top.touch(slot, counts[slot as usize], &keys[slot as usize]);
                }
                for change in top.update(k, |slot| counts[slot as usize], |slot| &keys[slot as usize]) {
                    if let Some(old) = change.before {
                        shown.retain(|member| *member != (change.slot, old));
                    }
                    shown.extend(change.after.map(|new| (change.slot, new)));
                }
                let mut all: Vec<(Slot, u64)> = (0..300)
                    .filter(|slot| counts[*slot as usize] > 0)
                    .map(|slot| (slot, counts[slot as usize]))
                    .collect();
                let order = |a: &(Slot, u64), b: &(Slot, u64)| {
                    Reverse(a.1).cmp(&Reverse(b.1)).then_with(|| keys[a.0 as usize].cmp(&keys[b.0 as usize]))
                };
                all.sort_by(order);
                all.truncate(k);
                all.sort_unstable();
                shown.sort_unstable();
                assert_eq!(shown, all);
                assert_eq!(top.members(), all);
            }
        }
    }
}

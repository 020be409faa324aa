//! Key groups as a start keeps them until each worker takes its own. A pane is 24 bytes and packs into three or four: most of
//! what a restart with many keys cost was to touch that memory once and give it back.

use super::varint::{Cursor, put};
use std::collections::HashMap;
use stream::{EventTime, GroupState, KeyArena, KeyGroup, KindIndex, PaneCell, WindowId};

/// A key group's keys and its packed panes. Packed by the same process: nothing is checked again.
#[derive(Clone, PartialEq, Debug)]
pub struct PackedGroup {
    /// The group.
    pub group: KeyGroup,
    /// Its keys; the index is the local dictionary id.
    pub keys: KeyArena,
    /// Every window that occurs.
    windows: Vec<WindowId>,
    /// How many panes.
    len: usize,
    /// For each: twice the step from the local id before, and 1 if dirty · the window's index · the count.
    panes: Vec<u8>,
}

impl PackedGroup {
    /// Pack a group, whose panes are in order.
    pub fn pack(state: GroupState) -> Self {
        let GroupState { group, keys, panes } = state;
        let mut windows: Vec<WindowId> = Vec::new();
        let mut indexes: HashMap<WindowId, u64> = HashMap::new();
        // Neighbours mostly lie in the same windows, one of each kind; while tables are away, in any of a thousand.
        let mut last: [Option<(EventTime, u64)>; KindIndex::MAX as usize + 1] = [None; KindIndex::MAX as usize + 1];
        let mut into = Vec::with_capacity(4 * panes.len());
        let mut before = 0;
        for pane in &panes {
            let last = &mut last[usize::from(pane.kind)];
            let index = match last {
                Some((start, index)) if *start == pane.start => *index,
                _ => {
                    let id = WindowId { kind: pane.kind, start: pane.start };
                    let index = *indexes.entry(id).or_insert_with(|| {
                        windows.push(id);
                        windows.len() as u64 - 1
                    });
                    *last = Some((pane.start, index));
                    index
                }
            };
            put(&mut into, u64::from(pane.local - before) << 1 | u64::from(pane.dirty));
            put(&mut into, index);
            put(&mut into, pane.count);
            before = pane.local;
        }
        into.shrink_to_fit();
        PackedGroup { group, keys, windows, len: panes.len(), panes: into }
    }

    /// The group as it was.
    pub fn unpack(self) -> GroupState {
        const OURS: &str = "it was packed in this process";
        let mut cursor = Cursor::new(&self.panes);
        let mut local = 0;
        let pane = |_| {
            let step = cursor.number().expect(OURS);
            local += (step >> 1) as u32;
            let window = self.windows[cursor.number().expect(OURS) as usize];
            let count = cursor.number().expect(OURS);
            PaneCell { local, kind: window.kind, start: window.start, count, dirty: step & 1 == 1 }
        };
        let panes = (0..self.len).map(pane).collect();
        GroupState { group: self.group, keys: self.keys, panes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::Random;

    #[test]
    fn what_was_packed_unpacks() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut state = GroupState { group: KeyGroup(7), keys: KeyArena::default(), panes: Vec::new() };
            for local in 0..random.below(300) as u32 {
                state.keys.push(&format!("key-{local}"));
                for kind in 0..random.below(6) as KindIndex {
                    let start = if kind == 4 { EventTime::MIN } else { EventTime::from_millis(random.below(3) as i64) };
                    let (count, dirty) = (random.extreme().max(1), random.below(2) == 1);
                    state.panes.push(PaneCell { local, kind, start, count, dirty });
                }
            }
            assert_eq!(PackedGroup::pack(state.clone()).unpack(), state, "seed {seed}");
        }
    }
}

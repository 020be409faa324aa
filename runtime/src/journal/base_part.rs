//! The binary section of a base part: keys and panes of a range of key groups, column by column.
//!
//! ```text
//! windows: (kind, start) of every window that occurs, in order
//! groups:  steps, key counts and pane counts
//! keys:    lengths · text
//! panes:   local id steps · dimensions (0) · window indexes · counts
//! ```

use super::varint::{Cursor, put, put_bytes, put_signed};
use std::collections::BTreeSet;
use stream::{EventTime, GroupState, KEY_GROUPS, KeyArena, KeyGroup, PaneCell, WindowId};

fn window(pane: &PaneCell) -> WindowId {
    WindowId { kind: pane.kind, start: pane.start }
}

/// Groups in ascending order.
pub(super) fn encode(groups: &[GroupState]) -> Vec<u8> {
    let windows: Vec<WindowId> =
        groups.iter().flat_map(|group| &group.panes).map(window).collect::<BTreeSet<_>>().into_iter().collect();
    let (mut dictionary, mut heads, mut lengths, mut text) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut locals, mut dimensions, mut indexes, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for window in &windows {
        dictionary.push(window.kind);
        put_signed(&mut dictionary, window.start.millis());
    }
    let mut next_group = 0;
    for group in groups {
        put(&mut heads, u64::from(group.group.0 - next_group));
        put(&mut heads, group.keys.len() as u64);
        put(&mut heads, group.panes.len() as u64);
        next_group = group.group.0 + 1;
        for key in group.keys.iter() {
            put(&mut lengths, key.len() as u64);
            text.extend_from_slice(key.as_bytes());
        }
        let mut before = 0;
        for pane in &group.panes {
            put(&mut locals, u64::from(pane.local - before));
            put(&mut dimensions, 0);
            let index = windows.binary_search(&window(pane)).expect("every window is in the dictionary");
            put(&mut indexes, index as u64);
            put(&mut counts, pane.count);
            before = pane.local;
        }
    }
    let mut into = Vec::new();
    for column in [&dictionary, &heads, &lengths, &text, &locals, &dimensions, &indexes, &counts] {
        put_bytes(&mut into, column);
    }
    into
}

/// Read a section back; no pane is dirty.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<GroupState>, String> {
    let mut cursor = Cursor::new(bytes);
    let mut column = || cursor.column();
    let (mut dictionary, mut heads, mut lengths, mut text) = (column()?, column()?, column()?, column()?);
    let (mut locals, mut dimensions, mut indexes, mut counts) = (column()?, column()?, column()?, column()?);
    cursor.end()?;
    let mut text = std::str::from_utf8(text.take(text.left())?).map_err(|error| error.to_string())?;
    let mut windows: Vec<WindowId> = Vec::new();
    while dictionary.left() > 0 {
        let window = WindowId { kind: dictionary.byte()?, start: EventTime::from_millis(dictionary.signed()?) };
        if windows.last().is_some_and(|last| *last >= window) {
            return Err("its windows are out of order".to_owned());
        }
        windows.push(window);
    }
    let mut groups = Vec::new();
    let mut next_group = 0u64;
    while heads.left() > 0 {
        let group = heads.number()?.checked_add(next_group).filter(|group| *group < u64::from(KEY_GROUPS));
        let group = group.ok_or("there is no such key group")?;
        next_group = group + 1;
        let (key_count, pane_count) = (heads.number()?, heads.number()?);
        if key_count > lengths.left() as u64 || pane_count > counts.left() as u64 {
            return Err("it claims more keys or panes than it has".to_owned());
        }
        let (mut ends, mut end) = (Vec::with_capacity(key_count as usize), 0u32);
        for _ in 0..key_count {
            end =
                end.checked_add(lengths.narrow("a key's length")?).ok_or("there are over 4 GiB of keys in a group")?;
            ends.push(end);
        }
        let (own, rest) = text.split_at_checked(end as usize).ok_or("its keys end too early, or within a character")?;
        text = rest;
        let keys = KeyArena::cut(own.to_owned(), ends).ok_or("a key ends within a character")?;
        let mut panes: Vec<PaneCell> = Vec::with_capacity(pane_count as usize);
        // A zero is one byte of zero.
        if dimensions.take(pane_count as usize)?.iter().any(|dimension| *dimension != 0) {
            return Err("it has dimensions, and this program knows none".to_owned());
        }
        let (mut local, mut before) = (0u32, None);
        for _ in 0..pane_count {
            let step = locals.narrow("a local id's step")?;
            local = local.checked_add(step).ok_or("a local id is too large")?;
            let index: usize = indexes.narrow("a window's index")?;
            let window = windows.get(index).ok_or("there is no such window")?;
            let count = counts.number()?;
            // Windows are in order, so their indexes tell the order of a key's panes.
            let is_out_of_order = step == 0 && before >= Some(index);
            if is_out_of_order || count == 0 || u64::from(local) >= key_count {
                return Err(format!("a pane of {local} is out of order, of no key, or counts nothing"));
            }
            before = Some(index);
            panes.push(PaneCell { local, kind: window.kind, start: window.start, count, dirty: false });
        }
        groups.push(GroupState { group: KeyGroup(group as u16), keys, panes });
    }
    [lengths, Cursor::new(text.as_bytes()), locals, dimensions, indexes, counts].iter().try_for_each(Cursor::end)?;
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::Random;

    fn random_groups(random: &mut Random) -> Vec<GroupState> {
        let mut groups = Vec::new();
        for group in (0..KEY_GROUPS).filter(|group| group % 97 == 0 || *group == KEY_GROUPS - 1) {
            let mut keys = KeyArena::default();
            (0..random.below(5))
                .for_each(|key| _ = keys.push(&format!("k{key}{}", "é".repeat(random.below(3) as usize))));
            let mut panes = Vec::new();
            for local in 0..keys.len() as u32 {
                for kind in 0..random.below(6) as u8 {
                    let start = if kind == 4 { i64::MIN } else { random.below(3) as i64 * 60_000 };
                    let start = EventTime::from_millis(start);
                    panes.push(PaneCell { local, kind, start, count: random.extreme().max(1), dirty: false });
                }
            }
            groups.push(GroupState { group: KeyGroup(group), keys, panes });
        }
        groups
    }

    #[test]
    fn groups_read_back() {
        for seed in 0..100 {
            let groups = random_groups(&mut Random::new(seed));
            assert_eq!(decode(&encode(&groups)).unwrap(), groups, "seed {seed}");
        }
        assert_eq!(decode(&encode(&[])).unwrap(), []);
    }

    #[test]
    fn nothing_hostile_panics() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let honest = encode(&random_groups(&mut random));
            for _ in 0..500 {
                let mut bytes = honest.clone();
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.below(256) as u8;
                if let Ok(groups) = decode(&bytes) {
                    assert_eq!(decode(&encode(&groups)).unwrap(), groups, "seed {seed}");
                }
            }
            for length in 0..honest.len() {
                assert!(decode(&honest[..length]).is_err(), "seed {seed} cut at {length}");
            }
        }
    }
}

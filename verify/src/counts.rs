//! What was counted and what was found, by window and key; and rankings of what was counted, as of any epoch that
//! something carries.

use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{EventTime, Sequence, Window, WindowId};

/// An epoch that something carries, and where every partition stood then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The epoch's record.
    pub record: Sequence,
    /// The job watermark.
    pub watermark: Option<EventTime>,
    /// Records below these offsets count.
    pub offsets: BTreeMap<Arc<str>, i64>,
}

/// The main cut: what tables are as of; without tables, the journal's end.
pub(crate) const MAIN: usize = 0;

/// One key in one window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cell {
    /// Counted, as of the main cut.
    pub(crate) expected: i64,
    /// The row found; 0 for none.
    pub(crate) found: i64,
}

/// One window.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) window: Window,
    pub(crate) cells: HashMap<u32, Cell>,
    /// Records that missed it, as of the main cut.
    pub(crate) late: i64,
    /// Records that count as of some cuts only.
    edges: Vec<Edge>,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    lane: u32,
    key: u32,
    offset: i64,
}

/// A window's first places and totals as of one cut.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ranked {
    /// Count descending, then key ascending, bytewise.
    pub(crate) places: Vec<(u32, i64)>,
    pub(crate) events: i64,
    pub(crate) keys: i64,
}

/// All of it.
#[derive(Default)]
pub struct Counts {
    numbers: HashMap<Arc<str>, u32>,
    keys: Vec<Arc<str>>,
    pub(crate) windows: HashMap<WindowId, Held>,
    /// By lane and cut: the offset below which records count.
    pub(crate) limits: Vec<Vec<i64>>,
}

impl Counts {
    /// A key's number.
    pub(crate) fn number(&mut self, key: &str) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let (number, key): (u32, Arc<str>) = (self.keys.len() as u32, key.into());
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        number
    }

    pub(crate) fn key(&self, number: u32) -> &str {
        &self.keys[number as usize]
    }

    pub(crate) fn held(&mut self, window: Window) -> &mut Held {
        let empty = || Held { window, cells: HashMap::new(), late: 0, edges: Vec::new() };
        self.windows.entry(window.id()).or_insert_with(empty)
    }

    /// The windows in order.
    pub(crate) fn ids(&self) -> Vec<WindowId> {
        let mut ids: Vec<WindowId> = self.windows.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The first `k` of a window as of a cut.
    pub(crate) fn ranked(&self, id: WindowId, cut: usize, k: usize) -> Ranked {
        let Some(held) = self.windows.get(&id) else { return Ranked::default() };
        let mut moved: HashMap<u32, i64> = HashMap::new();
        for edge in &held.edges {
            let limits = &self.limits[edge.lane as usize];
            let change = i64::from(edge.offset < limits[cut]) - i64::from(edge.offset < limits[MAIN]);
            if change != 0 {
                *moved.entry(edge.key).or_default() += change;
            }
        }
        let counted = held.cells.iter().map(|(key, cell)| (*key, cell.expected + moved.remove(key).unwrap_or(0)));
        let mut rows: Vec<(u32, i64)> = counted.filter(|(_, count)| *count > 0).collect();
        rows.extend(moved.into_iter().filter(|(_, count)| *count > 0));
        let mut ranked =
            Ranked { places: Vec::new(), events: rows.iter().map(|(_, count)| count).sum(), keys: rows.len() as i64 };
        let order = |one: &(u32, i64), other: &(u32, i64)| {
            other.1.cmp(&one.1).then_with(|| self.key(one.0).as_bytes().cmp(self.key(other.0).as_bytes()))
        };
        if k > 0 && rows.len() > k {
            rows.select_nth_unstable_by(k - 1, order);
        }
        rows.truncate(k);
        rows.sort_unstable_by(order);
        ranked.places = rows;
        ranked
    }
}

impl Held {
    /// One more event as of the main cut.
    pub(crate) fn count(&mut self, key: u32, events: i64) {
        self.cells.entry(key).or_default().expected += events;
    }

    /// A record that does not count as of every cut.
    pub(crate) fn edge(&mut self, lane: u32, offset: i64, key: u32) {
        self.edges.push(Edge { lane, key, offset });
    }

    /// Sum of all counts and how many keys have one, as of the main cut.
    pub(crate) fn totals(&self) -> (i64, i64) {
        let counted = self.cells.values().filter(|cell| cell.expected > 0);
        counted.fold((0, 0), |(events, keys), cell| (events + cell.expected, keys + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_are_as_of_their_cut_and_equals_stand_in_the_order_of_their_bytes() {
        let mut counts = Counts { limits: vec![vec![10, 8, 12]], ..Counts::default() };
        let window = Window { kind: 0, start: EventTime::MIN, end: EventTime::MAX };
        // Offsets 0 to 11: b at 9 and 11, a at 10, é at 0, B otherwise.
        for offset in 0..12 {
            let key = counts.number(match offset {
                0 => "é",
                9 | 11 => "b",
                10 => "a",
                _ => "B",
            });
            let held = counts.held(window);
            if offset < 10 {
                held.count(key, 1);
            }
            if offset >= 8 {
                held.edge(0, offset, key);
            }
        }
        let names = |cut, k| {
            let ranked = counts.ranked(window.id(), cut, k);
            let places: Vec<(&str, i64)> =
                ranked.places.iter().map(|(key, count)| (counts.key(*key), *count)).collect();
            (places, ranked.events, ranked.keys)
        };
        assert_eq!(names(0, 9), (vec![("B", 8), ("b", 1), ("é", 1)], 10, 3));
        assert_eq!(names(1, 9), (vec![("B", 7), ("é", 1)], 8, 2));
        assert_eq!(names(2, 3), (vec![("B", 8), ("b", 2), ("a", 1)], 12, 4));
    }
}

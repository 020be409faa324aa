//! Where counts are kept. A key's dense record has one cell per window kind, holding the newest window the key was
//! counted in; counts of older windows that are still live (disorder, lateness, the hour after midnight) lie beside it.
//! So one delta costs one probe and a few adds, and the end of a month moves nothing until a key is touched.

use crate::slots::{Slot, Slots};
use hashbrown::HashMap;
use stream::{Bug, KindIndex, Window, seeded};

/// Number of a pane column within one worker: one window. Never reused.
pub(crate) type PaneNumber = u32;

const DIRTY: u32 = 1 << 31;
const NO_PANE: u32 = DIRTY - 1;

/// A key's count in the newest window of a kind. Packed: five of them are 60 bytes a key.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct Cell {
    count: u64,
    /// Pane number, with the dirty bit on top.
    pane: u32,
}

const EMPTY: Cell = Cell { count: 0, pane: NO_PANE };

/// One live window of a worker.
pub(crate) struct Pane {
    pub(crate) window: Window,
    /// Counts of keys whose cell holds a newer window: (count, dirty).
    aside: HashMap<Slot, (u64, bool)>,
    /// Keys the tables do not have at their present value, each once.
    pub(crate) dirty: Vec<Slot>,
}

/// What adding to a pane did.
pub(crate) struct Added {
    /// The new count.
    pub(crate) count: u64,
    /// The key had no count in this window before.
    pub(crate) is_new: bool,
}

/// All counts of one worker.
pub(crate) struct Panes {
    /// One for each kind.
    cells: Slots<Cell>,
    live: HashMap<PaneNumber, Pane>,
    next: PaneNumber,
}

impl Panes {
    pub(crate) fn new(kinds: usize) -> Self {
        Panes { cells: Slots::new(kinds), live: HashMap::new(), next: 0 }
    }

    /// A new key, without counts.
    pub(crate) fn add_key(&mut self) {
        self.cells.add(EMPTY);
    }

    pub(crate) fn open(&mut self, window: Window) -> PaneNumber {
        let number = self.next;
        self.next += 1;
        assert!(self.next < NO_PANE, "fewer than two thousand million windows in one process");
        self.live.insert(number, Pane { window, aside: HashMap::new(), dirty: Vec::new() });
        number
    }

    pub(crate) fn pane(&self, number: PaneNumber) -> &Pane {
        &self.live[&number]
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (PaneNumber, &Pane)> {
        self.live.iter().map(|(number, pane)| (*number, pane))
    }

    /// Forget a window. Cells that still name it are stale and are overwritten when next touched.
    pub(crate) fn drop_pane(&mut self, number: PaneNumber) {
        self.live.remove(&number);
    }

    /// Bring the cells of keys that will be counted next into the cache, all of them at once.
    pub(crate) fn fetch(&self, slots: impl Iterator<Item = Slot>) {
        let pane = |slot, kind| self.cells.get(slot, kind).pane;
        // The first and the last of a key's cells: with up to five kinds, that is all lines of the cache that they lie in.
        let last = self.cells.items() - 1;
        std::hint::black_box(slots.fold(0, |read, slot| read ^ pane(slot, 0) ^ pane(slot, last)));
    }

    /// Add `n` to a key in a live window; `dirty` marks the value as not yet in the tables.
    pub(crate) fn add(&mut self, kind: KindIndex, slot: Slot, number: PaneNumber, n: u64, dirty: bool) -> Added {
        let cell = self.cells.get_mut(slot, usize::from(kind));
        let held = cell.pane & !DIRTY;
        if held != number && held != NO_PANE {
            let start = self.live[&number].window.start;
            match self.live.get_mut(&held) {
                Some(newer) if newer.window.start > start => return self.add_aside(slot, number, n, dirty),
                Some(older) => {
                    older.aside.insert(slot, (cell.count, cell.pane & DIRTY != 0));
                    *cell = EMPTY;
                }
                None => *cell = EMPTY,
            }
        }
        let is_new = cell.count == 0;
        let was_dirty = cell.pane & DIRTY != 0 && !is_new;
        let mut count = cell.count + n;
        if seeded(Bug::CountWraps) {
            count = u64::from(count as u32);
        }
        *cell = Cell { count, pane: number | if dirty || was_dirty { DIRTY } else { 0 } };
        if dirty && !was_dirty {
            self.live.get_mut(&number).expect("the window is live").dirty.push(slot);
        }
        Added { count, is_new }
    }

    fn add_aside(&mut self, slot: Slot, number: PaneNumber, n: u64, dirty: bool) -> Added {
        let pane = self.live.get_mut(&number).expect("the window is live");
        let (count, was_dirty) = pane.aside.entry(slot).or_insert((0, false));
        let is_new = *count == 0;
        *count += n;
        let count = *count;
        if dirty && !*was_dirty {
            *was_dirty = true;
            pane.dirty.push(slot);
        }
        Added { count, is_new }
    }

    /// A key's count in a live window; 0 if it has none.
    pub(crate) fn count(&self, kind: KindIndex, slot: Slot, number: PaneNumber) -> u64 {
        let cell = *self.cells.get(slot, usize::from(kind));
        if cell.pane & !DIRTY == number {
            return cell.count;
        }
        self.live[&number].aside.get(&slot).map_or(0, |(count, _)| *count)
    }

    /// The changed keys of a live window, which count as clean from now on.
    pub(crate) fn take_dirty(&mut self, number: PaneNumber) -> Vec<Slot> {
        let pane = self.live.get_mut(&number).expect("the window is live");
        let kind = usize::from(pane.window.kind);
        let slots = std::mem::take(&mut pane.dirty);
        for slot in &slots {
            let cell = self.cells.get_mut(*slot, kind);
            if cell.pane & !DIRTY == number {
                cell.pane &= !DIRTY;
            } else if let Some((_, dirty)) = pane.aside.get_mut(slot) {
                *dirty = false;
            }
        }
        slots
    }
}

//! Window state of one worker: applies an epoch's deltas in one go, says what the journal must keep, which totals and
//! candidates changed, which rows the tables lack, and forgets windows when told that everybody has them.

use crate::TopK;
use crate::dictionary::Dictionary;
use crate::panes::{PaneNumber, Panes};
use crate::slots::Slot;
use hashbrown::HashMap;
use std::time::Duration;
use stream::{
    Assigner, Bug, DeltaBatch, Epoch, EventTime, GroupState, Key, KeyArena, KeyGroup, KindIndex, Minute, Part, PartRow,
    RowBlock, RowFlush, RowOrder, Window, WindowChange, WindowId, WindowState, Windows, seeded,
};

/// Counts, candidates and dirty rows of the key groups one worker owns.
pub struct WindowStore {
    worker: u32,
    k: usize,
    kinds: KindIndex,
    /// Somebody takes rows; else none are noted.
    rows_wanted: bool,
    /// They were forgotten and nobody has taken any since: none are noted either.
    rows_forgotten: bool,
    allowed_lateness: Duration,
    assigner: Assigner,
    dictionary: Dictionary,
    panes: Panes,
    places: HashMap<WindowId, Place>,
    windows: Vec<Live>,
    /// Of windows that are gone.
    free: Vec<usize>,
    /// Where the windows of the last row's minute are, by kind: consecutive rows mostly fall into the same ones.
    last: (Minute, [Option<Place>; 8]),
    /// Windows final under this watermark are gone; a delta for one is our own bug.
    evicted: Option<EventTime>,
}

/// Recovered keys: 8 MiB of hashes, so that each walk through the table is worth it.
const ENTERED_AT_ONCE: usize = 1 << 19;

/// Rows whose keys are looked up together.
const LOOKED_UP_AT_ONCE: usize = 64;

/// Where a live window is kept.
#[derive(Clone, Copy)]
struct Place {
    number: PaneNumber,
    /// In `windows`.
    live: usize,
}

/// What is kept of a window beside its pane.
struct Live {
    window: Window,
    number: PaneNumber,
    top: TopK,
    events: u64,
    keys: u64,
    touched: bool,
}

/// What applying an epoch did.
#[derive(Debug)]
pub struct Applied {
    /// For the journal.
    pub part: Part,
    /// Totals to add, by window.
    pub totals: Vec<(Window, u64, u64)>,
    /// Candidates that came, went or changed.
    pub candidates: Vec<CandidateChange>,
}

/// What an epoch that has closed gives to everybody.
#[derive(Debug)]
pub struct ClosedEpoch {
    /// For the journal.
    pub part: Part,
    /// Windows that left, then what was added to totals.
    pub windows: Vec<WindowChange>,
    /// Candidates that came, went or changed.
    pub candidates: Vec<CandidateChange>,
    /// The answer to the order about rows, if anybody takes rows.
    pub rows: Option<RowFlush>,
}

/// A candidate of a window with its count, arriving (+1) or leaving (-1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CandidateChange {
    /// The window.
    pub window: WindowId,
    /// The key.
    pub key: Key,
    /// Its count.
    pub count: u64,
    /// +1 or -1.
    pub change: i64,
}

impl WindowStore {
    /// An empty store. `rows_wanted`: somebody will call [`WindowStore::take_rows`] now and then.
    pub fn new(worker: usize, windows: &Windows, allowed_lateness: Duration, k: usize, rows_wanted: bool) -> Self {
        WindowStore {
            worker: worker as u32,
            k,
            kinds: windows.len() as KindIndex,
            rows_wanted,
            rows_forgotten: false,
            allowed_lateness,
            assigner: windows.assigner(),
            dictionary: Dictionary::default(),
            panes: Panes::new(windows.len()),
            places: HashMap::new(),
            windows: Vec::new(),
            free: Vec::new(),
            last: (Minute(0), [None; 8]),
            evicted: None,
        }
    }

    /// Take over recovered key groups, which have so many keys together. Then tell a fresh ranking
    /// [`WindowStore::candidates`].
    pub fn load(&mut self, keys: usize, groups: impl Iterator<Item = GroupState>) {
        self.dictionary.reserve(keys);
        let mut last: [Option<(EventTime, Place)>; 8] = [None; 8];
        let mut kept = Vec::new();
        for group in groups {
            // A dictionary has each key once.
            let keep = |key| {
                self.panes.add_key();
                let hash = stream::key_hash(key);
                let slot = self.dictionary.keep(key, hash);
                kept.push((hash, slot));
                slot
            };
            let mut slots: Vec<Slot> = group.keys.iter().map(keep).collect();
            if kept.len() >= ENTERED_AT_ONCE {
                self.dictionary.enter_all(&mut kept);
            }
            if seeded(Bug::KeysRenumbered) {
                slots.reverse();
            }
            for cells in group.panes.chunk_by(|one, next| one.local == next.local) {
                let (slot, key) = (slots[cells[0].local as usize], group.keys.get(cells[0].local));
                for cell in cells {
                    // Millions of panes lie in few windows, and neighbours mostly in the same ones.
                    let last = &mut last[usize::from(cell.kind)];
                    let place = match last {
                        Some((start, place)) if *start == cell.start => *place,
                        _ => {
                            let id = WindowId { kind: cell.kind, start: cell.start };
                            let known = self.places.get(&id).copied();
                            let place = known.unwrap_or_else(|| self.place(self.assigner.windows().find(id)));
                            *last = Some((cell.start, place));
                            place
                        }
                    };
                    let dirty = cell.dirty && self.rows_wanted;
                    let added = self.panes.add(cell.kind, slot, place.number, cell.count, dirty);
                    assert!(added.is_new, "a recovered pane is given once");
                    self.windows[place.live].top.touch(slot, cell.count, key);
                }
            }
            // Keep the noted keys few while millions of panes are loaded; what changed is told at the next apply.
            self.settle(1 << 16);
        }
        self.dictionary.enter_all(&mut kept);
        self.settle(0);
    }

    fn settle(&mut self, above: usize) {
        for Live { window, number, top, .. } in &mut self.windows {
            if top.noted() > above {
                let count = |slot| self.panes.count(window.kind, slot, *number);
                top.update(self.k, count, |slot| self.dictionary.key(slot).as_str());
            }
        }
    }

    /// Every present candidate as arriving: what a fresh ranking must be told after [`WindowStore::load`].
    pub fn candidates(&self) -> Vec<CandidateChange> {
        let of_window = |live: &Live| {
            let window = live.window.id();
            let change = |(slot, count): &(Slot, u64)| CandidateChange {
                window,
                key: self.dictionary.key(*slot).clone(),
                count: *count,
                change: 1,
            };
            live.top.members().iter().map(change).collect::<Vec<_>>()
        };
        self.windows.iter().flat_map(of_window).collect()
    }

    fn intern(&mut self, key: &str, hash: u64) -> (Slot, bool) {
        let (slot, is_new) = self.dictionary.intern(key, hash);
        if is_new {
            self.panes.add_key();
        }
        (slot, is_new)
    }

    fn place(&mut self, window: Window) -> Place {
        if let Some(place) = self.places.get(&window.id()) {
            return *place;
        }
        let gone = window.state(self.evicted, self.allowed_lateness) == WindowState::Final;
        assert!(!gone, "bug: a count arrived for a final window that was evicted: {window:?}");
        let number = self.panes.open(window);
        let new = Live { window, number, top: TopK::default(), events: 0, keys: 0, touched: false };
        let live = match self.free.pop() {
            Some(live) => {
                self.windows[live] = new;
                live
            }
            None => {
                self.windows.push(new);
                self.windows.len() - 1
            }
        };
        self.places.insert(window.id(), Place { number, live });
        Place { number, live }
    }

    /// Where a minute's window of a kind is.
    #[inline]
    fn place_of(&mut self, kind: KindIndex, minute: Minute) -> Place {
        if self.last.0 != minute {
            self.last = (minute, [None; 8]);
        }
        if let Some(place) = self.last.1[usize::from(kind)] {
            return place;
        }
        let window = self.assigner.assign(kind, minute.start());
        let place = self.place(window);
        self.last.1[usize::from(kind)] = Some(place);
        place
    }

    /// An epoch is closed: windows that everybody has leave, its deltas count, and the order about rows is carried out.
    /// Call once per epoch, in order, also without deltas.
    pub fn close(
        &mut self,
        epoch: Epoch,
        batches: &[DeltaBatch],
        evictable: Option<EventTime>,
        order: RowOrder,
    ) -> ClosedEpoch {
        let (mut windows, mut candidates) = (Vec::new(), Vec::new());
        if let Some(watermark) = evictable {
            candidates = self.evict(watermark);
            windows.push(WindowChange::Evicted(watermark));
        }
        let applied = self.apply(epoch, batches);
        candidates.extend(applied.candidates);
        let added = |(window, events, keys)| WindowChange::Added { window, events, keys };
        windows.extend(applied.totals.into_iter().map(added));
        let rows = self.rows_wanted.then(|| {
            let blocks = match order {
                RowOrder::Keep => Vec::new(),
                RowOrder::Take => self.take_rows(),
                RowOrder::Forget => {
                    self.forget_rows();
                    Vec::new()
                }
            };
            RowFlush { worker: self.worker, order, blocks, waiting: self.waiting_bytes() }
        });
        ClosedEpoch { part: applied.part, windows, candidates, rows }
    }

    /// Apply all deltas of an epoch. Call once per epoch, in order, also without deltas.
    pub fn apply(&mut self, epoch: Epoch, batches: &[DeltaBatch]) -> Applied {
        let noted = self.rows_wanted && !self.rows_forgotten;
        let mut rows: Vec<PartRow> = Vec::with_capacity(batches.iter().map(|batch| batch.rows.len()).sum());
        let mut new_slots = Vec::new();
        let mut touched = Vec::new();
        let mut found = Vec::with_capacity(LOOKED_UP_AT_ONCE);
        for block in batches.iter().flat_map(|batch| batch.rows.chunks(LOOKED_UP_AT_ONCE)) {
            self.dictionary.find_all(block.iter().map(|row| (row.key.as_str(), row.hash)), &mut found);
            self.panes.fetch(found.iter().flatten().copied());
            for (row, found) in block.iter().zip(&found) {
                let (slot, is_new) =
                    found.map_or_else(|| self.intern(row.key.as_str(), row.hash), |slot| (slot, false));
                let (group, local) = (KeyGroup::of_hash(row.hash).0, self.dictionary.local(slot));
                if is_new {
                    new_slots.push((group, slot));
                }
                rows.push(PartRow { group, local, dimension: 0, minute: row.minute, mask: row.mask, n: row.n });
                for kind in (0..self.kinds).filter(|kind| !row.mask.is_late(*kind)) {
                    let place = self.place_of(kind, row.minute);
                    let added = self.panes.add(kind, slot, place.number, row.n, noted);
                    let live = &mut self.windows[place.live];
                    live.events += row.n;
                    live.keys += u64::from(added.is_new);
                    if !live.touched {
                        live.touched = true;
                        touched.push(place.live);
                    }
                    live.top.touch(slot, added.count, row.key.as_str());
                }
            }
        }
        let part = self.part(epoch, rows, new_slots);
        let (mut totals, mut candidates) = (Vec::new(), Vec::new());
        for live in touched {
            let live = &mut self.windows[live];
            let (window, number) = (live.window, live.number);
            totals.push((window, std::mem::take(&mut live.events), std::mem::take(&mut live.keys)));
            live.touched = false;
            if live.top.noted() > 0 {
                let count = |slot| self.panes.count(window.kind, slot, number);
                for change in live.top.update(self.k, count, |slot| self.dictionary.key(slot).as_str()) {
                    let key = self.dictionary.key(change.slot).clone();
                    let of = |count, change| CandidateChange { window: window.id(), key: key.clone(), count, change };
                    candidates.extend(change.before.map(|count| of(count, -1)));
                    candidates.extend(change.after.map(|count| of(count, 1)));
                }
            }
        }
        totals.sort_unstable_by_key(|(window, ..)| window.id());
        Applied { part, totals, candidates }
    }

    fn part(&self, epoch: Epoch, mut rows: Vec<PartRow>, mut new_slots: Vec<(u16, Slot)>) -> Part {
        rows.sort_unstable_by_key(|row| {
            // One number to compare, in the order of the fields.
            let place = u128::from(row.group) << 88 | u128::from(row.local) << 56 | u128::from(row.dimension) << 40;
            place | u128::from(row.minute.0) << 8 | u128::from(row.mask.0)
        });
        rows.dedup_by(|next, kept| {
            let same =
                (next.group, next.local, next.minute, next.mask) == (kept.group, kept.local, kept.minute, kept.mask);
            if same {
                kept.n += next.n;
            }
            same
        });
        // Slots grow as local ids do, so within a group the order is that of the dictionary.
        new_slots.sort_unstable();
        let mut new_keys = KeyArena::default();
        let new_key_groups = new_slots.iter().map(|(group, _)| *group).collect();
        for (_, slot) in new_slots {
            new_keys.push(self.dictionary.key(slot).as_str());
        }
        Part { epoch, worker: self.worker, new_keys, new_key_groups, rows }
    }

    /// Rows the tables lack, as of the last applied epoch; they count as taken from now on.
    pub fn take_rows(&mut self) -> Vec<RowBlock> {
        self.rows_forgotten = false;
        let mut dirty: Vec<(Window, PaneNumber)> = self
            .panes
            .live()
            .filter(|(_, pane)| !pane.dirty.is_empty())
            .map(|(number, pane)| (pane.window, number))
            .collect();
        dirty.sort_unstable();
        let block = |(window, number): (Window, PaneNumber)| {
            let slots = self.panes.take_dirty(number);
            let mut keys = KeyArena::default();
            let counts = slots.iter().map(|slot| self.panes.count(window.kind, *slot, number)).collect();
            for slot in slots {
                keys.push(self.dictionary.key(slot).as_str());
            }
            RowBlock { window, keys, counts }
        };
        dirty.into_iter().map(block).collect()
    }

    /// Forget which rows the tables lack, and note none until [`WindowStore::take_rows`]. Counts stay.
    pub fn forget_rows(&mut self) {
        self.rows_forgotten = true;
        let dirty: Vec<PaneNumber> =
            self.panes.live().filter(|(_, pane)| !pane.dirty.is_empty()).map(|(number, _)| number).collect();
        for number in dirty {
            self.panes.take_dirty(number);
        }
    }

    /// About how many bytes the rows that wait for [`WindowStore::take_rows`] keep occupied: each row as it will be
    /// copied out, and the candidates of their windows, which must stay as long.
    pub fn waiting_bytes(&self) -> u64 {
        const ROW: u64 = 32;
        const CANDIDATE: u64 = 256;
        let row = ROW + self.dictionary.bytes() as u64 / self.dictionary.len().max(1) as u64;
        let of_window = |pane: &crate::panes::Pane| match pane.dirty.len() as u64 {
            0 => 0,
            rows => {
                rows * row + self.windows[self.places[&pane.window.id()].live].top.members().len() as u64 * CANDIDATE
            }
        };
        self.panes.live().map(|(_, pane)| of_window(pane)).sum()
    }

    /// Forget windows that are final under `watermark` and that every follower has. Gives their candidates back, as
    /// leaving.
    pub fn evict(&mut self, watermark: EventTime) -> Vec<CandidateChange> {
        if self.evicted >= Some(watermark) {
            return Vec::new();
        }
        self.evicted = Some(watermark);
        let is_gone = |(_, pane): &(PaneNumber, &crate::panes::Pane)| {
            pane.window.state(Some(watermark), self.allowed_lateness) == WindowState::Final
        };
        let gone: Vec<(PaneNumber, Window)> =
            self.panes.live().filter(is_gone).map(|(number, pane)| (number, pane.window)).collect();
        let mut leaving = Vec::new();
        self.last = (Minute(0), [None; 8]);
        for (number, window) in gone {
            assert!(self.panes.pane(number).dirty.is_empty(), "bug: a window leaves before its rows were taken");
            self.panes.drop_pane(number);
            let place = self.places.remove(&window.id()).expect("the window is live");
            self.free.push(place.live);
            let top = std::mem::take(&mut self.windows[place.live].top);
            leaving.extend(top.members().iter().map(|(slot, count)| CandidateChange {
                window: window.id(),
                key: self.dictionary.key(*slot).clone(),
                count: *count,
                change: -1,
            }));
        }
        leaving
    }

    /// Keys known to this worker.
    pub fn keys(&self) -> usize {
        self.dictionary.len()
    }

    /// Windows in memory.
    pub fn live_windows(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests;

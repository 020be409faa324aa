//! What the reader remembers of windows, bounded: the last good list of each, so that an unchanged board is not read
//! twice and that there is something to show when no store answers, and for a moment what the boards do not have.

use crate::answer::Rendered;
use crate::routes::Shape;
use crate::stores::Listing;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use stream::{Key, WindowId};

/// Answers kept of one list: a few shapes and lengths are asked for again and again.
const RENDERINGS: usize = 4;

const NEVER: u64 = u64::MAX;

/// A list of a window as a store gave it.
pub(crate) struct Shelved {
    /// None has the same.
    identity: u64,
    /// Which store gave the list, or said that there is none.
    pub(crate) source: &'static str,
    /// None: the store knows nothing of the window.
    pub(crate) listing: Option<Listing>,
    /// The board it was read from; none from tables.
    board: Option<Bytes>,
    /// When a store last said so, in monotonic milliseconds.
    seen: AtomicU64,
    /// When the tables last said something older instead, in monotonic milliseconds; [`NEVER`] if not since `seen`.
    outlived: AtomicU64,
    ranks: OnceLock<HashMap<Key, u32>>,
    renderings: Mutex<Vec<(Wanted, Rendered)>>,
}

/// What an answer is made for: its shape, its length, and the list that gives the previous ranks.
pub(crate) type Wanted = (Shape, u32, Option<u64>);

impl Shelved {
    fn new(source: &'static str, listing: Option<Listing>, board: Option<Bytes>, now: Duration) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Shelved {
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
            source,
            listing,
            board,
            seen: AtomicU64::new(millis(now)),
            outlived: AtomicU64::new(NEVER),
            ranks: OnceLock::new(),
            renderings: Mutex::default(),
        }
    }

    /// A list from the tables; none if they know nothing of the window.
    pub(crate) fn from_tables(source: &'static str, listing: Option<Listing>, now: Duration) -> Self {
        Self::new(source, listing, None, now)
    }

    /// A list from these bytes of a board.
    pub(crate) fn from_board(source: &'static str, listing: Listing, board: Bytes, now: Duration) -> Self {
        Self::new(source, Some(listing), Some(board), now)
    }

    /// None has the same.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// Whether it is what this board says.
    pub(crate) fn is_of(&self, board: &Bytes) -> bool {
        self.board.as_ref() == Some(board)
    }

    /// Whether it came from the tables.
    pub(crate) fn is_from_tables(&self) -> bool {
        self.board.is_none()
    }

    /// A store has said the same again.
    pub(crate) fn confirm(&self, now: Duration) {
        self.seen.store(millis(now), Ordering::Relaxed);
        self.outlived.store(NEVER, Ordering::Relaxed);
    }

    /// The tables have said something older: they are behind the boards.
    pub(crate) fn outlive(&self, now: Duration) {
        self.outlived.store(millis(now), Ordering::Relaxed);
    }

    /// Whether the tables' last word is older than this list.
    pub(crate) fn is_outlived(&self) -> bool {
        self.outlived.load(Ordering::Relaxed) != NEVER
    }

    /// How long ago the tables were last asked for it, as far as it tells.
    pub(crate) fn asked(&self, now: Duration) -> Option<Duration> {
        match self.outlived.load(Ordering::Relaxed) {
            NEVER => self.is_from_tables().then(|| self.age(now)),
            outlived => Some(Duration::from_millis(millis(now).saturating_sub(outlived))),
        }
    }

    /// Whether it is as of a later commit than the other.
    pub(crate) fn is_newer_than(&self, other: &Shelved) -> bool {
        let commit = |list: &Shelved| list.listing.as_ref().map(|listing| (listing.generation, listing.epoch));
        commit(self) > commit(other)
    }

    /// How long ago a store last said so.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        Duration::from_millis(millis(now).saturating_sub(self.seen.load(Ordering::Relaxed)))
    }

    /// Ranks by key.
    pub(crate) fn ranks(&self) -> &HashMap<Key, u32> {
        self.ranks.get_or_init(|| {
            let items = self.listing.iter().flat_map(|listing| &listing.items);
            items.map(|(key, _)| key.clone()).zip(1..).collect()
        })
    }

    /// The answer made for this, made now if it is not there yet.
    pub(crate) fn rendered(&self, wanted: Wanted, make: impl FnOnce() -> Rendered) -> Rendered {
        let held = lock(&self.renderings).iter().find(|(of, _)| *of == wanted).map(|(_, rendered)| rendered.clone());
        held.unwrap_or_else(|| {
            let rendered = make();
            let mut held = lock(&self.renderings);
            if held.len() == RENDERINGS {
                held.remove(0);
            }
            held.push((wanted, rendered.clone()));
            rendered
        })
    }

    /// Bytes in memory at most, about: a board, its list, its ranks, its answers.
    fn cost(&self) -> usize {
        let items = self.listing.iter().flat_map(|listing| &listing.items);
        512 + items.map(|(key, _)| (2 + RENDERINGS) * (key.as_str().len() + 64)).sum::<usize>()
    }
}

/// Lists by window. What was not asked for longest makes room.
pub(crate) struct Shelf {
    bytes: usize,
    windows: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    lists: HashMap<WindowId, (Arc<Shelved>, u64)>,
    cost: usize,
    uses: u64,
}

impl Shelf {
    /// At most about so many bytes and exactly so many windows.
    pub(crate) fn new(bytes: usize, windows: usize) -> Self {
        Shelf { bytes, windows, held: Mutex::default() }
    }

    /// What is remembered of a window.
    pub(crate) fn get(&self, window: WindowId) -> Option<Arc<Shelved>> {
        let mut held = lock(&self.held);
        held.uses += 1;
        let uses = held.uses;
        held.lists.get_mut(&window).map(|(list, used)| {
            *used = uses;
            list.clone()
        })
    }

    /// Remember this instead of what was remembered.
    pub(crate) fn put(&self, window: WindowId, list: Arc<Shelved>) {
        let mut held = lock(&self.held);
        let held = &mut *held;
        held.uses += 1;
        held.cost += list.cost();
        if let Some((before, _)) = held.lists.insert(window, (list, held.uses)) {
            held.cost -= before.cost();
        }
        while held.cost > self.bytes || held.lists.len() > self.windows {
            let oldest = held.lists.iter().min_by_key(|(_, (_, used))| *used).map(|(window, _)| *window);
            let Some((gone, _)) = oldest.and_then(|oldest| held.lists.remove(&oldest)) else { return };
            held.cost -= gone.cost();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole before the lock is released.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::listing;
    use stream::{EventTime, WindowState};

    fn id(number: i64) -> WindowId {
        WindowId { kind: 0, start: EventTime::from_millis(number) }
    }

    fn list(keys: usize) -> Arc<Shelved> {
        let names: Vec<String> = (0..keys).map(|key| format!("k{key:04}")).collect();
        let items: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        Arc::new(Shelved::from_tables("sqlite", Some(listing(WindowState::Open, &items)), Duration::ZERO))
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let shelf = Shelf::new(10 * list(1000).cost(), 50);
        for number in 0..100 {
            shelf.put(id(number), list(1000));
            assert!(shelf.get(id(0)).is_some(), "what is asked for stays");
        }
        assert_eq!(lock(&shelf.held).lists.len(), 10);
        assert!(shelf.get(id(99)).is_some() && shelf.get(id(50)).is_none());
        for number in 100..300 {
            shelf.put(id(number), Arc::new(Shelved::from_tables("sqlite", None, Duration::ZERO)));
        }
        assert_eq!(lock(&shelf.held).lists.len(), 50);
        for number in 300..400 {
            shelf.put(id(number % 3), list(1));
        }
        let held = lock(&shelf.held);
        assert_eq!(held.cost, held.lists.values().map(|(list, _)| list.cost()).sum::<usize>());
    }

    #[test]
    fn a_list_larger_than_the_shelf_is_not_kept() {
        let shelf = Shelf::new(1000, 50);
        shelf.put(id(1), list(1000));
        assert!(shelf.get(id(1)).is_none());
        assert_eq!(lock(&shelf.held).cost, 0);
    }

    #[test]
    fn an_age_counts_from_the_last_confirmation() {
        let list = list(1);
        assert_eq!(list.age(Duration::from_secs(5)), Duration::from_secs(5));
        list.confirm(Duration::from_secs(4));
        assert_eq!(list.age(Duration::from_secs(5)), Duration::from_secs(1));
    }
}

//! Boards in this process: empty when it starts, bounded by retention.

use super::store::{Age, Board, BoardStore, Put};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::{Clock, EventTime, Fault, Generation, KindIndex, WindowId};

/// Boards whose time to live is over are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// In JSON a quote inside a text is escaped: only the member itself reads like this.
const FINAL: &[u8] = br#""state":"final""#;

/// Boards in memory. All clones are one board.
#[derive(Clone)]
pub struct MemoryBoard {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Shared {
    entries: HashMap<String, Entry>,
    sweep_at: Duration,
}

struct Entry {
    bytes: Bytes,
    /// Boards alone have these two.
    age: Option<Age>,
    window: Option<WindowId>,
    expires: Option<Duration>,
}

impl MemoryBoard {
    /// An empty board. The clock decides when boards have lived long enough.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MemoryBoard { shared: Arc::default(), clock }
    }

    /// What is stored under a key.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        let now = self.clock.monotonic();
        let shared = self.lock();
        shared.entries.get(key).filter(|entry| entry.lives(now)).map(|entry| entry.bytes.clone())
    }

    /// How many boards and pointers are held.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lose a key.
    #[cfg(test)]
    pub(super) fn remove(&self, key: &str) {
        self.lock().entries.remove(key);
    }

    /// Every change is whole before the lock is released, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn lives(&self, now: Duration) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn is_final(&self) -> bool {
        self.bytes.windows(FINAL.len()).any(|bytes| bytes == FINAL)
    }

    fn plain(text: &str) -> Self {
        Entry { bytes: Bytes::copy_from_slice(text.as_bytes()), age: None, window: None, expires: None }
    }
}

/// The follower's side of a [`MemoryBoard`].
pub(super) struct MemoryStore {
    board: MemoryBoard,
}

impl MemoryStore {
    pub(super) fn new(board: MemoryBoard) -> Self {
        MemoryStore { board }
    }
}

impl BoardStore for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn place(&self) -> String {
        "this process".to_owned()
    }

    /// One process is one incarnation.
    fn guard(&mut self, _owner: &str, _ours: Generation) {}

    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Fault> {
        Ok(keys.iter().map(|key| self.board.get(key)).collect())
    }

    fn put(&mut self, boards: &[Board]) -> Result<Vec<Put>, Fault> {
        let now = self.board.clock.monotonic();
        let mut shared = self.board.lock();
        if now >= shared.sweep_at {
            shared.entries.retain(|_, entry| entry.lives(now));
            shared.sweep_at = now + SWEEP_EVERY;
        }
        let mut put = |board: &Board| {
            let stored = shared.entries.get(&board.key).filter(|entry| entry.lives(now));
            if let Some((entry, stored)) = stored.and_then(|entry| Some((entry, entry.age?)))
                && stored > board.age
            {
                return Put::Refused { stored, is_final: entry.is_final() };
            }
            let entry = Entry {
                bytes: Bytes::copy_from_slice(board.bytes.as_bytes()),
                age: Some(board.age),
                window: Some(board.window),
                expires: board.time_to_live.and_then(|time| now.checked_add(time)),
            };
            shared.entries.insert(board.key.clone(), entry);
            Put::Written
        };
        Ok(boards.iter().map(&mut put).collect())
    }

    fn advance(&mut self, pointers: &[(String, String)]) -> Result<(), Fault> {
        let mut shared = self.board.lock();
        for (key, label) in pointers {
            let ahead = shared.entries.get(key).is_none_or(|stored| &stored.bytes[..] < label.as_bytes());
            if ahead {
                shared.entries.insert(key.clone(), Entry::plain(label));
            }
        }
        Ok(())
    }

    fn swap(&mut self, key: &str, expected: Option<&[u8]>, new: &str) -> Result<bool, Fault> {
        let mut shared = self.board.lock();
        let same = shared.entries.get(key).map(|entry| &entry.bytes[..]) == expected;
        if same {
            shared.entries.insert(key.to_owned(), Entry::plain(new));
        }
        Ok(same)
    }

    fn keep(&mut self, key: &str, text: &str, time_to_live: Duration) -> Result<(), Fault> {
        let expires = self.board.clock.monotonic().checked_add(time_to_live);
        self.board.lock().entries.insert(key.to_owned(), Entry { expires, ..Entry::plain(text) });
        Ok(())
    }

    fn drop_outdated(&mut self, prefix: &str, age: Age) -> Result<u64, Fault> {
        let outdated = |key: &String, entry: &Entry| {
            key.starts_with(prefix) && entry.age.is_some_and(|stored| stored < age) && !entry.is_final()
        };
        let mut shared = self.board.lock();
        let before = shared.entries.len();
        shared.entries.retain(|key, entry| !outdated(key, entry));
        Ok((before - shared.entries.len()) as u64)
    }

    /// Event time may run much faster than the wall clock, and this is memory: what tables no longer keep goes too.
    fn forget(&mut self, kind: KindIndex, before: EventTime) {
        let gone = |entry: &Entry| entry.window.is_some_and(|window| window.kind == kind && window.start < before);
        self.board.lock().entries.retain(|_, entry| !gone(entry));
    }
}

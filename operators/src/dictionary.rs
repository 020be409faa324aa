//! Keys as small numbers. A slot numbers a key within a worker; (group, local id) numbers it within the journal and is
//! never renumbered.

use crate::slots::{Slot, Slots};
use hashbrown::HashTable;
use stream::{KEY_GROUPS, Key, KeyGroup, key_hash};

/// Where a key stands in the table. The low bits of its hash are its key group, of which a worker owns a stretch: by them alone
/// half of the table, with two workers, would be nobody's place, and the other half would overflow.
fn spread(hash: u64) -> u64 {
    hash ^ (hash >> 32)
}

/// All keys a worker has seen.
pub(crate) struct Dictionary {
    table: HashTable<Slot>,
    /// With the local id. Beside the key itself, since whoever finds a key needs it next.
    keys: Slots<(Key, u32)>,
    next_local: Vec<u32>,
    bytes: usize,
}

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary {
            table: HashTable::new(),
            keys: Slots::new(1),
            next_local: vec![0; usize::from(KEY_GROUPS)],
            bytes: 0,
        }
    }
}

impl Dictionary {
    /// The slot of a key, and whether it is new.
    pub(crate) fn intern(&mut self, key: &str, hash: u64) -> (Slot, bool) {
        match self.table.find(spread(hash), |slot| self.keys.get(*slot, 0).0.as_str() == key) {
            Some(slot) => (*slot, false),
            None => (self.add(key, hash), true),
        }
    }

    /// The slots of some keys, with their hashes; none for those that are new. Each key is a miss of the cache in the table and
    /// another at its record: step by step for all of them, the processor waits for many misses at once.
    pub(crate) fn find_all<'a>(
        &self,
        keys: impl Iterator<Item = (&'a str, u64)> + Clone,
        found: &mut Vec<Option<Slot>>,
    ) {
        found.clear();
        found.extend(keys.clone().map(|(_, hash)| self.table.iter_hash(spread(hash)).next().copied()));
        for ((key, hash), found) in keys.zip(found) {
            let is_it = |slot: &Slot| self.keys.get(*slot, 0).0.as_str() == key;
            // Another key may share the few bits of a hash that the table looks at.
            if found.as_ref().is_some_and(|slot| !is_it(slot)) {
                *found = self.table.find(spread(hash), is_it).copied();
            }
        }
    }

    /// A key that is not there yet.
    fn add(&mut self, key: &str, hash: u64) -> Slot {
        let slot = self.keep(key, hash);
        self.enter(hash, slot);
        slot
    }

    /// A key that is not there yet, and is not found before it was entered.
    pub(crate) fn keep(&mut self, key: &str, hash: u64) -> Slot {
        let group = KeyGroup::of_hash(hash).0;
        let local = &mut self.next_local[usize::from(group)];
        let slot = self.keys.add((Key::new(key), *local));
        self.bytes += key.len();
        *local += 1;
        slot
    }

    /// Enter many that were kept, and leave none: one stretch of the table after the other, so that memory is walked once
    /// instead of being missed for each.
    pub(crate) fn enter_all(&mut self, kept: &mut Vec<(u64, Slot)>) {
        const STRETCHES: usize = 1 << 12;
        let places = self.table.num_buckets().next_power_of_two().max(STRETCHES) as u64;
        let stretch = |hash| (spread(hash) & (places - 1)) as usize / (places as usize / STRETCHES);
        let mut next = [0; STRETCHES + 1];
        kept.iter().for_each(|(hash, _)| next[stretch(*hash) + 1] += 1);
        (1..STRETCHES).for_each(|index| next[index] += next[index - 1]);
        let mut in_order = vec![(0, 0); kept.len()];
        for key in kept.drain(..) {
            let place = &mut next[stretch(key.0)];
            in_order[*place] = key;
            *place += 1;
        }
        for (hash, slot) in in_order {
            self.enter(hash, slot);
        }
    }

    fn enter(&mut self, hash: u64, slot: Slot) {
        let keys = &self.keys;
        self.table.insert_unique(spread(hash), slot, |slot| spread(key_hash(keys.get(*slot, 0).0.as_str())));
    }

    /// Make room for so many more keys at once.
    pub(crate) fn reserve(&mut self, keys: usize) {
        let known = &self.keys;
        self.table.reserve(keys, |slot| spread(key_hash(known.get(*slot, 0).0.as_str())));
    }

    pub(crate) fn key(&self, slot: Slot) -> &Key {
        &self.keys.get(slot, 0).0
    }

    pub(crate) fn local(&self, slot: Slot) -> u32 {
        self.keys.get(slot, 0).1
    }

    /// Bytes of all keys together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

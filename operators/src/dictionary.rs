//! Keys as small numbers. A slot numbers a key within a worker; (group, local id) numbers it within the journal and is
//! never renumbered.

use hashbrown::HashTable;
use stream::{KEY_GROUPS, KeyArena, KeyGroup, key_hash};

/// Index of a key within one worker.
pub(crate) type Slot = u32;

/// All keys a worker has seen.
pub(crate) struct Dictionary {
    table: HashTable<Slot>,
    keys: KeyArena,
    groups: Vec<u16>,
    locals: Vec<u32>,
    next_local: Vec<u32>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary {
            table: HashTable::new(),
            keys: KeyArena::default(),
            groups: Vec::new(),
            locals: Vec::new(),
            next_local: vec![0; usize::from(KEY_GROUPS)],
        }
    }
}

impl Dictionary {
    /// The slot of a key, and whether it is new.
    pub(crate) fn intern(&mut self, key: &str, hash: u64) -> (Slot, bool) {
        if let Some(slot) = self.table.find(hash, |slot| self.keys.get(*slot) == key) {
            return (*slot, false);
        }
        let slot = self.keys.push(key);
        let group = KeyGroup::of_hash(hash).0;
        let local = &mut self.next_local[usize::from(group)];
        self.groups.push(group);
        self.locals.push(*local);
        *local += 1;
        let keys = &self.keys;
        self.table.insert_unique(hash, slot, |slot| key_hash(keys.get(*slot)));
        (slot, true)
    }

    pub(crate) fn key(&self, slot: Slot) -> &str {
        self.keys.get(slot)
    }

    pub(crate) fn group(&self, slot: Slot) -> u16 {
        self.groups[slot as usize]
    }

    pub(crate) fn local(&self, slot: Slot) -> u32 {
        self.locals[slot as usize]
    }

    /// Bytes of all keys together.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

//! Local combining: `(key, minute, late mask) → n` within one reader and epoch. A viral key is one row per epoch and
//! never a hot key downstream; the exchange carries rows, not records.

use hashbrown::HashTable;
use stream::{Assignment, DeltaBatch, DeltaRow, Key, KeyGroup, LateMask, Minute, key_hash};

/// Combines until drained.
#[derive(Default)]
pub struct Combiner {
    table: HashTable<u32>,
    rows: Vec<DeltaRow>,
    /// Bytes of keys, which for long ones lie outside their rows.
    key_bytes: usize,
    waiting: Waiting,
}

/// What was added last. Its rows are looked up together: each is a miss of the cache or two, and the processor waits for many
/// at once.
#[derive(Default)]
struct Waiting {
    added: Vec<Added>,
    /// Their keys, end to end.
    keys: String,
    /// Which rows they may be; empty in between.
    found: Vec<Option<u32>>,
}

struct Added {
    hash: u64,
    n: u64,
    minute: Minute,
    mask: LateMask,
    /// Where its key ends.
    end: usize,
}

/// How many wait at most.
const LOOKED_UP_AT_ONCE: usize = 32;

/// The table's hash: the key's, stirred with minute and mask, so that one key's minutes do not collide.
fn row_hash(hash: u64, minute: Minute, mask: LateMask) -> u64 {
    hash ^ (u64::from(minute.0) << 8 | u64::from(mask.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Combiner {
    /// Add `n` for a key in a minute under a late mask. Adding 0 says nothing and leaves no row.
    pub fn add(&mut self, key: &str, minute: Minute, mask: LateMask, n: u64) {
        if n == 0 {
            return;
        }
        self.waiting.keys.push_str(key);
        let end = self.waiting.keys.len();
        self.waiting.added.push(Added { hash: key_hash(key), n, minute, mask, end });
        if self.waiting.added.len() == LOOKED_UP_AT_ONCE {
            self.settle();
        }
    }

    /// Give what waits to its rows.
    fn settle(&mut self) {
        let Combiner { table, rows, key_bytes, waiting: Waiting { added, keys, found } } = self;
        let row_hash_of = |added: &Added| row_hash(added.hash, added.minute, added.mask);
        found.extend(added.iter().map(|added| table.iter_hash(row_hash_of(added)).next().copied()));
        let mut begin = 0;
        for (added, found) in added.drain(..).zip(found.drain(..)) {
            let key = &keys[begin..added.end];
            begin = added.end;
            let Added { hash, n, minute, mask, .. } = added;
            let is_it = |row: &u32| {
                let row = &rows[*row as usize];
                row.hash == hash && row.minute == minute && row.mask == mask && row.key.as_str() == key
            };
            let row = found.filter(is_it).or_else(|| table.find(row_hash(hash, minute, mask), is_it).copied());
            if let Some(row) = row {
                rows[row as usize].n += n;
                continue;
            }
            rows.push(DeltaRow { hash, n, key: Key::new(key), minute, mask });
            *key_bytes += key.len();
            let index = (rows.len() - 1) as u32;
            table.insert_unique(row_hash(hash, minute, mask), index, |row| {
                let row = &rows[*row as usize];
                row_hash(row.hash, row.minute, row.mask)
            });
        }
        keys.clear();
    }

    /// About how many bytes the combined rows take.
    pub fn bytes(&self) -> usize {
        self.rows.len() * size_of::<DeltaRow>() + self.key_bytes + self.waiting.keys.len()
    }

    /// Hand over everything, one batch for each worker that owns any of the keys.
    pub fn drain(&mut self, assignment: Assignment) -> Vec<DeltaBatch> {
        self.settle();
        self.table.clear();
        self.key_bytes = 0;
        if self.rows.is_empty() {
            return Vec::new();
        }
        if assignment.workers() == 1 {
            return vec![DeltaBatch { worker: 0, rows: std::mem::take(&mut self.rows) }];
        }
        let taken = self.rows.len();
        let share = taken / assignment.workers();
        let mut batches: Vec<DeltaBatch> = (0..assignment.workers())
            .map(|worker| DeltaBatch { worker: worker as u32, rows: Vec::with_capacity(share + share / 8) })
            .collect();
        for row in self.rows.drain(..) {
            batches[assignment.worker(KeyGroup::of_hash(row.hash))].rows.push(row);
        }
        // The next epoch has about as many: its rows need not move as they grow, and fresh pages cost as much as they do.
        self.rows.shrink_to(2 * taken);
        batches.retain(|batch| !batch.rows.is_empty());
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn sums_are_kept_and_every_row_reaches_the_owner_of_its_key() {
        for workers in [1, 2, 3, 7] {
            let assignment = Assignment::new(workers);
            let mut combiner = Combiner::default();
            let mut expected = BTreeMap::new();
            for step in 0..20_000u64 {
                let key = format!("k{}", (step * step) % 977);
                let (minute, mask) = (Minute((step % 3) as u32), LateMask((step % 2) as u8));
                combiner.add(&key, minute, mask, step % 5 + 1);
                *expected.entry((key, minute, mask)).or_insert(0) += step % 5 + 1;
            }
            let batches = combiner.drain(assignment);
            assert_eq!(batches.iter().map(|batch| batch.rows.len()).sum::<usize>(), expected.len());
            let mut got = BTreeMap::new();
            for batch in batches {
                for row in &batch.rows {
                    let key = row.key.as_str().to_owned();
                    assert_eq!(assignment.worker(KeyGroup::of(&key)), batch.worker as usize);
                    *got.entry((key, row.minute, row.mask)).or_insert(0) += row.n;
                }
            }
            assert_eq!(got, expected);
            assert!(combiner.bytes() == 0 && combiner.drain(assignment).is_empty());
        }
    }
}

//! Key groups: the fixed buckets in which keys are exchanged, stored and moved between workers.

use serde::{Deserialize, Serialize};

/// How many key groups there are. Fixed for the life of a journal.
pub const KEY_GROUPS: u16 = 1024;

/// The stable hash of a key: XXH3, 64 bits, seed 0, over its UTF-8 bytes. Written into journals by way of the key
/// group, so it can never change within a format version; golden tests hold it.
#[inline]
pub fn key_hash(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

/// XXH3 of bytes with a seed: chained, it is the fingerprint of a record. Stable like [`key_hash`].
pub fn fingerprint(bytes: &[u8], seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

/// One of [`KEY_GROUPS`] buckets: the low ten bits of [`key_hash`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The group of a key with this hash.
    pub fn of_hash(hash: u64) -> Self {
        KeyGroup((hash & u64::from(KEY_GROUPS - 1)) as u16)
    }

    /// The group of a key.
    pub fn of(key: &str) -> Self {
        Self::of_hash(key_hash(key))
    }
}

/// Which worker owns which key group: contiguous ranges, like Flink's key-group ranges. Any number of workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    workers: u32,
}

impl Assignment {
    /// Ranges for `workers` workers, 1 to [`KEY_GROUPS`].
    pub fn new(workers: usize) -> Self {
        assert!(workers >= 1 && workers <= usize::from(KEY_GROUPS), "1 to {KEY_GROUPS} workers");
        Assignment { workers: workers as u32 }
    }

    /// How many workers.
    pub fn workers(&self) -> usize {
        self.workers as usize
    }

    /// The owner of a group.
    pub fn worker(&self, group: KeyGroup) -> usize {
        (u32::from(group.0) * self.workers / u32::from(KEY_GROUPS)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_golden() {
        // XXH3_64bits of the reference implementation, seed 0. A journal depends on these.
        assert_eq!(key_hash(""), 0x2d06_8005_38d3_94c2);
        assert_eq!(key_hash("a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(key_hash("abc"), 0x78af_5f94_892f_3950);
        assert_eq!(KeyGroup::of("abc"), KeyGroup(0x150));
    }

    #[test]
    fn every_worker_owns_a_contiguous_range() {
        for workers in [1, 2, 3, 4, 7, 64, 1024] {
            let assignment = Assignment::new(workers);
            let owners: Vec<usize> = (0..KEY_GROUPS).map(|group| assignment.worker(KeyGroup(group))).collect();
            assert!(owners.is_sorted());
            assert_eq!(owners[0], 0);
            assert_eq!(owners[1023], workers - 1);
            let sizes: Vec<usize> =
                (0..workers).map(|worker| owners.iter().filter(|owner| **owner == worker).count()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }
}

//! Counts on their way: from reader threads to window state ([`DeltaBatch`]), and from window state into the journal
//! ([`Part`]). Only minute-grain sums travel; hours, days and months are added where they are kept.

use crate::{Epoch, Key, KeyArena, LateMask, Minute};
use serde::{Deserialize, Serialize};

/// `(key, minute, late mask) → n` of one reader and epoch, for one worker.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DeltaBatch {
    /// The worker that owns the key groups of these rows.
    pub worker: u32,
    /// Combined rows; a (key, minute, mask) may still repeat.
    pub rows: Vec<DeltaRow>,
}

/// A row of a [`DeltaBatch`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeltaRow {
    /// [`crate::key_hash`] of the key.
    pub hash: u64,
    /// How much to add; never 0.
    pub n: u64,
    /// The key.
    pub key: Key,
    /// The minute of the events.
    pub minute: Minute,
    /// For which window kinds they are late.
    pub mask: LateMask,
}

/// One worker's share of an epoch, as the journal keeps it. Every worker sends one for every epoch, also an empty one:
/// the committer counts them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// The epoch.
    pub epoch: Epoch,
    /// The worker.
    pub worker: u32,
    /// Keys seen for the first time, by group in ascending order; within a group they take the next local ids.
    pub new_keys: KeyArena,
    /// The key group of each new key.
    pub new_key_groups: Vec<u16>,
    /// Rows by (group, local id, minute, mask), each combination once.
    pub rows: Vec<PartRow>,
}

/// A row of a [`Part`]: `(group, local id, dimension, minute, late mask) → n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PartRow {
    /// Key group.
    pub group: u16,
    /// Dictionary id within the group; never renumbered.
    pub local: u32,
    /// Dimension value; 0 until there are dimensions.
    pub dimension: u16,
    /// The minute of the events.
    pub minute: Minute,
    /// For which window kinds they are late.
    pub mask: LateMask,
    /// How much to add; never 0.
    pub n: u64,
}

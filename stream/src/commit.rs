//! What a commit is: the names of a journal record, and the message that tells everyone it is durable.

use crate::{DeadLetter, EventTime, WindowId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A slice of input within one process: timely's timestamp. Starts at 0 with the process and means nothing outside;
/// what is called `epoch` outside is the [`Sequence`] of the epoch's record.
pub type Epoch = u64;

/// Number of a record in the journal's chain. Outside, `epoch`. Only grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// One incarnation of a job. A newer one fences the older.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a journal record's bytes. Shown and serialized as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordHash(pub [u8; 32]);

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for RecordHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a record hash of 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(RecordHash(hash))
    }
}

impl Serialize for RecordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the journal knows of a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionState {
    /// Where reading goes on.
    pub next_offset: i64,
    /// Fingerprint of the last record read; 0 before any.
    pub fingerprint: u64,
    /// W(p); none before the first accepted record.
    pub watermark: Option<EventTime>,
    /// Whether it counts in the job watermark's minimum.
    pub active: bool,
    /// Where it rejoined, for ever: (offset from which the floor holds, the floor).
    pub floors: Vec<(i64, EventTime)>,
}

impl PartitionState {
    /// A partition that does not count in the watermark until it is granted a floor: one that was added to a running
    /// job.
    pub fn held_from(next_offset: i64, fingerprint: u64) -> Self {
        PartitionState { next_offset, fingerprint, watermark: None, active: false, floors: Vec::new() }
    }
}

/// The committer lets an idle or new partition count again, from the next epoch on, judged from this floor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Name of the partition.
    pub partition: Arc<str>,
    /// max(W(p), W) of the epoch that grants; none while W is undefined.
    pub floor: Option<EventTime>,
}

/// A partition's account: `consumed = counted + dead_lettered`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Records read that a read_committed consumer can see.
    pub consumed: u64,
    /// Of these, counted in at least one window.
    pub counted: u64,
    /// Of these, dead letters.
    pub dead_lettered: u64,
    /// Offsets that are missing from the log and that a person accepted as lost; none of them is in `consumed` for it.
    #[serde(default, skip_serializing_if = "is_none_lost")]
    pub lost: u64,
}

/// Accounts without a loss are written as they were before there could be any.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none_lost(lost: &u64) -> bool {
    *lost == 0
}

/// The data message `committed`: epoch `epoch` is durable as record `sequence`. Frontiers never mean this.
/// When nothing changed there is no new record, and `sequence` is the last one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The epoch within this process.
    pub epoch: Epoch,
    /// The incarnation that wrote it.
    pub generation: Generation,
    /// Its record, or the last one when nothing changed.
    pub sequence: Sequence,
    /// That record's hash.
    pub hash: RecordHash,
    /// Whether this epoch has a record of its own.
    pub changed: bool,
    /// Whether the run ends with this epoch.
    pub last: bool,
    /// The job watermark W.
    pub watermark: Option<EventTime>,
    /// Every partition.
    pub partitions: Arc<BTreeMap<Arc<str>, PartitionState>>,
    /// Every partition's account since the journal began.
    pub ledger: Arc<BTreeMap<Arc<str>, LedgerLine>>,
    /// Late records of this epoch by the window they missed.
    pub late: Vec<(WindowId, u64)>,
    /// This epoch's dead letters.
    pub dead_letters: Arc<Vec<DeadLetter>>,
    /// Partitions that may go on.
    pub granted: Vec<Grant>,
    /// Windows final under this watermark have reached every follower and may leave memory.
    pub evictable: Option<EventTime>,
}

impl Commit {
    /// A record that says nothing but its number, in the epoch of that number.
    pub fn empty(generation: Generation, sequence: Sequence) -> Self {
        Commit {
            epoch: sequence.0,
            generation,
            sequence,
            hash: RecordHash::default(),
            changed: true,
            last: false,
            watermark: None,
            partitions: Arc::default(),
            ledger: Arc::default(),
            late: Vec::new(),
            dead_letters: Arc::default(),
            granted: Vec::new(),
            evictable: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back() {
        let hash = RecordHash(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("xyz".parse::<RecordHash>().is_err());
    }
}

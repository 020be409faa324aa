//! What a reader tells the committer about an epoch. Every reader reports every epoch, also one without records.

use crate::{DeadLetter, Epoch, EventTime, WindowId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One reader's epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The epoch.
    pub epoch: Epoch,
    /// The reader; one per worker.
    pub reader: u32,
    /// The run ends with this epoch.
    pub last: bool,
    /// Its partitions that have something to say.
    pub partitions: Vec<PartitionReport>,
    /// Records that cannot be counted, by (partition, offset).
    pub dead_letters: Vec<DeadLetter>,
    /// Late records by the window they missed.
    pub late: Vec<(WindowId, u64)>,
}

/// One partition in a reader's epoch. Counters are of this epoch alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionReport {
    /// Name of the partition.
    pub name: Arc<str>,
    /// Where reading goes on.
    pub next_offset: i64,
    /// XXH3 of the last record's offset, timestamp, key and value; 0 before any.
    pub fingerprint: u64,
    /// W(p) after this epoch, if a record was accepted yet.
    pub watermark: Option<EventTime>,
    /// Records that came to an end: counted or dead.
    pub consumed: u64,
    /// Of these, counted.
    pub counted: u64,
    /// Of these, dead letters.
    pub dead_lettered: u64,
    /// The reader proposes that it is idle, and holds its records from now on.
    pub idle: bool,
    /// It is idle in the journal and has records held: it asks to rejoin.
    pub waiting: bool,
    /// Under `--until-end`: it has been read to its end.
    pub finished: bool,
}

//! All that the tables hold, row by row from one snapshot: what is compared by whoever counts again.

use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{EventTime, Fault, Generation, KindIndex, PartitionState, RecordHash, Sequence};

/// What the tables are as of, by their own word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TablesAsOf {
    /// The incarnation that wrote last.
    pub generation: Generation,
    /// The epoch of every row but the rankings.
    pub epoch: Sequence,
    /// The epoch of the rankings; none before the first.
    pub top_k_epoch: Option<Sequence>,
    /// The hash of that epoch's record.
    pub hash: RecordHash,
    /// The job watermark.
    pub as_of: Option<EventTime>,
    /// The next offset of each partition.
    pub offsets: BTreeMap<Arc<str>, i64>,
    /// Everything that was known of each partition.
    pub partitions: BTreeMap<Arc<str>, PartitionState>,
    /// What the journal began with, as it was remembered at a claim; none where an older program claimed last.
    pub journal: Option<serde_json::Value>,
}

/// A row of any table. Numbers are as they stand there, whatever they are.
#[derive(Clone, PartialEq, Debug)]
pub enum TableRow<'a> {
    /// The row of `topk_progress`; comes first, and nothing else comes where there is none.
    AsOf(TablesAsOf),
    /// A partition's account.
    Ledger {
        /// Name of the partition.
        partition: &'a str,
        /// Records read.
        consumed: i64,
        /// Of these, counted.
        counted: i64,
        /// Of these, dead letters.
        dead_lettered: i64,
        /// Offsets accepted as lost.
        lost: i64,
    },
    /// A key's count in a window.
    Count {
        /// The window's kind.
        kind: KindIndex,
        /// The window's start; [`EventTime::MIN`] for all time.
        start: EventTime,
        /// The key.
        key: &'a str,
        /// Its count.
        count: i64,
    },
    /// A window's state and totals.
    Status {
        /// Name of the window's kind.
        kind: &'a str,
        /// The window's start; [`EventTime::MIN`] for all time.
        start: EventTime,
        /// The window's end; [`EventTime::MAX`] for all time.
        end: EventTime,
        /// `open`, `closed` or `final`.
        state: &'a str,
        /// Sum of all counts.
        events: i64,
        /// How many keys have a count.
        keys: i64,
        /// Records that missed it.
        late: i64,
        /// When the row last changed.
        epoch: i64,
    },
    /// A place of a ranking. Places of one ranking come in the order of their ranks.
    Ranked {
        /// Name of the window's kind.
        kind: &'a str,
        /// Empty for all.
        region: &'a str,
        /// The window's start; [`EventTime::MIN`] for all time.
        start: EventTime,
        /// The window's end; [`EventTime::MAX`] for all time.
        end: EventTime,
        /// From 1.
        rank: i64,
        /// The key.
        key: &'a str,
        /// Its count.
        count: i64,
    },
}

/// Takes rows. A fault ends the reading.
pub type TakeRow<'a> = &'a mut dyn FnMut(TableRow<'_>) -> Result<(), Fault>;

/// A JSON column of `topk_progress`.
pub(crate) fn column<T: serde::de::DeserializeOwned>(name: &str, value: serde_json::Value) -> Result<T, Fault> {
    serde_json::from_value(value).map_err(|error| {
        Fault::failed(format!("cannot read topk_progress.{name}"), error, "look who else writes these tables")
    })
}

pub(crate) const AS_OF: &str = "SELECT generation, epoch, top_k_epoch, commit_hash, as_of, offsets, partitions,
    (SELECT journal FROM {job}) FROM {progress} WHERE shard = 0";
pub(crate) const LEDGER: &str = "SELECT partition, consumed, counted, dead_lettered, lost FROM {ledger}";
pub(crate) const COUNTS: &str = "SELECT window_start, {key}, {events} FROM {counts}";
pub(crate) const COUNTS_ALL_TIME: &str = "SELECT {key}, {events} FROM {counts}";
pub(crate) const STATUS: &str =
    "SELECT \"window\", window_start, window_end, state, {events}, {keys}, late, epoch FROM {status}";
pub(crate) const RANKED: &str = "SELECT period, region, start_time, end_time, rank, {key}, {event_count} FROM {top_k}
    ORDER BY period, region, start_time, rank";

//! Where records come from. A source carries records and does not look inside them; decoding is apart
//! ([`crate::Decode`]). A new source is one file in `sources/` and one line where the job opens sources.

use crate::{Fault, RawRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who the source is, for the genesis record: a journal continues only on the same one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// `kafka`, `file` or `generator`.
    pub kind: String,
    /// Cluster id, or the directory.
    pub cluster: String,
    /// Topic name, or the file pattern.
    pub topic: String,
    /// Topic id where there is one, else empty.
    pub topic_id: String,
}

/// `kafka:CLUSTER:TOPIC:ID`, `file:DIRECTORY:PATTERN:`: how a person names it.
impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SourceIdentity { kind, cluster, topic, topic_id } = self;
        write!(f, "{kind}:{cluster}:{topic}:{topic_id}")
    }
}

/// What a source says of a partition when asked, at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionInfo {
    /// Its name; its identity.
    pub name: Arc<str>,
    /// The first offset that can still be read.
    pub earliest: i64,
    /// The offset after the last one visible to a read_committed consumer.
    pub end: i64,
    /// Where the configured `start` begins, as a number. Used only when nothing is journaled.
    pub start: i64,
}

/// Where a partition ends, asked of whoever holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionEnd {
    /// The offset after everything that was written, visible or not yet.
    pub written: i64,
    /// Where its reader would stand with all that can be given to it now; where it stands, if more is on its way to it.
    pub readable: i64,
}

/// Where to begin in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionPosition {
    /// The partition.
    pub name: Arc<str>,
    /// The first offset to read.
    pub offset: i64,
    /// Fingerprint of the record before it; 0 if there is none.
    pub fingerprint: u64,
}

/// A place that has partitions.
pub trait Source: Send + Sync {
    /// Who it is.
    ///
    /// # Errors
    /// Unreachable within the deadline (a retry helps), or refused.
    fn identity(&self) -> Result<SourceIdentity, Fault>;

    /// Its partitions now, sorted by name.
    ///
    /// # Errors
    /// As [`Source::identity`].
    fn partitions(&self) -> Result<Vec<PartitionInfo>, Fault>;

    /// Of these positions, all of which lie in the log: the partitions that hold another record before the position than
    /// the fingerprint says, because they were cut and filled again, or replaced.
    ///
    /// # Errors
    /// As [`Source::identity`].
    fn replaced(&self, _positions: &[PartitionPosition]) -> Result<Vec<Arc<str>>, Fault> {
        Ok(Vec::new())
    }

    /// Start reading these partitions; their index here is the index in every record. May be empty.
    ///
    /// # Errors
    /// An offset that is not there is refused (exit 3) and names the missing range.
    fn open(&self, assigned: &[PartitionPosition]) -> Result<Box<dyn SourceReader>, Fault>;

    /// How often to look for partitions that were added while it is read; none: it gets no more of them.
    fn look_every(&self) -> Option<Duration> {
        None
    }

    /// Partitions that are there now and are not among these.
    ///
    /// # Errors
    /// As [`Source::identity`].
    fn added(&self, _known: &BTreeSet<Arc<str>>) -> Result<Vec<PartitionInfo>, Fault> {
        Ok(Vec::new())
    }
}

/// One thread's reader. Every method is called from that thread alone.
pub trait SourceReader: Send {
    /// Hand over at most about `limit` records, waiting at most `wait` for the first; no more once `into` is full.
    ///
    /// # Errors
    /// Anything that would lose or skip a record is fatal; transient trouble is waited out inside.
    fn read(&mut self, wait: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault>;

    /// Stop or go on fetching a partition. Records already fetched may still come.
    ///
    /// # Errors
    /// The transport refused.
    fn pause(&mut self, partition: usize, paused: bool) -> Result<(), Fault>;

    /// The end of a partition as the transport last told, for lag; none if unknown.
    fn end(&self, partition: usize) -> Option<i64>;

    /// Ask where a partition ends, for the decisions that it is idle or stands still: nobody may answer from memory, and
    /// reading goes on meanwhile. The answer comes from [`SourceReader::told_ends`], once; never if this transport cannot tell.
    ///
    /// # Errors
    /// The transport failed.
    fn ask_end(&mut self, _partition: usize) -> Result<(), Fault> {
        Ok(())
    }

    /// Answers that have come since the last call: the partition, and where it ends; none if nobody answered in time.
    fn told_ends(&mut self) -> Vec<(usize, Option<PartitionEnd>)> {
        Vec::new()
    }

    /// Read these partitions too; their indices follow on those there are.
    ///
    /// # Errors
    /// As [`Source::open`].
    fn add(&mut self, _added: &[PartitionPosition]) -> Result<(), Fault> {
        let why = "this source has the partitions it began with";
        Err(Fault::failed("cannot add partitions", why, "start the job again: it finds all partitions then"))
    }

    /// Publish progress for outside monitoring only (a consumer group); never used for recovery.
    ///
    /// # Errors
    /// The transport refused; harmless.
    fn publish_progress(&mut self, _next_offsets: &[(usize, i64)]) -> Result<(), Fault> {
        Ok(())
    }
}

/// What a read found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadState {
    /// More may be at hand.
    More,
    /// Nothing at hand now.
    Waiting,
}

/// Takes records in the order of their partition.
pub trait RecordSink {
    /// A record.
    fn record(&mut self, record: &RawRecord<'_>);

    /// Whether it holds so many bytes that it should be given no more records for now.
    fn is_full(&self) -> bool {
        false
    }

    /// Everything visible before `next_offset` has been handed over (transaction markers and blank lines leave holes).
    fn position(&mut self, partition: usize, next_offset: i64);
}

//! A record as the transport delivers it, before anybody has looked inside.

use crate::fingerprint;
use serde::{Deserialize, Serialize};

/// A record header. Names may repeat; a value may be absent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
}

/// A record visible to a read_committed consumer at (partition, offset). Borrowed from the transport's buffers.
pub struct RawRecord<'a> {
    /// Index of the partition among those given to [`crate::Source::open`].
    pub partition: usize,
    /// Where it stands; bytes in a file, messages in Kafka.
    pub offset: i64,
    /// Where reading goes on after it.
    pub next_offset: i64,
    /// The transport's timestamp in milliseconds since 1970, if it has one.
    pub timestamp: Option<i64>,
    /// Whether that timestamp was set by the broker on append (then it is the reference for the future).
    pub append_time: bool,
    /// The transport's key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, built only when somebody asks (dead letters).
    pub headers: &'a dyn Fn() -> Vec<Header>,
}

/// What makes a record itself: a log that was cut and filled again has others at the same offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordIdentity<'a> {
    /// See [`RawRecord::offset`].
    pub offset: i64,
    /// See [`RawRecord::timestamp`].
    pub timestamp: Option<i64>,
    /// See [`RawRecord::key`].
    pub key: Option<&'a [u8]>,
    /// See [`RawRecord::value`].
    pub value: Option<&'a [u8]>,
}

impl RecordIdentity<'_> {
    /// XXH3 of it all; journaled, so it never changes.
    pub fn fingerprint(&self) -> u64 {
        let parts = [self.key.unwrap_or_default(), self.value.unwrap_or_default()];
        let mut hash = fingerprint(&self.offset.to_le_bytes(), 0);
        hash = fingerprint(&self.timestamp.unwrap_or(-1).to_le_bytes(), hash);
        parts.iter().fold(hash, |hash, part| fingerprint(part, hash))
    }
}

impl<'a> RawRecord<'a> {
    /// What makes it itself.
    pub fn identity(&self) -> RecordIdentity<'a> {
        RecordIdentity { offset: self.offset, timestamp: self.timestamp, key: self.key, value: self.value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In journals since format 1.
    #[test]
    fn a_fingerprint_is_what_it_always_was() {
        let of = |offset, timestamp, key: Option<&[u8]>, value: Option<&[u8]>| {
            RecordIdentity { offset, timestamp, key, value }.fingerprint()
        };
        let own = of(7, Some(1_760_882_400_000), Some(b"key"), Some(b"value"));
        assert_eq!(own, GOLDEN);
        for other in [
            of(8, Some(1_760_882_400_000), Some(b"key"), Some(b"value")),
            of(7, Some(1_760_882_400_001), Some(b"key"), Some(b"value")),
            of(7, None, Some(b"key"), Some(b"value")),
            of(7, Some(1_760_882_400_000), Some(b"ke"), Some(b"yvalue")),
            of(7, Some(1_760_882_400_000), Some(b"key"), Some(b"valuf")),
        ] {
            assert_ne!(own, other);
        }
    }

    const GOLDEN: u64 = 1_857_933_812_768_421_518;
}

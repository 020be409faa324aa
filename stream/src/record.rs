//! A record as the transport delivers it, before anybody has looked inside.

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

//! Records that cannot be counted, kept whole and named by why (contract, "Kafka event").

use crate::Header;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Why a record is a dead letter. Checked in this order; the order and the names are part of the contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadCode {
    /// A record without a value.
    Null,
    /// A value of 0 bytes.
    Empty,
    /// More than `event.max_bytes`.
    Oversized,
    /// Not UTF-8.
    NotUtf8,
    /// Not one JSON value with nothing after it.
    NotJson,
    /// JSON, but not an object.
    NotObject,
    /// No member that names the key, or null.
    KeyMissing,
    /// The key is not a string of 1 to `event.max_key_bytes` bytes without U+0000.
    KeyInvalid,
    /// No time in the record and none from the transport.
    TimeMissing,
    /// A time that is not in the accepted forms or outside 1970 to 9999.
    TimeInvalid,
    /// Further ahead than `time.max_future_skew`.
    TimeFuture,
}

impl DeadCode {
    /// All codes in the order of their checks.
    pub const ALL: [DeadCode; 11] = [
        DeadCode::Null,
        DeadCode::Empty,
        DeadCode::Oversized,
        DeadCode::NotUtf8,
        DeadCode::NotJson,
        DeadCode::NotObject,
        DeadCode::KeyMissing,
        DeadCode::KeyInvalid,
        DeadCode::TimeMissing,
        DeadCode::TimeInvalid,
        DeadCode::TimeFuture,
    ];

    /// The name outside.
    pub const fn name(self) -> &'static str {
        match self {
            DeadCode::Null => "null",
            DeadCode::Empty => "empty",
            DeadCode::Oversized => "oversized",
            DeadCode::NotUtf8 => "not_utf8",
            DeadCode::NotJson => "not_json",
            DeadCode::NotObject => "not_object",
            DeadCode::KeyMissing => "key_missing",
            DeadCode::KeyInvalid => "key_invalid",
            DeadCode::TimeMissing => "time_missing",
            DeadCode::TimeInvalid => "time_invalid",
            DeadCode::TimeFuture => "time_future",
        }
    }
}

impl fmt::Display for DeadCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A dead letter with everything the record had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Why.
    pub code: DeadCode,
    /// The same in a sentence, for people.
    pub detail: String,
    /// Name of the source partition.
    pub partition: Arc<str>,
    /// Where the record stands in it.
    pub offset: i64,
    /// The transport's timestamp, if any.
    pub timestamp: Option<i64>,
    /// The transport's key.
    pub key: Option<Vec<u8>>,
    /// The value, untouched.
    pub value: Option<Vec<u8>>,
    /// The headers, untouched and in order.
    pub headers: Vec<Header>,
}

impl DeadLetter {
    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> u64 {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|header| size_of::<Header>() + header.name.len() + of(&header.value));
        let own = size_of::<Self>() + self.detail.len() + of(&self.key) + of(&self.value);
        (own + headers.sum::<usize>()) as u64
    }
}

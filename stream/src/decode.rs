//! From bytes to an event. A new format is one file in `sources/` and one line where the job picks a format.

use crate::{DeadCode, EventTime};
use std::borrow::Cow;

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The key it counts for.
    pub key: Cow<'a, str>,
    /// When it happened; none if the record does not say (then the transport's timestamp decides).
    pub time: Option<EventTime>,
    /// How much it adds; 1 for a count.
    pub n: u64,
}

/// Why a record is not an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The code.
    pub code: DeadCode,
    /// The same in a sentence.
    pub detail: String,
}

/// A decoder. Pure: the same bytes give the same answer, whatever came before.
pub trait Decode: Send {
    /// Decode a record's value; none is a record without one.
    ///
    /// # Errors
    /// The first check that fails, in the order of [`DeadCode`]; never `TimeFuture`, which needs a clock.
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Rejection>;
}

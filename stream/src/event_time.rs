//! When an event happened, as the record says. Data, never timely's timestamp.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. Display is RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(i64);

impl EventTime {
    /// Before every event: the start of the window without a start.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every event: the end of the window without an end.
    pub const MAX: EventTime = EventTime(i64::MAX);
    /// The last instant a record may carry: 9999-12-31T23:59:59.999Z (contract, "Kafka event").
    pub const LAST_VALID: EventTime = EventTime(253_402_300_799_999);

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        EventTime(millis)
    }

    /// A record's own time: 1970 to 9999, or none.
    #[inline]
    pub fn valid(millis: i64) -> Option<Self> {
        (0..=Self::LAST_VALID.0).contains(&millis).then_some(EventTime(millis))
    }

    /// Read RFC 3339, as [`EventTime`] shows it or with an offset.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| EventTime(at.as_millisecond()))
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The minute that holds this instant. Only for instants a record may carry.
    #[inline]
    pub fn minute(self) -> Minute {
        assert!(self.0 >= 0, "event times before 1970 are dead letters");
        Minute(u32::try_from(self.0 / 60_000).expect("event times end with the year 9999"))
    }

    /// Earlier by `by`; stays at [`EventTime::MIN`] and [`EventTime::MAX`].
    #[inline]
    pub fn minus(self, by: Duration) -> Self {
        if self == Self::MAX { self } else { EventTime(self.0.saturating_sub(millis(by))) }
    }

    /// Later by `by`; stays at [`EventTime::MIN`] and [`EventTime::MAX`] (Flink: the clean-up time must not overflow).
    #[inline]
    pub fn plus(self, by: Duration) -> Self {
        if self == Self::MIN { self } else { EventTime(self.0.saturating_add(millis(by))) }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) if self.0 < 0 => f.write_str("-infinity"),
            Err(_) => f.write_str("infinity"),
        }
    }
}

/// Minutes since 1970: the grain in which counts travel. Every window's boundary is a whole minute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minute(pub u32);

impl Minute {
    /// The minute's first instant.
    pub fn start(self) -> EventTime {
        EventTime(i64::from(self.0) * 60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339_and_saturates() {
        assert_eq!(EventTime::from_millis(1_760_882_400_000).to_string(), "2025-10-19T14:00:00Z");
        assert_eq!(EventTime::from_millis(1_760_882_400_250).to_string(), "2025-10-19T14:00:00.25Z");
        assert_eq!(EventTime::MAX.plus(Duration::from_secs(1)), EventTime::MAX);
        assert_eq!(EventTime::MAX.minus(Duration::from_secs(1)), EventTime::MAX);
        assert_eq!(EventTime::MAX.to_string(), "infinity");
        assert_eq!(EventTime::LAST_VALID.minute().0, 4_223_371_679);
    }

    #[test]
    fn a_record_may_carry_1970_to_9999() {
        assert!(EventTime::valid(-1).is_none());
        assert!(EventTime::valid(0).is_some());
        assert!(EventTime::valid(253_402_300_799_999).is_some());
        assert!(EventTime::valid(253_402_300_800_000).is_none());
    }
}

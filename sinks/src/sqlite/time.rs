//! Instants as SQLite text: RFC 3339 in UTC. All windows begin on whole minutes, so that the text sorts by time.

use stream::{EventTime, Fault};

/// An instant as text; before and after all time is ''.
pub(super) fn text(at: EventTime) -> String {
    if at == EventTime::MIN || at == EventTime::MAX { String::new() } else { at.to_string() }
}

/// The instant that such a text names; '' is `unbounded`.
pub(super) fn instant(text: &str, unbounded: EventTime) -> Result<EventTime, Fault> {
    if text.is_empty() {
        return Ok(unbounded);
    }
    text.parse::<jiff::Timestamp>().map(|at| EventTime::from_millis(at.as_millisecond())).map_err(|error| {
        Fault::failed("cannot read a time from the tables", error, "look who else writes these tables")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_back() {
        for at in [EventTime::from_millis(1_760_882_400_250), EventTime::from_millis(0), EventTime::MIN] {
            assert_eq!(instant(&text(at), EventTime::MIN), Ok(at));
        }
        assert_eq!(text(EventTime::MAX), "");
        assert!(instant("yesterday", EventTime::MIN).is_err());
    }
}

//! Rows that are let go before tables are built up again from the journal, which a person has accepted.

use std::time::Duration;
use stream::{EventTime, Forget};

/// Ends of windows whose counts and rankings go: after the first and up to the second. None: everything goes.
pub(crate) fn ends(rows: Forget, as_of: Option<EventTime>, lateness: Duration) -> Option<(EventTime, EventTime)> {
    let Forget::FinalBy(until) = rows else { return None };
    // Final by a watermark are windows whose end plus lateness it has reached. Rows as of no watermark are of no final one.
    let last_end = |watermark: Option<EventTime>| watermark.map_or(EventTime::MIN, |at| at.minus(lateness));
    Some((last_end(as_of), last_end(until)))
}

/// Counts of one kind and rankings of its windows. `$1` or `?1` is the kind's name, then the bounds of their ends.
pub(crate) const ENDED: &str =
    "SELECT window_start FROM {status} WHERE \"window\" = $1 AND window_end > $2 AND window_end <= $3";
/// All rows, of every table but that of the owner.
pub(crate) const TABLES: [&str; 4] = ["{status}", "{top_k}", "{ledger}", "{progress}"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_became_final_in_between_go() {
        let at = EventTime::from_millis;
        let lateness = Duration::from_millis(60);
        assert_eq!(ends(Forget::Everything, Some(at(1000)), lateness), None);
        assert_eq!(ends(Forget::FinalBy(Some(at(5000))), Some(at(1000)), lateness), Some((at(940), at(4940))));
        assert_eq!(ends(Forget::FinalBy(Some(at(5000))), None, lateness), Some((EventTime::MIN, at(4940))));
        assert_eq!(ends(Forget::FinalBy(None), Some(at(1000)), lateness), Some((at(940), EventTime::MIN)), "none");
    }
}

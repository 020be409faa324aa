//! How far back rows are kept: counted from the watermark, never from the wall clock: a replay decides the same.

use std::time::Duration;
use stream::{EventTime, KindIndex, Span, Windows};

/// Start of the oldest window of a kind that is kept: the one that holds `watermark - retention`. Windows tile time, so
/// every earlier one ends at or before that instant and has expired. None while nothing can expire.
pub(crate) fn oldest_kept(
    windows: &Windows,
    kind: KindIndex,
    retention: Option<Duration>,
    watermark: Option<EventTime>,
) -> Option<EventTime> {
    if windows.kind(kind).span == Span::AllTime {
        return None;
    }
    let cut = watermark?.minus(retention?);
    // Events begin with 1970: before it there is nothing to expire, and calendars need not reach that far.
    (cut.millis() >= 0).then(|| windows.window(kind, cut).start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream::{WindowKind, Zone};

    #[test]
    fn a_window_is_kept_while_it_ends_after_the_cut() {
        let kinds = ["hour", "all_time"].map(|name| WindowKind::named(name).unwrap()).to_vec();
        let windows = Windows::new(kinds, Zone::utc()).unwrap();
        let hour = 3_600_000;
        let kept = |kind, watermark: i64| {
            let retention = Some(Duration::from_millis(2 * hour as u64));
            oldest_kept(&windows, kind, retention, Some(EventTime::from_millis(watermark))).map(EventTime::millis)
        };
        assert_eq!(kept(0, 5 * hour - 1), Some(2 * hour), "[2, 3) ends after 2:59:59.999");
        assert_eq!(kept(0, 5 * hour), Some(3 * hour), "[2, 3) ends at 3:00, no longer after it");
        assert_eq!(kept(0, hour), None);
        assert_eq!(kept(1, 5 * hour), None, "all time never expires");
        let most = Some(Duration::MAX);
        assert_eq!(oldest_kept(&windows, 0, most, Some(EventTime::from_millis(hour))), None);
        assert_eq!(oldest_kept(&windows, 0, most, None), None);
    }
}

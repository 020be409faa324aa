//! Which list from the tables becomes a board again: only one that can never change, and only whole. Decisions only.

use crate::stores::Listing;
use stream::{Blob, EventTime, WallTime, Window, WindowState, Windows};

/// The board of a final list; none of a list that may change, or of which the tables did not say everything.
pub(crate) fn blob(
    listing: &Listing,
    window: Window,
    windows: &Windows,
    job: &str,
    k: u32,
    now: WallTime,
) -> Option<Blob> {
    let is_whole = listing.items.len() as u64 == listing.total_keys.min(u64::from(k));
    if listing.state != Some(WindowState::Final) || listing.items.is_empty() || !is_whole {
        return None;
    }
    let start = (window.start != EventTime::MIN).then_some(window.start);
    Some(Blob {
        job: job.to_owned(),
        generation: listing.generation?,
        epoch: listing.epoch?,
        window: windows.kind(window.kind).name.clone(),
        window_start: start,
        window_end: start.map(|_| window.end),
        state: WindowState::Final,
        as_of: listing.as_of,
        published_at: EventTime::from_millis(now.0),
        k,
        total_events: listing.total_events,
        total_keys: listing.total_keys,
        items: listing.items.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{listing, settings, window};

    #[test]
    fn only_a_final_and_whole_list_goes_back() {
        let (windows, now) = (settings().windows, WallTime(1_760_882_700_000));
        let hour = window("hour", "2025-10-19T13:05:00Z");
        let of = |listing: &Listing| blob(listing, hour, &windows, "song-plays", 2, now);
        let whole = listing(WindowState::Final, &[("s1", 9), ("s2", 7)]);
        let board = of(&whole).unwrap();
        assert_eq!((board.items.len(), board.k, board.window.as_str()), (2, 2, "hour"));
        assert_eq!(board.window_start, Some(hour.start));
        for state in [WindowState::Open, WindowState::Closed] {
            assert!(of(&Listing { state: Some(state), ..whole.clone() }).is_none());
        }
        assert!(of(&Listing { total_keys: 3, ..whole.clone() }).is_some(), "two of three are all of K");
        assert!(of(&Listing { items: whole.items[..1].to_vec(), ..whole.clone() }).is_none(), "one of two is not");
        assert!(of(&Listing { generation: None, ..whole.clone() }).is_none());
        assert!(of(&Listing { items: Vec::new(), total_keys: 0, ..whole }).is_none());
    }
}

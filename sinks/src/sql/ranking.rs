//! A ranking as the tables answer it.

use super::flush::bigint;
use stream::{EventTime, Fault, Generation, Key, Ranking, Sequence, WindowState, WindowTotals};

/// The top of one window, read in one snapshot: state, totals and entries are all as of `epoch`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableRanking {
    /// Open, closed or final.
    pub state: WindowState,
    /// Totals over all keys, not the K alone.
    pub totals: WindowTotals,
    /// Count descending, then key ascending, bytewise. At most as many as asked for.
    pub entries: Vec<(Key, u64)>,
    /// The epoch of the snapshot.
    pub epoch: Sequence,
    /// The incarnation that wrote it.
    pub generation: Generation,
    /// The job watermark of that epoch.
    pub as_of: Option<EventTime>,
}

/// A window's state by its name in the tables.
pub(crate) fn state_named(name: &str) -> Result<WindowState, Fault> {
    [WindowState::Open, WindowState::Closed, WindowState::Final]
        .into_iter()
        .find(|state| state.to_string() == name)
        .ok_or_else(|| {
            Fault::failed(
                "cannot read window_status",
                format!("\"{name}\" is not a window state"),
                "look who else writes these tables",
            )
        })
}

/// Rank from 1 and count of each entry.
///
/// # Errors
/// A count that no bigint holds.
pub(crate) fn ranked(ranking: &Ranking) -> Result<Vec<(i32, &str, i64)>, Fault> {
    let entries = ranking.entries.iter().zip(1..);
    entries
        .map(|((key, count), rank)| Ok((rank, key.as_str(), bigint(*count, || format!("the count of \"{key}\""))?)))
        .collect()
}

//! What followers are given: rows of counts, the state of windows, and rankings.

use crate::{EventTime, Key, KeyArena, Window, WindowId, WindowState};
use serde::{Deserialize, Serialize};

/// Changed counts of one window: absolute values as of one epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowBlock {
    /// The window.
    pub window: Window,
    /// The keys.
    pub keys: KeyArena,
    /// The count of each key; never 0.
    pub counts: Vec<u64>,
}

/// A window's totals over all keys, kept apart from panes for as long as the window is retained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WindowTotals {
    /// Sum of all counts.
    pub events: u64,
    /// How many keys have a count.
    pub keys: u64,
    /// Records that missed this window.
    pub late: u64,
}

/// A window as the status table shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowStatus {
    /// The window.
    pub window: Window,
    /// Open, closed or final.
    pub state: WindowState,
    /// Its totals.
    pub totals: WindowTotals,
}

/// The exact top K of a window at one epoch: count descending, then key ascending, bytewise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ranking {
    /// The window.
    pub window: Window,
    /// Open, closed or final.
    pub state: WindowState,
    /// Totals over all keys, not the K alone.
    pub totals: WindowTotals,
    /// At most K entries.
    pub entries: Vec<(Key, u64)>,
}

impl Ranking {
    /// The window's name.
    pub fn id(&self) -> WindowId {
        self.window.id()
    }

    /// Start of the window; none for all time.
    pub fn start(&self) -> Option<EventTime> {
        (self.window.start != EventTime::MIN).then_some(self.window.start)
    }
}

//! Window state of one key group at rest: what a journal's base and deltas fold into, and what a worker loads.

use crate::{EventTime, KeyArena, KeyGroup, KindIndex};
use serde::{Deserialize, Serialize};

/// One key group's keys and panes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupState {
    /// The group.
    pub group: KeyGroup,
    /// Its keys; the index is the local dictionary id.
    pub keys: KeyArena,
    /// Panes that may still change or that a follower has not, by (local id, kind, start).
    pub panes: Vec<PaneCell>,
}

/// One key in one window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PaneCell {
    /// Dictionary id within the group.
    pub local: u32,
    /// The window's kind.
    pub kind: KindIndex,
    /// The window's start.
    pub start: EventTime,
    /// The count; never 0.
    pub count: u64,
    /// The tables do not have this value yet.
    pub dirty: bool,
}

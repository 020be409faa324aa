//! What operators tell the runtime about an epoch: its close, changed totals, changed rows, changed rankings.

use crate::{EventTime, Key, RowBlock, Window, WindowId};
use serde::{Deserialize, Serialize};

/// The close of an epoch, given once per epoch and worker by its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// What becomes of the rows that the tables lack, once this epoch is applied.
    pub rows: RowOrder,
}

/// What workers do with the rows that they have noted for the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum RowOrder {
    /// Go on noting.
    #[default]
    Keep,
    /// Copy them out, and note what changes from now on.
    Take,
    /// Forget them, and note nothing until the next [`RowOrder::Take`]: they are too many to wait in memory, and the
    /// journal has them.
    Forget,
}

/// What an epoch did to a window's totals on one worker, or that windows have left memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WindowChange {
    /// Events and keys to add.
    Added {
        /// The window.
        window: Window,
        /// Events.
        events: u64,
        /// Keys that had no count before.
        keys: u64,
    },
    /// Windows final under this watermark leave: their candidates' leaving is no change of a ranking.
    Evicted(EventTime),
}

/// One worker's answer to a [`RowOrder`], as of the epoch it is sent at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowFlush {
    /// The worker.
    pub worker: u32,
    /// The order.
    pub order: RowOrder,
    /// Rows by window; only where they were to be taken.
    pub blocks: Vec<RowBlock>,
    /// Bytes of memory that rows noted since then, or not taken yet, keep occupied.
    pub waiting: u64,
}

/// What changed in a window's global top K: an entry came (+1) or went (-1). A moved key is one of each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RankedChange {
    /// The window.
    pub window: WindowId,
    /// The key.
    pub key: Key,
    /// Its count.
    pub count: u64,
    /// +1 or -1.
    pub change: i64,
}

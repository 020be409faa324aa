//! What a job tells the boards.

use super::redis::RedisAddress;
use std::time::Duration;
use stream::{Vocabulary, Windows};

/// Where boards live, how they are named, and for how long.
#[derive(Clone, Debug)]
pub struct BoardSettings {
    /// The job that owns the boards.
    pub job: String,
    /// Where Redis is; unused in memory.
    pub redis: RedisAddress,
    /// First part of every key.
    pub prefix: String,
    /// What events and keys are called.
    pub words: Vocabulary,
    /// The window kinds.
    pub windows: Windows,
    /// By kind: how long a board lives after each write; none keeps it for ever.
    pub retention: Vec<Option<Duration>>,
    /// Entries of a board.
    pub k: u32,
    /// A publish at most this often.
    pub publish_every: Duration,
    /// Whether tables have every list too: then an outdated board is worse than none.
    pub tables_beside: bool,
}

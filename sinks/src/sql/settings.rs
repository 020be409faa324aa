//! What a job tells the SQL stores.

use std::time::Duration;
use stream::{Vocabulary, Wants, Windows};

/// Where tables live, how they are named, and how long their rows stay.
#[derive(Clone, Debug)]
pub struct TablesSettings {
    /// The job that owns the tables.
    pub job: String,
    /// Where Postgres is; unused by SQLite.
    pub url: String,
    /// The Postgres schema that holds the tables; unused by SQLite.
    pub schema: String,
    /// First part of the count tables' names.
    pub table_prefix: String,
    /// The column that holds the key.
    pub key_column: String,
    /// What events and keys are called.
    pub words: Vocabulary,
    /// The window kinds: one count table for each.
    pub windows: Windows,
    /// By kind: how long behind the watermark rows are kept; none keeps them for ever.
    pub retention: Vec<Option<Duration>>,
    /// How long after its end a window takes records.
    pub allowed_lateness: Duration,
    /// Entries of a ranking.
    pub k: u32,
    /// A flush at most this often.
    pub flush_every: Duration,
    /// Rankings at most this often.
    pub top_k_every: Duration,
}

impl TablesSettings {
    pub(crate) fn wants(&self) -> Wants {
        Wants {
            counts: true,
            rankings_every: Some(self.top_k_every),
            dead_letters: false,
            every: self.flush_every,
            refresh_every: None,
        }
    }
}

//! What a job calls its things. The framework counts events by key; only the job says "views" of "videos", and every
//! name outside (columns, JSON members, routes) comes from these four words.

use serde::{Deserialize, Serialize};

/// Singular and plural of the event and of the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vocabulary {
    /// One event: `play`.
    pub event: String,
    /// Several: `plays`. Column of counts; `total_plays` in boards; route `/plays/top-k`.
    pub events: String,
    /// One key: `song`. `songId` in answers.
    pub key: String,
    /// Several: `songs`. Table `top_k_songs`; `total_songs` in boards.
    pub keys: String,
}

impl Vocabulary {
    /// The four words.
    pub fn new(event: &str, events: &str, key: &str, keys: &str) -> Self {
        Vocabulary { event: event.into(), events: events.into(), key: key.into(), keys: keys.into() }
    }
}

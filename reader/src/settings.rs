//! What a reader is told by whoever starts it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stream::{Clock, Vocabulary, Windows};

/// Renders the process's metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What a reader must know to answer.
#[derive(Clone)]
pub struct ReaderSettings {
    /// Name of the job whose lists are shown; the page's title says it.
    pub job: String,
    /// The words of routes and members.
    pub words: Vocabulary,
    /// The configured window kinds and their zone.
    pub windows: Windows,
    /// Prefix of boards and pointers (`topk`).
    pub prefix: String,
    /// `topk.k`: the greatest K that may be asked for.
    pub k: u32,
    /// By kind: how long a final board lives that is put back; none keeps it for ever.
    pub retention: Vec<Option<Duration>>,
    /// Tells how old what is remembered is.
    pub clock: Arc<dyn Clock>,
    /// Version of the program, for `/openapi.json`.
    pub version: String,
    /// Text behind `/metrics`.
    pub render_metrics: RenderMetrics,
    /// Bounds on what a client and a store may take.
    pub limits: Limits,
}

impl fmt::Debug for ReaderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderSettings")
            .field("job", &self.job)
            .field("words", &self.words)
            .field("prefix", &self.prefix)
            .field("k", &self.k)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds on what one client or one store may take of the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// From the first wait for a request to the end of its headers; so also how long an idle connection stays open.
    pub headers: Duration,
    /// Bytes of request line and headers.
    pub header_bytes: usize,
    /// Age at which a connection finishes its request and closes. Bounds how long a client that reads slowly can stay.
    pub connection_age: Duration,
    /// How long an answer may take in all.
    pub answer: Duration,
    /// How long one question to the boards may take.
    pub boards: Duration,
    /// How long one question to the tables may take.
    pub tables: Duration,
    /// How long what the boards do not have is not asked of the tables again.
    pub misses: Duration,
    /// How old a list may be that is shown because no store answers.
    pub last_good: Duration,
    /// Bytes of lists remembered, about and at most.
    pub shelf_bytes: usize,
    /// Windows remembered, with a list or without one.
    pub shelf_windows: usize,
    /// How long open requests may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1024,
            headers: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            connection_age: Duration::from_secs(300),
            answer: Duration::from_secs(5),
            boards: Duration::from_secs(1),
            tables: Duration::from_secs(2),
            misses: Duration::from_secs(1),
            last_good: Duration::from_secs(3600),
            shelf_bytes: 64 << 20,
            shelf_windows: 4096,
            drain: Duration::from_secs(5),
        }
    }
}

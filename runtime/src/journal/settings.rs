//! What the journal must know of the job, and how patient it is with its store.

use std::time::Duration;
use stream::{TimeRules, Windows};

/// What decides folding, compaction and deletion. All of it is settings; the wall clock is apart.
#[derive(Clone, Debug)]
pub struct JournalSettings {
    /// The job's name; a journal of another job is refused.
    pub job: String,
    /// The job's windows, as in the genesis record.
    pub windows: Windows,
    /// When windows become final, as in the genesis record.
    pub rules: TimeRules,
    /// For each window kind, by index: how long totals are kept, counted back from the watermark; none is for ever.
    pub retention: Vec<Option<Duration>>,
    /// How long compacted records are kept (`journal.retain`).
    pub retain: Duration,
    /// Compact for want of room beyond this many bytes, and be full when that does not help (`journal.max_bytes`).
    pub max_bytes: u64,
    /// Compact after this many records.
    pub compact_records: usize,
    /// Do not compact for fewer bytes than this, however small the base is.
    pub compact_bytes: u64,
    /// The followers whose acknowledgements hold back what compaction may drop.
    pub followers: Vec<(String, Hold)>,
    /// How patient to be with the store.
    pub patience: Patience,
    /// How many threads read and fold at once, at most; as many as there are cores.
    pub threads: usize,
}

impl JournalSettings {
    /// The usual: 256 records, 4 MiB, an hour, no bound, no followers, everything kept for ever.
    pub fn new(job: &str, windows: Windows, rules: TimeRules) -> Self {
        JournalSettings {
            job: job.to_owned(),
            retention: vec![None; windows.len()],
            windows,
            rules,
            retain: Duration::from_secs(3600),
            max_bytes: u64::MAX,
            compact_records: 256,
            compact_bytes: 4 << 20,
            followers: Vec::new(),
            patience: Patience::default(),
            threads: usize::MAX,
        }
    }
}

/// What a follower that lags behind keeps in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// Panes and records, however long it takes: tables.
    Always,
    /// Panes and records, but no longer than `journal.retain`: boards, which the tables can stand in for.
    WithinRetain,
    /// Records only: dead letters.
    Records,
}

/// How store operations are retried. Every attempt has a deadline; the pause doubles from `first` to `most`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Deadline of one attempt.
    pub deadline: Duration,
    /// Attempts before the fault is handed up.
    pub attempts: u32,
    /// The same once state is loaded and the job runs: then waiting costs less than another start.
    pub attempts_running: u32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            deadline: Duration::from_secs(20),
            attempts: 60,
            attempts_running: 60,
            first: Duration::from_millis(10),
            most: Duration::from_secs(1),
        }
    }
}

impl Patience {
    /// With a bucket that refuses at once: about half a minute at a start, about an hour once the job runs.
    pub fn with_a_bucket() -> Self {
        Patience {
            deadline: Duration::from_secs(30),
            attempts: 20,
            attempts_running: 1800,
            first: Duration::from_millis(50),
            most: Duration::from_secs(2),
        }
    }
}

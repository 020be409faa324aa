//! The watcher: looks at tables, boards and the job while the round runs, and holds what it finds against what it has seen
//! before and what the log is known to hold.

use crate::boards::Boards;
use crate::checks::Checks;
use crate::oracle::Oracle;
use crate::tables::Tables;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use stream::{Clock, SystemClock};

/// Whom to watch, and what is known.
#[derive(Clone)]
pub(crate) struct Watched {
    /// The job's name, schema and prefix.
    pub(crate) name: String,
    pub(crate) k: u64,
    pub(crate) endpoints: PathBuf,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) losses: Arc<AtomicU64>,
    pub(crate) clock: SystemClock,
}

/// The most that the job's process has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Most {
    pub(crate) resident_mib: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

/// More is a leak, in rounds of this size.
const BOUND: Most = Most { resident_mib: 1024, files: 400, threads: 120 };

/// A watcher at work.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Most>,
}

impl Watcher {
    pub(crate) fn start(watched: Watched, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut tables, mut boards, mut most) = (Tables::default(), Boards::default(), Most::default());
            while !is_over.load(Ordering::Acquire) {
                let began = watched.clock.monotonic();
                // Boards first: then the tables' look is not the older one of the two.
                let shown = boards.look(&watched);
                tables.look(&watched, &shown);
                resources(&watched, &mut most);
                let rest = every.saturating_sub(watched.clock.monotonic() - began);
                std::thread::sleep(rest.max(every / 4));
            }
            most
        });
        Watcher { stop, thread }
    }

    /// Stop watching.
    pub(crate) fn stop(self) -> Most {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the watcher does not panic")
    }
}

fn resources(watched: &Watched, most: &mut Most) {
    let Some(found) = of_process(watched) else { return };
    let held = found.resident_mib <= BOUND.resident_mib && found.files <= BOUND.files && found.threads <= BOUND.threads;
    watched.checks.hold("memory, files and threads are bounded", held, || format!("{found:?}, bounds {BOUND:?}"));
    most.resident_mib = most.resident_mib.max(found.resident_mib);
    most.files = most.files.max(found.files);
    most.threads = most.threads.max(found.threads);
}

fn of_process(watched: &Watched) -> Option<Most> {
    let endpoints: Value = serde_json::from_slice(&std::fs::read(&watched.endpoints).ok()?).ok()?;
    let folder = PathBuf::from(format!("/proc/{}", endpoints["pid"].as_u64()?));
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let figure = |name: &str| -> Option<u64> {
        status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let files = std::fs::read_dir(folder.join("fd")).ok()?.count();
    Some(Most { resident_mib: figure("VmRSS:")? / 1024, files: files as u64, threads: figure("Threads:")? })
}

//! A job that runs: what it says of itself, and how it ends.

use crate::follower_thread::{Reached, Taken};
use crate::journal::{Recovered, Writer};
use crate::lag::Lag;
use crate::observe::RunTotals;
use crate::share::BusySeconds;
use crate::ticker::Ticker;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use stream::{Commit, Fault, Generation, PartitionInfo, Sequence};

/// How long a thread may take to end after the workers have.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running job. Dropping it does not stop it.
pub struct Running {
    /// Lag by partition.
    pub lag: Arc<Lag>,
    /// Where it began.
    pub begun: Begun,
    /// Where each partition ends, in a bounded run.
    pub(crate) ends: Option<BTreeMap<Arc<str>, i64>>,
    pub(crate) totals: Arc<Mutex<RunTotals>>,
    pub(crate) busy: Arc<Mutex<BusySeconds>>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) events: Receiver<Event>,
    pub(crate) over: Arc<AtomicBool>,
    pub(crate) wakes: Vec<Arc<OnceLock<timely::scheduling::SyncActivator>>>,
    /// Why a bounded run was ended before its end.
    pub(crate) cut: Arc<OnceLock<Fault>>,
    pub(crate) guards: Option<timely::communication::WorkerGuards<()>>,
}

/// What a start found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    /// Our generation.
    pub generation: Generation,
    /// The last epoch before us.
    pub sequence: Sequence,
    /// The journal was empty.
    pub fresh: bool,
    /// Records accounted for before us.
    pub consumed: u64,
}

/// A job that is ours and loaded, before anything of it runs.
pub(crate) struct TakenOver {
    pub(crate) begun: Begun,
    pub(crate) recovered: Recovered,
    pub(crate) writer: Writer,
    /// The source's partitions.
    pub(crate) found: Vec<PartitionInfo>,
    /// How each follower was taken over.
    pub(crate) taken: Vec<(Taken, Reached)>,
}

/// How a run goes on.
pub enum Event {
    /// The last epoch is committed and every follower has it.
    Drained(Arc<Commit>),
    /// Something failed; the process must end, without unwinding the dataflow.
    Failed(Fault),
}

/// A handle with which a signal handler ends a run.
#[derive(Clone)]
pub struct Stop(pub(crate) Arc<Ticker>);

impl Stop {
    /// Stop reading, commit, flush; [`Event::Drained`] follows.
    pub fn drain(&self) {
        self.0.stop();
    }
}

impl Running {
    /// A handle to end it.
    pub fn stop(&self) -> Stop {
        Stop(self.ticker.clone())
    }

    /// Of a bounded run, how many partitions are not read to their end as of `commit`: a stop may come before it.
    pub fn unfinished(&self, commit: &Commit) -> usize {
        let short = |(name, end): &(&Arc<str>, &i64)| {
            commit.partitions.get(*name).is_none_or(|state| state.next_offset < **end)
        };
        self.ends.iter().flatten().filter(short).count()
    }

    /// Why a bounded run was ended before its end, if that was for want of memory.
    pub fn cut(&self) -> Option<Fault> {
        self.cut.get().cloned()
    }

    /// What this run has committed so far.
    pub fn totals(&self) -> RunTotals {
        self.totals.lock().expect("nobody panics while holding the totals").clone()
    }

    /// How long the workers were busy so far, and with what.
    pub fn busy(&self) -> BusySeconds {
        self.busy.lock().expect("nobody panics while holding the sums").clone()
    }

    /// Wait for the next event, at most `wait`.
    pub fn wait(&self, wait: Duration) -> Option<Event> {
        self.events.recv_timeout(wait).ok()
    }

    /// After [`Event::Drained`]: let the dataflow finish, join its workers, and let the followers close what they hold
    /// open (SQLite folds its log into the file then).
    pub fn finish(mut self) {
        self.over.store(true, Ordering::Release);
        for wake in self.wakes.iter().filter_map(|wake| wake.get()) {
            // Workers that are already gone need no waking.
            let _ = wake.activate();
        }
        drop(self.guards.take());
        // Every thread holds an end of this channel while it runs. One that hangs holds nothing that is not committed.
        while self.events.recv_timeout(LAST_WORDS).is_ok() {}
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Joining workers of a run that failed would wait for ever: the process ends instead.
        if let Some(guards) = self.guards.take() {
            std::mem::forget(guards);
        }
    }
}

//! A job's life: start (fence, claim, load), run (readers, workers, commit thread, followers), end (drain or fault).

mod take_over;

use crate::acks::Acks;
use crate::board_room::{BoardRoom, WindowRules};
use crate::ceiling::{Ceiling, MemoryBound};
use crate::commit::CommitLine;
use crate::commit_thread::CommitThread;
use crate::committer::Committer;
use crate::discovery::Discovery;
use crate::drift::{Alignment, Drift};
use crate::follow::FollowDesk;
use crate::follower_thread::{FollowerThread, Tenure};
use crate::journal::{Genesis, Journal, JournalSettings, PackedGroup, Recovered, StartOffset, Started};
use crate::lag::Lag;
use crate::observe::Observer;
use crate::pipeline::{Pipeline, WorkerKit};
use crate::read::Feed;
use crate::reader_thread::ReaderThread;
use crate::running::{Begun, Event, Running, Stop, TakenOver};
use crate::share::{self, BusySeconds};
use crate::spawn::spawn;
use crate::start::{self, Accepted};
use crate::storage::Storage;
use crate::ticker::Ticker;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use stream::{
    Assignment, Claim, Clock, Exit, Fault, Follower, Generation, Intake, PartitionInfo, PartitionPosition,
    PartitionState, Reader, Sequence, Source, SourceIdentity,
};

/// Tables that lack more records than this many compactions take in are not marked in memory at a start: reading all of
/// these records at once would need too much of it.
const FAR_BEHIND: u64 = 16;

/// Makes what a reader does with its records, from the reader's index and its partitions.
pub type NewIntake = Box<dyn Fn(usize, &[(Arc<str>, PartitionState)]) -> Box<dyn Intake>>;

/// Everything a run is made of.
pub struct Plan {
    /// The job's name.
    pub job: String,
    /// Timely workers in this process; each has a reader.
    pub workers: usize,
    /// Where the journal is.
    pub store: Storage,
    /// The journal's settings; followers are filled in here.
    pub journal: JournalSettings,
    /// Where records come from.
    pub source: Arc<dyn Source>,
    /// The settings that decide what counts mean; kept in the genesis record.
    pub semantic: BTreeMap<String, Value>,
    /// Windows, lateness and retention.
    pub rules: WindowRules,
    /// Who follows.
    pub followers: Vec<Box<dyn Follower>>,
    /// What a reader does with its records; one for each reader, with its partitions.
    pub intake: NewIntake,
    /// Close an epoch after this long …
    pub epoch_interval: Duration,
    /// … or after this many records.
    pub epoch_max_events: u64,
    /// Read to what is there at start, then end.
    pub until_end: bool,
    /// What a person said may be lost.
    pub accepted: Accepted,
    /// Bytes of rows that may wait in memory for tables that are slow or away; beyond, they come from the journal.
    pub max_backlog: u64,
    /// What this process may take.
    pub memory: MemoryBound,
    /// Silence after which a partition may be idle.
    pub idle_timeout: Duration,
    /// How far a partition may be ahead of the slowest before it is read no further.
    pub max_drift: Duration,
    /// How long a start waits for its source, and for sinks it cannot do without.
    pub start_deadline: Duration,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Given the handle with which this run is stopped, before its first record is read. Whoever stops a start before that
    /// stops one that has read nothing.
    pub on_reading: Box<dyn FnOnce(Stop)>,
}

impl Plan {
    /// Start the job; `build` connects its operators on every worker.
    ///
    /// # Errors
    /// Every refusal of the start-up decision table, before anything runs.
    pub fn start(
        mut self,
        build: impl for<'scope> Fn(&mut Pipeline<'scope>) + Send + Sync + 'static,
    ) -> Result<Running, Fault> {
        let taken = self.take_over()?;
        self.launch(taken, build)
    }

    /// Everything before the first thread: the start-up decision table, the fence, the followers' claims, the state.
    pub(crate) fn take_over(&mut self) -> Result<TakenOver, Fault> {
        for follower in &self.followers {
            let wants = follower.wants();
            let hold = match (wants.counts, wants.rankings_every) {
                (true, _) => crate::journal::Hold::Always,
                (false, Some(_)) => crate::journal::Hold::WithinRetain,
                (false, None) => crate::journal::Hold::Records,
            };
            self.journal.followers.push((follower.name().to_owned(), hold));
        }
        let journal = Journal::open(self.store.clone(), self.journal.clone(), self.clock.clone())?;
        let source = self.ask_source(|source| source.identity())?;
        let (above, marks) = loop {
            if let Some(glance) = journal.look()? {
                start::check_settings(&glance.genesis, &self.semantic)?;
                self.look_at_source(&journal, &glance.genesis, &source)?;
                break (Generation(0), BTreeMap::new());
            }
            match self.look_at_followers() {
                // Whoever began the journal since we looked has written to the sinks: it is not lost.
                Err(fault) if fault.exit == Exit::Refused && journal.look()?.is_some() => {}
                looked => break looked?,
            }
        };
        let found = self.ask_source(|source| source.partitions())?;
        let genesis = || {
            let offset = |info: &PartitionInfo| {
                (info.name.clone(), StartOffset { offset: info.start, empty: info.start >= info.end })
            };
            Ok(Genesis {
                job: self.job.clone(),
                source: source.clone(),
                partitions: found.iter().map(offset).collect(),
                settings: self.semantic.clone(),
                marks,
                delivered: BTreeMap::new(),
            })
        };
        let started = journal.start(above, genesis)?;
        let fence = started.fence();
        self.take_over_fenced(started, source, found).map_err(|fault| fence.explain(fault))
    }

    /// What follows the fence, and may be overtaken anywhere.
    fn take_over_fenced(
        &mut self,
        started: Started,
        source: SourceIdentity,
        mut found: Vec<PartitionInfo>,
    ) -> Result<TakenOver, Fault> {
        // Whoever was there between our look and our fence may have accepted another source.
        let renewed = start::check_source(&started.source()?, &source, &self.accepted)?;
        let changed = (started.source()? != source).then_some(source);
        let (taken, from, rebuilt) = self.claim(&started)?;
        let (created, generation) = (started.created, started.generation);
        let (mut recovered, mut writer) = started.load(&from)?;
        start::check_coverage("the dead letters", recovered.dead_letters_coverage)?;
        if !created {
            found = self.ask_source(|source| source.partitions())?;
        }
        self.go_on(&mut recovered, &mut writer, &found, renewed, changed, rebuilt)?;
        let begun = Begun {
            generation,
            sequence: recovered.last_epoch.0,
            fresh: created,
            consumed: recovered.ledger.values().map(|line| line.consumed).sum(),
        };
        Ok(TakenOver { begun, recovered, writer, found, taken })
    }

    fn launch(
        self,
        taken_over: TakenOver,
        build: impl for<'scope> Fn(&mut Pipeline<'scope>) + Send + Sync + 'static,
    ) -> Result<Running, Fault> {
        let Plan { job, workers, source, followers, intake, clock, rules, .. } = self;
        let TakenOver { begun, mut recovered, writer, found, taken } = taken_over;
        for (name, line) in &recovered.ledger {
            metrics::gauge!("topk_lost_offsets", "partition" => name.to_string()).set(line.lost as f64);
        }
        let lag = Arc::new(Lag::default());
        let ticker = Arc::new(Ticker::new(workers, self.epoch_max_events));
        (self.on_reading)(Stop(ticker.clone()));
        let over = Arc::new(AtomicBool::new(false));
        let (tell, events) = channel();
        let assignment = Assignment::new(workers);
        let mut groups: Vec<Vec<PackedGroup>> = (0..workers).map(|_| Vec::new()).collect();
        let keys = recovered.groups.iter().map(|group| group.keys.len() as u64).sum();
        for group in std::mem::take(&mut recovered.groups) {
            groups[assignment.worker(group.group)].push(group);
        }

        // Followers.
        // Lists that boards lack are kept by the desk, so that a board store that is away holds no counts in memory.
        let holds = |follower: &dyn Follower| follower.wants().counts;
        let acks =
            Arc::new(Acks::new(followers.iter().map(|follower| (follower.name().to_owned(), holds(&**follower)))));
        let rows_wanted = followers.iter().any(|follower| follower.wants().counts);
        let desk_wake = Arc::new(OnceLock::new());
        let delivered = std::mem::take(&mut recovered.delivered);
        let undelivered: Vec<(Sequence, Arc<stream::DeadLetter>)> = std::mem::take(&mut recovered.dead_letters)
            .into_iter()
            .filter(|(_, letter)| Recovered::is_due(&delivered, letter))
            .map(|(sequence, letter)| (sequence, Arc::new(letter)))
            .collect();
        let mut lines = Vec::new();
        for (follower, taken) in followers.into_iter().zip(taken) {
            let name = follower.name();
            let undelivered = if follower.wants().dead_letters { undelivered.clone() } else { Vec::new() };
            let claim = Claim { job: job.clone(), generation: begun.generation };
            let tenure = Tenure { claim, fence: writer.fence() };
            let (thread, line) = FollowerThread::new(
                follower,
                tenure,
                taken,
                acks.clone(),
                clock.clone(),
                desk_wake.clone(),
                undelivered,
            );
            lines.push(line);
            spawn(name, tell.clone(), move || thread.run())?;
        }

        // Readers, the partitions dealt out in the order of their names.
        let alignment = Arc::new(Alignment::default());
        let (mut feeds, mut readers) = (Vec::new(), Vec::new());
        let mut wakes = vec![desk_wake.clone()];
        for worker in 0..workers {
            let own: Vec<(Arc<str>, PartitionState)> = recovered
                .partitions
                .iter()
                // One that is gone is not read; that this may be was accepted.
                .filter(|(name, _)| found.iter().any(|info| info.name == **name))
                .enumerate()
                .filter(|(index, _)| index % workers == worker)
                .map(|(_, (name, state))| (name.clone(), state.clone()))
                .collect();
            let position = |(name, state): &(Arc<str>, PartitionState)| PartitionPosition {
                name: name.clone(),
                offset: state.next_offset,
                fingerprint: state.fingerprint,
            };
            let partitions: Vec<PartitionPosition> = own.iter().map(position).collect();
            let end = |partition: &PartitionPosition| {
                found.iter().find(|info| info.name == partition.name).map_or(0, |info| info.end)
            };
            let until = self.until_end.then(|| partitions.iter().map(end).collect());
            let reader = Reader { source: source.open(&partitions)?, intake: intake(worker, &own), partitions };
            // One closed epoch at hand, one being handed over: more would only hide the gate.
            let (closed, take_closed) = sync_channel(1);
            let (tell_reader, told) = channel();
            readers.push((own.len(), tell_reader.clone()));
            let wake = Arc::new(OnceLock::new());
            wakes.push(wake.clone());
            let idle_timeout = (!self.until_end).then_some(self.idle_timeout);
            let thread = ReaderThread {
                idle_timeout,
                alignment: alignment.clone(),
                clock: clock.clone(),
                index: worker,
                reader,
                ticker: ticker.clone(),
                closed,
                told,
                wake: wake.clone(),
                until,
                lag: lag.clone(),
            };
            spawn(&format!("reader-{worker}"), tell.clone(), move || thread.run())?;
            feeds.push(Feed { closed: take_closed, tell: tell_reader, wake, over: over.clone() });
        }

        if let Some(every) = source.look_every().filter(|_| !self.until_end) {
            let known = recovered.partitions.keys().cloned().collect();
            let discovery = Discovery { source, every, known, readers, ticker: ticker.clone() };
            spawn("discovery", tell.clone(), move || discovery.run())?;
        }

        // The commit thread.
        let rereader = writer.rereader();
        let ends: Option<BTreeMap<Arc<str>, i64>> =
            self.until_end.then(|| found.iter().map(|info| (info.name.clone(), info.end)).collect());
        let commit_wake = Arc::new(OnceLock::new());
        wakes.push(commit_wake.clone());
        let (uncommitted, take_uncommitted) = channel();
        let (committed, take_committed) = channel();
        let counted = recovered.ledger.values().map(|line| line.counted).sum();
        let observer = Observer::new(
            rules.windows.clone(),
            self.journal.rules,
            clock.clone(),
            lag.clone(),
            (begun.consumed, counted),
        );
        let totals = observer.totals();
        let cut = Arc::new(OnceLock::new());
        let thread = CommitThread {
            drift: Drift::new(self.max_drift, ends.clone()),
            alignment: alignment.clone(),
            ceiling: Ceiling::new(self.memory),
            clock: clock.clone(),
            keys,
            end: self.until_end.then(|| (ticker.clone(), cut.clone())),
            committer: Committer::new(&recovered, ends.clone()),
            observer,
            last: recovered.last_epoch,
            writer,
            acks,
            uncommitted: take_uncommitted,
            committed,
            wake: commit_wake.clone(),
        };
        spawn("commit", tell.clone(), move || thread.run())?;
        let mut line = Some(CommitLine { uncommitted, committed: take_committed, wake: commit_wake });
        let (drained, take_drained) = channel();
        let mut desk = Some(FollowDesk {
            room: BoardRoom::new(rules, &recovered),
            followers: lines,
            clock,
            ticker: ticker.clone(),
            lag: lag.clone(),
            max_backlog: self.max_backlog,
            alignment,
            delivered,
            rereader,
            wake: desk_wake,
            drained,
        });
        let told = tell.clone();
        spawn("drained", tell.clone(), move || {
            if let Ok(commit) = take_drained.recv() {
                let _ = told.send(Event::Drained(commit));
            }
            Ok(())
        })?;

        // Workers.
        let kits: Vec<Mutex<Option<WorkerKit>>> = feeds
            .into_iter()
            .zip(groups)
            .map(|(feed, groups)| {
                Mutex::new(Some(WorkerKit { feed, groups, line: line.take(), desk: desk.take(), rows_wanted }))
            })
            .collect();
        let config = match workers {
            1 => timely::Config::thread(),
            workers => timely::Config::process(workers),
        };
        let busy: Arc<Mutex<BusySeconds>> = Arc::default();
        let measured = busy.clone();
        let (built, builds) = channel();
        let guards = timely::execute(config, move |worker| {
            share::measure(worker, measured.clone());
            let kit = kits[worker.index()].lock().expect("kits are taken once").take().expect("kits are taken once");
            worker.dataflow(|scope| build(&mut Pipeline::new(scope, kit)));
            // Whoever started the run may have gone.
            let _ = built.send(());
        })
        .map_err(|error| Fault::failed("cannot start the workers", error, "check the limits on threads and memory"))?;
        // A run has begun when every worker has its counts back. A worker that dies is told by its thread.
        for () in builds.iter().take(workers) {}
        let clocked = ticker.clone();
        let interval = self.epoch_interval;
        spawn("ticker", tell, move || {
            clocked.run(interval);
            Ok(())
        })?;
        Ok(Running { lag, begun, ends, totals, busy, ticker, events, over, wakes, cut, guards: Some(guards) })
    }
}

#[cfg(test)]
mod tests;

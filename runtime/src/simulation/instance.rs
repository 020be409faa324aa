//! One instance of the job: the product's own parts, driven by a loop that does one small thing at a time, in an order
//! that the seed decides. Only what carries data between them (timely, threads, the union of rankings) is played here.

use super::fibers::{point, rest};
use super::log::{Plays, SimulatedSource};
use super::oracle::{K, LATENESS, OUT_OF_ORDERNESS, SKEW};
use super::sinks::{Kind, Sink};
use super::store::SimulatedStore;
use super::union::Union;
use super::world::{SimulatedClock, World};
use crate::acks::Acks;
use crate::board_room::{BoardRoom, WindowRules};
use crate::ceiling::{Ceiling, MemoryBound};
use crate::commit::Uncommitted;
use crate::commit_thread::CommitThread;
use crate::committer::Committer;
use crate::drift::{Alignment, Drift};
use crate::follow::{Desk, FollowDesk};
use crate::follower_thread::{FollowerThread, Taken, Tenure};
use crate::journal::{JournalSettings, PackedGroup, Patience};
use crate::observe::Observer;
use crate::pauses::Pauses;
use crate::run::Plan;
use crate::running::TakenOver;
use crate::silence::{Silence, Verdict};
use crate::start::{self, Accepted};
use crate::ticker::{Close, Ticker};
use operators::{IntakeSettings, RecordIntake, WindowStore};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::{
    Assignment, Claim, Clock, Commit, DeltaBatch, Epoch, EventTime, Fault, Follower, Grant, Part, PartitionPosition,
    PartitionState, Reader, Report, Source, TimeRules, WindowKind, Windows, Zone,
};

/// Epochs that may be uncommitted, as `read` has it.
const EPOCHS_IN_FLIGHT: u64 = 4;

fn rules() -> TimeRules {
    let [out_of_orderness, allowed_lateness, max_future_skew] =
        [OUT_OF_ORDERNESS, LATENESS, SKEW].map(|millis| Duration::from_millis(millis as u64));
    TimeRules { out_of_orderness, allowed_lateness, max_future_skew }
}

fn plan(world: &Arc<World>, instance: usize, workers: usize) -> Plan {
    let kinds = ["minute", "hour", "day", "all_time"].map(|name| WindowKind::named(name).expect("it is a kind"));
    let zone = Zone::named(world.setup.place.zone()).expect("it is a zone");
    let windows = Windows::new(kinds.into(), zone).expect("they fit");
    let rules = rules();
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock(world.clone()));
    let assignment = Assignment::new(workers);
    let settings = IntakeSettings { rules, windows: windows.clone(), assignment, clock: clock.clone() };
    let retention = vec![None; windows.len()];
    let patience = Patience {
        deadline: Duration::from_secs(3600),
        attempts: 3,
        attempts_running: 4,
        first: Duration::ZERO,
        most: Duration::ZERO,
    };
    let journal = JournalSettings {
        retain: world.setup.retain,
        compact_records: world.setup.compact_records,
        // Nonces are random, and so is how well records are compressed.
        compact_bytes: u64::MAX,
        patience,
        threads: 1,
        ..JournalSettings::new("songs", windows.clone(), rules)
    };
    let sink = |kind| -> Box<dyn Follower> { Box::new(Sink::new(kind, world, instance)) };
    Plan {
        job: "songs".to_owned(),
        workers,
        store: Arc::new(SimulatedStore { world: world.clone(), instance }),
        journal,
        source: Arc::new(SimulatedSource(world.clone())),
        semantic: BTreeMap::new(),
        rules: WindowRules { windows, allowed_lateness: rules.allowed_lateness, retention },
        followers: vec![sink(Kind::Tables), sink(Kind::Boards), sink(Kind::Letters)],
        intake: Box::new(move |reader, partitions| {
            Box::new(RecordIntake::new(Plays, settings.clone(), reader, partitions))
        }),
        epoch_interval: Duration::ZERO,
        epoch_max_events: u64::MAX,
        max_backlog: world.setup.max_backlog,
        memory: MemoryBound::none(),
        accepted: Accepted::default(),
        until_end: false,
        idle_timeout: world.setup.idle_timeout,
        max_drift: world.setup.max_drift,
        start_deadline: Duration::ZERO,
        clock,
        on_reading: Box::new(|_| ()),
    }
}

/// What a fiber of an instance runs.
pub(super) fn run(world: &Arc<World>, index: usize, workers: usize) {
    let lived = Life::begin(world, index, workers).and_then(|mut life| life.go_on());
    if let Err(fault) = lived {
        world.ended(index, fault);
    }
}

struct Life {
    world: Arc<World>,
    index: usize,
    readers: Vec<OneReader>,
    workers: Vec<OneWorker>,
    union: Union,
    commit: CommitThread,
    committed: Receiver<Arc<Commit>>,
    desk: Desk,
    ticker: Arc<Ticker>,
    source: Arc<dyn Source>,
    known: BTreeSet<Arc<str>>,
    /// Epochs below are applied by every worker, and ranked.
    complete: Epoch,
    next_commit: Epoch,
    parts: BTreeMap<Epoch, Vec<Part>>,
    alignment: Arc<Alignment>,
}

struct OneReader {
    reader: Reader,
    silence: Silence,
    pauses: Pauses,
    epoch: Epoch,
    told: VecDeque<Vec<Grant>>,
    closed: BTreeMap<Epoch, (Close, Vec<DeltaBatch>, Report)>,
}

struct OneWorker {
    store: WindowStore,
    epoch: Epoch,
    evictable: Option<EventTime>,
}

impl Life {
    fn begin(world: &Arc<World>, index: usize, workers: usize) -> Result<Self, Fault> {
        let mut plan = plan(world, index, workers);
        let TakenOver { begun, mut recovered, writer, taken, .. } = plan.take_over()?;
        world.note(|| format!("{index}: runs as {} from {}", begun.generation, begun.sequence));
        // Whoever has taken over meanwhile has written what this one never saw.
        let is_overtaken = begun.generation < world.oracle.lock().expect("never poisoned").generation();
        let is_unsure = taken[0].1.is_far_behind || taken[0].0 != Taken::Claimed || is_overtaken;
        world.must(world.check_recovered(&recovered, is_unsure));
        if taken.iter().any(|(taken, _)| *taken != Taken::Claimed) {
            world.meet("a sink is away at a start");
        }
        let Plan { job, source, followers, intake, clock, rules, .. } = plan;
        let assignment = Assignment::new(workers);
        let holds = followers.iter().map(|follower| (follower.name().to_owned(), follower.wants().counts));
        let acks = Arc::new(Acks::new(holds));
        let letters: Vec<_> = std::mem::take(&mut recovered.dead_letters)
            .into_iter()
            .map(|(sequence, letter)| (sequence, Arc::new(letter)))
            .collect();
        let wake = Arc::new(OnceLock::new());
        let mut lines = Vec::new();
        for (follower, taken) in followers.into_iter().zip(taken) {
            let undelivered = if follower.wants().dead_letters { letters.clone() } else { Vec::new() };
            let claim = Claim { job: job.clone(), generation: begun.generation };
            let tenure = Tenure { claim, fence: writer.fence() };
            let (thread, line) =
                FollowerThread::new(follower, tenure, taken, acks.clone(), clock.clone(), wake.clone(), undelivered);
            lines.push(line);
            let of = world.clone();
            world.fibers.start(index, move || {
                if let Err(fault) = follow(thread) {
                    of.ended(index, fault);
                }
            });
        }
        let mut groups: Vec<Vec<PackedGroup>> = (0..workers).map(|_| Vec::new()).collect();
        for group in std::mem::take(&mut recovered.groups) {
            groups[assignment.worker(group.group)].push(group);
        }
        let mut union = Union::default();
        let stores: Vec<OneWorker> = (0..)
            .zip(groups)
            .map(|(worker, groups)| {
                let mut store = WindowStore::new(worker, &rules.windows, rules.allowed_lateness, K, true);
                store.load(
                    groups.iter().map(|group| group.keys.len()).sum(),
                    groups.into_iter().map(PackedGroup::unpack),
                );
                union.hear(0, store.candidates());
                OneWorker { store, epoch: 0, evictable: None }
            })
            .collect();
        let ticker = Arc::new(Ticker::new(workers, u64::MAX));
        let readers = (0..workers)
            .map(|worker| {
                let own: Vec<(Arc<str>, PartitionState)> = recovered
                    .partitions
                    .iter()
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
                let reader = Reader { source: source.open(&partitions)?, intake: intake(worker, &own), partitions };
                let silence = Silence::new(world.setup.idle_timeout, &reader.intake.positions());
                let (told, closed) = (VecDeque::new(), BTreeMap::new());
                Ok(OneReader { reader, silence, pauses: Pauses::default(), epoch: 0, told, closed })
            })
            .collect::<Result<Vec<OneReader>, Fault>>()?;
        let (lag, alignment) = (Arc::default(), Arc::new(Alignment::default()));
        let (committed, take_committed) = channel();
        let rereader = writer.rereader();
        let commit = CommitThread {
            drift: Drift::new(world.setup.max_drift, None),
            alignment: alignment.clone(),
            committer: Committer::new(&recovered, None),
            observer: Observer::new(rules.windows.clone(), self::rules(), clock.clone(), Arc::clone(&lag), (0, 0)),
            last: recovered.last_epoch,
            writer,
            acks,
            uncommitted: channel().1,
            committed,
            wake: Arc::default(),
            ceiling: Ceiling::new(MemoryBound::none()),
            clock: clock.clone(),
            keys: 0,
            end: None,
        };
        let desk = Desk::new(FollowDesk {
            room: BoardRoom::new(rules, &recovered),
            followers: lines,
            clock: clock.clone(),
            ticker: ticker.clone(),
            lag,
            max_backlog: world.setup.max_backlog,
            alignment: alignment.clone(),
            delivered: BTreeMap::new(),
            rereader,
            wake,
            drained: channel().0,
        });
        Ok(Life {
            world: world.clone(),
            index,
            readers,
            workers: stores,
            union,
            commit,
            committed: take_committed,
            desk,
            ticker,
            source,
            known: recovered.partitions.keys().cloned().collect(),
            complete: 0,
            next_commit: 0,
            parts: BTreeMap::new(),
            alignment,
        })
    }

    fn go_on(&mut self) -> Result<(), Fault> {
        loop {
            self.one_thing()?;
            point();
        }
    }

    fn one_thing(&mut self) -> Result<(), Fault> {
        let one = self.world.fibers.below(self.readers.len() as u64) as usize;
        match self.world.fibers.below(16) {
            0..4 => self.read(one)?,
            4 => self.hear(one)?,
            5 => _ = self.ticker.close_now(),
            6..8 => self.close(one),
            8..10 => self.apply(one),
            10..12 => self.commit_next()?,
            12..14 => self.show(),
            14 => {
                self.commit.tend()?;
                let is_compacting = self.commit.writer.status().compacting;
                self.world.instances()[self.index].is_compacting = is_compacting;
            }
            _ => self.discover()?,
        }
        Ok(())
    }

    /// As a reader's thread does between two closes.
    fn read(&mut self, one: usize) -> Result<(), Fault> {
        let is_gated = self.readers[one].epoch >= self.next_commit + EPOCHS_IN_FLIGHT;
        let OneReader { reader, silence, pauses, .. } = &mut self.readers[one];
        pauses.apply(reader, &self.alignment)?;
        if is_gated {
            return Ok(());
        }
        let limit = 1 + self.world.fibers.below(5) as usize;
        let spent = self.world.fibers.below(20);
        self.world.pass(spent);
        reader.read(Duration::ZERO, limit)?;
        let spent = Duration::from_millis(spent);
        for index in silence.after_read(spent, &reader.intake.positions(), pauses.paused()) {
            reader.source.ask_end(index)?;
        }
        for (index, end) in reader.source.told_ends() {
            match silence.told(index, end) {
                Verdict::Nothing => {}
                Verdict::Idle => {
                    self.world.meet("a partition is silent");
                    reader.intake.propose_idle(index);
                }
                Verdict::StandsStill => panic!("bug: there is nothing that it could read"),
            }
        }
        Ok(())
    }

    fn hear(&mut self, one: usize) -> Result<(), Fault> {
        let OneReader { reader, told, .. } = &mut self.readers[one];
        for grant in told.pop_front().into_iter().flatten() {
            reader.intake.grant(&grant);
        }
        Ok(())
    }

    fn close(&mut self, one: usize) {
        let OneReader { reader, epoch, closed, .. } = &mut self.readers[one];
        if let Some(close) = self.ticker.close_of(*epoch)
            && *epoch < self.next_commit + EPOCHS_IN_FLIGHT
        {
            let (batches, report) = reader.intake.close(*epoch);
            closed.insert(*epoch, (close, batches, report));
            *epoch += 1;
            self.ticker.closed();
        }
    }

    /// A worker applies an epoch that every reader has closed.
    fn apply(&mut self, one: usize) {
        let epoch = self.workers[one].epoch;
        if self.readers.iter().any(|reader| reader.epoch <= epoch) {
            return;
        }
        let worker = one as u32;
        let closed = self.readers.iter().map(|reader| &reader.closed[&epoch].1);
        let batches: Vec<DeltaBatch> = closed.flatten().filter(|batch| batch.worker == worker).cloned().collect();
        let order = self.readers[one].closed[&epoch].0.rows;
        let OneWorker { store, evictable, epoch: next } = &mut self.workers[one];
        let closed = store.close(epoch, &batches, evictable.take(), order);
        *next += 1;
        self.parts.entry(epoch).or_default().push(closed.part);
        self.desk.hear_windows(epoch, closed.windows.into_iter());
        closed.rows.into_iter().for_each(|flush| self.desk.hear_rows(epoch, flush));
        self.union.hear(epoch, closed.candidates);
        if self.workers.iter().all(|worker| worker.epoch > epoch) {
            self.desk.hear_ranked(epoch, self.union.ranked(epoch).into_iter());
            self.complete = epoch + 1;
        }
    }

    fn commit_next(&mut self) -> Result<(), Fault> {
        let epoch = self.next_commit;
        if self.parts.get(&epoch).is_none_or(|parts| parts.len() < self.workers.len()) {
            return Ok(());
        }
        let mut parts = self.parts.remove(&epoch).expect("it was found");
        parts.sort_by_key(|part| part.worker);
        let closed = self.readers.iter_mut().map(|reader| reader.closed.remove(&epoch).expect("it is closed"));
        let reports: Vec<Report> = closed.map(|(.., report)| report).collect();
        self.commit.commit(Uncommitted { epoch, parts, reports })?;
        self.next_commit += 1;
        for commit in self.committed.try_iter() {
            let told = {
                let oracle = self.world.oracle.lock().expect("never poisoned");
                oracle.link(commit.sequence.0).map(|link| link.hash)
            };
            if told != Some(commit.hash) && !self.world.damaged.load(Ordering::Relaxed) {
                self.world.violated(format!("{} was told that {} is committed", self.index, commit.sequence));
            }
            for reader in self.readers.iter_mut().filter(|_| !commit.granted.is_empty()) {
                reader.told.push_back(commit.granted.clone());
            }
            for worker in &mut self.workers {
                worker.evictable = commit.evictable.max(worker.evictable);
            }
            self.desk.hear_commit(commit);
        }
        Ok(())
    }

    fn show(&mut self) {
        let complete = self.complete;
        self.desk.advance(|epoch| epoch >= complete);
        self.world.fibers.poke(self.index);
    }

    /// As `discovery` does.
    fn discover(&mut self) -> Result<(), Fault> {
        for info in self.source.added(&self.known)? {
            let state = start::check_new(&info)?;
            let (name, offset) = (info.name.clone(), state.next_offset);
            let added = PartitionPosition { name: name.clone(), offset, fingerprint: state.fingerprint };
            let least = self.readers.iter_mut().min_by_key(|reader| reader.reader.partitions.len());
            let reader = &mut least.expect("a job has a reader").reader;
            reader.source.add(std::slice::from_ref(&added))?;
            reader.intake.add(&added);
            reader.partitions.push(added);
            self.known.insert(name);
            self.world.meet("a partition is added");
        }
        Ok(())
    }
}

/// As a follower's thread runs.
fn follow(mut thread: FollowerThread) -> Result<(), Fault> {
    thread.take_over()?;
    loop {
        match thread.steps.try_recv() {
            Ok(step) => thread.act(step)?,
            Err(TryRecvError::Empty) => rest(),
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

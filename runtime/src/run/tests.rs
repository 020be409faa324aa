//! Whole runs within this process: a scripted source, the real intake and operators, a journal in memory, and followers
//! that check every promise at every step. What is shown at the end is compared with a recount.

mod added;
mod away;
mod double;
mod full;
mod gate;
mod memory;
mod overtaken;
mod script;
mod still;

use super::*;
use crate::journal::{Hold, LoadFrom};
use double::{Double, Shown, best};
use gate::Gate;
use operators::{CountInWindows, IntakeSettings, RankUnion, RecordIntake, WindowStore};
use script::{Expected, Plays, START, Script, recount};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::{Commit, EventTime, Progress, SystemClock, TimeRules, Wants, WindowKind, Windows, Zone};

const K: usize = 5;
/// Milliseconds.
const OUT_OF_ORDERNESS: i64 = 2000;
/// Milliseconds.
const LATENESS: i64 = 5000;
/// For waiting on a run that must go on; nothing asserts how long it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What outlives a run.
struct World {
    store: Gate,
    script: Script,
    tables: Arc<Mutex<Shown>>,
    boards: Arc<Mutex<Shown>>,
    letters: Arc<Mutex<Shown>>,
    /// Claims and writes of the tables that fail.
    away: (u32, u32),
    /// While this is set, writes of the boards fail.
    boards_shut: Arc<AtomicBool>,
    /// How long minutes are kept.
    retention: Option<Duration>,
    max_events: u64,
    max_backlog: u64,
    /// Bytes that may be held, and what tells how many are.
    memory: Option<(u64, Arc<AtomicU64>)>,
    until_end: bool,
    idle_timeout: Duration,
}

impl World {
    fn of(script: Script) -> Self {
        let (tables, boards, letters) = Default::default();
        World {
            store: Gate::open(),
            script,
            tables,
            boards,
            letters,
            away: (0, 0),
            boards_shut: Arc::default(),
            retention: None,
            max_events: 500,
            max_backlog: 64 << 20,
            memory: None,
            until_end: true,
            idle_timeout: Duration::from_secs(3600),
        }
    }

    fn plan(&self, workers: usize) -> Plan {
        let kinds = ["minute", "hour", "all_time"].map(|name| WindowKind::named(name).unwrap());
        let windows = Windows::new(kinds.into(), Zone::utc()).unwrap();
        let [out_of_orderness, allowed_lateness] =
            [OUT_OF_ORDERNESS, LATENESS].map(|millis| Duration::from_millis(millis as u64));
        let rules = TimeRules { out_of_orderness, allowed_lateness, max_future_skew: Duration::from_secs(60) };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let assignment = Assignment::new(workers);
        let settings = IntakeSettings { rules, windows: windows.clone(), assignment, clock: clock.clone() };
        let every = Some(Duration::from_millis(20));
        let tables = Wants { counts: true, rankings_every: every, ..Wants::default() };
        let boards =
            Wants { rankings_every: every, refresh_every: Some(Duration::from_millis(200)), ..Wants::default() };
        let letters = Wants { dead_letters: true, ..Wants::default() };
        let mut tables = Double::new("tables", tables, &self.tables, &self.store);
        tables.away = self.away;
        let mut boards = Double::new("boards", boards, &self.boards, &self.store);
        boards.shut = self.boards_shut.clone();
        let retention = vec![self.retention, None, None];
        let journal =
            JournalSettings { retention: retention.clone(), ..JournalSettings::new("songs", windows.clone(), rules) };
        Plan {
            job: "songs".to_owned(),
            workers,
            store: self.store.store(),
            journal,
            source: Arc::new(self.script.clone()),
            semantic: BTreeMap::new(),
            rules: WindowRules { windows, allowed_lateness, retention },
            followers: vec![
                Box::new(tables),
                Box::new(boards),
                Box::new(Double::new("letters", letters, &self.letters, &self.store)),
            ],
            intake: Box::new(move |reader, partitions| {
                Box::new(RecordIntake::new(Plays, settings.clone(), reader, partitions))
            }),
            epoch_interval: Duration::from_millis(10),
            epoch_max_events: self.max_events,
            max_backlog: self.max_backlog,
            memory: match self.memory.clone() {
                None => MemoryBound::none(),
                Some((max, held)) => MemoryBound {
                    max: Some(max),
                    resident: Box::new(move || held.load(Ordering::SeqCst)),
                    patience: Duration::from_millis(200),
                    ..MemoryBound::none()
                },
            },
            until_end: self.until_end,
            accepted: Accepted::default(),
            idle_timeout: self.idle_timeout,
            max_drift: Duration::from_secs(600),
            start_deadline: Duration::ZERO,
            clock,
            on_reading: Box::new(|_| ()),
        }
    }

    fn start(&self, workers: usize) -> Running {
        self.launch(self.plan(workers))
    }

    fn start_compacting(&self, workers: usize, compact_records: usize) -> Running {
        let mut plan = self.plan(workers);
        plan.journal.compact_records = compact_records;
        self.launch(plan)
    }

    fn launch(&self, plan: Plan) -> Running {
        let rules = plan.rules.clone();
        let started = plan.start(move |run: &mut Pipeline<'_>| {
            let mut store =
                WindowStore::new(run.worker(), &rules.windows, rules.allowed_lateness, K, run.rows_wanted());
            let (keys, groups) = run.recovered();
            store.load(keys, groups);
            let plays = run.read();
            let counts = plays.deltas.count_in_windows(store, plays.marks, run.commits());
            let ranked = counts.candidates.rank_union(K);
            run.commit(counts.parts, plays.reports);
            run.follow(counts.windows, ranked, counts.rows);
        });
        started.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Run until everything is read and shown.
    fn run(&self, workers: usize) -> Arc<Commit> {
        drained(self.start(workers))
    }

    /// Everything that is shown is what the recount says.
    fn check(&self, last: &Commit, expected: &Expected) {
        assert_eq!(last.watermark.map(EventTime::millis), expected.watermark);
        let tables = self.tables.lock().unwrap();
        let rows = tables
            .rows
            .iter()
            .flat_map(|(id, rows)| rows.iter().map(|(key, count)| ((id.kind, id.start.millis(), key.clone()), *count)));
        assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected.rows);
        let late = tables.statuses.iter().map(|(id, status)| ((id.kind, id.start.millis()), status.totals.late));
        assert_eq!(late.filter(|(_, late)| *late > 0).collect::<BTreeMap<_, _>>(), expected.late);
        let lateness = Duration::from_millis(LATENESS as u64);
        for (id, status) in &tables.statuses {
            assert_eq!(status.state, status.window.state(last.watermark, lateness), "{id:?}");
        }
        let boards = self.boards.lock().unwrap();
        assert_eq!(boards.boards.keys().collect::<Vec<_>>(), tables.rows.keys().collect::<Vec<_>>());
        for (id, rows) in &tables.rows {
            for shown in [&tables, &boards] {
                let list = shown.boards[id].entries.iter().map(|(key, count)| (key.to_string(), *count));
                assert_eq!(list.collect::<Vec<_>>(), best(rows), "{id:?}");
            }
            assert_eq!(boards.boards[id].state, tables.statuses[id].state, "{id:?}");
        }
        let closed =
            tables.rows.keys().filter(|id| id.kind == 0 && tables.statuses[id].state != stream::WindowState::Open);
        assert_eq!(boards.closed[0], closed.map(|id| id.start.millis()).max());
        assert_eq!(self.letters.lock().unwrap().letters, expected.dead);
        let consumed: i64 = last.partitions.keys().map(|name| self.script.end(name)).sum();
        assert_eq!(last.ledger.values().map(|line| line.consumed as i64).sum::<i64>(), consumed);
        assert_eq!(last.ledger.values().map(|line| line.dead_lettered as usize).sum::<usize>(), expected.dead.len());
    }
}

fn drained(running: Running) -> Arc<Commit> {
    match running.wait(PATIENCE) {
        Some(Event::Drained(commit)) => {
            running.finish();
            commit
        }
        Some(Event::Failed(fault)) => panic!("{fault}"),
        None => panic!("the run goes on and on"),
    }
}

/// Poll until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 5 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

#[test]
fn everything_is_exact_with_any_number_of_workers() {
    let mut lasts = Vec::new();
    for (workers, max_events) in [(1, 500), (2, 170), (3, 4000)] {
        let world = World { max_events, ..World::of(Script::seeded(4, 3000, 1)) };
        let expected = recount(&world.script, &[]);
        assert!(expected.dead.len() > 50 && expected.late.len() > 3, "the script has everything");
        let last = world.run(workers);
        world.check(&last, &expected);
        lasts.push((last.watermark, last.partitions.clone(), last.ledger.clone()));
    }
    assert!(lasts.iter().all(|last| *last == lasts[0]));
}

/// A store that stands still stops the readers, after so many epochs and records, and no later.
#[test]
fn uncommitted_work_is_bounded() {
    for workers in [1, 2] {
        let (max_events, partitions) = (200, 4);
        let world = World { max_events, ..World::of(Script::seeded(partitions, 10_000, 4)) };
        world.store.take_up_to(3);
        let running = world.start(workers);
        let read = || world.script.read.load(Ordering::SeqCst);
        let mut last = u64::MAX;
        until("the readers stop", || {
            std::thread::sleep(Duration::from_millis(100));
            read() > 0 && std::mem::replace(&mut last, read()) == last
        });
        // Two epochs with records are committed, four are in the dataflow, one is at hand, one is being handed over;
        // a last batch of each reader may take each over the brim.
        let bound = (2 + 4 + 1 + 1) * (max_events + 37 * partitions as u64);
        assert!(read() <= bound, "{} records were read while nothing was committed; {bound} may be", read());
        assert_eq!(world.store.records().last(), Some(&3));
        world.store.take_up_to(u64::MAX);
        world.check(&drained(running), &recount(&world.script, &[]));
    }
}

#[test]
fn a_restart_with_another_number_of_workers_goes_on_exactly() {
    let all = Script::seeded(4, 3000, 5);
    let world = World::of(Script::of(Vec::new()));
    let records = all.partitions.lock().unwrap().clone();
    let mut generation = 0;
    for (round, workers) in [1, 3, 2].into_iter().enumerate() {
        for (name, records) in &records {
            world.script.append(name, records[round * 1000..(round + 1) * 1000].iter().cloned());
        }
        let last = world.run(workers);
        world.check(&last, &recount(&world.script, &[]));
        assert!(last.generation.0 > generation);
        generation = last.generation.0;
    }
    world.check(&World::of(all.clone()).run(1), &recount(&all, &[]));
}

/// Hole 28 of the protocol.
#[test]
fn a_quiet_restart_writes_its_fence_and_no_epoch() {
    let world = World::of(Script::seeded(2, 500, 6));
    let first = world.run(2);
    let records = world.store.records().len();
    let quiet = world.run(1);
    assert_eq!((quiet.sequence, quiet.hash, quiet.changed), (first.sequence, first.hash, false));
    assert_eq!(world.store.records().len(), records + 1);
    world.check(&quiet, &recount(&world.script, &[]));
}

#[test]
fn a_drain_in_the_middle_shows_what_it_committed_and_the_next_run_goes_on() {
    let world = World { until_end: false, ..World::of(Script::seeded(3, 6000, 7)) };
    let running = world.start(2);
    until("something is shown", || world.tables.lock().unwrap().steps > 1);
    running.stop().drain();
    let last = drained(running);
    assert!(last.last);
    assert_eq!(world.tables.lock().unwrap().progress.as_ref().unwrap().sequence, last.sequence);
    let world = World { until_end: true, ..world };
    let last = world.run(3);
    world.check(&last, &recount(&world.script, &[]));
}

/// A run that is stopped before its end knows that it is; one that was read to its end does too.
#[test]
fn a_bounded_run_that_is_stopped_says_what_it_has_not_finished() {
    let world = World { max_events: 200, ..World::of(Script::seeded(3, 6000, 13)) };
    world.store.take_up_to(3);
    let running = world.start(2);
    until("it has begun", || world.store.records().last() == Some(&3));
    running.stop().drain();
    world.store.take_up_to(u64::MAX);
    let Some(Event::Drained(last)) = running.wait(PATIENCE) else { panic!("it is drained") };
    assert_eq!(running.unfinished(&last), 3);
    running.finish();
    let running = world.start(2);
    let Some(Event::Drained(last)) = running.wait(PATIENCE) else { panic!("it is drained") };
    assert_eq!(running.unfinished(&last), 0);
    running.finish();
    world.check(&last, &recount(&world.script, &[]));
}

/// The handle is there before the first record is read: whoever finds none has stopped a start that read nothing.
#[test]
fn a_start_that_is_stopped_before_it_reads_reads_nothing() {
    for until_end in [true, false] {
        let world = World { until_end, ..World::of(Script::seeded(3, 2000, 14)) };
        let plan = Plan { on_reading: Box::new(|stop| stop.drain()), ..world.plan(2) };
        drained(world.launch(plan));
        assert_eq!(world.script.read.load(Ordering::SeqCst), 0);
        assert_eq!(world.store.records(), [1], "genesis alone");
        let world = World { until_end: true, ..world };
        world.check(&world.run(2), &recount(&world.script, &[]));
    }
}

/// Holes 8 and 11 of the protocol: it waits for its grant, and is judged from the floor.
#[test]
fn a_partition_that_appears_later_rejoins_at_a_floor() {
    let world = World::of(Script::seeded(2, 1500, 8));
    let first = world.run(2);
    let floor = first.watermark.unwrap().millis();
    world.script.append("9", (0..900).map(|index| format!("{} new", START + index * 500)));
    let last = world.run(2);
    let expected = recount(&world.script, &[("9", 0, floor)]);
    assert_eq!(last.partitions["9"].floors, [(0, EventTime::from_millis(floor))]);
    assert!(expected.late.values().sum::<u64>() > 700, "most of it comes too late for its minutes");
    let watermark = last.watermark.map(EventTime::millis);
    world.check(&last, &Expected { watermark, ..expected });
}

#[test]
fn a_fault_in_a_reader_ends_the_run_with_that_fault() {
    let script = Script { fault_at: Some(("1", 700)), ..Script::seeded(3, 2000, 9) };
    let world = World::of(script);
    let running = world.start(2);
    match running.wait(PATIENCE) {
        Some(Event::Failed(fault)) => assert_eq!(fault.to_string(), "cannot read on: as scripted (nothing)"),
        Some(Event::Drained(_)) => panic!("nothing was wrong"),
        None => panic!("the run goes on and on"),
    }
}

#[test]
fn changed_settings_and_another_source_are_refused_before_anything_runs() {
    let world = World::of(Script::seeded(1, 10, 10));
    world.run(1);
    let records = world.store.records();
    let mut plan = world.plan(1);
    plan.semantic.insert("time.zone".to_owned(), Value::from("Asia/Kolkata"));
    let fault = plan.start(|_| panic!("nothing is built")).err().expect("it is refused");
    assert_eq!(fault.exit, stream::Exit::Usage);
    assert_eq!(world.store.records(), records, "nobody was fenced");
    let lost = World { tables: world.tables.clone(), ..World::of(world.script.clone()) };
    let fault = lost.plan(1).start(|_| panic!("nothing is built")).err().expect("it is refused");
    assert_eq!(fault.exit, stream::Exit::Refused, "tables with progress beside an empty journal");
    assert!(lost.store.records().is_empty());
}

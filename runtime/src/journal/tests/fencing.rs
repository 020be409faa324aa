//! Two writers, in every order that hurts.

use super::history::{Model, Next};
use super::recovery::block;
use super::*;
use crate::journal::chain;
use crate::journal::store::Objects;
use crate::journal::testing::Random;
use crate::testing::faulty::{Fate, Operation, faulty};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use stream::{Exit, RecordHash, Sequence};

/// Commit random epochs until something stops us; what was committed, and why it ended.
fn commit_until_stopped(writer: &mut Writer, mut model: Model, seed: u64, most: usize) -> (Model, Option<Fault>) {
    let stopped = commit_until(writer, &mut model, seed, most);
    (model, stopped.map(|(fault, _)| fault))
}

/// The same, with the epoch that was in flight.
fn commit_until(writer: &mut Writer, model: &mut Model, seed: u64, most: usize) -> Option<(Fault, Next)> {
    let mut random = Random::new(seed);
    for _ in 0..most {
        let next = model.next(&mut random);
        match writer.append(&next.content) {
            Ok(written) => model.commit(next, written),
            Err(fault) => return Some((fault, next)),
        }
    }
    None
}

/// Every record there is follows the one before, and what each writer was told it committed is there.
fn check_chain(store: &Arc<dyn ObjectStore>, told: &[(Sequence, RecordHash)]) -> u64 {
    let objects = Objects::new(store.clone(), Patience::default()).unwrap();
    let last = chain::tail(&objects).unwrap().unwrap().link.sequence;
    let records = chain::stretch(&objects, FIRST, last).unwrap();
    for (sequence, hash) in told {
        assert_eq!(records[(sequence.0 - 1) as usize].0.opened.hash, *hash, "record {sequence} was lost");
    }
    last.0
}

fn race(store: &Arc<dyn ObjectStore>) {
    let told: Mutex<Vec<(Sequence, RecordHash)>> = Mutex::new(Vec::new());
    let (fenced, whole) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let (told, fenced, whole) = (&told, &fenced, &whole);
            scope.spawn(move || {
                let journal = open(store);
                let started = journal.start(Generation(0), || Ok(genesis()));
                let outcome = started.and_then(|started| {
                    let own = (started.sequence(), started.hash());
                    let (recovered, mut writer) = started.load(&LoadFrom::default())?;
                    told.lock().unwrap().push(own);
                    let mut content = EpochContent { watermark: recovered.watermark, ..EpochContent::default() };
                    for step in 0..20 {
                        let at = recovered.watermark.map_or(NOON, EventTime::millis) + 1000 * (seed * 100 + step);
                        content.watermark = Some(EventTime::from_millis(at));
                        let written = writer.append(&content)?;
                        told.lock().unwrap().push(written);
                    }
                    Ok(())
                });
                match outcome {
                    Ok(()) => _ = whole.fetch_add(1, Ordering::SeqCst),
                    Err(fault) => {
                        assert_eq!(fault.exit, Exit::Fenced, "{fault}");
                        fenced.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let told = told.into_inner().unwrap();
    let mut sequences: Vec<_> = told.iter().map(|(sequence, _)| *sequence).collect();
    sequences.sort();
    sequences.dedup();
    assert_eq!(sequences.len(), told.len(), "two writers were told the same number");
    check_chain(store, &told);
    let whole = whole.into_inner();
    assert!(whole >= 1, "the newest of all goes on");
    assert_eq!(whole + fenced.into_inner(), 6);
}

#[test]
fn racing_writers_in_memory() {
    for _ in 0..10 {
        race(&memory());
    }
}

#[test]
fn racing_writers_on_disk() {
    let folder = std::env::temp_dir().join(format!("topk-journal-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let disk = object_store::local::LocalFileSystem::new_with_prefix(&folder).unwrap().with_fsync(true);
    let store: Arc<dyn ObjectStore> = Arc::new(disk);
    race(&store);
    let journal = open(&store);
    let (_, mut writer) = start(&journal).unwrap();
    writer.compact().unwrap();
    let (before, _) = start(&journal).unwrap();
    assert!(before.watermark.is_some());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The newer instance has everything that the older one was told it committed, and at most the one epoch more that
/// became durable just before the fence and that the older one, seeing the slot, did not show.
#[test]
fn a_start_while_an_older_instance_keeps_committing() {
    for seed in 0..10 {
        let store = memory();
        let journal = open(&store);
        let (_, mut older) = start(&journal).unwrap();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let older = scope.spawn(|| {
                begun.store(true, Ordering::SeqCst);
                let mut model = Model::new(false);
                let stopped = commit_until(&mut older, &mut model, seed, 100_000);
                (model, stopped)
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let (recovered, mut newer) = start(&open(&store)).unwrap();
            let (mut model, stopped) = older.join().unwrap();
            let (fault, flying) = stopped.unwrap();
            assert_eq!(fault.exit, Exit::Fenced);
            if recovered.last_epoch.0 > model.last_epoch.0.max(FIRST) {
                model.commit(flying, recovered.last_epoch);
            }
            model.check(&recovered, &LoadFrom::default(), &format!("seed {seed}"));
            let (model, fault) = commit_until_stopped(&mut newer, model, seed + 1, 5);
            assert_eq!(fault, None);
            let (after, _) = start(&journal).unwrap();
            model.check(&after, &LoadFrom::default(), &format!("seed {seed}, later"));
        });
    }
}

/// A store that holds back one put until told, and says when it has it.
struct Freezer {
    store: Arc<dyn ObjectStore>,
    reached: Receiver<String>,
    go_on: Sender<()>,
}

fn freezer(inner: &Arc<dyn ObjectStore>, name: String) -> Freezer {
    let (tell, reached) = channel();
    let (go_on, wait) = channel();
    let (tell, wait, frozen) = (Mutex::new(tell), Mutex::new(wait), AtomicBool::new(false));
    let store = faulty(inner, move |operation, at| {
        if operation == Operation::Put && at == name && !frozen.swap(true, Ordering::SeqCst) {
            tell.lock().unwrap().send(at.to_owned()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        Fate::Pass
    });
    Freezer { store, reached, go_on }
}

/// A newer instance goes on, compacts twice with time passing, and so deletes old records.
fn take_over_and_delete(store: &Arc<dyn ObjectStore>, clock: &Arc<ManualClock>, model: Model) -> (Model, Writer) {
    let (_, mut writer) = start(&open_with(store, nobody_follows(), clock)).unwrap();
    let model = go_on_and_delete(&mut writer, clock, model);
    (model, writer)
}

fn nobody_follows() -> JournalSettings {
    JournalSettings { followers: Vec::new(), ..settings() }
}

fn go_on_and_delete(writer: &mut Writer, clock: &Arc<ManualClock>, mut model: Model) -> Model {
    model.nobody_holds = true;
    let (model, fault) = commit_until_stopped(writer, model, 77, 4);
    assert_eq!(fault, None);
    writer.compact().unwrap();
    let (model, fault) = commit_until_stopped(writer, model, 78, 4);
    assert_eq!(fault, None);
    clock.advance(Duration::from_secs(4000));
    writer.compact().unwrap();
    model
}

/// Hole 3: frozen before its put, it wakes when its name has been deleted. The create succeeds; the slot stops it.
#[test]
fn a_zombie_wakes_on_a_deleted_name() {
    let (store, clock) = (memory(), clock());
    let (_, mut older) = start(&open_with(&store, settings(), &clock)).unwrap();
    let (model, _) = commit_until_stopped(&mut older, Model::new(false), 1, 5);
    drop(older);
    // Generation 2 stands at record 7; its first epoch would be 8.
    let name = chain::name_of(Sequence(8));
    let Freezer { store: icy, reached, go_on } = freezer(&store, name.clone());
    let zombie_journal = open_with(&icy, settings(), &clock);
    std::thread::scope(|scope| {
        let before = model.clone();
        let zombie = scope.spawn(move || {
            let (_, mut zombie) = start(&zombie_journal).unwrap();
            commit_until_stopped(&mut zombie, before, 2, 3)
        });
        assert_eq!(reached.recv().unwrap(), name);
        let (model, mut newer) = take_over_and_delete(&store, &clock, model.clone());
        assert!(!block(&store).contains(&name), "the name must be free, or this proves nothing");
        go_on.send(()).unwrap();
        let (committed, fault) = zombie.join().unwrap();
        assert_eq!(fault.unwrap().exit, Exit::Fenced);
        assert_eq!(committed.epochs.len(), 5, "nothing of it counts as committed");
        assert!(bytes_of(&store, &name).is_some(), "its create did succeed");

        let (model, fault) = commit_until_stopped(&mut newer, model, 3, 3);
        assert_eq!(fault, None);
        let from = LoadFrom { tables: Some(Sequence(7)), dead_letters: None };
        let (recovered, _) = open_with(&store, settings(), &clock)
            .start(Generation(0), || panic!("there is a genesis"))
            .and_then(|started| started.load(&from))
            .unwrap();
        model.check(&recovered, &from, "after the zombie");

        // What it created on the deleted name is in nobody's way, and goes with the next deletion.
        let (_, mut last) = start(&open_with(&store, nobody_follows(), &clock)).unwrap();
        clock.advance(Duration::from_secs(4000));
        last.compact().unwrap();
        assert!(bytes_of(&store, &name).is_none(), "it was not collected");
    });
}

/// The same for a start frozen before its fence: its generation is one that somebody else got, too.
#[test]
fn a_start_wakes_on_a_deleted_name() {
    let (store, clock) = (memory(), clock());
    let (_, mut older) = start(&open_with(&store, settings(), &clock)).unwrap();
    let (model, _) = commit_until_stopped(&mut older, Model::new(false), 1, 5);
    drop(older);
    let name = chain::name_of(Sequence(7));
    let Freezer { store: icy, reached, go_on } = freezer(&store, name.clone());
    let zombie_journal = open_with(&icy, settings(), &clock);
    std::thread::scope(|scope| {
        let zombie = scope.spawn(move || start(&zombie_journal).map(|_| ()));
        assert_eq!(reached.recv().unwrap(), name);
        let (model, mut newer) = take_over_and_delete(&store, &clock, model);
        assert!(!block(&store).contains(&name), "the name must be free, or this proves nothing");
        go_on.send(()).unwrap();
        assert_eq!(zombie.join().unwrap().unwrap_err().exit, Exit::Fenced);
        assert!(bytes_of(&store, &name).is_some(), "its create did succeed");
        let (model, fault) = commit_until_stopped(&mut newer, model, 3, 3);
        assert_eq!(fault, None);
        let (recovered, _) = start(&open_with(&store, settings(), &clock)).unwrap();
        model.check(&recovered, &LoadFrom::default(), "after the zombie");
    });
}

/// And where nobody took over meanwhile, so that the generation is free: what it created is no part of the chain, and it begins
/// again at the chain's end. Taken for the fence, it would close a slot that no fence stands for, and the journal would
/// look as if it had lost commits.
#[test]
fn a_start_wakes_on_a_deleted_name_while_the_same_instance_runs() {
    let (store, clock) = (memory(), clock());
    let (_, mut running) = start(&open_with(&store, nobody_follows(), &clock)).unwrap();
    let (model, _) = commit_until_stopped(&mut running, Model::new(false), 1, 5);
    let name = chain::name_of(Sequence(7));
    let Freezer { store: icy, reached, go_on } = freezer(&store, name.clone());
    let sleeper = open_with(&icy, nobody_follows(), &clock);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || start(&sleeper).map(|(recovered, writer)| (recovered, writer.generation())));
        assert_eq!(reached.recv().unwrap(), name);
        let model = go_on_and_delete(&mut running, &clock, model);
        assert!(!block(&store).contains(&name), "the name must be free, or this proves nothing");
        go_on.send(()).unwrap();
        let (recovered, generation) = sleeper.join().unwrap().unwrap();
        assert!(bytes_of(&store, &name).is_some(), "its first create did succeed");
        model.check(&recovered, &LoadFrom::default(), "taken over at the end");
        assert_eq!(generation, Generation(running.generation().0 + 1));
        let (_, fault) = commit_until_stopped(&mut running, model.clone(), 3, 1);
        assert_eq!(fault.unwrap().exit, Exit::Fenced);
        let (recovered, _) = start(&open_with(&store, nobody_follows(), &clock)).unwrap();
        model.check(&recovered, &LoadFrom::default(), "after both");
    });
}

/// What a follower missed is read from files that our own compaction spares and a newer instance's does not.
#[test]
fn whoever_reads_counts_again_is_told_that_he_was_overtaken() {
    let (store, clock) = (memory(), clock());
    let (_, mut older) = start(&open_with(&store, settings(), &clock)).unwrap();
    let (model, _) = commit_until_stopped(&mut older, Model::new(false), 1, 5);
    older.compact().unwrap();
    let read_again = || {
        let lost = older.rereader().begin().lost(model.last_epoch.0, None, model.last_epoch.0);
        lost.open()?.collect::<Result<Vec<_>, _>>()
    };
    read_again().unwrap();
    take_over_and_delete(&store, &clock, model.clone());
    let fault = read_again().unwrap_err();
    assert_eq!(fault.exit, Exit::Fenced, "{fault}");
}

/// A base that an overtaken instance finishes is never taken, and what it left is collected later.
#[test]
fn a_zombie_finishes_its_compaction() {
    let (store, clock) = (memory(), clock());
    let journal = open_with(&store, settings(), &clock);
    let (_, mut zombie) = start(&journal).unwrap();
    let (model, _) = commit_until_stopped(&mut zombie, Model::new(false), 1, 5);
    let (_, mut newer) = start(&journal).unwrap();
    assert_eq!(zombie.compact().unwrap_err().exit, Exit::Fenced);
    let left = |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("base/")).count();
    assert_eq!(left(block(&store)), 1);
    newer.compact().unwrap();
    newer.compact().unwrap();
    assert_eq!(left(block(&store)), 1, "the zombie's part and our own first one are gone");
    let (recovered, _) = start(&journal).unwrap();
    model.check(&recovered, &LoadFrom::default(), "after the zombie");
}

/// A record of our own generation that we did not write is a bug, not a take-over.
#[test]
fn a_foreign_record_of_our_own_generation_is_a_bug() {
    let store = memory();
    let deaf = Arc::new(AtomicBool::new(false));
    let plan_deaf = deaf.clone();
    let shaky = faulty(&store, move |operation, _| match (plan_deaf.load(Ordering::SeqCst), operation) {
        (false, _) => Fate::Pass,
        (true, Operation::Put) => Fate::PassThenFail,
        (true, _) => Fate::Fail,
    });
    let (_, mut writer) = start(&open(&shaky)).unwrap();
    let mut random = Random::new(1);
    // It is written, nobody hears of it, and then somebody cuts the epoch again, which must never happen.
    deaf.store(true, Ordering::SeqCst);
    assert!(writer.append(&Model::new(false).next(&mut random).content).unwrap_err().is_transient());
    deaf.store(false, Ordering::SeqCst);
    let fault = writer.append(&Model::new(false).next(&mut random).content).unwrap_err();
    assert_eq!(fault.exit, Exit::Failed);
    assert!(fault.hint.contains("bug"), "{fault}");
}

/// A whole life over a store that fails now and then, in every way.
#[test]
fn failures_of_the_store_change_nothing() {
    for seed in 0..25 {
        let store = memory();
        let random = Mutex::new(Random::new(seed));
        let shaky = faulty(&store, move |_, _| match random.lock().unwrap().below(10) {
            0 => Fate::Fail,
            1 => Fate::PassThenFail,
            _ => Fate::Pass,
        });
        let mut settings = settings();
        settings.patience.attempts = 40;
        let journal = open_with(&shaky, settings, &clock());
        let mut model = Model::new(false);
        for life in 0..3 {
            let (recovered, mut writer) = start(&journal).unwrap();
            model.check(&recovered, &LoadFrom::default(), &format!("seed {seed} life {life}"));
            let (after, fault) = commit_until_stopped(&mut writer, model, seed + life, 8);
            assert_eq!(fault, None);
            writer.compact().unwrap();
            model = after;
        }
    }
}

/// A store that stays away is given up on, with a fault that says that a retry helps; the bytes are offered unchanged.
#[test]
fn a_store_that_stays_away_is_given_up_on() {
    let store = memory();
    let away = Arc::new(AtomicBool::new(false));
    let plan_away = away.clone();
    let shaky = faulty(&store, move |_, _| if plan_away.load(Ordering::SeqCst) { Fate::Fail } else { Fate::Pass });
    let journal = open(&shaky);
    let (_, mut writer) = start(&journal).unwrap();
    let content = Model::new(false).next(&mut Random::new(1)).content;
    away.store(true, Ordering::SeqCst);
    assert!(writer.append(&content).unwrap_err().is_transient());
    away.store(false, Ordering::SeqCst);
    assert_eq!(writer.append(&content).unwrap().0, Sequence(2));
}

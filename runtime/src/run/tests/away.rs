//! Followers that are away: while the job runs, when it starts, after a kill.

use super::*;

#[test]
fn a_follower_that_fails_for_a_while_is_given_the_same_step_and_stops_nothing_else() {
    let world = World { away: (0, 3), ..World::of(Script::seeded(3, 2000, 2)) };
    let last = world.run(2);
    world.check(&last, &recount(&world.script, &[]));
    assert!(world.boards.lock().unwrap().steps > 1);
}

/// A broker that has just come up answers, and leads nothing yet.
#[test]
fn a_start_waits_for_leaders_as_for_brokers() {
    let world = World::of(Script::seeded(3, 500, 8));
    // A fresh start asks once; the next one before its fence and after it.
    for leaderless in [0b11, 0b101] {
        world.script.leaderless.store(leaderless, Ordering::SeqCst);
        let last = drained(world.launch(Plan { start_deadline: PATIENCE, ..world.plan(2) }));
        world.check(&last, &recount(&world.script, &[]));
        assert_eq!(world.script.leaderless.load(Ordering::SeqCst), 0);
    }
}

/// Nothing may wait in memory here: whatever changes while the tables are away, or only busy, comes from the journal.
#[test]
fn what_tables_missed_while_they_were_away_comes_from_the_journal() {
    for (workers, compact_records) in [(1, 256), (2, 8)] {
        let all = Script::seeded(4, 6000, 11);
        let world = World { max_backlog: 0, until_end: false, ..World::of(Script::of(Vec::new())) };
        let records = all.partitions.lock().unwrap().clone();
        let append = |from: usize, to: usize| {
            for (name, records) in &records {
                world.script.append(name, records[from..to].iter().cloned());
            }
        };
        append(0, 1000);
        let running = world.start_compacting(workers, compact_records);
        until("the tables have something", || !world.tables.lock().unwrap().rows.is_empty());
        for round in 1..5 {
            world.tables.lock().unwrap().is_away = round % 2 == 1;
            append(1000 * round, 1000 * (round + 1));
            let read = || world.script.read.load(Ordering::SeqCst);
            until("all of it is read", || read() as usize >= 4000 * (round + 1));
            let steps = world.boards.lock().unwrap().steps;
            until("boards go on", || world.boards.lock().unwrap().steps > steps || round % 2 == 0);
        }
        until("they have caught up", || world.tables.lock().unwrap().rebuilt > 0);
        append(5000, 6000);
        running.stop().drain();
        drained(running);
        let world = World { until_end: true, ..world };
        let last = world.run(3 - workers);
        world.check(&last, &recount(&world.script, &[]));
    }
}

/// The process dies while tables are away for long: the next one does not load all that they lack into memory.
#[test]
fn a_start_over_tables_that_are_far_behind_reads_what_they_lack_beside_the_run() {
    let all = Script::seeded(4, 3000, 12);
    let world = World { max_events: 20, until_end: false, ..World::of(Script::of(Vec::new())) };
    let records = all.partitions.lock().unwrap().clone();
    let append = |from: usize, to: usize| {
        for (name, records) in &records {
            world.script.append(name, records[from..to].iter().cloned());
        }
    };
    append(0, 500);
    let overtaken = world.start_compacting(2, 4);
    until("the tables have something", || !world.tables.lock().unwrap().rows.is_empty());
    world.tables.lock().unwrap().is_away = true;
    append(500, 3000);
    until("there is far more in the journal", || world.store.records().last().is_some_and(|last| *last > 300));
    let world = World { until_end: true, ..world };
    let running = world.start_compacting(1, 4);
    world.tables.lock().unwrap().is_away = false;
    let last = drained(running);
    world.check(&last, &recount(&world.script, &[]));
    assert!(world.tables.lock().unwrap().rebuilt > 0);
    assert!(matches!(overtaken.wait(PATIENCE), Some(Event::Failed(_))), "the first one was fenced");
}

#[test]
fn a_follower_that_is_away_at_start_is_claimed_later() {
    let world = World { away: (2, 0), ..World::of(Script::seeded(3, 2000, 3)) };
    let last = world.run(2);
    world.check(&last, &recount(&world.script, &[]));
    assert_eq!(world.tables.lock().unwrap().claims, 1);
}

/// Contract, "Redis": every window that had an event gets its board, however far the watermark has passed it, also if the
/// process was killed before.
#[test]
fn boards_that_a_kill_kept_back_come_after_it_even_beyond_retention() {
    for (compacts, workers) in [(false, 1), (true, 2)] {
        let world = World { retention: Some(Duration::from_secs(120)), ..World::of(Script::seeded(3, 3000, 11)) };
        let expected = recount(&world.script, &[]);
        world.boards_shut.store(true, Ordering::SeqCst);
        let running = world.start(workers);
        let all: i64 = ["0", "1", "2"].iter().map(|name| world.script.end(name)).sum();
        until("all is committed", || running.totals().consumed == all as u64);
        // Killed here: this is what is left of it.
        let store = world.store.as_it_stands();
        let killed = World { store, retention: world.retention, ..World::of(world.script.clone()) };
        if compacts {
            let Plan { mut journal, store, clock, .. } = killed.plan(1);
            journal.followers = vec![("tables".to_owned(), Hold::Always), ("boards".to_owned(), Hold::WithinRetain)];
            let journal = Journal::open(store, journal, clock).unwrap();
            let started = journal.start(Generation(0), || panic!("there is a genesis")).unwrap();
            started.load(&LoadFrom::default()).unwrap().1.compact().unwrap();
        }
        killed.run(workers);
        let minutes = |shown: &Shown| -> Vec<i64> {
            shown.boards.keys().filter(|id| id.kind == 0).map(|id| id.start.millis()).collect()
        };
        let had_events: BTreeSet<i64> =
            expected.rows.keys().filter(|(kind, ..)| *kind == 0).map(|(_, start, _)| *start).collect();
        let beyond = expected.watermark.unwrap() - 120_000;
        assert!(had_events.iter().filter(|start| **start + 60_000 <= beyond).count() > 5, "or this proves nothing");
        assert_eq!(minutes(&killed.boards.lock().unwrap()), Vec::from_iter(had_events));
        world.boards_shut.store(false, Ordering::SeqCst);
        drained(running);
    }
}

/// As at start: a commit that is not in our chain is of another life, though its number is the one we remember.
#[test]
fn tables_that_come_back_with_a_hash_of_another_chain_are_refused() {
    let world = World { max_events: 100, ..World::of(Script::seeded(2, 1000, 12)) };
    world.run(1);
    let Plan { journal, store, clock, .. } = world.plan(1);
    let (_, journaled) = Journal::open(store, journal, clock).unwrap().read(&LoadFrom::default()).unwrap().unwrap();
    let sequence = journaled.acks["tables"].sequence;
    let hash = stream::RecordHash([7; 32]);
    let progress = Progress { generation: Generation(1), sequence, hash: Some(hash) };
    world.tables.lock().unwrap().progress = Some(progress);
    // Away when it is claimed at start, and back soon after.
    let running = World { away: (1, 0), ..world }.start(1);
    match running.wait(PATIENCE) {
        Some(Event::Failed(fault)) => {
            assert_eq!(fault.exit, stream::Exit::Refused, "{fault}");
            assert!(fault.what.contains("tables") && fault.why.contains(&hash.to_string()), "{fault}");
        }
        Some(Event::Drained(_)) => panic!("it went on over another life's tables"),
        None => panic!("the run goes on and on"),
    }
}

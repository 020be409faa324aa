//! A journal that outgrows `journal.max_bytes` because tables are away: reading pauses, and goes on by itself.

use super::*;

#[test]
fn a_full_journal_pauses_reading_until_the_tables_are_back() {
    for (workers, max_backlog) in [(1, 64 << 20), (2, 0)] {
        let all = Script::seeded(4, 12_000, 21);
        let world = World { max_backlog, max_events: 100, until_end: false, ..World::of(Script::of(Vec::new())) };
        let records = all.partitions.lock().unwrap().clone();
        let append = |from: usize, to: usize| {
            for (name, records) in &records {
                world.script.append(name, records[from..to].iter().cloned());
            }
        };
        append(0, 500);
        let mut plan = world.plan(workers);
        plan.journal.retain = Duration::ZERO;
        plan.journal.compact_records = 32;
        let max = 100_000;
        plan.journal.max_bytes = max;
        let running = world.launch(plan);
        until("the tables have something", || !world.tables.lock().unwrap().rows.is_empty());

        world.tables.lock().unwrap().is_away = true;
        append(500, 12_000);
        let read = || world.script.read.load(Ordering::SeqCst);
        let mut last = 0;
        until("reading stops", || {
            std::thread::sleep(Duration::from_millis(300));
            read() > 2000 && std::mem::replace(&mut last, read()) == last
        });
        let stopped_at = read();
        assert!(stopped_at < 4 * 12_000, "all was read: give it more to read; {} bytes", world.store.bytes());
        let stored = world.store.bytes();
        // The epochs that were under way, and a base that was being made.
        assert!((max..2 * max).contains(&stored), "{stored} bytes of {max}");
        let steps = world.boards.lock().unwrap().steps;
        until("boards are refreshed all the while", || world.boards.lock().unwrap().steps > steps);
        assert_eq!(read(), stopped_at);

        world.tables.lock().unwrap().is_away = false;
        until("all is read", || read() == 4 * 12_000);
        running.stop().drain();
        drained(running);
        let world = World { until_end: true, ..world };
        world.check(&world.run(3 - workers), &recount(&world.script, &[]));
        assert!(world.store.records()[1] > 100, "room was made by deleting what the tables have got");
    }
}

//! Partitions that fall silent or are added while the job runs, on the scripted source.

use super::*;

/// A live run over what is there, once all of it is committed.
fn caught_up(world: &World, workers: usize) -> Running {
    let running = world.start(workers);
    consumed(&running, world);
    running
}

fn consumed(running: &Running, world: &World) {
    let all = || world.script.partitions.lock().unwrap().values().map(|records| records.len() as u64).sum::<u64>();
    until("everything is committed", || running.begun.consumed + running.totals().consumed == all());
}

fn stopped(running: Running) -> Arc<Commit> {
    running.stop().drain();
    drained(running)
}

/// Holes 8 and 11 of the protocol, without a restart.
#[test]
fn a_partition_added_while_the_job_runs_rejoins_at_a_floor() {
    for workers in [1, 3] {
        let world = World { until_end: false, ..World::of(Script::seeded(2, 1500, 8)) };
        let floor = recount(&world.script, &[]).watermark.unwrap();
        let running = caught_up(&world, workers);
        world.script.append("9", (0..900).map(|index| format!("{} new", START + index * 500)));
        consumed(&running, &world);
        let last = stopped(running);
        assert_eq!(last.partitions["9"].floors, [(0, EventTime::from_millis(floor))]);
        let expected = recount(&world.script, &[("9", 0, floor)]);
        let watermark = last.watermark.map(EventTime::millis);
        world.check(&last, &Expected { watermark, ..expected.clone() });
        // The journal knows it: a restart changes nothing.
        let world = World { until_end: true, ..world };
        let again = world.run(2);
        assert_eq!(again.partitions, last.partitions);
        world.check(&again, &Expected { watermark, ..expected });
    }
}

#[test]
fn an_added_partition_without_records_is_journaled_and_holds_nothing_back() {
    let world = World { until_end: false, ..World::of(Script::seeded(2, 500, 9)) };
    let running = caught_up(&world, 2);
    let watermark = recount(&world.script, &[]).watermark;
    let records = world.store.records().len();
    world.script.append("9", []);
    until("it is journaled", || world.store.records().len() > records);
    let last = stopped(running);
    assert_eq!(last.partitions["9"], PartitionState::held_from(0, 0));
    assert_eq!(last.watermark.map(EventTime::millis), watermark);
}

/// Partition 1 falls silent; the other goes on without it, and it rejoins at a floor.
#[test]
fn a_silent_partition_is_passed_and_rejoins() {
    let mut world = World { until_end: false, ..World::of(Script::seeded(2, 300, 10)) };
    world.idle_timeout = Duration::from_millis(30);
    let running = caught_up(&world, 2);
    until("both are asked about", || world.script.asked.load(Ordering::SeqCst) >= 2);
    let last = stopped(running);
    // Not before all was read: so nobody was judged from a floor.
    let expected = recount(&world.script, &[]);
    world.check(&last, &Expected { watermark: last.watermark.map(EventTime::millis), ..expected });
    assert!(last.partitions.values().all(|state| !state.active), "{:?}", last.partitions);
    world.script.append("0", (300..900).map(|index| format!("{} on", START + index * 300)));
    let running = caught_up(&world, 2);
    let stood = last.watermark.unwrap().millis();
    world.script.append("1", (300..900).map(|index| format!("{} on", START + index * 300)));
    consumed(&running, &world);
    let last = stopped(running);
    let [(_, first)] = last.partitions["0"].floors[..] else { panic!("{:?}", last.partitions) };
    let [(_, second)] = last.partitions["1"].floors[..] else { panic!("{:?}", last.partitions) };
    assert!(first.millis() >= stood && second >= first);
    let expected = recount(&world.script, &[("0", 300, first.millis()), ("1", 300, second.millis())]);
    world.check(&last, &Expected { watermark: last.watermark.map(EventTime::millis), ..expected });
}

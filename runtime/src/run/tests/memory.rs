//! `job.max_memory`: reading pauses while the process holds more, and goes on by itself; a run to the end that can't get
//! there says so. What is held is what the test says, so nothing depends on the machine.

use super::*;

fn held(bytes: u64) -> Option<(u64, Arc<AtomicU64>)> {
    Some((1000, Arc::new(AtomicU64::new(bytes))))
}

/// Wait until nothing more is read, and say how much was.
fn read_no_further(world: &World) -> u64 {
    let read = || world.script.read.load(Ordering::SeqCst);
    let mut last = u64::MAX;
    until("reading stops", || {
        std::thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut last, read()) == last
    });
    last
}

#[test]
fn full_memory_pauses_reading_and_it_goes_on_by_itself() {
    for workers in [1, 2] {
        let (idle_timeout, memory) = (Duration::from_millis(200), held(10));
        let all = Script::seeded(4, 8000, 31);
        let world = World { until_end: false, idle_timeout, memory, ..World::of(all.clone()) };
        let set = |bytes| world.memory.as_ref().unwrap().1.store(bytes, Ordering::SeqCst);
        set(2000);
        let running = world.start(workers);
        let stopped_at = read_no_further(&world);
        assert!(stopped_at < 4 * 8000, "all was read before memory was first looked at");
        // Paused time is not silence: nobody is asked for an end, nobody becomes idle.
        let asked = world.script.asked.load(Ordering::SeqCst);
        let steps = world.boards.lock().unwrap().steps;
        until("boards are refreshed all the while", || world.boards.lock().unwrap().steps > steps + 4);
        assert_eq!(world.script.asked.load(Ordering::SeqCst), asked);
        assert_eq!(read_no_further(&world), stopped_at);
        set(960);
        assert_eq!(read_no_further(&world), stopped_at, "only well below");
        set(900);
        until("all is read", || world.script.read.load(Ordering::SeqCst) == 4 * 8000);
        running.stop().drain();
        drained(running);
        let world = World { until_end: true, ..world };
        // Whoever had read everything may have become idle, which moves the watermark and no count.
        let last = world.run(3 - workers);
        let watermark = last.watermark.map(EventTime::millis);
        world.check(&last, &Expected { watermark, ..recount(&all, &[]) });
    }
}

#[test]
fn a_paused_run_drains_at_once() {
    let world = World { until_end: false, memory: held(2000), ..World::of(Script::seeded(3, 8000, 32)) };
    let running = world.start(2);
    read_no_further(&world);
    running.stop().drain();
    drained(running);
    let world = World { until_end: true, memory: None, ..world };
    world.check(&world.run(1), &recount(&world.script, &[]));
}

/// What was read is counted and shown, the fault says what to do, and with more memory the next run goes on from there.
#[test]
fn a_run_to_the_end_that_memory_does_not_allow_ends_with_its_reason() {
    let world = World { memory: held(2000), max_events: 200, ..World::of(Script::seeded(3, 8000, 33)) };
    let running = world.start(2);
    let Some(Event::Drained(last)) = running.wait(PATIENCE) else { panic!("it is drained") };
    let (read, cut) = (world.script.read.load(Ordering::SeqCst), running.cut().expect("it says why"));
    assert!(read < 3 * 8000 && running.unfinished(&last) > 0, "{read} were read");
    assert_eq!(cut.exit, stream::Exit::Usage);
    assert!(cut.to_string().contains("job.max_memory") && cut.why.contains("2000 bytes of 1000"), "{cut}");
    running.finish();
    let consumed: u64 = last.ledger.values().map(|line| line.consumed).sum();
    assert_eq!(world.tables.lock().unwrap().progress.as_ref().unwrap().sequence, last.sequence);
    assert_eq!(consumed, read);

    let world = World { memory: held(10), ..world };
    let running = world.start(1);
    let Some(Event::Drained(last)) = running.wait(PATIENCE) else { panic!("it is drained") };
    assert_eq!(running.cut(), None);
    running.finish();
    world.check(&last, &recount(&world.script, &[]));
}

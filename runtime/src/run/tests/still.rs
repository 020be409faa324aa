//! A source that gives nothing, though there is more to read.

use super::*;
use stream::WallTime;

/// Runs a hundred times as fast.
#[derive(Default)]
struct Fast(SystemClock);

impl Clock for Fast {
    fn now(&self) -> WallTime {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * 100
    }
}

#[test]
fn a_source_that_stands_still_ends_the_run_and_the_next_one_goes_on() {
    let world = World { until_end: false, ..World::of(Script::seeded(2, 300, 12)) };
    world.script.stands_still.store(true, Ordering::SeqCst);
    let mut plan = world.plan(1);
    (plan.clock, plan.epoch_interval) = (Arc::new(Fast::default()), Duration::from_secs(1));
    let running = world.launch(plan);
    let Some(Event::Failed(fault)) = running.wait(PATIENCE) else { panic!("it goes on and on, and nothing comes") };
    assert_eq!(fault.exit, stream::Exit::Failed, "{fault}");
    assert!(fault.to_string().contains("it can be read up to 300"), "{fault}");
    world.script.stands_still.store(false, Ordering::SeqCst);
    let world = World { until_end: true, ..world };
    let last = world.run(1);
    world.check(&last, &recount(&world.script, &[]));
}

//! A source that gives nothing, though there is more to read.

use super::added::{consumed, stopped};
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
fn a_source_that_stands_still_is_connected_anew_and_everything_is_exact() {
    let mut world = World { until_end: false, ..World::of(Script::seeded(2, 300, 12)) };
    world.idle_timeout = Duration::from_secs(3600);
    let stands_still = world.script.stands_still.clone();
    stands_still.store(true, Ordering::SeqCst);
    let mut plan = world.plan(1);
    (plan.clock, plan.epoch_interval) = (Arc::new(Fast::default()), Duration::from_secs(1));
    let running = world.launch(plan);
    until("it is connected to anew", || !stands_still.load(Ordering::SeqCst));
    consumed(&running, &world);
    let last = stopped(running);
    let expected = recount(&world.script, &[]);
    world.check(&last, &Expected { watermark: last.watermark.map(EventTime::millis), ..expected });
}

//! The logs that these jobs read, and the settings that bring a small job to every step soon.

use crate::exactness::{Answer, words, write_views};
use tests::Setup;

/// Many epochs, flushes and compactions in a small log. Nothing is idle in it: idleness is decided by the clock.
pub(super) fn busy(setup: Setup) -> Setup {
    setup
        .with("epoch.interval", "1s")
        .with("epoch.max_events", 25)
        .with("topk.k", 20)
        .with("time.idle_timeout", "1h")
        .with("topk.publish_every", "1ms")
        .with("sink.postgres.flush_every", "1ms")
        .with("sink.postgres.top_k_every", "1ms")
        .with("journal.retain", "1ms")
}

/// So many epochs that three compactions are due, the last two of which delete.
pub(super) fn busier(setup: Setup) -> Setup {
    setup.with("epoch.max_events", 8)
}

/// A log in files, read once to its end, and what that gave.
pub(super) fn in_files(test: &str) -> (Setup, Answer) {
    let log = busy(Setup::embedded(test));
    write_views(&log, 2, 4_000);
    read(log)
}

/// The same in a topic, with Postgres and Redis.
pub(super) fn in_a_topic(test: &str) -> (Setup, Answer) {
    let log = busy(Setup::on_services(test));
    log.generate(&words(
        "--kafka --partitions 2 --count 8000 --rate 1 --start 2025-10-31T22:40:00Z --videos 300 --late 2 --malformed 2 --future 0.5",
    ));
    read(log)
}

fn read(log: Setup) -> (Setup, Answer) {
    log.run_until_end();
    let answer = Answer::of(&log);
    (log, answer)
}

//! One log, one answer: the number of workers and the cuts between epochs leave no trace in it.

use super::{Answer, assert_recounted, words, write_views};
use tests::Setup;

/// (workers, epoch.interval, epoch.max_events)
const WAYS: [(i64, &str, i64); 5] =
    [(1, "5s", 1_000_000), (2, "10ms", 1_000_000), (3, "10ms", 700), (1, "10ms", 300), (3, "5s", 5000)];

fn with_way(setup: Setup, (workers, interval, max_events): (i64, &str, i64)) -> Setup {
    setup
        .with("job.workers", workers)
        .with("epoch.interval", interval)
        .with("epoch.max_events", max_events)
        .with("topk.k", 50)
}

#[test]
fn same_answer_for_any_workers_and_epochs() {
    let log = with_way(Setup::embedded("same"), WAYS[0]);
    write_views(&log, 4, 15_000);
    log.run_until_end();
    assert_recounted(&log, &[]);
    let expected = Answer::of(&log);
    assert!(
        !expected.dead_letters.is_empty() && expected.tables.0["window_status"].len() > 100,
        "the log has too little in it"
    );

    for way in &WAYS[1..] {
        let other = with_way(log.beside("same"), *way);
        other.run_until_end();
        expected.assert_same(&Answer::of(&other), &format!("workers, epoch.interval, epoch.max_events = {way:?}"));
    }
}

#[test]
fn same_answer_through_kafka_for_any_workers_and_epochs() {
    let log = with_way(Setup::on_services("same"), WAYS[0]);
    log.generate(&words(
        "--kafka --partitions 5 --count 60000 --rate 10 --start 2025-10-31T22:40:00Z --videos 3000 --late 2 --malformed 2 --future 0.5",
    ));
    log.run_until_end();
    assert_recounted(&log, &[]);
    let expected = Answer::of(&log);
    assert!(!expected.boards.is_empty() && !expected.dead_letters.is_empty(), "nothing to compare");

    let other = with_way(log.beside("same"), WAYS[2]);
    other.run_until_end();
    expected.assert_same(&Answer::of(&other), &format!("through Kafka, {:?}", WAYS[2]));
}

//! The claim itself: real Kafka in, Postgres, Redis and a topic of dead letters out, and every row as the recount says.

use super::second_run::assert_a_second_run_changes_nothing;
use super::{assert_recounted, words};
use tests::Setup;

/// 2,000,000 views under `./test --long`, else 300,000.
fn views() -> u64 {
    if std::env::var_os("TOPK_TEST_LONG").is_some() { 2_000_000 } else { 300_000 }
}

#[test]
fn two_million_views_through_kafka() {
    let setup = Setup::on_services("views");
    let (count, rate) = (views(), views() / 10_000);
    setup.generate(&words(&format!(
        "--kafka --partitions 8 --count {count} --rate {rate} --start 2025-10-31T22:00:00Z --disorder 10 --late 1 --malformed 1"
    )));

    let first = setup.run_until_end();
    println!("{}", first.stdout);
    assert_eq!(first.figure("read"), views());
    let dead = views() - first.figure("counted");
    assert!((views() / 200..views() / 50).contains(&dead), "1 % is malformed, but {dead} are dead letters");
    assert!(first.figure("minute") > views() / 200, "1 % is late for its minute");
    assert_recounted(&setup, &[]);

    assert_a_second_run_changes_nothing(&setup);
}

//! What a start does, by what it finds: the decision table over journal, tables, boards and log. Whatever would lose data
//! or mix two lives is refused with its own exit code and named.

use std::fs;
use tests::kafka::{self, Record};
use tests::{Finished, Setup};

mod accepted;
mod away;
mod fenced;
mod journal;
mod log;
mod owners;
mod rebuilt;
mod recovered;
mod settings;

/// 2025-10-19T12:00:00Z.
const NOON: i64 = 1_760_875_200_000;

fn view_line(video: &str, after_noon_millis: i64) -> String {
    format!("{{\"video_id\":\"{video}\",\"view_timestamp\":{}}}\n", NOON + after_noon_millis)
}

/// A job over one file of 20 views, run to the end once.
fn embedded_with_progress(test: &str) -> Setup {
    let setup = Setup::embedded(test);
    write_views(&setup, "v", 20);
    let first = setup.run_until_end();
    assert_eq!((first.figure("read"), first.figure("counted")), (20, 20));
    setup
}

fn write_views(setup: &Setup, video: &str, views: i64) {
    let lines: String = (0..views).map(|number| view_line(&format!("{video}{}", number % 3), number * 1000)).collect();
    fs::write(setup.path("views").join("part.ndjson"), lines).expect("the folder can be written");
}

/// The same over Kafka, Postgres and Redis.
fn on_services_with_progress(test: &str) -> Setup {
    let setup = Setup::on_services(test);
    kafka::create_topic(setup.name(), 1, &[]);
    produce_views(&setup, 20);
    assert_eq!(setup.run_until_end().figure("counted"), 20);
    setup
}

fn produce_views(setup: &Setup, views: i64) {
    let records: Vec<Record> =
        (0..views).map(|number| Record::view(0, &format!("v{}", number % 3), NOON + number * 1000)).collect();
    kafka::produce(setup.name(), &records);
}

fn lose_the_journal(setup: &Setup) {
    fs::remove_dir_all(setup.path("data")).expect("there is a journal");
}

/// A start is refused with `code`, at once, and says all of this on stderr.
#[track_caller]
fn assert_refused(setup: &Setup, code: i32, expected: &[&str]) -> Finished {
    let finished = setup.topk(&["run", "--until-end"]).expect_code(code);
    let said = finished.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect::<Vec<_>>().join("\n");
    for expected in expected.iter().chain(&["what to do: "]) {
        assert!(said.contains(expected), "`{expected}` is missing in\n{}", finished.stderr);
    }
    assert!(!finished.stderr.contains("started again"), "a refusal was retried:\n{}", finished.stderr);
    finished
}

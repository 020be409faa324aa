//! `--until-end` over a log that is read already changes nothing but generation, `published_at` and `updated_at`.

use super::{Answer, assert_recounted, words};
use std::fs;
use std::time::Duration;
use stream::EventTime;
use tests::kafka::{self, Record};
use tests::setup::text;
use tests::{Setup, Tables, until, wait::LONG};

/// What a second run may change in tables.
const CHANGED: [&str; 4] =
    ["topk_progress.generation", "topk_progress.updated_at", "topk_job.generation", "topk_job.updated_at"];

/// Run to the end once more; then everything is as before, epochs too.
pub(super) fn assert_a_second_run_changes_nothing(setup: &Setup) {
    let state = || (Answer::of(setup), setup.tables().without(&CHANGED), boards(setup));
    let before: (Answer, Tables, _) = state();
    let second = setup.run_until_end();
    assert_eq!(second.figure("read"), 0, "everything was read by the run before");
    let after = state();
    before.0.assert_same(&after.0, "a second run over the same log");
    before.1.assert_same(&after.1, "a second run over the same log, epochs too");
    for (name, board) in &before.2 {
        assert_eq!(Some(board), after.2.get(name), "{name} after a second run over the same log");
    }
}

/// Boards without what a second run may change in them.
fn boards(setup: &Setup) -> std::collections::BTreeMap<String, serde_json::Value> {
    let mut boards =
        if setup.settings().contains_key("sink.redis.prefix") { setup.boards() } else { Default::default() };
    for members in boards.values_mut().filter_map(serde_json::Value::as_object_mut) {
        members.retain(|member, _| member != "generation" && member != "published_at");
    }
    boards
}

/// In a log that grows between runs, most windows last changed long before the last epoch, and stay so.
#[test]
fn a_second_run_changes_nothing_that_an_earlier_epoch_wrote() {
    let setup = Setup::embedded("second").with("topk.k", 50);
    let log = setup.path("views").join("part-0.ndjson");
    for (part, start) in ["2025-10-31T22:40:00Z", "2025-10-31T23:40:00Z", "2025-11-01T00:40:00Z"].iter().enumerate() {
        let more = text(&setup.path("more.ndjson"));
        setup.generate(&words(&format!(
            "--count 9000 --seed {part} --rate 3 --start {start} --videos 500 --late 2 --malformed 2 --file {more}"
        )));
        let grown = [fs::read(&log).unwrap_or_default(), fs::read(more).expect("generated")].concat();
        fs::write(&log, grown).expect("the temporary folder can be written");
        assert_eq!(setup.run_until_end().figure("read"), 9000);
    }
    assert_recounted(&setup, &[]);
    assert_a_second_run_changes_nothing(&setup);
}

/// The board of an hour that is over but not final was last written for an earlier epoch than the board beside it.
#[test]
fn a_second_run_changes_no_board_that_an_earlier_epoch_wrote() {
    let setup = Setup::on_services("second").with("epoch.interval", "50ms");
    let at = |time: &str| EventTime::parse(&format!("2025-10-19T{time}Z")).expect("an instant").millis();
    let wait_for_board = |views: u64| {
        until(&format!("the board of 13:00 has {views} views"), LONG, || {
            (setup.boards().get("hour:2025-10-19T13:00")?["total_views"] == views).then_some(())
        });
    };
    kafka::create_topic(setup.name(), 1, &[]);
    kafka::produce(setup.name(), &[Record::view(0, "a", at("12:59:00")), Record::view(0, "b", at("13:00:30"))]);
    let job = setup.start(&["run"]);
    wait_for_board(1);
    kafka::produce(setup.name(), &[Record::view(0, "b", at("13:00:40"))]);
    wait_for_board(2);
    assert_eq!(setup.boards()["hour:2025-10-19T12:00"]["state"], "closed");
    job.signal("TERM");
    job.wait(Duration::from_secs(60)).expect_code(0);
    assert_a_second_run_changes_nothing(&setup);
}

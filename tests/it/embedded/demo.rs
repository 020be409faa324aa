//! `topk demo`: lists move, Ctrl-C drains, and running it again goes on where it was.

use super::get;
use serde_json::Value;
use std::path::Path;
use tests::setup::bare_topk;
use tests::{Running, until, wait::LONG};

fn start(folder: &Path, label: &str) -> Running {
    let words = [
        "demo",
        "--data",
        "state",
        "--speed",
        "600",
        "--set",
        "job.listen=127.0.0.1:0",
        "--set",
        "reader.listen=127.0.0.1:0",
    ];
    Running::start(bare_topk(&words), folder, label)
}

/// The reader's URL as the demo itself prints it.
fn printed(demo: &Running) -> String {
    let page = until("the demo prints its page", LONG, || demo.said_after("page "));
    page.trim_end_matches('/').to_owned()
}

fn total(url: &str) -> u64 {
    let list = format!("{url}/v1/top?window=all_time&k=10");
    let answer: Value =
        until("there is a list", LONG, || get(&list).filter(|answer| answer["meta"]["total_views"].as_u64() > Some(0)));
    answer["meta"]["total_views"].as_u64().expect("a number")
}

#[test]
fn lists_move_and_a_restart_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = start(folder.path(), "first");
    let url = printed(&demo);
    let first = total(&url);
    let later = until("the list moves", LONG, || Some(total(&url)).filter(|later| *later > first));
    demo.signal("INT");
    let ended = demo.wait(LONG).expect_code(0);
    assert!(ended.stderr.contains("drained"), "{}", ended.stderr);

    let demo = start(folder.path(), "second");
    let url = printed(&demo);
    until("it says that it goes on", LONG, || demo.stderr().contains("going on where it was").then_some(()));
    let again = total(&url);
    assert!(again >= later, "{again} views after a restart, {later} before");
    // A child that is killed is started again, and the lists go on.
    let before = demo.child().expect("a job runs");
    assert!(demo.kill_child());
    until("it is started again", LONG, || demo.child().filter(|child| *child != before));
    let url = until("another reader is announced", LONG, || {
        let endpoints: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("state/endpoints.json")).ok()?).ok()?;
        (endpoints["pid"] != before).then(|| endpoints["reader"].as_str().map(str::to_owned))?
    });
    until("the lists go on", LONG, || Some(total(&url)).filter(|now| *now > again));
    demo.signal("INT");
    demo.wait(LONG).expect_code(0);
}

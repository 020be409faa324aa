//! Two instances of one job: the newer one takes over, the older one ends.

use super::{embedded_with_progress, view_line};
use std::io::Write;
use tests::{until, wait::LONG};

#[test]
fn an_older_instance_is_fenced_by_a_newer_one() {
    let setup = embedded_with_progress("fenced");
    let add = |video: &str| {
        let file = std::fs::OpenOptions::new().append(true).open(setup.path("views").join("part.ndjson"));
        file.and_then(|mut file| file.write_all(view_line(video, 30_000).as_bytes())).expect("the file can be written");
    };
    let older = setup.start(&["run"]);
    until("the older one runs", LONG, || older.stderr().contains("the job runs").then_some(()));
    let newer = setup.start(&["run"]);
    until("the newer one runs", LONG, || newer.stderr().contains("the job runs").then_some(()));
    // Whatever the older one commits next shows it that it is fenced.
    add("v0");
    let ended = older.wait(LONG).expect_code(4);
    assert!(
        ended.stderr.contains("error: ") && ended.stderr.contains("the newer instance goes on"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("started again"), "a fenced job was started again:\n{}", ended.stderr);
    add("v1");
    newer.signal("TERM");
    newer.wait(LONG).expect_code(0);
    setup.run_until_end();
    setup.assert_right();
}

//! A running job's life: ports, signals, supervision, logs.

use super::with_one_view;
use std::net::TcpListener;
use std::time::Duration;
use tests::{Running, Setup, dump, until, wait::LONG};

/// Records consumed, as the tables show them.
fn consumed(setup: &Setup) -> Option<String> {
    let path = setup.path("topk.db");
    let there = setup.tables().0.contains_key("topk_ledger");
    let row = there.then(|| dump::sqlite_query(&path, "SELECT sum(consumed) AS consumed FROM topk_ledger"))?;
    row.into_iter().next()?.remove("consumed")?
}

fn wait_until_counted(setup: &Setup, records: &str) {
    until("the views are in the tables", LONG, || consumed(setup).filter(|consumed| consumed == records));
}

fn add(setup: &Setup, views: usize) {
    use std::io::Write;
    let path = setup.path("views").join("one.ndjson");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("the file is there");
    let view = "{\"video_id\":\"a\",\"view_timestamp\":\"2025-10-19T12:00:00Z\"}\n";
    file.write_all(view.repeat(views).as_bytes()).expect("the file can be written");
}

/// An address where nobody listens.
fn closed_port() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn is_there(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}

fn wait_for_another_child(job: &Running, before: u32) -> u32 {
    until("the child is started again", LONG, || job.child().filter(|child| *child != before))
}

#[test]
fn a_busy_port_is_said_and_the_next_free_one_taken() {
    // Two neighbours, both taken, so that a job must look further.
    let (_one, _two, port) = until("two neighbouring ports are free", LONG, || {
        let one = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = one.local_addr().ok()?.port();
        let two = TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
        Some((one, two, port))
    });
    let busy = format!("127.0.0.1:{port}");
    let setup = with_one_view("busy").with("job.listen", busy.clone()).with("reader.listen", busy.clone());
    let job = setup.start(&["run", "--serve"]);
    let (own, reader) = (setup.url("job"), setup.url("reader"));
    until("the reader is ready", LONG, || ureq::get(format!("{reader}/readyz")).call().ok());
    until("the job is ready", LONG, || ureq::get(format!("{own}/readyz")).call().ok());
    job.signal("TERM");
    let said = job.wait(LONG).expect_code(0).stderr;
    assert!(own != reader && !own.ends_with(&busy) && !reader.ends_with(&busy), "{own} {reader}");
    for (key, url) in [("job.listen", own), ("reader.listen", reader)] {
        let line = said.lines().find(|line| line.contains(&format!("{busy} ({key}) is busy"))).expect("it is said");
        assert!(line.contains(url.trim_start_matches("http://")), "{line}");
    }
}

#[test]
fn the_first_signal_drains_and_the_next_start_goes_on() {
    for signal in ["TERM", "INT"] {
        let setup = with_one_view("drain");
        let job = setup.start(&["run"]);
        wait_until_counted(&setup, "1");
        add(&setup, 1000);
        wait_until_counted(&setup, "1001");
        let child = job.child().expect("a job runs");
        job.signal(signal);
        let finished = job.wait(Duration::from_secs(60)).expect_code(0);
        assert!(finished.stderr.contains("drained"), "{}", finished.stderr);
        assert!(!is_there(child), "the child outlived its parent");
        let again = setup.run_until_end();
        assert_eq!((again.figure("read"), again.figure("counted")), (0, 0));
        setup.assert_right();
    }
}

#[test]
fn a_second_signal_leaves_now() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        // Postgres is away, so that draining waits for it.
        let mut setup = Setup::on_services("second").with("job.drain_timeout", "1h");
        tests::kafka::create_topic(setup.name(), 1, &[]);
        setup.run_until_end();
        let url = setup.setting("sink.postgres.url").to_owned();
        setup.set("sink.postgres.url", format!("postgres://topk@{}/topk", closed_port()));
        let job = setup.start(&["run"]);
        setup.set("sink.postgres.url", url);
        until("the job runs without its tables", LONG, || job.stderr().contains("the job runs").then_some(()));
        tests::kafka::produce(setup.name(), &[tests::kafka::Record::view(0, "a", 1_760_875_200_000)]);
        job.signal(signal);
        until("it drains", LONG, || job.stderr().contains("draining").then_some(()));
        job.signal(signal);
        job.wait(LONG).expect_code(code);
        // What it had not flushed is in the journal.
        setup.run_until_end();
    }
}

#[test]
fn a_signal_while_starting_stops_at_once() {
    let setup = with_one_view("starting").with("sink.board", "redis");
    let setup = setup.with("sink.redis.url", format!("redis://{}", closed_port()));
    let job = setup.start(&["run"]);
    until("it waits", LONG, || job.stderr().contains("a fresh start waits for this sink").then_some(()));
    job.signal("TERM");
    let finished = job.wait(LONG).expect_code(0);
    assert!(finished.stderr.contains("stopped while starting: this start has read nothing"), "{}", finished.stderr);
}

/// Whenever the signal comes, what is said is true: either this start read nothing, or what it read is drained.
#[test]
fn a_signal_at_any_moment_of_a_start_is_answered_with_the_truth() {
    let setup = with_one_view("moment");
    add(&setup, 2000);
    let (mut early, mut drained, mut shown) = (0, 0, 0);
    for millis in (0..400).step_by(25) {
        let job = setup.start(&["run"]);
        std::thread::sleep(Duration::from_millis(millis));
        job.signal("TERM");
        let finished = job.wait(LONG);
        let now = consumed(&setup).map_or(0, |consumed| consumed.parse::<u64>().expect("a number"));
        if finished.stderr.contains("this start has read nothing") {
            assert_eq!((finished.code, now), (Some(0), shown), "after {millis} ms: {}", finished.stderr);
            early += 1;
        } else if finished.stderr.contains("drained: everything read is committed and flushed") {
            assert_eq!(finished.code, Some(0), "after {millis} ms: {}", finished.stderr);
            drained += 1;
        } else {
            // Before the parent listened for signals there was nothing to tell.
            assert_eq!((finished.code, finished.stderr.as_str(), now), (None, "", shown), "after {millis} ms");
        }
        shown = now;
    }
    println!("{early} stopped before reading, {drained} drained");
    assert_eq!(setup.run_until_end().figure("read"), 2001 - shown);
    setup.assert_right();
}

#[test]
fn a_run_to_the_end_that_is_stopped_before_it_says_so() {
    let setup = with_one_view("short").with("epoch.max_events", 50);
    add(&setup, 60_000);
    let commits = setup.path("data").join("journal").join(setup.name()).join("commit");
    let job = setup.start(&["run", "--until-end"]);
    until("some epochs are committed", LONG, || (std::fs::read_dir(&commits).ok()?.count() > 5).then_some(()));
    job.signal("INT");
    let first = job.wait(LONG).expect_code(0);
    let line = first.stdout.lines().next().expect("a summary");
    assert!(line.starts_with("stopped    before the end, by a signal: 1 of 1 partitions"), "{}", first.stdout);
    let read = first.figure("read");
    assert!((1..60_001).contains(&read), "{read}");
    let second = setup.run_until_end();
    assert!(!second.stdout.contains("stopped"), "{}", second.stdout);
    assert_eq!(second.figure("read"), 60_001 - read);
    setup.assert_right();
}

#[test]
fn a_killed_child_is_started_again_and_goes_on() {
    let setup = with_one_view("restart");
    let job = setup.start(&["run"]);
    wait_until_counted(&setup, "1");
    let mut expected = 1;
    for _ in 0..3 {
        let before = job.child().expect("a job runs");
        assert!(job.kill_child());
        wait_for_another_child(&job, before);
        add(&setup, 10);
        expected += 10;
        wait_until_counted(&setup, &expected.to_string());
    }
    job.signal("TERM");
    let finished = job.wait(Duration::from_secs(60)).expect_code(0);
    let restarts: Vec<f64> = finished
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["message"].as_str().is_some_and(|message| message.contains("it is started again")))
        .map(|line| {
            assert_eq!(line["signal"], 9);
            line["after_seconds"].as_f64().expect("a pause")
        })
        .collect();
    assert_eq!(restarts, [0.0, 0.5, 1.0], "the first restart is at once, then with a back-off");
    setup.assert_right();
}

#[test]
fn the_child_ends_with_its_parent() {
    let setup = with_one_view("orphan");
    let job = setup.start(&["run"]);
    wait_until_counted(&setup, "1");
    let (parent, child) = (job.pid(), job.child().expect("a job runs"));
    let killed =
        std::process::Command::new("sh").args(["-c", &format!("kill -KILL {parent}")]).status().expect("sh runs");
    assert!(killed.success());
    until("the child is gone", LONG, || (!is_there(child)).then_some(()));
    drop(job);
    add(&setup, 1);
    assert_eq!(setup.run_until_end().figure("read"), 1);
    setup.assert_right();
}

#[test]
fn a_first_start_that_fails_is_not_retried() {
    let setup = Setup::embedded("nostart");
    let blocked = setup.path("blocked");
    std::fs::write(&blocked, "a file stands where the state should be").expect("written");
    let setup = setup.with("job.state", format!("file:{}", blocked.display()));
    let finished = setup.topk(&["run"]).expect_code(1);
    assert!(
        finished.stderr.contains("error: cannot write") && finished.stderr.contains("what to do: point job.state"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("started again"), "{}", finished.stderr);
}

#[test]
fn logs_are_json_lines_when_nobody_looks() {
    let setup = with_one_view("logs");
    let finished = setup.run_until_end();
    let lines: Vec<serde_json::Value> = finished
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert!(!lines.is_empty());
    for line in lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    for name in ["read", "counted", "epoch", "late, by window", "dead, by reason", "seconds", "views/s"] {
        assert!(finished.stdout.lines().any(|line| line.starts_with(name)), "no {name} in\n{}", finished.stdout);
    }
}

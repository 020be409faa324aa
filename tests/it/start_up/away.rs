//! Sinks that are away at the start: with a journal the job starts without them and catches up; without one it waits.

use super::{NOON, on_services_with_progress, produce_views, write_views};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

/// A free port that refuses connections until it is opened.
struct Door {
    address: SocketAddr,
    to: String,
}

impl Door {
    /// A door to `host:port`, closed.
    fn to(to: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        Door { address, to: to.to_owned() }
    }

    /// Let everybody through from now on.
    fn open(&self) {
        let listener = TcpListener::bind(self.address).expect("the port is still free");
        let to = self.to.clone();
        thread::spawn(move || {
            for from in listener.incoming() {
                let (Ok(from), Ok(to)) = (from, TcpStream::connect(&to)) else { continue };
                let pass = |from: &TcpStream, to: &TcpStream| {
                    let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    thread::spawn(move || {
                        // An end on either side ends both.
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                        let _ = from.shutdown(std::net::Shutdown::Both);
                    });
                };
                pass(&from, &to);
                pass(&to, &from);
            }
        });
    }
}

/// Replace `host:port` in the setting by a door to it; returns the door and the setting as it was.
fn behind_a_door(setup: &mut Setup, key: &str) -> (Door, String) {
    let url = setup.setting(key).to_owned();
    let after_scheme = url.split_once("://").expect("a URL").1;
    let host = after_scheme.rsplit('@').next().and_then(|rest| rest.split('/').next()).expect("a host").to_owned();
    let door = Door::to(&host);
    setup.set(key, url.replace(&host, &door.address.to_string()));
    (door, url)
}

#[test]
fn with_a_journal_the_job_starts_without_its_sinks_and_catches_up() {
    for (key, follower) in [("sink.redis.url", "redis"), ("sink.postgres.url", "postgres")] {
        let mut setup = on_services_with_progress("away");
        produce_views(&setup, 10);
        let (door, url) = behind_a_door(&mut setup, key);
        let job = setup.start(&["run"]);
        until("the job runs", LONG, || job.stderr().contains("the job runs").then_some(()));
        let without = format!("\"follower\":\"{follower}\"");
        assert!(
            job.stderr().lines().any(|line| line.contains("starting without this sink") && line.contains(&without)),
            "{}",
            job.stderr()
        );
        // It counts meanwhile: all that this process has read is committed.
        kafka::produce(setup.name(), &[Record::view(0, "meanwhile", NOON + 60_000)]);
        let metrics = format!("{}/metrics", setup.live_url("job"));
        until("it counts without the sink", LONG, || {
            let text = ureq::get(&metrics).call().ok()?.body_mut().read_to_string().ok()?;
            text.lines().any(|line| line == "topk_records_counted_total 11").then_some(())
        });
        door.open();
        setup.set(key, url);
        until("the sink has caught up", LONG, || {
            let has = |text: &str| text.contains("meanwhile");
            match key {
                "sink.redis.url" => setup.boards().get("all_time:all").is_some_and(|board| has(&board.to_string())),
                _ => setup.tables().0["video_views_all_time"]
                    .iter()
                    .any(|row| row["video_id"].as_deref().is_some_and(has)),
            }
            .then_some(())
        });
        job.signal("TERM");
        job.wait(LONG).expect_code(0);
        setup.assert_right();
    }
}

#[test]
fn without_a_journal_the_job_waits_for_its_sinks_and_ends_with_1() {
    let mut setup = Setup::on_services("waits");
    kafka::create_topic(setup.name(), 1, &[]);
    let (_door, url) = behind_a_door(&mut setup, "sink.postgres.url");
    let finished = setup.topk(&["run"]).expect_code(1);
    assert!(finished.stderr.contains("a fresh start waits for this sink"), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("error: ") && finished.stderr.contains("sink.postgres.url"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("started again"), "{}", finished.stderr);
    // It began nothing.
    setup.set("sink.postgres.url", url);
    assert!(setup.run_until_end().stderr.contains("\"created\":true"));
}

/// Files are sinks too: one that cannot be opened is waited for, and nothing has begun.
#[test]
fn without_a_journal_a_file_that_cannot_be_opened_ends_with_1() {
    thread::scope(|scope| {
        for key in ["sink.sqlite.path", "sink.dead_letters.file"] {
            scope.spawn(move || {
                let mut setup = Setup::embedded("nofile");
                write_views(&setup, "v", 5);
                let right = setup.setting(key).to_owned();
                let blocked = setup.path("blocked");
                std::fs::write(&blocked, "a file stands where a folder should be").expect("written");
                setup.set(key, format!("{}/below", blocked.display()));
                let finished = setup.topk(&["run"]).expect_code(1);
                for expected in ["a fresh start waits for this sink", "error: ", key, "what to do: "] {
                    assert!(finished.stderr.contains(expected), "no `{expected}` in\n{}", finished.stderr);
                }
                assert!(!finished.stderr.contains("started again"), "{}", finished.stderr);
                setup.set(key, right);
                assert!(setup.run_until_end().stderr.contains("\"created\":true"), "it began nothing");
                setup.assert_right();
            });
        }
    });
}

#[test]
fn without_a_journal_the_job_begins_when_the_sink_comes() {
    let setup = Setup::embedded("comes");
    write_views(&setup, "v", 5);
    let mut setup = setup.with("sink.board", "redis").with("sink.redis.url", tests::services::redis());
    let name = setup.name().to_owned();
    setup.set("sink.redis.prefix", name);
    let (door, _) = behind_a_door(&mut setup, "sink.redis.url");
    let job = setup.start(&["run", "--until-end"]);
    until("it waits", LONG, || job.stderr().contains("a fresh start waits for this sink").then_some(()));
    door.open();
    assert_eq!(job.wait(LONG).expect_code(0).figure("counted"), 5);
    setup.assert_right();
}

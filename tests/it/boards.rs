//! Boards when their store fails: emptied, set back to an earlier moment, frozen, away, behind TLS; and the reader when its
//! stores do. Each test has a Redis of its own to mistreat.

use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use tests::{RedisServer, Running, Setup, until, wait::LONG};

mod away;
mod lost;
mod served;
mod tls;

/// A job over files, with tables in SQLite and boards in this Redis.
fn on_redis(test: &str, server: &RedisServer) -> Setup {
    Setup::embedded(test)
        .with("sink.board", "redis")
        .with("sink.redis.url", server.url())
        .with("sink.redis.prefix", "topk")
}

/// A view of a video in each minute of 2025-10-19 from 12:00 plus the first up to the last.
fn append_views(setup: &Setup, video: &str, minutes: std::ops::Range<u32>) {
    let view = |minute: u32| {
        let (hour, minute) = (12 + minute / 60, minute % 60);
        format!("{{\"video_id\":\"{video}\",\"view_timestamp\":\"2025-10-19T{hour:02}:{minute:02}:30Z\"}}\n")
    };
    let lines: String = minutes.map(view).collect();
    let file = OpenOptions::new().append(true).create(true).open(setup.path("views").join("views.ndjson"));
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("the folder can be written");
}

fn wait_until_said(job: &Running, what: &str) {
    until(&format!("the job says `{what}`"), LONG, || job.stderr().contains(what).then_some(()));
}

/// The board of all time has this many views, as soon as it has.
fn wait_for_board(setup: &Setup, views: u64) {
    until(&format!("the board of all time has {views} views"), LONG, || {
        (setup.boards().get("all_time:all")?["total_views"] == views).then_some(())
    });
}

/// The table of all time has this many views, as soon as it has.
fn wait_for_table(setup: &Setup, views: u64) {
    until(&format!("the table of all time has {views} views"), LONG, || {
        let tables = setup.tables();
        let rows = tables.0.get("video_views_all_time")?;
        let sum: u64 = rows.iter().filter_map(|row| row["views"].as_deref()?.parse::<u64>().ok()).sum();
        (sum == views).then_some(())
    });
}

/// An answer: status, headers by name, body.
struct Answer {
    status: u16,
    age: Option<u64>,
    retry_after: Option<String>,
    json: Value,
}

fn get(url: &str) -> Option<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(url).call().ok()?;
    let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
    let (age, retry_after) = (header("age").and_then(|age| age.parse().ok()), header("retry-after"));
    let body = answer.body_mut().read_to_vec().ok()?;
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Answer { status: answer.status().as_u16(), age, retry_after, json })
}

/// The first answer that is as wanted.
fn wait_for_answer(url: &str, what: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    until(&format!("{url} {what}"), LONG, || get(url).filter(&wanted))
}

/// Start the reader alone; its URL.
fn serve(setup: &Setup) -> (Running, String) {
    let reader = setup.start(&["serve"]);
    let url = until("the reader listens", LONG, || reader.said_after("reader: "));
    (reader, url.trim_end_matches('/').to_owned())
}

fn end(process: Running) {
    process.signal("TERM");
    process.wait(LONG).expect_code(0);
}

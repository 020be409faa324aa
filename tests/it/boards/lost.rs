//! A store that loses what was written: everything current comes back, nothing goes back, and what is final is put back by
//! whoever asks for it.

use super::{append_views, end, on_redis, serve, wait_for_answer, wait_for_board, wait_for_table, wait_until_said};
use serde_json::Value;
use tests::{RedisServer, Setup, until, wait::LONG};

/// Ask the reader for every final minute, so that each board is there again; then everything must be as recounted.
fn have_the_final_boards_put_back(setup: &Setup, minutes: std::ops::Range<u32>) {
    let (reader, url) = serve(setup);
    for minute in minutes {
        let at = format!("2025-10-19T{}:{:02}:00Z", 12 + minute / 60, minute % 60);
        let url = format!("{url}/v1/top?window=minute&at={at}");
        let answer = wait_for_answer(&url, "is answered", |answer| answer.status == 200);
        assert_eq!(answer.json["meta"]["state"], "final", "{url}");
        assert_eq!(answer.json["meta"]["total_views"], 1, "{url}");
        let board = setup.boards().remove(&format!("minute:2025-10-19T{}:{:02}", 12 + minute / 60, minute % 60));
        assert_eq!(board.expect("it was put back")["state"], "final");
    }
    end(reader);
}

#[test]
fn a_flushed_store_has_everything_again() {
    let server = RedisServer::start();
    let setup = on_redis("flushed", &server);
    append_views(&setup, "v1", 0..10);
    let job = setup.start(&["run"]);
    wait_for_board(&setup, 10);
    wait_for_table(&setup, 10);
    server.ask::<()>(&["FLUSHALL"]);
    append_views(&setup, "v2", 9..10);
    wait_for_board(&setup, 11);
    wait_until_said(&job, "the store lost what was written");
    let current = ["minute:2025-10-19T12:09", "hour:2025-10-19T12:00", "day:2025-10-19", "month:2025-10"];
    until("every current board is there again", LONG, || {
        let boards = setup.boards();
        current.iter().all(|name| boards.contains_key(*name)).then_some(())
    });
    assert_eq!(setup.boards()["hour:current"], Value::String("2025-10-19T12:00".into()));
    end(job);
    have_the_final_boards_put_back(&setup, 0..8);
    setup.assert_right();
}

#[test]
fn a_store_set_back_to_an_earlier_moment_goes_forward_again() {
    let mut server = RedisServer::start();
    let setup = on_redis("set-back", &server);
    append_views(&setup, "v1", 0..10);
    let job = setup.start(&["run"]);
    wait_for_board(&setup, 10);
    server.save();
    let then = setup.boards();
    assert_eq!(then["hour:2025-10-19T12:00"]["state"], "open");
    // The hour becomes final and leaves memory, and a second one opens.
    append_views(&setup, "v1", 10..90);
    wait_for_board(&setup, 90);
    wait_for_table(&setup, 90);
    server.kill();
    server.start_again();
    assert_eq!(setup.boards()["hour:2025-10-19T12:00"]["total_views"], then["hour:2025-10-19T12:00"]["total_views"]);
    append_views(&setup, "v2", 89..90);
    wait_for_board(&setup, 91);
    wait_until_said(&job, "the store lost what was written");
    until("the hour that says it is open is gone", LONG, || {
        setup.boards().get("hour:2025-10-19T12:00").is_none_or(|board| board["state"] == "final").then_some(())
    });
    until("every pointer has gone forward", LONG, || {
        let boards = setup.boards();
        (boards["hour:current"] == "2025-10-19T13:00" && boards["minute:current"] == "2025-10-19T13:29").then_some(())
    });
    end(job);
    let (reader, url) = serve(&setup);
    let hour = wait_for_answer(&format!("{url}/v1/top?window=hour&at=closed"), "is answered", |it| it.status == 200);
    assert_eq!((&hour.json["meta"]["total_views"], &hour.json["meta"]["state"]), (&60.into(), &"final".into()));
    end(reader);
    have_the_final_boards_put_back(&setup, 0..88);
    setup.assert_right();
}

#[test]
fn the_status_says_what_is_to_be_known_of_the_job() {
    let server = RedisServer::start();
    let setup = on_redis("status", &server).with("time.idle_timeout", "1h");
    append_views(&setup, "v1", 0..10);
    std::fs::write(setup.path("views").join("other.ndjson"), "no view\n").expect("a file");
    let job = setup.start(&["run"]);
    wait_for_board(&setup, 10);
    let status: Value = until("the status accounts for every record", LONG, || {
        let text: Option<String> = server.ask(&["GET", "topk:status"]);
        let status: Value = serde_json::from_str(&text?).expect("JSON");
        (status["consumed"] == 11).then_some(status)
    });
    assert_eq!((&status["job"], &status["v"]), (&setup.name().into(), &1.into()));
    assert_eq!((&status["counted"], &status["dead_lettered"]), (&10.into(), &1.into()), "{status}");
    assert!(status["epoch"].as_u64() > Some(0) && status["generation"] == 1, "{status}");
    assert!(status["published_at"].is_string() && status["as_of"].is_null(), "{status}");
    assert_eq!(status["watermark_held_by"], "other.ndjson", "it has no accepted record: {status}");
    let partitions: Vec<_> = status["partitions"].as_array().expect("partitions").iter().collect();
    assert_eq!(partitions.len(), 2);
    assert_eq!((&partitions[1]["partition"], &partitions[1]["counted"]), (&"views.ndjson".into(), &10.into()));
    assert_eq!(partitions[1]["active"], true);
    assert_eq!(
        (&status["windows"][0]["window"], &status["windows"][0]["current"]),
        (&"minute".into(), &"2025-10-19T12:09".into())
    );
    let lives: i64 = server.ask(&["PTTL", "topk:status"]);
    assert!((1..=60_000).contains(&lives), "{lives}");
    end(job);
}

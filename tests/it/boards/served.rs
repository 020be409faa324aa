//! The reader alone over Redis and Postgres that come and go.

use super::{end, get, serve, wait_for_answer};
use tests::door::host_of;
use tests::kafka::{self, Record};
use tests::{Door, RedisServer, Setup, services};

/// 2025-10-19T12:00:00Z.
const NOON: i64 = 1_760_875_200_000;

/// Twenty minutes with a view each, in Postgres behind a door and in a Redis of the test's own.
fn counted(test: &str, server: &RedisServer) -> (Setup, Door) {
    let mut setup = Setup::on_services(test);
    kafka::create_topic(setup.name(), 1, &[]);
    let records: Vec<Record> = (0..20).map(|minute| Record::view(0, "v1", NOON + minute * 60_000)).collect();
    kafka::produce(setup.name(), &records);
    setup.set("sink.redis.url", server.url());
    setup.run_until_end();
    let door = Door::to(host_of(&services::postgres()));
    setup.set("reader.postgres_url", door.in_front_of(&services::postgres()));
    (setup, door)
}

#[test]
fn both_down_at_start_is_503_until_one_comes() {
    let mut server = RedisServer::start();
    let (setup, mut door) = counted("down", &server);
    server.save();
    server.kill();
    let (reader, url) = serve(&setup);
    assert_eq!(wait_for_answer(&format!("{url}/livez"), "is answered", |_| true).status, 200);
    let list = format!("{url}/v1/top?window=hour&at=2025-10-19T12:00:00Z");
    let answer = get(&list).expect("an answer");
    assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")));
    assert_eq!(answer.json["type"], "urn:topk:problem:store-unavailable");
    assert_eq!(get(&format!("{url}/readyz")).expect("an answer").status, 503);
    door.open();
    let answer = wait_for_answer(&list, "comes from Postgres", |answer| answer.status == 200);
    assert_eq!((&answer.json["meta"]["source"], &answer.json["meta"]["total_views"]), (&"postgres".into(), &20.into()));
    assert_eq!(get(&format!("{url}/readyz")).expect("an answer").status, 200);
    server.start_again();
    wait_for_answer(&list, "comes from Redis", |answer| answer.json["meta"]["source"] == "redis");
    end(reader);
}

#[test]
fn both_down_later_is_the_last_good_answer_with_its_age() {
    let mut server = RedisServer::start();
    let (setup, mut door) = counted("last-good", &server);
    door.open();
    let (reader, url) = serve(&setup);
    let (list, other) = (format!("{url}/v1/top?window=hour"), format!("{url}/v1/top?window=day"));
    let good = wait_for_answer(&list, "is answered", |answer| answer.status == 200);
    assert_eq!((&good.json["meta"]["source"], good.age), (&"redis".into(), None));
    server.save();
    server.kill();
    let tables = wait_for_answer(&list, "comes from Postgres", |it| it.json["meta"]["source"] == "postgres");
    assert_eq!((tables.status, &tables.json["items"][0]["views"]), (200, &20.into()));
    door.shut();
    let last = wait_for_answer(&list, "is as old as it says", |answer| answer.age >= Some(1));
    assert_eq!((last.status, &last.json["items"]), (200, &tables.json["items"]));
    let never_asked = get(&other).expect("an answer");
    assert_eq!((never_asked.status, never_asked.retry_after.as_deref()), (503, Some("1")));
    server.start_again();
    let back = wait_for_answer(&list, "comes from Redis again", |answer| answer.age.is_none());
    assert_eq!(back.json["meta"]["source"], "redis");
    end(reader);
}

/// A board that Redis has lost is read from Postgres once, and is in Redis again.
#[test]
fn a_final_board_that_is_missing_is_put_back() {
    let server = RedisServer::start();
    let (setup, mut door) = counted("put-back", &server);
    door.open();
    let (final_board, open_board) = ("minute:2025-10-19T12:03", "hour:2025-10-19T12:00");
    let boards = setup.boards();
    let key = |name: &str| format!("{}:{name}", setup.name());
    for name in [final_board, open_board] {
        server.ask::<()>(&["DEL", &key(name)]);
    }
    let (reader, url) = serve(&setup);
    for (query, source) in [
        ("minute&at=2025-10-19T12:03:00Z", "postgres"),
        ("minute&at=2025-10-19T12:03:00Z", "redis"),
        ("hour", "postgres"),
    ] {
        let answer = wait_for_answer(&format!("{url}/v1/top?window={query}"), "is answered", |it| it.status == 200);
        assert_eq!(answer.json["meta"]["source"], source, "{query}");
    }
    let now = setup.boards();
    assert!(!now.contains_key(open_board), "it may still change");
    for member in
        ["window", "window_start", "window_end", "state", "k", "total_views", "total_videos", "items", "job", "v"]
    {
        assert_eq!(now[final_board][member], boards[final_board][member], "{member}");
    }
    let lives: i64 = server.ask(&["PTTL", &key(final_board)]);
    assert!((1..=48 * 3_600_000).contains(&lives), "{lives}");
    end(reader);
}

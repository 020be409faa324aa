//! The reader from outside, over stores that answer, lack, lie, fail or hang.

use crate::fakes::{FakeBoards, FakeTables, Mood, Opened, ask, listing, open, window};
use crate::stores::Listing;
use axum::http::Method;
use serde_json::{Value, json};
use stream::WindowState::{Closed, Final, Open};

mod fallback;

/// An hour with a list, the hour before it closed, and the whole of time.
fn boards() -> FakeBoards {
    let boards = FakeBoards::default();
    let (now, before) = (window("hour", "2025-10-19T14:05:00Z"), window("hour", "2025-10-19T13:05:00Z"));
    boards.put(now, &listing(Open, &[("s1", 9), ("s\"2<b>", 7), ("s3", 7)]));
    boards.put(before, &listing(Closed, &[("s3", 20), ("s1", 10)]));
    boards.put(window("all_time", "2025-10-19T14:05:00Z"), &listing(Open, &[("s1", 19), ("s3", 27)]));
    boards.point("current", now);
    boards.point("closed", before);
    boards.point("current", window("all_time", "2025-10-19T14:05:00Z"));
    boards
}

#[tokio::test]
async fn the_main_route_answers_exactly_so() {
    let reader = open(Some(boards()), None);
    let answer = ask(&reader, "/v1/top?window=hour&k=2").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let expected = concat!(
        r#"{"meta":{"window":"hour","window_start":"2025-10-19T14:00:00Z","window_end":"2025-10-19T15:00:00Z","#,
        r#""state":"open","as_of":"2025-10-19T14:05:30Z","epoch":17,"generation":3,"region":null,"k":2,"#,
        r#""total_plays":23,"total_songs":3,"source":"memory"},"#,
        r#""items":[{"rank":1,"songId":"s1","plays":9,"previousRank":2},"#,
        r#"{"rank":2,"songId":"s\"2<b>","plays":7,"previousRank":null}]}"#
    );
    assert_eq!(answer.body, expected);
    let all = ask(&reader, "/v1/top?window=all-time").await.json();
    assert_eq!(all["meta"]["window"], "all_time");
    assert_eq!((&all["meta"]["window_start"], &all["meta"]["window_end"]), (&Value::Null, &Value::Null));
    assert_eq!(all["items"][0]["previousRank"], Value::Null);
    assert_eq!(all["meta"]["k"], 100);
}

#[tokio::test]
async fn every_alias_in_its_own_shape() {
    let reader = open(Some(boards()), None);
    let pairs = r#"[{"songId":"s1","plays":9},{"songId":"s\"2<b>","plays":7}]"#;
    for path in ["/plays/top-k?window=hour&k=2", "/plays/song?k=2&window=hour", "/top-k?window=hour&k=2"] {
        assert_eq!(ask(&reader, path).await.body, pairs, "{path}");
    }
    let period = ask(&reader, "/v1/songs/top?period=hour&k=1").await;
    assert_eq!(period.body, r#"{"period":"hour","top_songs":[{"song_id":"s1","play_count":9}]}"#);
    let closed = ask(&reader, "/top-k?window=hour&at=closed").await;
    assert_eq!(closed.body, r#"[{"songId":"s3","plays":20},{"songId":"s1","plays":10}]"#);
    assert_eq!(ask(&reader, "/v1/songs/top?window=hour").await.status, 400);
}

#[tokio::test]
async fn an_instant_finds_its_window_and_an_empty_one_is_no_error() {
    let reader = open(Some(boards()), Some(FakeTables::default()));
    let before = ask(&reader, "/v1/top?window=hour&at=2025-10-19T15:30:00+02:00").await.json();
    assert_eq!((&before["meta"]["state"], &before["items"][0]["songId"]), (&json!("closed"), &json!("s3")));
    let day = ask(&reader, "/v1/top?window=day&at=2025-07-01T00:00:00Z").await;
    assert_eq!(day.status, 200);
    let day = day.json();
    assert_eq!(day["items"], json!([]));
    let expected = json!({
        "window": "day", "window_start": "2025-06-30T22:00:00Z", "window_end": "2025-07-01T22:00:00Z", "state": null,
        "as_of": null, "epoch": null, "generation": null, "region": null, "k": 100, "total_plays": 0,
        "total_songs": 0, "source": "sqlite",
    });
    assert_eq!(day["meta"], expected);
    let missing = ask(&reader, "/v1/top?window=minute").await;
    assert_eq!((missing.status, &missing.json()["meta"]["window_start"]), (200, &Value::Null));
    assert_eq!(ask(&reader, "/top-k?window=minute").await.body, "[]");
}

#[tokio::test]
async fn what_the_boards_lack_comes_from_the_tables() {
    let (now, before) = (window("hour", "2025-10-19T14:05:00Z"), window("hour", "2025-10-19T13:05:00Z"));
    let mut tables = FakeTables { newest: Some(now.id()), newest_closed: Some(before.id()), ..Default::default() };
    tables.lists.insert(now.id(), listing(Open, &[("t1", 5), ("t2", 4)]));
    tables.lists.insert(before.id(), listing(Final, &[("t2", 8)]));
    let empty = FakeBoards::default();
    empty.put(before, &listing(Final, &[("t2", 8)]));
    let reader = open(Some(empty), Some(tables));
    let list = ask(&reader, "/v1/top?window=hour&k=1").await.json();
    assert_eq!((&list["meta"]["source"], list["items"].as_array().unwrap().len()), (&json!("sqlite"), 1));
    let list = ask(&reader, "/v1/top?window=hour").await.json();
    assert_eq!(list["items"][1], json!({"rank": 2, "songId": "t2", "plays": 4, "previousRank": 1}));
    let closed = ask(&reader, "/v1/top?window=hour&at=closed").await.json();
    assert_eq!((&closed["meta"]["source"], &closed["meta"]["state"]), (&json!("memory"), &json!("final")));
}

#[tokio::test]
async fn a_board_that_lies_or_is_too_short_counts_as_absent() {
    let (now, before) = (window("hour", "2025-10-19T14:05:00Z"), window("hour", "2025-10-19T13:05:00Z"));
    let right = listing(Open, &[("t1", 5), ("t2", 4)]);
    let mut short = right.clone();
    short.items.truncate(1);
    let boards = FakeBoards::default();
    boards.put(now, &right);
    let other = boards.content.lock().unwrap()["topk:hour:2025-10-19T14:00"].clone();
    boards.put(now, &short);
    boards.content.lock().unwrap().insert("topk:hour:2025-10-19T13:00".into(), other);
    boards.content.lock().unwrap().insert("topk:hour:2025-10-19T12:00".into(), "{\"v\":2}".into());
    boards.content.lock().unwrap().insert("topk:hour:current".into(), "../../x".into());
    let mut tables = FakeTables { newest: Some(now.id()), ..Default::default() };
    tables.lists.insert(now.id(), right);
    tables.lists.insert(before.id(), listing(Final, &[("old", 1)]));
    let reader = open(Some(boards), Some(tables));
    let source = async |path: &str| ask(&reader, path).await.json()["meta"]["source"].as_str().unwrap().to_owned();
    assert_eq!(source("/v1/top?window=hour&k=2&at=2025-10-19T14:05:00Z").await, "sqlite");
    assert_eq!(source("/v1/top?window=hour&k=1&at=2025-10-19T14:05:00Z").await, "memory");
    assert_eq!(source("/v1/top?window=hour&at=2025-10-19T13:05:00Z").await, "sqlite");
    assert_eq!(source("/v1/top?window=hour&at=2025-10-19T12:05:00Z").await, "sqlite");
    assert_eq!(source("/v1/top?window=hour&k=2").await, "sqlite");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_is_stepped_over_and_both_down_is_503() {
    let now = window("hour", "2025-10-19T14:05:00Z");
    let tables = || {
        let mut tables = FakeTables { newest: Some(now.id()), ..Default::default() };
        tables.lists.insert(now.id(), listing(Open, &[("t1", 5)]));
        tables
    };
    for mood in [Mood::Fails, Mood::Hangs] {
        let down = || FakeBoards { mood: mood.into(), ..Default::default() };
        let reader = open(Some(down()), Some(tables()));
        let list = ask(&reader, "/v1/top?window=hour").await.json();
        assert_eq!((&list["meta"]["source"], &list["items"][0]["songId"]), (&json!("sqlite"), &json!("t1")));
        assert_eq!(ask(&reader, "/readyz").await.status, 200);
        let tables_down = || FakeTables { mood: mood.into(), ..Default::default() };
        for reader in
            [open(Some(down()), Some(tables_down())), open(Some(down()), None), open(None, Some(tables_down()))]
        {
            for path in
                ["/v1/top?window=hour", "/top-k?window=hour&at=closed", "/top-k?window=hour&at=2025-10-19T14:00:00Z"]
            {
                let answer = ask(&reader, path).await;
                assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{path}");
                assert_eq!(answer.json()["type"], "urn:topk:problem:store-unavailable");
            }
            assert_eq!(ask(&reader, "/readyz").await.status, 503);
            assert_eq!(ask(&reader, "/livez").await.status, 200);
        }
        // The boards answer that they have nothing, but the tables cannot be asked: unknown, not empty.
        let reader = open(Some(FakeBoards::default()), Some(tables_down()));
        assert_eq!(ask(&reader, "/v1/top?window=hour").await.status, 503);
    }
}

#[tokio::test]
async fn a_store_that_failed_is_not_asked_again_for_the_same_answer() {
    let now = window("hour", "2025-10-19T14:05:00Z");
    let tables = FakeTables { newest: Some(now.id()), ..Default::default() };
    let reader = open(Some(FakeBoards { mood: Mood::Fails.into(), ..Default::default() }), Some(tables));
    ask(&reader, "/v1/top?window=hour").await;
    assert_eq!(reader.boards.as_ref().unwrap().asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn problems_name_the_parameter_and_what_is_allowed() {
    let reader = open(Some(boards()), None);
    let answer = ask(&reader, "/v1/top?window=hour&k=1001").await;
    assert_eq!((answer.status, answer.header("content-type")), (400, "application/problem+json"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let expected = concat!(
        r#"{"type":"urn:topk:problem:invalid-parameter","title":"A parameter is wrong","status":400,"#,
        r#""detail":"k: it is out of bounds","instance":"/v1/top","#,
        r#""errors":[{"name":"k","reason":"it is out of bounds","allowed":"1 to 1000"}]}"#
    );
    assert_eq!(answer.body, expected);
    let cases = [
        ("/v1/top?window=month", 404, "window-not-configured"),
        ("/v1/top?window=24h", 404, "window-not-configured"),
        ("/v1/top?window=fortnight", 400, "invalid-parameter"),
        ("/v1/top?window=hour&region=NA", 400, "invalid-parameter"),
        ("/v1/top?window=hour&window=hour", 400, "invalid-parameter"),
        ("/v1/top?window=minute&at=closed", 404, "no-closed-window"),
        ("/v1/top?window=all&at=closed", 404, "no-closed-window"),
        ("/metrics?name=x", 400, "invalid-parameter"),
        ("/?x=1", 400, "invalid-parameter"),
        ("/top-posts?region=NA&timeframe=24h&k=10", 404, "not-built-yet"),
        ("/v1/songs/s1", 404, "not-built-yet"),
        ("/v1/songs/s1/series?window=hour", 404, "not-built-yet"),
        ("/v1/stream?window=hour", 404, "not-built-yet"),
        ("/v1/tops", 404, "unknown-route"),
    ];
    for (path, status, name) in cases {
        let answer = ask(&reader, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!(problem["type"], format!("urn:topk:problem:{name}"), "{path}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], path.split('?').next().unwrap());
    }
}

#[tokio::test]
async fn input_comes_back_escaped_or_not_at_all() {
    let reader = open(Some(boards()), None);
    let value = ask(&reader, "/v1/top?window=%3Cscript%3E&k=%22%0d%0a").await;
    assert!(!value.body.contains("script"), "{}", value.body);
    let name = ask(&reader, "/v1/top?window=hour&a%22%0d%0ab=1").await;
    assert_eq!(name.json()["errors"][0]["name"], "a\"b");
    let path = ask(&reader, "/%3Cscript%3E'\"").await;
    assert_eq!(path.json()["instance"], "/%3Cscript%3E%27%22");
}

#[tokio::test]
async fn an_unchanged_list_is_304_and_a_changed_one_is_not() {
    let reader = open(Some(boards()), None);
    let path = "/v1/top?window=hour";
    let first = ask(&reader, path).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
    assert_eq!(first.header("cache-control"), "public, max-age=1");
    for given in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
        let again = reader.send(Method::GET, path, &[("if-none-match", &given)]).await;
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag.as_str()));
        // RFC 9110, 8.6: on a 304 it may only be the length of the body left out.
        assert_eq!(again.header("content-length"), first.body.len().to_string());
    }
    // A newer epoch with the same items and state keeps the tag; another state, or a rank that moved, does not.
    let now = window("hour", "2025-10-19T14:05:00Z");
    let items = [("s1", 9), ("s\"2<b>", 7), ("s3", 7)];
    let mut newer = listing(Open, &items);
    newer.epoch = Some(stream::Sequence(99));
    reader.boards.as_ref().unwrap().put(now, &newer);
    assert_eq!(ask(&reader, path).await.header("etag"), tag);
    let newest = Listing { epoch: Some(stream::Sequence(100)), ..listing(Closed, &items) };
    reader.boards.as_ref().unwrap().put(now, &newest);
    let closed = ask(&reader, path).await.header("etag").to_owned();
    assert_ne!(closed, tag);
    reader.boards.as_ref().unwrap().put(window("hour", "2025-10-19T13:05:00Z"), &listing(Closed, &[("s3", 1)]));
    assert_ne!(ask(&reader, path).await.header("etag"), closed);
    assert_eq!(reader.send(Method::GET, path, &[("if-none-match", &tag)]).await.status, 200);
}

#[tokio::test]
async fn caches_may_keep_what_cannot_change() {
    let boards = boards();
    boards.put(window("hour", "2025-10-19T10:05:00Z"), &listing(Final, &[("s1", 1)]));
    boards.point("closed", window("hour", "2025-10-19T10:05:00Z"));
    let reader = open(Some(boards), None);
    let cases = [
        ("2025-10-19T10:05:00Z", "public, max-age=3600"),
        ("2025-10-19T13:05:00Z", "public, max-age=5"),
        ("2025-10-19T14:05:00Z", "public, max-age=1"),
        ("2025-10-19T20:05:00Z", "public, max-age=1"),
        ("closed", "public, max-age=1"),
    ];
    for (at, expected) in cases {
        let answer = ask(&reader, &format!("/v1/top?window=hour&at={at}")).await;
        assert_eq!(answer.header("cache-control"), expected, "{at}");
    }
}

#[tokio::test]
async fn only_reading_without_a_body() {
    let reader = open(Some(boards()), None);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE, Method::PATCH] {
        let answer = reader.send(method.clone(), "/v1/top?window=hour", &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
        assert_eq!(answer.json()["type"], "urn:topk:problem:method-not-allowed");
    }
    let body = reader.send(Method::GET, "/livez", &[("content-length", "3")]).await;
    assert_eq!((body.status, body.header("connection")), (413, "close"));
    assert_eq!(reader.send(Method::GET, "/livez", &[("content-length", "0")]).await.status, 200);
    for path in ["/v1/top?window=hour", "/", "/metrics", "/openapi.json", "/readyz", "/v1/top?k=0", "/nowhere"] {
        let get = ask(&reader, path).await;
        let head = reader.send(Method::HEAD, path, &[]).await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.headers, get.headers, "{path}");
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
    }
}

#[tokio::test]
async fn health_and_metrics_as_kubernetes_and_prometheus_expect() {
    let reader = open(Some(boards()), Some(FakeTables { mood: Mood::Fails.into(), ..Default::default() }));
    assert_eq!(ask(&reader, "/livez").await.body, "ok\n");
    assert_eq!(ask(&reader, "/readyz").await.body, "ok\n");
    let verbose = ask(&reader, "/readyz?verbose").await;
    assert_eq!(verbose.status, 200);
    assert_eq!(verbose.body, "[+]memory ok\n[-]sqlite does not answer\nreadyz check passed\n");
    let metrics = ask(&reader, "/metrics").await;
    assert_eq!(
        (metrics.body.as_str(), metrics.header("content-type")),
        ("topk_up 1\n", "text/plain; version=0.0.4; charset=utf-8")
    );
}

#[tokio::test]
async fn the_description_names_every_route_and_parameter() {
    let reader = open(Some(boards()), None);
    let answer = ask(&reader, "/openapi.json").await;
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/",
        "/livez",
        "/metrics",
        "/openapi.json",
        "/plays/song",
        "/plays/top-k",
        "/readyz",
        "/top-k",
        "/v1/songs/top",
        "/v1/top",
    ];
    let mut sorted = paths.clone();
    sorted.sort();
    assert_eq!(sorted, expected);
    for path in paths {
        let described = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let mut query = vec!["made-up=1".to_owned()];
        query.extend(described.iter().map(|parameter| format!("{}=%zz", parameter["name"].as_str().unwrap())));
        let problem = ask(&reader, &format!("{path}?{}", query.join("&"))).await.json();
        let refused = problem["errors"].as_array().unwrap();
        // What is described is known: its value is refused, not its name.
        let unknown: Vec<&Value> =
            refused.iter().filter(|wrong| wrong["reason"].as_str().unwrap().contains("no such")).collect();
        assert_eq!((unknown.len(), &unknown[0]["name"]), (1, &json!("made-up")), "{path}");
        assert_eq!(refused.len(), query.len(), "{path}");
    }
    let window = &document["paths"]["/v1/top"]["get"]["parameters"][0]["schema"]["enum"];
    assert_eq!(window, &json!(["minute", "hour", "day", "all_time", "all-time", "all"]));
}

#[tokio::test]
async fn the_page_speaks_the_jobs_words_and_runs_nothing_else() {
    let reader: Opened = open(Some(boards()), None);
    let page = ask(&reader, "/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
    assert!(page.body.contains("<title>Top songs by plays</title>") && page.body.contains("song-plays"));
    assert!(!page.body.contains("{facts}") && !page.body.contains("://"), "nothing is fetched from elsewhere");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let other = ask(&reader, "/livez").await;
    assert_eq!(other.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
}

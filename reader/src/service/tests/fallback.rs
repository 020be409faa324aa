//! When boards are missing, or no store answers: who is asked how often, what goes back, and what is shown instead.

use super::*;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NOW: &str = "2025-10-19T14:05:00Z";
const BEFORE: &str = "2025-10-19T13:05:00Z";

fn tables(lists: &[(&str, Listing)]) -> FakeTables {
    let mut tables = FakeTables { newest: Some(window("hour", NOW).id()), ..Default::default() };
    tables.lists.extend(lists.iter().map(|(at, listing)| (window("hour", at).id(), listing.clone())));
    tables
}

fn at(instant: &str) -> String {
    format!("/v1/top?window=hour&at={instant}")
}

impl Opened {
    fn queries(&self) -> usize {
        self.tables.as_ref().unwrap().asked.swap(0, Ordering::Relaxed)
    }

    fn put_back(&self) -> Vec<(String, Option<Duration>)> {
        std::mem::take(&mut self.boards.as_ref().unwrap().put_back.lock().unwrap())
    }

    fn be(&self, boards: Mood, tables: Mood) {
        *self.boards.as_ref().unwrap().mood.lock().unwrap() = boards;
        *self.tables.as_ref().unwrap().mood.lock().unwrap() = tables;
    }
}

#[tokio::test]
async fn a_hundred_at_once_make_one_query_and_a_miss_is_remembered() {
    let reader = open(Some(FakeBoards::default()), Some(tables(&[(BEFORE, listing(Closed, &[("t1", 8), ("t2", 7)]))])));
    let path = at(BEFORE);
    let asking = (1..=100).map(|k| {
        let (reader, path) = (&reader, format!("{path}&k={k}"));
        async move { ask(reader, &path).await }
    });
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!((answer.status, &answer.json()["meta"]["source"]), (200, &json!("sqlite")));
    }
    assert_eq!(reader.queries(), 1, "whatever their K");
    ask(&reader, &path).await;
    assert_eq!(reader.queries(), 0, "remembered");
    reader.clock.advance(Duration::from_millis(999));
    ask(&reader, &path).await;
    assert_eq!(reader.queries(), 0);
    reader.clock.advance(Duration::from_millis(1));
    ask(&reader, &path).await;
    assert_eq!(reader.queries(), 1, "for a second");
    // That there is nothing is remembered as well, and so is which window is meant.
    let nowhere = at("2025-10-19T03:00:00Z");
    for _ in 0..3 {
        assert_eq!(ask(&reader, &nowhere).await.json()["items"], json!([]));
    }
    assert_eq!(reader.queries(), 1);
    for _ in 0..3 {
        ask(&reader, "/top-k?window=hour&at=current").await;
    }
    assert_eq!(reader.queries(), 2, "the newest window, and its list");
}

#[tokio::test]
async fn a_board_that_comes_is_shown_at_once() {
    let reader = open(Some(FakeBoards::default()), Some(tables(&[(BEFORE, listing(Closed, &[("t1", 8)]))])));
    assert_eq!(ask(&reader, &at(BEFORE)).await.json()["meta"]["source"], "sqlite");
    reader.boards.as_ref().unwrap().put(window("hour", BEFORE), &listing(Closed, &[("t1", 9)]));
    let answer = ask(&reader, &at(BEFORE)).await.json();
    assert_eq!((&answer["meta"]["source"], &answer["items"][0]["plays"]), (&json!("memory"), &json!(9)));
}

#[tokio::test]
async fn only_final_lists_go_back_and_once() {
    let long = listing(Final, &[("t1", 9), ("t2", 8), ("t3", 7)]);
    let open_list = listing(Open, &[("t1", 5)]);
    let reader = open(Some(FakeBoards::default()), Some(tables(&[(BEFORE, long), (NOW, open_list)])));
    assert_eq!(ask(&reader, &format!("{}&k=1", at(BEFORE))).await.json()["meta"]["source"], "sqlite");
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(reader.put_back(), [("topk:hour:2025-10-19T13:00".to_owned(), hour)], "with the full retention");
    let again = ask(&reader, &at(BEFORE)).await.json();
    assert_eq!((&again["meta"]["source"], again["items"].as_array().unwrap().len()), (&json!("memory"), 3));
    assert_eq!((&again["meta"]["epoch"], &again["meta"]["generation"]), (&json!(17), &json!(3)), "as the tables say");
    ask(&reader, &at(NOW)).await;
    assert!(reader.put_back().is_empty(), "it may still change");

    // Boards that cannot be asked are not written either: they may have it.
    let reader = open(Some(FakeBoards::default()), Some(tables(&[(BEFORE, listing(Final, &[("t1", 9)]))])));
    reader.be(Mood::Fails, Mood::Answers);
    assert_eq!(ask(&reader, &at(BEFORE)).await.status, 200);
    assert!(reader.put_back().is_empty());

    // Boards that may only be read change nothing about the answer, and are asked again.
    let boards = FakeBoards { read_only: true, ..Default::default() };
    let reader = open(Some(boards), Some(tables(&[(BEFORE, listing(Final, &[("t1", 9)]))])));
    assert_eq!(ask(&reader, &at(BEFORE)).await.json()["items"][0]["plays"], 9);
    reader.boards.as_ref().unwrap().put(window("hour", NOW), &listing(Open, &[("t1", 1)]));
    assert_eq!(ask(&reader, &at(NOW)).await.json()["meta"]["source"], "memory");
}

#[tokio::test]
async fn both_down_is_the_last_good_answer_with_its_age_and_then_503() {
    let reader = open(Some(boards()), Some(tables(&[(NOW, listing(Open, &[("s1", 9)]))])));
    let paths = ["/v1/top?window=hour&k=2", "/plays/top-k?window=hour", "/v1/top?window=hour&at=closed"];
    let mut before = Vec::new();
    for path in paths {
        before.push(ask(&reader, path).await);
    }
    reader.be(Mood::Fails, Mood::Fails);
    reader.clock.advance(Duration::from_millis(42_900));
    for (path, good) in paths.iter().zip(&before) {
        let answer = ask(&reader, path).await;
        assert_eq!((answer.status, &answer.body), (200, &good.body), "{path}");
        assert_eq!((answer.header("age"), answer.header("cache-control")), ("42", "no-store"), "{path}");
        assert_eq!(answer.header("warning"), "111 topk \"Revalidation Failed\"");
        assert_eq!(answer.header("etag"), good.header("etag"));
        let same = reader.send(Method::GET, path, &[("if-none-match", good.header("etag"))]).await;
        assert_eq!((same.status, same.header("age")), (304, "42"));
    }
    for path in [at("2025-10-19T02:00:00Z").as_str(), "/v1/top?window=day", "/v1/top?window=minute&at=closed"] {
        let answer = ask(&reader, path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "never seen: {path}");
    }
    assert_eq!(ask(&reader, "/readyz").await.status, 503);
    reader.clock.advance(Duration::from_secs(3600));
    assert_eq!(ask(&reader, paths[0]).await.status, 503, "too old to be called good");
    reader.be(Mood::Answers, Mood::Fails);
    reader.clock.advance(Duration::from_secs(1));
    let back = ask(&reader, paths[0]).await;
    assert_eq!((back.status, back.header("age"), back.header("warning")), (200, "", ""));
}

#[tokio::test]
async fn boards_that_lost_everything_while_the_tables_are_away_do_not_empty_the_lists() {
    let reader = open(Some(boards()), Some(tables(&[])));
    let good = ask(&reader, "/v1/top?window=hour").await;
    reader.boards.as_ref().unwrap().content.lock().unwrap().clear();
    reader.be(Mood::Answers, Mood::Fails);
    reader.clock.advance(Duration::from_secs(3));
    let answer = ask(&reader, "/v1/top?window=hour").await;
    assert_eq!((answer.status, answer.header("age")), (200, "3"));
    assert_eq!(answer.json()["items"][0]["songId"], good.json()["items"][0]["songId"]);
}

#[tokio::test]
async fn what_was_shown_is_not_taken_back_by_tables_that_are_behind() {
    // The boards are lost while the tables are an hour and a commit behind them.
    let mut behind = tables(&[(BEFORE, Listing { epoch: Some(stream::Sequence(16)), ..listing(Open, &[("t1", 5)]) })]);
    behind.newest = Some(window("hour", BEFORE).id());
    let reader = open(Some(boards()), Some(behind));
    let paths = ["/v1/top?window=hour".to_owned(), at(BEFORE)];
    let mut shown = Vec::new();
    for path in &paths {
        shown.push(ask(&reader, path).await);
    }
    reader.boards.as_ref().unwrap().content.lock().unwrap().clear();
    for seconds in [3, 4] {
        reader.clock.advance(Duration::from_secs(seconds));
        reader.queries();
        for (path, shown) in paths.iter().zip(&shown) {
            for _ in 0..3 {
                let answer = ask(&reader, path).await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.json()["meta"], shown.json()["meta"], "{path}");
                assert_eq!(answer.json()["items"][0]["songId"], shown.json()["items"][0]["songId"], "{path}");
                assert_eq!(answer.header("age"), if seconds == 3 { "3" } else { "7" });
            }
        }
        assert_eq!(reader.queries(), 3, "the newest window and two lists, for a moment");
    }
    // A board that comes wins at once, and so do tables after the last good answer's time.
    reader.boards.as_ref().unwrap().put(window("hour", BEFORE), &listing(Closed, &[("t1", 6)]));
    let answer = ask(&reader, &paths[1]).await;
    assert_eq!((answer.header("age"), &answer.json()["items"][0]["plays"]), ("", &json!(6)));
    reader.boards.as_ref().unwrap().content.lock().unwrap().clear();
    reader.clock.advance(Duration::from_secs(3601));
    let answer = ask(&reader, &paths[0]).await;
    assert_eq!((answer.header("age"), &answer.json()["meta"]["source"]), ("", &json!("sqlite")));
}

/// A Redis that was started with an old file, until the job has written again: it names an earlier window, and its lists are
/// of earlier epochs.
#[tokio::test]
async fn what_was_shown_is_not_taken_back_by_boards_that_were_set_back() {
    let old = Listing { epoch: Some(stream::Sequence(9)), ..listing(Open, &[("t1", 2)]) };
    let new = Listing { epoch: Some(stream::Sequence(20)), ..listing(Open, &[("t1", 5)]) };
    for with_tables in [true, false] {
        let reader = open(Some(boards()), with_tables.then(|| tables(&[(NOW, new.clone()), (BEFORE, new.clone())])));
        let boards = reader.boards.clone().unwrap();
        boards.put(window("hour", NOW), &new);
        boards.point("current", window("hour", NOW));
        let shown = ask(&reader, "/v1/top?window=hour").await;
        assert_eq!((shown.header("age"), &shown.json()["items"][0]["plays"]), ("", &json!(5)));
        boards.put(window("hour", NOW), &old);
        boards.put(window("hour", BEFORE), &old);
        boards.point("current", window("hour", BEFORE));
        reader.clock.advance(Duration::from_secs(3));
        for path in ["/v1/top?window=hour".to_owned(), at(NOW)] {
            let answer = ask(&reader, &path).await;
            assert_eq!(answer.json()["meta"]["window_start"], shown.json()["meta"]["window_start"], "{path}");
            assert_eq!(answer.json()["items"][0]["plays"], json!(5), "{path}");
            assert_eq!(answer.header("age"), if with_tables { "" } else { "3" }, "{path}");
        }
        // What is final cannot be older: two readers may have put it back as of different epochs.
        boards.put(
            window("hour", BEFORE),
            &Listing { epoch: Some(stream::Sequence(30)), ..listing(Closed, &[("t1", 4)]) },
        );
        ask(&reader, &at(BEFORE)).await;
        boards.put(window("hour", BEFORE), &Listing { state: Some(Final), ..old.clone() });
        assert_eq!(ask(&reader, &at(BEFORE)).await.json()["meta"]["source"], "memory");
        assert_eq!(ask(&reader, &at(BEFORE)).await.json()["meta"]["epoch"], json!(9));
        // The job has written again.
        let newer = Listing { epoch: Some(stream::Sequence(21)), ..listing(Open, &[("t1", 6)]) };
        boards.put(window("hour", NOW), &newer);
        boards.point("current", window("hour", NOW));
        let answer = ask(&reader, "/v1/top?window=hour").await;
        assert_eq!((answer.header("age"), &answer.json()["items"][0]["plays"]), ("", &json!(6)));
        assert_eq!(answer.json()["meta"]["source"], "memory");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_costs_one_deadline_and_not_one_each() {
    let reader = open(Some(boards()), Some(tables(&[(NOW, listing(Open, &[("t1", 5)]))])));
    reader.be(Mood::Hangs, Mood::Answers);
    let began = tokio::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(ask(&reader, "/v1/top?window=hour").await.json()["meta"]["source"], "sqlite");
    }
    assert_eq!(began.elapsed().as_secs(), 1);
    // Readiness does not wait for the one that hangs.
    assert_eq!(ask(&reader, "/readyz").await.body, "ok\n");
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test]
async fn an_unchanged_board_is_neither_read_nor_written_out_again() {
    let reader = open(Some(boards()), None);
    let path = "/v1/top?window=hour";
    let first = ask(&reader, path).await;
    assert_eq!(ask(&reader, path).await.body, first.body);
    assert_eq!(ask(&reader, "/v1/top?window=hour&k=1").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&reader, "/top-k?window=hour").await.json().as_array().unwrap().len(), 3);
    // The list before it changed: so did the ranks that are shown.
    reader.boards.as_ref().unwrap().put(window("hour", BEFORE), &listing(Closed, &[("s1", 30), ("s3", 20)]));
    assert_eq!(ask(&reader, path).await.json()["items"][0]["previousRank"], 1);
    assert_eq!(first.json()["items"][0]["previousRank"], 2);
    // The board changed.
    reader.boards.as_ref().unwrap().put(window("hour", NOW), &listing(Closed, &[("s1", 10)]));
    assert_eq!(ask(&reader, path).await.json()["items"][0]["plays"], 10);
}

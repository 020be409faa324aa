//! `topk verify`: nothing differs after a run, and whatever is changed behind the job's back is found by name.

use super::with_one_view;
use std::path::Path;
use tests::{Finished, Setup, dump, kafka, until, wait::LONG};

/// Views over the end of an hour with disorder, late ones and ones that cannot be counted.
const VIEWS: &str =
    "--count 20000 --rate 20 --start 2025-10-31T23:20:00Z --videos 500 --late 2 --malformed 2 --future 0.5";

fn embedded(test: &str) -> Setup {
    let setup = Setup::embedded(test).with("topk.k", 20).with("epoch.max_events", 1000);
    for file in ["one", "two"] {
        let path = setup.path("views").join(format!("{file}.ndjson")).display().to_string();
        let words = format!("{VIEWS} --seed {} --file {path}", file.len() + file.as_bytes()[0] as usize);
        setup.generate(&words.split_whitespace().collect::<Vec<_>>());
    }
    setup
}

fn on_services(test: &str, views: &str) -> Setup {
    let setup = Setup::on_services(test).with("topk.k", 20).with("epoch.max_events", 1000);
    let words = format!("--kafka --partitions 3 {views}");
    setup.generate(&words.split_whitespace().collect::<Vec<_>>());
    setup
}

/// Everything was compared with the log: each of these checks, and more than nothing in each.
#[track_caller]
fn assert_verified(setup: &Setup, checks: &[&str]) -> String {
    let said = setup.topk(&["verify"]).expect_code(0).stdout;
    for check in checks {
        let line = said.lines().find(|line| line.starts_with(&format!("{check}: ")));
        let line = line.unwrap_or_else(|| panic!("{check} was not checked:\n{said}"));
        assert!(!line.contains(": 0 compared") && line.ends_with(" 0 differ"), "{line}\n{said}");
    }
    assert!(said.ends_with("verified: all was compared with the log, and nothing differs\n"), "{said}");
    said
}

const TABLES: [&str; 9] = [
    "video_views_minute",
    "video_views_hour",
    "video_views_day",
    "video_views_month",
    "video_views_all_time",
    "window_status",
    "top_k_videos",
    "topk_ledger",
    "topk_progress",
];

#[track_caller]
fn differs(setup: &Setup, what: &[&str]) -> Finished {
    let ended = setup.topk(&["verify"]).expect_code(1);
    let is_it = |line: &str| line.starts_with("differs: ") && what.iter().all(|part| line.contains(part));
    assert!(ended.stdout.lines().any(is_it), "no difference with {what:?}:\n{}", ended.stdout);
    ended
}

/// Change the SQLite file, see that verify tells it by name, and put it back.
#[track_caller]
fn told_in_sqlite(setup: &Setup, change: &str, back: &str, what: &[&str]) {
    let path = Path::new(setup.setting("sink.sqlite.path")).to_owned();
    dump::sqlite_query(&path, change);
    differs(setup, what);
    dump::sqlite_query(&path, back);
}

#[test]
fn a_clean_embedded_run_is_verified_and_every_change_is_told_by_name() {
    let setup = embedded("verify");
    setup.run_until_end();
    let said = assert_verified(&setup, &TABLES);
    for line in said.lines().filter(|line| line.starts_with("partition ")) {
        assert!(
            line.contains(": consumed ") && line.contains(" = counted ") && line.contains(" + dead_lettered "),
            "{line}"
        );
    }
    assert!(said.contains("partition one.ndjson: ") && said.contains("partition two.ndjson: "), "{said}");
    assert!(said.contains("cannot be reached from outside"), "{said}");

    let row = &dump::sqlite_query(
        Path::new(setup.setting("sink.sqlite.path")),
        "SELECT window_start, video_id, views FROM video_views_hour ORDER BY views DESC LIMIT 1",
    )[0];
    let of = |column: &str| row[column].clone().unwrap();
    let (start, video, views) = (of("window_start"), of("video_id"), of("views"));
    let place = format!("window_start = '{start}' AND video_id = '{video}'");
    told_in_sqlite(
        &setup,
        &format!("UPDATE video_views_hour SET views = views + 1 WHERE {place}"),
        &format!("UPDATE video_views_hour SET views = views - 1 WHERE {place}"),
        &[
            "video_views_hour",
            &start,
            &video,
            &format!("expected {views}"),
            &format!("found {}", views.parse::<i64>().unwrap() + 1),
        ],
    );
    told_in_sqlite(
        &setup,
        &format!("DELETE FROM video_views_hour WHERE {place}"),
        &format!("INSERT INTO video_views_hour VALUES ('{start}', '{video}', {views})"),
        &["video_views_hour", &start, &video, &format!("expected {views}, found no row")],
    );
    told_in_sqlite(
        &setup,
        "UPDATE topk_ledger SET counted = counted - 1, dead_lettered = dead_lettered + 1 WHERE partition = 'one.ndjson'",
        "UPDATE topk_ledger SET counted = counted + 1, dead_lettered = dead_lettered - 1 WHERE partition = 'one.ndjson'",
        &["topk_ledger", "one.ndjson", "counted", "expected", "found"],
    );
    for (member, change) in [("late", "late + 1"), ("views", "views + 1"), ("videos", "videos + 1")] {
        let of_hour = format!("WHERE \"window\" = 'hour' AND window_start = '{start}'");
        let back = change.replace('+', "-");
        told_in_sqlite(
            &setup,
            &format!("UPDATE window_status SET {member} = {change} {of_hour}"),
            &format!("UPDATE window_status SET {member} = {back} {of_hour}"),
            &["window_status", "hour", &start, member, "expected", "found"],
        );
    }
    let path = Path::new(setup.setting("sink.sqlite.path")).to_owned();
    let order =
        "SELECT video_id, view_count FROM top_k_videos WHERE period = 'all_time' AND rank IN (1, 2) ORDER BY rank";
    let places = dump::sqlite_query(&path, order);
    let with = |column: &str, first: usize| {
        let of = |place: usize| places[place][column].clone().unwrap();
        format!("{column} = CASE rank WHEN 1 THEN '{}' ELSE '{}' END", of(first), of(1 - first))
    };
    let set = |first| {
        let (video, count) = (with("video_id", first), with("view_count", first));
        format!("UPDATE top_k_videos SET {video}, {count} WHERE period = 'all_time' AND rank IN (1, 2)")
    };
    let wrong = places[1]["video_id"].clone().unwrap();
    told_in_sqlite(&setup, &set(1), &set(0), &["top_k_videos", "all_time", "rank 1", "expected", "found", &wrong]);
    assert_verified(&setup, &TABLES);
}

#[test]
fn a_file_that_was_exchanged_or_is_gone_is_not_covered() {
    let setup = embedded("gone");
    setup.run_until_end();
    std::fs::remove_file(setup.path("views").join("two.ndjson")).unwrap();
    let ended = setup.topk(&["verify"]).expect_code(1);
    assert!(ended.stdout.contains("not covered: partition two.ndjson: it is gone"), "{}", ended.stdout);
    assert!(ended.stdout.contains("not verified: 0 differences"), "{}", ended.stdout);
}

#[test]
fn services_are_verified_at_rest_and_a_board_that_was_changed_is_told() {
    let setup = on_services("verify", VIEWS);
    setup.run_until_end();
    let said = assert_verified(&setup, &[&TABLES[..], &["boards", "pointers"]].concat());
    assert_eq!(said.lines().filter(|line| line.starts_with("partition ")).count(), 3, "{said}");

    let (url, key) = (setup.setting("sink.redis.url"), format!("{}:month:2025-10", setup.name()));
    let board = dump::redis_get(url, &key).expect("October's board is there");
    let mut changed: serde_json::Value = serde_json::from_str(&board).unwrap();
    changed["items"][2][1] = (changed["items"][2][1].as_u64().unwrap() - 1).into();
    let video = changed["items"][2][0].as_str().unwrap().to_owned();
    dump::redis_set(url, &key, &changed.to_string());
    differs(&setup, &["boards: month 2025-10-01T00:00:00Z", "rank 3", &video]);
    dump::redis_set(url, &key, &board);
    let pointer = format!("{}:hour:current", setup.name());
    let named = dump::redis_get(url, &pointer).expect("a pointer");
    dump::redis_set(url, &pointer, "2025-10-31T22:00");
    differs(&setup, &[&pointer, "found 2025-10-31T22:00"]);
    dump::redis_set(url, &pointer, &named);

    let schema = setup.name();
    let swap = |table: &str, set: &str, place: &str| {
        dump::postgres_query(
            setup.setting("sink.postgres.url"),
            &format!("UPDATE {schema}.{table} SET {set} WHERE {place}"),
        );
    };
    swap("video_views_all_time", "views = views + 3", "video_id = 'v1'");
    differs(&setup, &["video_views_all_time", "\"v1\"", "expected", "found"]);
    swap("video_views_all_time", "views = views - 3", "video_id = 'v1'");
    assert_verified(&setup, &TABLES);
}

#[test]
fn a_running_job_under_load_is_verified_at_whatever_it_carries() {
    let views = VIEWS.replace("20000", "60000").replace("--rate 20 ", "--rate 100 ");
    let setup = on_services("load", &views);
    let mut running = setup.start(&["run"]);
    setup.live_url("job");
    until("tables have something", LONG, || setup.topk(&["verify"]).stdout.contains("tables are as of").then_some(()));
    let feed = "--kafka --count 400000 --seed 7 --rate 300 --videos 2000 --start 2025-11-01T00:10:00Z";
    let mut feeding = setup.start(&[&["generate"], &feed.split_whitespace().collect::<Vec<_>>()[..]].concat());
    let mut seen = Vec::new();
    while feeding.is_running() || seen.len() < 2 {
        let said = assert_verified(&setup, &["boards", "video_views_all_time"]);
        seen.push(said.lines().next().unwrap_or_default().to_owned());
    }
    println!("{seen:#?}");
    feeding.wait(LONG).expect_code(0);
    assert!(running.is_running());
    running.signal("TERM");
    running.wait(LONG).expect_code(0);
    assert_verified(&setup, &["boards", "video_views_all_time"]);
}

#[test]
fn what_retention_took_is_said_and_is_not_verified() {
    let setup = on_services("cut", VIEWS);
    setup.run_until_end();
    kafka::delete_records_below(setup.name(), 1, 100);
    let ended = setup.topk(&["verify"]).expect_code(1);
    let said = &ended.stdout;
    assert!(said.contains("not covered: partition 1: the log begins at 100: offsets 0 to 99 are gone"), "{said}");
    assert!(said.contains("not verified: 0 differences, 1 parts not covered"), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("partition 1: ") && line.ends_with("by the journal alone")),
        "{said}"
    );
    // Journal, tables and boards are still held against each other.
    let url = setup.setting("sink.postgres.url");
    dump::postgres_query(
        url,
        &format!("UPDATE {}.video_views_all_time SET views = views + 1 WHERE video_id = 'v1'", setup.name()),
    );
    differs(&setup, &["video_views_all_time", "\"v1\""]);
}

#[test]
fn nothing_is_made_and_other_settings_are_refused() {
    let setup = with_one_view("nothing");
    assert!(setup.topk(&["verify"]).expect_code(1).stderr.contains("there is no journal in"));
    assert!(!setup.path("data").exists() && !setup.path("topk.db").exists(), "it made something");
    setup.run_until_end();
    let other = setup.topk(&["verify", "--set", "time.allowed_lateness=7s"]).expect_code(2);
    assert!(other.stderr.contains("time.allowed_lateness"), "{}", other.stderr);
    setup.topk(&["verify"]).expect_code(0);
}

//! Every list that the reader serves equals the tables, whatever the route.

use super::{get, items, ranked};
use serde_json::{Value, json};
use tests::{Setup, until, wait::LONG};

/// Twenty minutes of views in two hours, with everything that can be wrong with them.
fn with_views(test: &str) -> Setup {
    let setup = Setup::embedded(test);
    let file = tests::setup::text(&setup.path("views").join("views.ndjson"));
    setup.generate(&[
        "--count",
        "30000",
        "--rate",
        "8",
        "--start",
        "2025-10-31T22:50:00Z",
        "--videos",
        "3000",
        "--seed",
        "5",
        "--file",
        &file,
    ]);
    setup
}

/// Start it with its reader, and wait until all that can be read is in lists and tables.
fn serve(setup: &Setup) -> (tests::Running, String) {
    let finished = setup.run_until_end();
    let job = setup.start(&["run", "--serve"]);
    let url = setup.live_url("reader");
    let (all, counted) = (format!("{url}/v1/top?window=all_time&k=1"), finished.figure("counted"));
    until("the lists are there", LONG, || get(&all).filter(|answer| answer["meta"]["total_views"] == counted));
    (job, url)
}

#[test]
fn every_list_equals_its_table() {
    let setup = with_views("served");
    let (job, url) = serve(&setup);
    let windows = tests::dump::sqlite_query(
        &setup.path("topk.db"),
        "SELECT \"window\", window_start, window_end, state, views, videos FROM window_status",
    );
    let mut compared = 0;
    for window in windows {
        let cell = |column: &str| window[column].clone().unwrap_or_default();
        let (kind, start) = (cell("window"), cell("window_start"));
        let table = match kind.as_str() {
            "all_time" => ranked(&setup, &kind, None),
            _ => ranked(&setup, &kind, Some(&start)),
        };
        let at = if kind == "all_time" { "current".to_owned() } else { start.clone() };
        let answer =
            get(&format!("{url}/v1/top?window={kind}&k=1000&at={at}")).unwrap_or_else(|| panic!("{kind} {start}"));
        assert_eq!(items(&answer), table[..table.len().min(1000)], "{kind} {start}");
        let ranks: Vec<u64> =
            answer["items"].as_array().expect("items").iter().filter_map(|item| item["rank"].as_u64()).collect();
        assert!(ranks.iter().copied().eq(1..=ranks.len() as u64), "{kind} {start}: {ranks:?}");
        let meta = &answer["meta"];
        assert_eq!(meta["window"], kind.as_str());
        assert_eq!(meta["total_views"].to_string(), cell("views"), "{kind} {start}");
        assert_eq!(meta["total_videos"].to_string(), cell("videos"), "{kind} {start}");
        assert_eq!(meta["state"].as_str(), Some(cell("state").as_str()), "{kind} {start}");
        if kind != "all_time" && !table.is_empty() {
            assert_eq!(
                (meta["window_start"].as_str(), meta["window_end"].as_str()),
                (Some(&*start), Some(&*cell("window_end")))
            );
        }
        compared += table.len();
    }
    assert!(compared > 10_000, "only {compared} rows were compared");
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    setup.assert_right();
}

#[test]
fn every_route_gives_the_same_list_in_its_own_words() {
    let setup = with_views("routes");
    let (job, url) = serve(&setup);
    let list = items(&get(&format!("{url}/v1/top?window=hour&k=7")).expect("a list"));
    assert_eq!(list.len(), 7);
    let pairs: Value = list.iter().map(|(video, views)| json!({ "videoId": video, "views": views })).collect();
    for route in ["/views/top-k?window=hour&k=7", "/views/video?k=7&window=hour", "/top-k?window=hour&k=7"] {
        assert_eq!(get(&format!("{url}{route}")), Some(pairs.clone()), "{route}");
    }
    let named: Value = list.iter().map(|(video, views)| json!({ "video_id": video, "view_count": views })).collect();
    assert_eq!(
        get(&format!("{url}/v1/videos/top?period=hour&k=7")),
        Some(json!({ "period": "hour", "top_videos": named }))
    );
    assert_eq!(items(&get(&format!("{url}/v1/top?window=hour")).expect("a list")).len(), 100, "100 by default");
    let closed = get(&format!("{url}/v1/top?window=hour&at=closed&k=3")).expect("an hour has closed");
    assert!(["closed", "final"].contains(&closed["meta"]["state"].as_str().expect("a state")), "{closed}");

    let page = ureq::get(&format!("{url}/")).call().expect("a page").body_mut().read_to_string().expect("text");
    assert!(page.contains("<html"), "{page}");
    let metrics =
        ureq::get(&format!("{url}/metrics")).call().expect("metrics").body_mut().read_to_string().expect("text");
    assert!(metrics.contains("topk_reader_requests_total{"), "{metrics}");
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
}

#[test]
fn topk_top_shows_the_list_that_the_reader_serves() {
    let setup = with_views("top");
    let (job, url) = serve(&setup);
    let list = get(&format!("{url}/v1/top?window=hour&at=closed&k=5")).expect("an hour has closed");
    let top = |words: &[&str], code: i32| {
        let words = [&["top", "--at", "closed", "-k", "5"], words].concat();
        let ended = tests::setup::bare_topk(&words).output().expect("topk runs");
        let said = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {said}");
        if code == 0 { String::from_utf8(ended.stdout).expect("text") } else { said }
    };
    let asked = top(&["--url", &url, "--json"], 0);
    assert_eq!(serde_json::from_str::<Value>(&asked).expect("JSON")["items"], list["items"]);
    let csv = top(&["--url", &format!("{url}/"), "--csv"], 0);
    let table = top(&["--url", &url], 0);
    let items = list["items"].as_array().expect("items");
    assert_eq!((csv.lines().count(), table.lines().count()), (items.len() + 1, items.len() + 2), "{csv}{table}");
    for (item, row) in items.iter().zip(csv.lines().skip(1)) {
        let (rank, video, views) = (&item["rank"], item["videoId"].as_str().expect("text"), &item["views"]);
        assert!(row.starts_with(&format!("{rank},{video},{views},")), "{row}");
        assert!(table.contains(video), "{table}");
    }
    let wrong = top(&["--url", &url, "--window", "week"], 2);
    assert!(wrong.contains("minute, hour, day, month, all_time"), "{wrong}");
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    let away = top(&["--url", &url], 1);
    assert!(away.contains(&format!("cannot ask {url}")), "{away}");
}

#[test]
fn wrong_parameters_are_problems_that_name_them() {
    let setup = with_views("problems");
    let (job, url) = serve(&setup);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let wrong = [
        ("/v1/top", 400, "window"),
        ("/v1/top?window=week", 400, "window"),
        ("/v1/top?window=last_hour", 404, "window"),
        ("/v1/top?window=hour&k=0", 400, "k"),
        ("/v1/top?window=hour&k=1001", 400, "k"),
        ("/v1/top?window=hour&k=-1", 400, "k"),
        ("/v1/top?window=hour&k=1e2", 400, "k"),
        ("/v1/top?window=hour&k=", 400, "k"),
        ("/v1/top?window=hour&at=yesterday", 400, "at"),
        ("/v1/top?window=hour&window=day", 400, "window"),
        ("/v1/top?window=hour&limit=5", 400, "limit"),
        ("/views/top-k?k=5", 400, "window"),
        ("/v1/videos/top?period=hours", 400, "period"),
    ];
    for (route, status, parameter) in wrong {
        let mut answer = agent.get(format!("{url}{route}")).call().expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{route}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{route}");
        let problem: Value = serde_json::from_slice(&answer.body_mut().read_to_vec().expect("a body")).expect("JSON");
        assert_eq!(problem["status"], status, "{route}");
        let named: Vec<&str> =
            problem["errors"].as_array().expect("errors").iter().filter_map(|error| error["name"].as_str()).collect();
        assert_eq!(named, [parameter], "{route}: {problem}");
        assert!(problem["errors"][0]["allowed"].is_string(), "{route}: {problem}");
    }
    // The last thing asked was wrong; the next right one is answered.
    assert!(get(&format!("{url}/v1/top?window=hour&k=1")).is_some());
    let empty =
        get(&format!("{url}/v1/top?window=hour&at=2020-01-01T00:00:00Z")).expect("an instant without data is no error");
    assert_eq!(empty["items"], json!([]));
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
}

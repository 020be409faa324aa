//! The journal in a bucket: what a bucket may answer, how long it may be away, and who may write to it.

use std::fs;
use std::io::Write;
use tests::bad_answers::{Answer, Kind, by_seed};
use tests::{Bucket, Setup, until, wait::LONG};

/// 2025-10-19T12:00:00Z.
const NOON: i64 = 1_760_875_200_000;

/// Adds views, a second apart; gives how many.
fn add_views(setup: &Setup, views: i64) -> u64 {
    add_lines(setup, &view_lines(views));
    views as u64
}

fn add_lines(setup: &Setup, lines: &str) {
    let path = setup.path("views").join("part.ndjson");
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("the file can be written");
}

fn view_lines(views: i64) -> String {
    let view = |number| format!("{{\"video_id\":\"v{}\",\"view_timestamp\":{}}}\n", number % 7, NOON + number * 1000);
    (0..views).map(view).collect()
}

fn embedded(bucket: &Bucket, test: &str) -> Setup {
    bucket.state_of(Setup::embedded(test)).with("epoch.interval", "50ms").with("epoch.max_events", 100)
}

/// Every number from the first record to the last: nothing was compacted yet.
#[track_caller]
fn assert_whole(bucket: &Bucket, setup: &Setup) -> u64 {
    let records = bucket.records(setup.name());
    let last = records.len() as u64;
    assert_eq!(records, (1..=last).collect::<Vec<_>>());
    last
}

#[test]
fn each_record_is_there_once_whatever_a_put_is_answered() {
    use Answer::{
        Conflict, DoneThenError, DoneThenReset, DoneThenSilence, Precondition, Reset, Silence, SlowDown, True,
    };
    for answer in [Conflict, Precondition, SlowDown, DoneThenError, Silence, DoneThenSilence, Reset, DoneThenReset] {
        let bucket = Bucket::new("puts");
        let setup = embedded(&bucket, "puts");
        bucket.answers.plan(move |kind, number, _| if kind == Kind::Put && number % 3 == 2 { answer } else { True });
        for generation in 1..=2 {
            let added = add_views(&setup, 400);
            assert_eq!(setup.run_until_end().figure("counted"), added, "{answer:?}, generation {generation}");
        }
        let records = assert_whole(&bucket, &setup);
        let given = bucket.answers.given();
        assert!(given[&(Kind::Put, answer)] >= 3, "{answer:?}: {given:?}");
        setup.recount(&[]).expect_code(0);
        println!("{answer:?}: {records} records, {given:?}");
    }
}

#[test]
fn a_read_that_fails_is_repeated_and_nothing_is_taken_for_missing() {
    let bucket = Bucket::new("reads");
    let setup = embedded(&bucket, "reads");
    add_views(&setup, 1000);
    setup.run_until_end();
    let before = assert_whole(&bucket, &setup);
    bucket.answers.plan(|kind, number, _| match (kind, number % 4) {
        (Kind::Put, _) | (_, 0) => Answer::True,
        (Kind::Head, 1) => Answer::Reset,
        (_, 1) => Answer::Half,
        (_, 2) => Answer::SlowDown,
        (_, _) => Answer::Reset,
    });
    let added = add_views(&setup, 100);
    let second = setup.run_until_end();
    assert_eq!(second.figure("counted"), added, "what was counted before was counted again:\n{}", second.stdout);
    assert!(second.stderr.contains("the journal waits for its store"), "{}", second.stderr);
    assert!(assert_whole(&bucket, &setup) > before);
    setup.recount(&[]).expect_code(0);
}

/// Dead letters fill the journal and not its bases: without deletions this job would pause for ever.
#[test]
fn what_compaction_replaced_is_deleted_though_deletes_fail_at_first() {
    let bucket = Bucket::new("deletes");
    let setup = embedded(&bucket, "deletes").with("journal.retain", "0s").with("journal.max_bytes", "1MiB");
    add_views(&setup, 300);
    let (mut state, letters) = (20251019_u64, 2500);
    let mut nonsense = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    };
    let lines: String = (0..letters).map(|_| (0..125).map(|_| nonsense()).collect::<String>() + "\n").collect();
    add_lines(&setup, &lines);
    bucket.answers.plan(|kind, number, _| match (kind, number % 3) {
        (Kind::Delete, 0) => Answer::DoneThenError,
        (Kind::Delete, 1) => Answer::SlowDown,
        _ => Answer::True,
    });
    let finished = setup.run_until_end();
    assert_eq!((finished.figure("counted"), finished.figure("not_json")), (300, letters));
    assert!(finished.stderr.contains("reading goes on: the journal has room again"), "{}", finished.stderr);
    let (records, given) = (bucket.records(setup.name()), bucket.answers.given());
    println!("{records:?}; {given:?}");
    assert!(records[0] == 1 && records[1] > 10, "{records:?}");
    assert!(given.contains_key(&(Kind::Delete, Answer::SlowDown)), "{given:?}");
    setup.recount(&[]).expect_code(0);
}

#[test]
fn a_bucket_that_is_away_is_waited_for_and_nothing_else_stops() {
    let bucket = Bucket::new("outage");
    let setup = embedded(&bucket, "outage").with("source.kind", "file");
    let first = add_views(&setup, 300);
    let job = setup.start(&["run", "--serve"]);
    until("the first views are counted", LONG, || {
        (setup.metric("topk_records_counted_total") == first as f64).then_some(())
    });
    let total = |reader: &str| -> u64 {
        let list = ureq::get(format!("{reader}/v1/top?window=all_time&k=7")).call();
        let list = list.and_then(|mut list| list.body_mut().read_to_string()).expect("the reader answers");
        let list: serde_json::Value = serde_json::from_str(&list).expect("it is JSON");
        list["meta"]["total_views"].as_u64().unwrap_or(0)
    };
    let reader = setup.live_url("reader");
    until("boards show them", LONG, || (total(&reader) == first).then_some(()));

    bucket.answers.plan(|_, _, _| Answer::SlowDown);
    let second = add_views(&setup, 500);
    until("the job waits", LONG, || (setup.metric("topk_journal_waiting") > 0.0).then_some(()));
    until("it asks again and again", LONG, || {
        (setup.metric("topk_journal_retries_total{operation=\"read\"}") >= 4.0).then_some(())
    });
    assert_eq!(total(&reader), first, "something was shown that is not committed");
    assert_eq!(setup.metric("topk_records_counted_total"), first as f64);
    let said = job.stderr();
    assert!(said.contains("the journal waits for its store") && said.contains("503"), "{said}");

    bucket.answers.plan(|_, _, _| Answer::True);
    until("all views are counted", LONG, || {
        (setup.metric("topk_records_counted_total") == (first + second) as f64).then_some(())
    });
    until("boards show all", LONG, || (total(&reader) == first + second).then_some(()));
    assert_eq!(setup.metric("topk_journal_waiting"), 0.0);
    job.signal("TERM");
    let ended = job.wait(LONG).expect_code(0);
    assert!(ended.stderr.contains("the journal's store answers again"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("started again"), "the job did not live through it:\n{}", ended.stderr);
    setup.recount(&[]).expect_code(0);
}

#[test]
fn an_older_instance_is_fenced_over_a_bucket_too() {
    let bucket = Bucket::new("fenced");
    let setup = embedded(&bucket, "fenced");
    bucket.answers.plan(by_seed(20251019));
    let mut views = add_views(&setup, 300);
    let older = setup.start(&["run"]);
    until("the older one runs", LONG, || older.stderr().contains("the job runs").then_some(()));
    let newer = setup.start(&["run"]);
    until("the newer one runs", LONG, || newer.stderr().contains("the job runs").then_some(()));
    views += add_views(&setup, 300);
    let ended = older.wait(LONG).expect_code(4);
    assert!(ended.stderr.contains("the newer instance goes on"), "{}", ended.stderr);
    newer.signal("TERM");
    newer.wait(LONG).expect_code(0);
    setup.run_until_end();
    assert_whole(&bucket, &setup);
    setup.recount(&[]).expect_code(0);
    println!("{views} views; {:?}", bucket.answers.given());
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let bucket = Bucket::new("absent");
    let mut setup = embedded(&bucket, "absent");
    add_views(&setup, 10);
    setup.set("job.state", "s3://nobody-has-made-this-bucket/topk");
    let said = setup.topk(&["run", "--until-end"]).expect_code(1).stderr;
    assert!(said.contains("the bucket of job.state does not exist") && said.contains("create the bucket"), "{said}");
    // Not taken for an empty journal, of which there would be tables now.
    assert!(!said.contains("the journal is ours"), "{said}");
    let setup = setup.in_environment("AWS_ALLOW_HTTP", "perhaps");
    let said = setup.topk(&["run", "--until-end"]).expect_code(2).stderr;
    assert!(said.contains("perhaps") && said.contains("what to do: "), "{said}");
}

//! Postgres is away while views pour in, event time running far faster than the clock: counting and boards go on, memory
//! stays as it is, and when Postgres is back everything in it is exact.

use std::fs;
use stream::EventTime;
use tests::dump::postgres_query;
use tests::own_postgres::OwnPostgres;
use tests::{Running, Setup, until, wait::LONG};

/// 2025-10-31T20:00:00Z: an hour, a day and a month end on the way.
const START: i64 = 1_761_940_800_000;
const HOUR: i64 = 3_600_000;

/// Hours of event time, and the views in each: under `./test --long` more than two days, which is longer than minutes
/// are kept.
fn load() -> (i64, u64) {
    if std::env::var_os("TOPK_TEST_LONG").is_some() { (60, 200_000) } else { (8, 30_000) }
}

/// One hour of views.
fn produce(setup: &Setup, hour: i64, views: u64) {
    let start = EventTime::from_millis(START + hour * HOUR);
    let rate = views as f64 / 3600.0;
    let words = format!(
        "--kafka --partitions 4 --count {views} --rate {rate} --start {start} --seed {seed} --videos 20000 --disorder 5 --late 1 --malformed 0",
        seed = 700 + hour
    );
    setup.generate(&words.split_whitespace().collect::<Vec<_>>());
}

/// Resident memory of the job itself, in MiB.
fn resident(job: &Running) -> u64 {
    let child = job.child().expect("the job runs");
    let status = fs::read_to_string(format!("/proc/{child}/status")).expect("it is a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

fn total_on_board(setup: &Setup) -> u64 {
    setup.boards().get("all_time:all").and_then(|board| board["total_views"].as_u64()).unwrap_or(0)
}

#[test]
fn tables_that_are_away_under_load_are_exact_afterwards() {
    let (hours, views) = load();
    let postgres = OwnPostgres::start();
    let setup = Setup::on_services("away")
        .with("sink.postgres.url", postgres.url())
        .with("sink.postgres.flush_every", "200ms")
        .with("sink.max_backlog_bytes", "2MiB");
    produce(&setup, 0, views);
    let job = setup.start(&["run"]);
    let all_time = format!("SELECT sum(views)::text AS sum FROM {}.video_views_all_time", setup.name());
    until("the job runs", LONG, || job.stderr().contains("the job runs").then_some(()));
    let in_tables = || postgres_query(postgres.url(), &all_time)[0]["sum"].as_deref().and_then(|sum| sum.parse().ok());
    until("the tables have the first hour", LONG, || (in_tables() == Some(views)).then_some(()));

    postgres.down();
    let mut told = Vec::new();
    for hour in 1..hours {
        produce(&setup, hour, views);
        let sent = views * (hour as u64 + 1);
        until("boards show all of it", LONG, || (total_on_board(&setup) == sent).then_some(()));
        assert_eq!(setup.metric("topk_records_counted_total"), sent as f64);
        told.push((hour, resident(&job), setup.metric("topk_flush_backlog_bytes")));
    }
    for (hour, resident, backlog) in &told {
        println!("hour {hour}: {resident} MiB resident, {:.1} MiB waiting", backlog / 1048576.0);
    }
    assert_eq!(setup.metric("topk_follower_up{follower=\"postgres\"}"), 0.0);
    assert!(setup.metric("topk_flush_backlog_dropped_total") >= 1.0, "so many views were to outgrow the backlog");
    // What is kept for as long as it lasts is bounded by the settings, not by how long Postgres is away.
    assert!(told.iter().all(|(_, _, backlog)| *backlog < 16.0 * 1048576.0), "{told:?}");
    if hours > 20 {
        let (early, late) = (told[10].1, told[told.len() - 1].1);
        assert!(late < early + 150, "memory grows while Postgres is away: {early} MiB, then {late} MiB");
    }

    postgres.up();
    let sent = views * hours as u64;
    until("the tables have caught up", 5 * LONG, || (in_tables() == Some(sent)).then_some(()));
    println!("caught up: {} MiB resident", resident(&job));
    assert!(job.stderr().contains("what it missed is read from the journal"), "{}", job.stderr());
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    println!("{}", setup.recount(&[]).expect_code(0).stdout);
    let progress =
        postgres_query(postgres.url(), &format!("SELECT epoch, top_k_epoch FROM {}.topk_progress", setup.name()));
    assert_eq!(progress[0]["epoch"], progress[0]["top_k_epoch"], "lists are as of the last epoch too");
}

/// The journal keeps what the tables lack, up to its bound.
#[test]
fn a_full_journal_pauses_reading_by_name_and_it_goes_on_once_the_tables_are_back() {
    let postgres = OwnPostgres::start();
    let setup = Setup::on_services("full")
        .with("sink.postgres.url", postgres.url())
        .with("journal.retain", "0s")
        .with("journal.max_bytes", "1MiB");
    let produce = |hour: i64| {
        let start = EventTime::from_millis(START + hour * HOUR);
        let words = format!(
            "--kafka --partitions 4 --count 100000 --rate 27.8 --start {start} --seed {} --videos 20000 --disorder 5 --late 1 --malformed 0",
            900 + hour
        );
        setup.generate(&words.split_whitespace().collect::<Vec<_>>());
    };
    produce(0);
    let job = setup.start(&["run"]);
    until("the first hour is counted", LONG, || (setup.metric("topk_records_counted_total") == 1e5).then_some(()));
    assert_eq!(setup.metric("topk_paused{reason=\"journal.max_bytes\"}"), 0.0);
    let is_paused = || setup.metric("topk_paused{reason=\"journal.max_bytes\"}") == 1.0;

    postgres.down();
    let mut hours = 1;
    while !is_paused() {
        assert!(hours < 30, "{} bytes and not full yet", setup.metric("topk_journal_stored_bytes"));
        produce(hours);
        hours += 1;
        let sent = hours as f64 * 1e5;
        until("it is counted, or reading pauses", LONG, || {
            (is_paused() || setup.metric("topk_records_counted_total") == sent).then_some(())
        });
    }
    produce(hours);
    hours += 1;
    let (sent, counted) = (hours as f64 * 1e5, setup.metric("topk_records_counted_total"));
    let stored = setup.metric("topk_journal_stored_bytes");
    println!("{counted} of {sent} counted, {stored} bytes stored");
    // The epochs that were under way came on top.
    assert!(counted < sent && stored < 1.5 * f64::from(1 << 20), "{stored}");
    let said = job.stderr();
    assert!(said.contains("reading is paused: the journal has outgrown journal.max_bytes"), "{said}");
    assert!(said.contains("\"follower\":\"postgres\""), "{said}");

    postgres.up();
    until("reading goes on, and all is counted", LONG, || {
        (setup.metric("topk_records_counted_total") == sent).then_some(())
    });
    job.signal("TERM");
    let ended = job.wait(LONG).expect_code(0);
    assert!(ended.stderr.contains("reading goes on: the journal has room again"), "{}", ended.stderr);
    setup.run_until_end();
    setup.recount(&[]).expect_code(0);
}

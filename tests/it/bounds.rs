//! Memory stays bounded whatever is read: more keys than there is memory for, one key with nearly all of the views, a flood
//! of large records that cannot be counted. Reading pauses by name, goes on by itself, and nothing is lost.

use crate::exactness::assert_recounted;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::time::Duration;
use stream::{Clock, FailPoint, SystemClock};
use tests::{FailPoints, Finished, Running, Setup, until, wait::LONG};

/// 2025-10-19T12:00:00Z.
const START: i64 = 1_760_875_200_000;

/// A file of the embedded job, from lines made one by one.
fn write(setup: &Setup, name: &str, lines: impl Iterator<Item = String>) {
    let file = fs::File::create(setup.path("views").join(name)).expect("the temporary folder can be written");
    let mut file = std::io::BufWriter::new(file);
    for line in lines {
        writeln!(file, "{line}").expect("the temporary folder can be written");
    }
}

fn view(video: &str, time: i64) -> String {
    format!(r#"{{"video_id":"{video}","view_timestamp":{time}}}"#)
}

/// A line of `/proc/{pid}/status` of the job itself, in MiB.
fn memory(job: &Running, line: &str) -> u64 {
    let child = job.child().expect("the job runs");
    let status = fs::read_to_string(format!("/proc/{child}/status")).expect("it is a process of ours");
    let found = status.lines().find_map(|found| found.strip_prefix(line)).expect("Linux tells");
    found.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// More keys than the ceiling has room for.
fn many_keys(test: &str) -> (Setup, u64) {
    const KEYS: u64 = 1_000_000;
    // Longer than what lies within a key's record: some 150 bytes each, with two kinds of windows.
    let setup = Setup::embedded(test).with("sink.tables", "none").with("windows.tumbling", vec!["hour", "all_time"]);
    // Small epochs, so that memory is looked at often; the answer does not depend on it.
    let setup = setup.with("epoch.max_events", 20_000).with("topk.k", 10);
    write(
        &setup,
        "views.ndjson",
        (0..KEYS).map(|key| view(&format!("video-{:060}", key * 736_879 % KEYS), START + key as i64)),
    );
    (setup, KEYS)
}

fn counted(finished: &Finished) -> u64 {
    finished.figure("counted")
}

#[test]
fn more_keys_than_memory_pause_reading_and_a_raised_ceiling_lets_it_go_on() {
    let (mut setup, keys) = many_keys("ceiling");
    setup.set("job.max_memory", "128MiB");
    let job = setup.start(&["run", "--serve"]);
    until("memory has outgrown its ceiling", LONG, || {
        (setup.metric("topk_paused{reason=\"job.max_memory\"}") == 1.0).then_some(())
    });
    let consumed = || setup.metric("topk_records_consumed_total");
    let mut last = 0.0;
    until("reading stands still", LONG, || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        (std::mem::replace(&mut last, consumed()) == last).then_some(())
    });
    assert!(last > 0.0 && last < keys as f64, "{last} of {keys} were read");
    assert!(setup.metric("topk_keys") > 0.0 && setup.metric("topk_resident_bytes") > 0.0);
    // What is counted is served all the while, and a stop is a stop.
    let lists = format!("{}/v1/top?window=all_time&k=3", setup.live_url("reader"));
    let answer = ureq::get(&lists).call().expect("it answers").body_mut().read_to_string().expect("text");
    assert!(answer.contains("\"items\":[{\"rank\":1"), "{answer}");
    // What was under way when it was noticed comes on top of the ceiling.
    let peak = memory(&job, "VmHWM:");
    println!("paused after {last} views, at most {peak} MiB");
    assert!(peak < 128 + 64, "{peak} MiB for a ceiling of 128");
    job.signal("TERM");
    let told = job.wait(LONG).expect_code(0).stderr;
    assert!(told.contains("reading is paused: memory has outgrown job.max_memory"), "{told}");

    setup.set("job.max_memory", "0B");
    let rest = counted(&setup.run_until_end());
    assert!(rest > 0 && rest < keys, "{rest} of {keys} were left");
    let standing = setup.topk(&["journal", "show"]).expect_code(0).stdout;
    let standing: serde_json::Value = serde_json::from_str(&standing).expect("JSON");
    assert_eq!(standing["ledger"]["views.ndjson"]["counted"], keys, "nothing is lost");
    setup.topk(&["journal", "check"]).expect_code(0);
}

#[test]
fn a_run_to_the_end_that_memory_does_not_allow_ends_with_2_and_says_what_would_help() {
    let (setup, keys) = many_keys("toosmall");
    let setup = setup.with("job.max_memory", "128MiB");
    let ended = setup.topk(&["run", "--until-end"]).expect_code(2);
    assert!(ended.stderr.contains("cannot read to the end: memory has outgrown job.max_memory"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("raise job.max_memory") && !ended.stderr.contains("started again"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stdout.contains("stopped    before the end, for want of memory: 1 of 1 partitions"),
        "{}",
        ended.stdout
    );
    let first = counted(&ended);
    assert!(first > 0 && first < keys, "{first} of {keys}");
    let rest = setup.with("job.max_memory", "4GiB").run_until_end();
    assert_eq!(first + counted(&rest), keys);
}

/// One video with nine views of ten: one row an epoch, whatever the number of its views, and the same answer on any workers.
#[test]
fn one_key_with_nearly_all_of_the_views_is_no_hot_spot() {
    let setup = Setup::embedded("hot").with("epoch.max_events", 5000).with("topk.k", 20).with("job.workers", 4);
    // By records alone, so that their number does not depend on the machine.
    let setup = setup.with("epoch.interval", "1h");
    let views = 50_000;
    for file in 0..2 {
        let video = |number: u64| match number.is_multiple_of(10) {
            true => format!("v{}", number * 7919 % 997),
            false => "hot".to_owned(),
        };
        let lines = (0..views).map(|number| view(&video(number), START + number as i64 * 70 + file));
        write(&setup, &format!("part-{file}.ndjson"), lines.chain(["not a view".to_owned()]));
    }
    let finished = setup.run_until_end();
    assert_eq!(counted(&finished), 2 * views);
    let records = setup.path("data").join("journal").join(setup.name()).join("commit");
    let sizes = fs::read_dir(records).expect("records").map(|file| file.expect("it lists").metadata());
    let bytes: u64 = sizes.map(|about| about.expect("it is there").len()).sum();
    // 100,000 views of a thousand videos: it keeps rows by video and minute, of which the hot one has one in each epoch.
    assert!(bytes < 300_000, "{bytes} bytes of journal");
    assert_recounted(&setup, &[]);
}

/// Records that cannot be counted are kept whole until they are delivered. 240 MB of them pass through a job that holds a
/// small part at a time: an epoch is closed by bytes, not only by the number of its records.
#[test]
fn a_flood_of_large_records_that_cannot_be_counted_stays_bounded() {
    const RECORDS: u64 = 4000;
    let setup = Setup::embedded("flood");
    let mut large = String::new();
    // Nothing that packs well.
    let mut random = 1u64;
    while large.len() < 60_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(large, "{random:016x}").expect("a string takes everything");
    }
    let lines = (0..RECORDS).map(|number| format!("{{\"number\":{number},\"pad\":\"{large}"));
    write(&setup, "flood.ndjson", lines.chain((0..100).map(|number| view("after", START + number))));
    let job = setup.start(&["run"]);
    until("all of it is read", LONG, || {
        (setup.metric("topk_records_consumed_total") == (RECORDS + 100) as f64).then_some(())
    });
    until("all of it is delivered", LONG, || {
        (setup.metric("topk_dead_letters_written_total{sink=\"file\"}") == RECORDS as f64).then_some(())
    });
    let peak = memory(&job, "VmHWM:");
    println!("at most {peak} MiB while 240 MB went through");
    assert!(peak < 400, "{peak} MiB");
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    setup.assert_right();
}

/// Every commit takes as long as on a disk that is nearly worn out. What was read and is not durable yet is bounded, so a
/// job on such a disk takes no more memory than one on a quick disk; lists answer all the while.
#[test]
fn a_slow_disk_makes_reading_wait_and_nothing_grow() {
    const VIEWS: i64 = 400_000;
    let measure = |millis: u64| {
        let setup = Setup::embedded("slow-disk").with("sink.tables", "none").with("epoch.max_events", 10_000);
        let mut setup = setup.with("topk.k", 10).with("windows.tumbling", vec!["hour", "all_time"]);
        let views = (0..VIEWS).map(|number| view(&format!("video-{:050}", number * 7_919 % VIEWS), START + number));
        write(&setup, "views.ndjson", views);
        let delays: Vec<String> = (1..=100).map(|hit| format!("commit.before-create={hit}:sleep:{millis}")).collect();
        let points = FailPoints::plan(&mut setup, &delays.join(";"));
        let job = setup.start(&["run", "--serve"]);
        let lists = format!("{}/v1/top?window=all_time&k=3", setup.live_url("reader"));
        let clock = SystemClock::default();
        let began = clock.monotonic();
        until("all of it is committed", LONG, || {
            let asked = clock.monotonic();
            let status = ureq::get(&lists).config().http_status_as_error(false).build().call().expect("it answers");
            assert!([200, 404].contains(&status.status().as_u16()), "{status:?}");
            let took = clock.monotonic() - asked;
            assert!(took < LONG / 10, "a list took {took:?}");
            (setup.metric("topk_records_consumed_total") == VIEWS as f64).then_some(())
        });
        let commits = points.hits(FailPoint::CommitBeforeCreate);
        let (peak, took) = (memory(&job, "VmHWM:"), clock.monotonic() - began);
        job.signal("TERM");
        job.wait(LONG).expect_code(0);
        points.end(&mut setup);
        assert_eq!(setup.run_until_end().figure("read"), 0);
        setup.topk(&["verify"]).expect_code(0);
        println!("{millis} ms a commit: {commits} commits in {took:.1?}, at most {peak} MiB");
        (peak, took, commits)
    };
    let (quick, ..) = measure(0);
    let (slow, took, commits) = measure(150);
    assert!(commits >= 40 && took >= Duration::from_millis(40 * 150), "it did not wait: {commits} in {took:?}");
    assert!(slow < quick + 48, "{slow} MiB on a slow disk, {quick} MiB on a quick one");
}

//! Another number of workers between restarts, in the middle of windows: key groups are dealt out anew from the journal, a
//! base and the records above it, and what comes out is what a run that never changed gives.

use super::kills::{committed, in_small_epochs};
use super::{Answer, assert_recounted, words};
use std::fs;
use tests::{Setup, until, wait::LONG};

/// A run that never changes has two; these follow one another on one journal.
const WORKERS: [i64; 3] = [1, 4, 3];
/// Commits after which the first restart comes, more than one compaction takes in, and the others after it.
const COMMITS: [u64; 2] = [300, 90];

/// Objects of the journal's folder of this name.
fn objects(setup: &Setup, folder: &str) -> usize {
    let path = setup.path("data").join("journal").join(setup.name()).join(folder);
    fs::read_dir(path).into_iter().flatten().count()
}

/// Run with one number of workers after the other: drained, then killed, then to the end.
fn rescale(setup: &mut Setup) {
    for (turn, workers) in WORKERS[..2].iter().enumerate() {
        setup.set("job.workers", *workers);
        let before = committed(setup);
        let mut job = setup.start(&["run"]);
        until(&format!("{workers} workers have committed"), LONG, || {
            assert!(job.is_running(), "the job ended by itself:\n{}", job.stderr());
            (committed(setup) >= before + COMMITS[turn] && objects(setup, "base") > 0).then_some(())
        });
        if turn == 0 {
            job.signal("TERM");
            job.wait(LONG).expect_code(0);
        } else {
            job.kill();
        }
        // The next start reads a base and what is above it, and goes on within windows.
        assert!(objects(setup, "base") > 0 && objects(setup, "commit") > COMMITS[1] as usize);
        let tables = setup.tables();
        let status = &tables.0["window_status"];
        assert!(
            status
                .iter()
                .any(|row| row["state"].as_deref() == Some("open") && row["window"].as_deref() == Some("hour"))
        );
    }
    setup.set("job.workers", WORKERS[2]);
    let left = setup.run_until_end().figure("read");
    assert!(left > 0, "all was read before the last restart: give the log more views");
    println!("{}: {} commits; {left} views were left for the last run", setup.name(), committed(setup));
}

#[track_caller]
fn assert_no_trace(log: Setup, test: &str) {
    let log = in_small_epochs(log).with("job.workers", 2);
    log.run_until_end();
    let expected = Answer::of(&log);
    assert_recounted(&log, &[]);
    let mut rescaled = log.beside(test);
    rescale(&mut rescaled);
    expected.assert_same(&Answer::of(&rescaled), "1, then 4, then 3 workers");
    assert_recounted(&rescaled, &[]);
}

/// Two files, so that there are fewer partitions than workers. Two hours over the end of a month in each.
fn embedded(videos: u32) -> Setup {
    let log = Setup::embedded("rescale");
    for file in 0..2 {
        let path = tests::setup::text(&log.path("views").join(format!("part-{file}.ndjson")));
        log.generate(&words(&format!(
            "--count 100000 --seed {seed} --start 2025-10-31T22:40:00Z --rate 14 --videos {videos} --late 2 --malformed 2 --future 0.5 --file {path}",
            seed = 40 + file
        )));
    }
    log
}

#[test]
fn one_then_four_then_three_workers_leave_no_trace() {
    assert_no_trace(embedded(3000), "rescale");
}

/// Fewer keys than workers, so that some have no key group with anything in it.
#[test]
fn more_workers_than_keys_leave_no_trace() {
    assert_no_trace(embedded(2), "fewkeys");
}

#[test]
fn one_then_four_then_three_workers_leave_no_trace_in_kafka_postgres_and_redis() {
    let log = Setup::on_services("rescale");
    log.generate(&words(
        "--kafka --partitions 2 --count 200000 --rate 28 --start 2025-10-31T22:40:00Z --videos 3000 --late 2 --malformed 2 --future 0.5",
    ));
    assert_no_trace(log, "rescale");
}

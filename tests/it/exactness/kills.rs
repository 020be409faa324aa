//! `kill -9` at random moments, with restarts on another number of workers: the final state is that of a run that was never
//! killed. Moments follow the journal's growth, so that kills fall into the work and not behind it on a fast machine.

use super::{Answer, assert_recounted, words, write_views};
use std::time::Duration;
use tests::{Moments, Running, Setup, until, wait::LONG};

/// The greatest sequence in the journal; 0 while there is none.
pub(super) fn committed(setup: &Setup) -> u64 {
    let commits = setup.path("data").join("journal").join(setup.name()).join("commit");
    let names =
        std::fs::read_dir(commits).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).max().unwrap_or(0)
}

/// Wait for a random moment: some commits from now and a little more, or a while after a start, whatever that hits.
fn wait_for_a_moment(moments: &mut Moments, setup: &Setup, job: &mut Running) {
    if moments.below(4) > 0 {
        let target = committed(setup) + 1 + moments.below(24);
        until(&format!("commit {target} is there"), LONG, || {
            assert!(job.is_running(), "the job ended by itself:\n{}", job.stderr());
            (committed(setup) >= target).then_some(())
        });
    }
    std::thread::sleep(Duration::from_millis(moments.below(40)));
}

/// Run a job that is killed `kills` times, in turns the job alone (its parent starts it again) and both; then to the end.
fn run_with_kills(setup: &mut Setup, kills: u32) {
    let mut moments = Moments::new(setup.name());
    let (mut killed, mut reached) = (0, Vec::new());
    while killed < kills {
        setup.set("job.workers", 1 + moments.below(4) as i64);
        let mut job = setup.start(&["run"]);
        wait_for_a_moment(&mut moments, setup, &mut job);
        if killed + 1 < kills && moments.below(2) == 0 {
            let child = until("the job's child is there", LONG, || job.child());
            assert!(job.kill_child(), "{child} could not be killed");
            (killed, reached) = (killed + 1, [reached, vec![committed(setup)]].concat());
            until("the parent has started another child", LONG, || job.child().filter(|other| *other != child));
            wait_for_a_moment(&mut moments, setup, &mut job);
        }
        job.kill();
        (killed, reached) = (killed + 1, [reached, vec![committed(setup)]].concat());
    }
    println!("{}: {killed} kills, at these commits: {reached:?}", setup.name());
    setup.set("job.workers", 2);
    let before = committed(setup);
    setup.run_until_end();
    assert!(committed(setup) > before + 1, "all was read before the last kill: give the log more views");
}

/// Many epochs in a small log. Nothing is idle in it: idleness is decided by the clock, so two runs may differ in it.
pub(super) fn in_small_epochs(setup: Setup) -> Setup {
    setup.with("epoch.interval", "1s").with("epoch.max_events", 100).with("topk.k", 50).with("time.idle_timeout", "1h")
}

#[test]
fn kill_nine_at_twenty_moments() {
    let log = in_small_epochs(Setup::embedded("kill"));
    write_views(&log, 4, 60_000);
    log.run_until_end();
    let expected = Answer::of(&log);

    let mut killed = log.beside("kill");
    run_with_kills(&mut killed, 20);
    expected.assert_same(&Answer::of(&killed), "killed 20 times");
    assert_recounted(&killed, &[]);
}

#[test]
fn kill_nine_through_kafka_postgres_and_redis() {
    let log = in_small_epochs(Setup::on_services("kill"));
    log.generate(&words(
        "--kafka --partitions 6 --count 160000 --rate 20 --start 2025-10-31T22:40:00Z --videos 3000 --late 2 --malformed 2 --future 0.5",
    ));
    log.run_until_end();
    let expected = Answer::of(&log);

    let mut killed = log.beside("kill");
    run_with_kills(&mut killed, 20);
    expected.assert_same(&Answer::of(&killed), "killed 20 times");
    assert_recounted(&killed, &[]);
}

//! Death at every step, several times in one run, and an I/O error there; the parent starts the job again each time.

use super::logs;
use crate::exactness::Answer;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use stream::FailPoint;
use tests::{FailPoints, Setup};

/// The hits, counted in each process, at which it dies.
fn hits() -> &'static [u64] {
    if std::env::var_os("TOPK_TEST_LONG").is_some() { &[1, 2, 3, 5, 8, 13, 21, 34] } else { &[1, 2, 5] }
}

/// Steps of a job without services.
fn is_embedded(step: &FailPoint) -> bool {
    !step.name().starts_with("letters.")
}

/// Steps that Postgres, Redis and Kafka have a part in.
fn is_of_services(step: &FailPoint) -> bool {
    ["claim.", "flush.", "publish.", "letters.", "step."].iter().any(|part| step.name().starts_with(part))
}

pub(super) fn is_of_compaction(step: FailPoint) -> bool {
    (FailPoint::CompactStart..=FailPoint::DeleteDone).contains(&step)
}

/// Die at this step, and get an I/O error there once. A fence is only written by a start that finds a journal; a first start
/// that fails is not tried again.
fn plan(step: FailPoint) -> String {
    let lead = if step < FailPoint::CommitBeforeCreate { "commit.checked=2:kill;" } else { "" };
    let deaths: Vec<String> = hits().iter().map(|hit| format!("{}={hit}:kill", step.name())).collect();
    let error = if step < FailPoint::FenceBeforeCreate { String::new() } else { format!(";{}=3:fail", step.name()) };
    format!("{lead}{}{error}", deaths.join(";"))
}

/// Run to the end with these deaths; how many there were.
fn die_at(log: &Setup, expected: &Answer, step: FailPoint) -> usize {
    let mut job = log.beside("dies");
    if is_of_compaction(step) {
        job = logs::busier(job);
    }
    if step == FailPoint::LinesRotated {
        job.set("sink.dead_letters.rotate_at", "1B");
    }
    let points = FailPoints::plan(&mut job, &plan(step));
    job.run_until_end();
    let deaths = hits().iter().filter(|hit| points.done(step, **hit, "kill").is_some()).count();
    assert!(deaths > 0, "nobody came to the step {}: {}", step.name(), step.holds());
    points.end(&mut job);
    let what = format!("killed with {}", plan(step));
    let mut answer = Answer::of(&job);
    if step == FailPoint::LinesRotated {
        // Two files are kept, and each start has begun another.
        answer.take_letters_of(expected);
    }
    expected.assert_same(&answer, &what);
    job.topk(&["journal", "check"]).expect_code(0);
    println!("{}: {deaths} deaths, {} hits", step.name(), points.hits(step));
    deaths
}

/// A few at a time: a job that has just died waits before it is started again.
pub(super) fn few_at_a_time(steps: &[FailPoint], test: impl Fn(FailPoint) + Sync) {
    let next = Mutex::new(steps.iter());
    let take = || next.lock().expect("no thread panics with it").next().copied();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(step) = take() {
                    test(step);
                }
            });
        }
    });
}

fn die_everywhere(log: &Setup, expected: &Answer, steps: &[FailPoint]) {
    let deaths = AtomicUsize::new(0);
    few_at_a_time(steps, |step| _ = deaths.fetch_add(die_at(log, expected, step), Ordering::Relaxed));
    println!("{} steps, {} deaths", steps.len(), deaths.into_inner());
}

#[test]
fn death_at_every_step_of_an_embedded_job() {
    let (log, expected) = logs::in_files("steps");
    let steps: Vec<FailPoint> = FailPoint::ALL.iter().copied().filter(is_embedded).collect();
    die_everywhere(&log, &expected, &steps);
}

#[test]
fn death_at_every_step_of_postgres_redis_and_kafka() {
    let (log, expected) = logs::in_a_topic("steps");
    let steps: Vec<FailPoint> = FailPoint::ALL.iter().copied().filter(is_of_services).collect();
    die_everywhere(&log, &expected, &steps);
}

#[test]
fn every_step_is_died_at() {
    let left_out: Vec<&str> = FailPoint::ALL
        .iter()
        .filter(|step| !is_embedded(step) && !is_of_services(step))
        .map(|step| step.name())
        .collect();
    assert!(left_out.is_empty(), "no test kills at {left_out:?}");
}

//! An instance that is frozen at a step while a newer one takes over, reads to the end, compacts and deletes. When it wakes it
//! writes nothing more, and ends with 4.

use super::logs;
use crate::exactness::Answer;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stream::FailPoint;
use tests::process::signal;
use tests::{FailPoints, Running, Setup, Tables, dump, until, wait::LONG};

/// One of each kind of write; all of them in a long run.
const USUALLY: &[FailPoint] = &[
    FailPoint::FenceCreated,
    FailPoint::CommitBeforeCreate,
    FailPoint::CommitCreated,
    FailPoint::CompactPart,
    FailPoint::BaseCreated,
    FailPoint::DeleteNext,
    FailPoint::FlushBeforeCommit,
    FailPoint::PublishBegun,
    FailPoint::PublishOwned,
    FailPoint::LettersSent,
];

/// A start that is frozen before its fence is no older instance: when it wakes, it takes over. A file's letters are held by
/// their lock.
fn steps() -> Vec<FailPoint> {
    let is_long = std::env::var_os("TOPK_TEST_LONG").is_some();
    let all =
        FailPoint::ALL.iter().filter(|step| **step >= FailPoint::FenceCreated && !step.name().starts_with("lines."));
    all.copied().filter(|step| is_long || USUALLY.contains(step)).collect()
}

/// Everything that others see of a job.
#[derive(PartialEq)]
struct Seen {
    tables: Tables,
    boards: BTreeMap<String, Value>,
    owner: Option<String>,
    status: Option<String>,
    letters: BTreeSet<String>,
    records: BTreeSet<String>,
}

impl Seen {
    fn of(setup: &Setup) -> Self {
        let key = |name: &str| {
            dump::redis_get(setup.setting("sink.redis.url"), &format!("{}:{name}", setup.setting("sink.redis.prefix")))
        };
        let commits = setup.path("data").join("journal").join(setup.name()).join("commit");
        let records = std::fs::read_dir(commits).expect("there is a journal");
        let letters: Vec<Value> = setup.dead_letters();
        // `NAME#1` is a put that was interrupted before it had a name: no record, and gone with the next clean-up.
        let records = records.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let distinct: BTreeSet<String> = letters.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), letters.len(), "a dead letter is there twice");
        Seen {
            tables: setup.tables(),
            boards: setup.boards(),
            owner: key("owner"),
            status: key("status"),
            letters: distinct,
            records: records.filter(|name| !name.contains('#')).collect(),
        }
    }

    /// The one that woke wrote nothing. A record that it created on a deleted name is below what the newest base covers.
    fn assert_unchanged(&self, after: &Seen, what: &str) {
        self.tables.assert_same(&after.tables, what);
        assert!(self.boards == after.boards, "{what}: boards changed");
        assert_eq!(self.owner, after.owner, "{what}: the boards' owner changed");
        assert!(
            after.status.is_none() || self.status == after.status,
            "{what}: the status changed: {:?}",
            after.status
        );
        assert_eq!(self.letters, after.letters, "{what}: dead letters changed");
        let created: Vec<_> = after.records.difference(&self.records).collect();
        let first = self.records.iter().find(|name| name.parse::<u64>().is_ok_and(|number| number > 1));
        assert!(created.iter().all(|name| Some(*name) < first), "{what}: records {created:?} after {first:?}");
    }
}

/// Run until the step, where the process freezes; and its id.
fn freeze(job: &mut Setup, plan: &str, step: FailPoint, hit: u64) -> (FailPoints, Running, u32) {
    let points = FailPoints::plan(job, plan);
    let mut older = job.start(&["run"]);
    let frozen = until(&format!("{} is reached", step.name()), LONG, || {
        assert!(older.is_running(), "it ended by itself:\n{}", older.stderr());
        points.done(step, hit, "stop")
    });
    points.end(job);
    (points, older, frozen)
}

fn wake(older: Running, frozen: u32, what: &str) {
    assert!(signal("CONT", frozen), "{what}: {frozen} is gone");
    let ended = older.wait(LONG);
    assert_eq!(ended.code, Some(4), "{what}: it did not notice\n{}", ended.stderr);
    assert!(ended.stderr.contains("error: "), "{what}\n{}", ended.stderr);
}

/// Of a step that a start comes to, the first; of others, one in the middle of the work.
fn plan(step: FailPoint) -> (String, u64) {
    match step < FailPoint::CommitBeforeCreate {
        true => (format!("commit.checked=40:kill;{}=1:stop", step.name()), 1),
        false if super::kills::is_of_compaction(step) => (format!("{}=1:stop", step.name()), 1),
        false => (format!("{}=3:stop", step.name()), 3),
    }
}

fn frozen_at(log: &Setup, expected: &Answer, step: FailPoint) {
    let what = format!("frozen at {}", step.name());
    let mut job = log.beside("frozen");
    if step >= FailPoint::CommitBeforeCreate && step <= FailPoint::DeleteDone {
        // The newer one deletes the number that this one is about to write.
        job = logs::busier(job);
    }
    let (plan, hit) = plan(step);
    let (_points, older, frozen) = freeze(&mut job, &plan, step, hit);
    job.run_until_end();
    let before = Seen::of(&job);
    wake(older, frozen, &what);
    before.assert_unchanged(&Seen::of(&job), &what);
    expected.assert_same(&Answer::of(&job), &what);
    job.topk(&["journal", "check"]).expect_code(0);
    // Whatever it left is in nobody's way.
    job.run_until_end();
    expected.assert_same(&Answer::of(&job), &what);
    println!("{what}: it ended with 4 and wrote nothing");
}

#[test]
fn who_was_frozen_at_any_step_writes_nothing_more() {
    let (log, expected) = logs::in_a_topic("frozen");
    super::kills::few_at_a_time(&steps(), |step| frozen_at(&log, &expected, step));
}

/// The newer one has taken over everything and written nothing yet: what it has to write is not there to refuse the older one.
#[test]
fn who_wakes_before_the_newer_one_has_written_anything_writes_nothing_either() {
    let (log, expected) = logs::in_a_topic("frozen");
    let steps =
        [FailPoint::CommitBeforeTell, FailPoint::PublishBegun, FailPoint::PublishBoards, FailPoint::PublishOwned];
    super::kills::few_at_a_time(&steps, |step| {
        let what = format!("frozen at {}, awake before the newer one writes", step.name());
        let mut job = log.beside("early");
        let (_points, older, frozen) = freeze(&mut job, &format!("{}=3:stop", step.name()), step, 3);
        let (_points, newer, taking_over) = freeze(&mut job, "fence.before-load=1:stop", FailPoint::FenceBeforeLoad, 1);
        let before = Seen::of(&job);
        wake(older, frozen, &what);
        before.assert_unchanged(&Seen::of(&job), &what);
        assert!(signal("CONT", taking_over), "{what}: the newer one is gone");
        newer.signal("TERM");
        newer.wait(LONG).expect_code(0);
        job.run_until_end();
        expected.assert_same(&Answer::of(&job), &what);
    });
}

//! `kill -9` with the journal in a bucket that gives a bad answer to every tenth request: the final state is that of a
//! journal on disk that was never disturbed. Compaction is among what is disturbed.

use super::kills::in_small_epochs;
use super::{Answer, assert_recounted, write_views};
use tests::bad_answers::{Answer as Given, Kind, by_seed};
use tests::{Bucket, Moments, Setup, until, wait::LONG};

#[test]
fn killed_over_a_bucket_that_answers_badly() {
    let log = in_small_epochs(Setup::embedded("bucket"));
    write_views(&log, 4, 15_000);
    log.run_until_end();
    let expected = Answer::of(&log);

    let bucket = Bucket::new("killed");
    // What compaction replaced goes at once.
    let mut killed = bucket.state_of(log.beside("bucket")).with("journal.retain", "0s");
    let mut moments = Moments::new(killed.name());
    bucket.answers.plan(by_seed(moments.below(u64::MAX)));
    let kills = 5;
    for kill in 0..kills {
        killed.set("job.workers", 1 + moments.below(4) as i64);
        let mut job = killed.start(&["run"]);
        // Two short ones, which kill starts, then longer ones, which kill the work and its compaction.
        let puts = if kill < 2 { moments.below(8) } else { 40 + moments.below(80) };
        let target = bucket.answers.seen(Kind::Put) + puts;
        until(&format!("put {target} has come"), LONG, || {
            assert!(job.is_running(), "the job ended by itself:\n{}", job.stderr());
            (bucket.answers.seen(Kind::Put) >= target).then_some(())
        });
        job.kill();
    }
    killed.set("job.workers", 2);
    let rest = killed.run_until_end();
    assert!(rest.figure("read") > 0, "all was read before the last kill: give the log more views");
    let given = bucket.answers.given();
    println!("{kills} kills, {} records at the end; answers: {given:?}", bucket.records(killed.name()).len());
    for (kind, answer) in [
        (Kind::Put, Given::Conflict),
        (Kind::Put, Given::DoneThenError),
        (Kind::Put, Given::DoneThenReset),
        (Kind::Get, Given::Half),
        (Kind::Get, Given::SlowDown),
    ] {
        assert!(given.contains_key(&(kind, answer)), "the seed gave no {answer:?} to a {kind:?}");
    }

    expected.assert_same(&Answer::of(&killed), "killed over a bucket");
    assert_recounted(&killed, &[]);
    let last = *bucket.records(killed.name()).last().expect("there is a journal");
    assert!(last > 300, "{last} records are too few for a base");
}

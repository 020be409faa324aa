//! Every answer that a disk or a bucket can give, at every single operation of two lives: what may pass is waited out with
//! nothing lost or doubled, what may not ends the life, and the next one goes on.

use super::crashes::live;
use super::*;
use crate::journal::testing::Random;
use crate::testing::faulty::{Fate, Operation, faulty};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A life of its own with this answer at operation `at`, given `times` times in a row. Whether it came that far; the last
/// writer's end.
fn with_answer(fate: Fate, at: usize, times: usize, deadline: Duration) -> (bool, Result<(), Fault>) {
    let (store, clock) = (memory(), clock());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let shaky = faulty(&store, move |_, _| {
        let step = counted.fetch_add(1, Ordering::SeqCst);
        if (at..at + times).contains(&step) { fate } else { Fate::Pass }
    });
    let mut settings = settings();
    settings.followers.clear();
    settings.patience.deadline = deadline;
    let journal = open_with(&shaky, settings.clone(), &clock);
    let (mut model, flying, outcome) = live(&journal, &clock);

    let hint = format!("{fate:?} at operation {at}, {times} times");
    let whole = open_with(&store, settings, &clock);
    let (recovered, mut writer) = start(&whole).unwrap();
    if outcome.is_err()
        && let Some(next) = flying.filter(|_| recovered.last_epoch.0 > model.last_epoch.0.max(FIRST))
    {
        model.commit(next, recovered.last_epoch);
    }
    model.check(&recovered, &LoadFrom::default(), &hint);
    let next = model.next(&mut Random::new(at as u64));
    let written = writer.append(&next.content).unwrap();
    model.commit(next, written);
    writer.compact().unwrap();
    model.check(&start(&whole).unwrap().0, &LoadFrom::default(), &hint);
    (count.load(Ordering::SeqCst) > at, outcome)
}

/// At every operation of a life; how many there were.
fn everywhere(fate: Fate, times: usize, deadline: Duration, judge: impl Fn(usize, Result<(), Fault>)) -> usize {
    for at in 0.. {
        let (came_there, outcome) = with_answer(fate, at, times, deadline);
        if !came_there {
            return at;
        }
        judge(at, outcome);
    }
    unreachable!("a life has an end")
}

const LONG: Duration = Duration::from_secs(20);
/// For what never answers; an operation in memory that takes longer is tried again too, and that is no harm.
const SHORT: Duration = Duration::from_millis(60);

fn is_waited_out(fate: Fate, times: usize, deadline: Duration) {
    let operations = everywhere(fate, times, deadline, |at, outcome| {
        assert_eq!(outcome, Ok(()), "{fate:?} at operation {at}, {times} times");
    });
    assert!(operations > 60, "{operations}");
}

#[test]
fn a_refusal_that_passes_is_waited_out_at_each_operation() {
    is_waited_out(Fate::Fail, 1, LONG);
    // A full disk, for a while: its reads may work or not.
    is_waited_out(Fate::Fail, 4, LONG);
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again_at_each_operation() {
    is_waited_out(Fate::PassThenFail, 1, LONG);
    is_waited_out(Fate::PassThenFail, 3, LONG);
}

#[test]
fn a_conflict_with_nobody_is_settled_at_each_operation() {
    is_waited_out(Fate::Conflict, 1, LONG);
    is_waited_out(Fate::Conflict, 3, LONG);
}

#[test]
fn silence_ends_with_its_deadline_at_each_operation() {
    is_waited_out(Fate::Hang, 1, SHORT);
    is_waited_out(Fate::PassThenHang, 1, SHORT);
}

/// Nothing is tried again, nobody is told that anything is committed, and what is there stays.
#[test]
fn what_is_not_allowed_ends_the_life_at_each_operation() {
    let operations = everywhere(Fate::Forbid, usize::MAX / 2, LONG, |at, outcome| {
        let fault = outcome.expect_err("it cannot go on");
        assert!(!fault.is_transient() && fault.exit == stream::Exit::Failed, "operation {at}: {fault}");
    });
    assert!(operations > 60, "{operations}");
}

/// A disk without room lets everything be read and deleted: whoever writes waits, and nothing is half there.
#[test]
fn a_disk_that_is_full_for_a_while_stops_writing_alone() {
    for from in 0..40 {
        let store = memory();
        let puts = Arc::new(AtomicUsize::new(0));
        let counted = puts.clone();
        let full = faulty(&store, move |operation, _| {
            let put = if operation == Operation::Put { counted.fetch_add(1, Ordering::SeqCst) } else { usize::MAX };
            if (from..from + 6).contains(&put) { Fate::Fail } else { Fate::Pass }
        });
        let mut settings = settings();
        settings.followers.clear();
        let clock = clock();
        let journal = open_with(&full, settings, &clock);
        let (model, _, outcome) = live(&journal, &clock);
        assert_eq!(outcome, Ok(()), "full from put {from}");
        model.check(&start(&journal).unwrap().0, &LoadFrom::default(), &format!("full from put {from}"));
    }
}

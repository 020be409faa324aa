//! The process dies at every single step of its life; what is found then is a prefix of what was committed, and all of
//! what was told to be.

use super::history::{Model, Next};
use super::*;
use crate::journal::testing::Random;
use crate::testing::faulty::{Fate, Operation, faulty};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Two lives with compaction and deletion. Returns what was committed and what was in flight when it stopped.
pub(super) fn live(journal: &Journal, clock: &Arc<ManualClock>) -> (Model, Option<Next>, Result<(), Fault>) {
    let mut model = Model::new(true);
    let mut flying = None;
    let outcome = live_until(journal, clock, &mut model, &mut flying);
    (model, flying, outcome)
}

fn live_until(
    journal: &Journal,
    clock: &Arc<ManualClock>,
    model: &mut Model,
    flying: &mut Option<Next>,
) -> Result<(), Fault> {
    let mut random = Random::new(11);
    for _ in 0..2 {
        let (_, mut writer) = start(journal)?;
        for step in 0..8 {
            let next = flying.insert(model.next(&mut random));
            let written = writer.append(&next.content)?;
            model.commit(flying.take().expect("just put there"), written);
            if step == 3 || step == 6 {
                writer.compact()?;
                clock.advance(Duration::from_secs(4000));
            }
        }
    }
    Ok(())
}

fn crash_everywhere(dying: Fate, counts: fn(Operation) -> bool) -> usize {
    for steps in 0.. {
        let (store, clock) = (memory(), clock());
        let count = Arc::new(AtomicUsize::new(0));
        let mortal = faulty(&store, move |operation, _| {
            let step =
                if counts(operation) { count.fetch_add(1, Ordering::SeqCst) } else { count.load(Ordering::SeqCst) };
            match step.cmp(&steps) {
                std::cmp::Ordering::Less => Fate::Pass,
                std::cmp::Ordering::Equal if counts(operation) => dying,
                std::cmp::Ordering::Equal => Fate::Pass,
                std::cmp::Ordering::Greater => Fate::Fail,
            }
        });
        let mut settings = settings();
        settings.followers.clear();
        settings.patience.attempts = 2;
        let journal = open_with(&mortal, settings.clone(), &clock);
        let (mut model, flying, outcome) = live(&journal, &clock);

        let hint = format!("{dying:?} at step {steps}");
        let journal = open_with(&store, settings, &clock);
        let (recovered, mut writer) = start(&journal).unwrap();
        if let Some(next) = flying.filter(|_| recovered.last_epoch.0 > model.last_epoch.0.max(FIRST)) {
            model.commit(next, recovered.last_epoch);
        }
        model.check(&recovered, &LoadFrom::default(), &hint);
        // And it goes on from there.
        let next = model.next(&mut Random::new(steps as u64));
        let written = writer.append(&next.content).unwrap();
        model.commit(next, written);
        writer.compact().unwrap();
        model.check(&start(&journal).unwrap().0, &LoadFrom::default(), &hint);
        if outcome.is_ok() {
            return steps;
        }
    }
    unreachable!("a life has an end")
}

#[test]
fn it_dies_before_a_write() {
    assert!(crash_everywhere(Fate::Fail, |operation| matches!(operation, Operation::Put | Operation::Delete)) > 30);
}

#[test]
fn it_dies_after_a_write() {
    let writes = |operation| matches!(operation, Operation::Put | Operation::Delete);
    assert!(crash_everywhere(Fate::PassThenFail, writes) > 30);
}

#[test]
fn it_dies_at_any_operation() {
    assert!(crash_everywhere(Fate::Fail, |_| true) > 60);
}

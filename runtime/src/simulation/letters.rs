//! Dead letters as a model of a topic with transactions: whoever claims last writes, and each letter is there once.

use super::sinks::{Sink, committed};
use std::collections::BTreeSet;
use std::sync::Arc;
use stream::{Fault, Generation, Progress, Sequence, Step};

#[derive(Default)]
pub(super) struct Letters {
    pub(super) delivered: BTreeSet<(Arc<str>, i64)>,
    /// The instance that claimed last: as Kafka does, it takes whoever comes, newer or not.
    pub(super) owner: Option<usize>,
    /// The greatest generation that has claimed.
    pub(super) greatest: Generation,
    last: u64,
    pub(super) is_away: bool,
}

impl Letters {
    pub(super) fn progress(&self) -> Option<Progress> {
        let sequence = Sequence(self.last);
        (self.last > 0).then_some(Progress { generation: Generation(0), sequence, hash: None })
    }
}

impl Sink {
    /// One transaction for each epoch; a fenced producer cannot begin one.
    pub(super) fn write_letters(&self, step: &Step) -> Result<(), Fault> {
        let epochs: BTreeSet<Sequence> = step.dead_letters.iter().map(|(sequence, _)| *sequence).collect();
        for epoch in epochs {
            let of = step.dead_letters.iter().filter(|(sequence, _)| *sequence == epoch);
            let of: Vec<(Arc<str>, i64)> = of.map(|(_, letter)| (letter.partition.clone(), letter.offset)).collect();
            self.ask("deliver", |world| {
                let mut letters = world.letters.lock().expect("never poisoned");
                if letters.owner != Some(self.instance) {
                    return Err(Fault::fenced("cannot write dead letters", "somebody claimed them since"));
                }
                let greatest = letters.greatest;
                if self.generation < greatest {
                    drop(letters);
                    world.violated(format!("letters of {} after {greatest} had claimed", self.generation));
                }
                if letters.last >= epoch.0 {
                    return Ok(());
                }
                let oracle = world.oracle.lock().expect("never poisoned");
                let known = committed(&oracle, &step.commit).and_then(|_| {
                    let snapshot = oracle.link(epoch.0).and_then(|link| link.snapshot.clone());
                    let snapshot = snapshot.ok_or_else(|| format!("letters of {epoch}, which is no epoch"))?;
                    match of.iter().find(|letter| !snapshot.dead.contains(*letter)) {
                        Some(letter) => Err(format!("{letter:?} is delivered, and not dead as of {epoch}")),
                        None => Ok(()),
                    }
                });
                drop(oracle);
                let twice = of.into_iter().find(|letter| !letters.delivered.insert(letter.clone()));
                letters.last = epoch.0;
                drop(letters);
                world.must(known.and(twice.map_or(Ok(()), |letter| Err(format!("{letter:?} is delivered twice")))));
                Ok(())
            })?;
        }
        Ok(())
    }
}

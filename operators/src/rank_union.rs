//! The global ranking over the union of the workers' candidates, kept by differential dataflow: candidates arrive and
//! leave, what entered, left or moved in the top K comes out. It holds candidates only, never all keys.

use crate::CandidateChange;
use differential_dataflow::AsCollection;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use stream::{Epoch, Key, RankedChange, WindowId};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::{Enter, Leave, Operator};

/// A candidate as it travels between workers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// The window.
    pub window: WindowId,
    /// The key.
    pub key: Key,
    /// Its count.
    pub count: u64,
    /// +1 arriving, -1 leaving.
    pub change: i64,
}

impl From<CandidateChange> for Candidate {
    fn from(change: CandidateChange) -> Self {
        let CandidateChange { window, key, count, change } = change;
        Candidate { window, key, count, change }
    }
}

/// Ranking of a stream of candidates.
pub trait RankUnion<'scope> {
    /// The exact top `k` of every window over all workers' candidates, as changes per epoch: count descending, then
    /// key ascending, bytewise. The region is named [`REGION`], so that its share of the time can be told.
    fn rank_union(self, k: usize) -> StreamVec<'scope, Epoch, RankedChange>;
}

/// Name of the dataflow region.
pub const REGION: &str = "rank_union";

impl<'scope> RankUnion<'scope> for StreamVec<'scope, Epoch, Candidate> {
    fn rank_union(self, k: usize) -> StreamVec<'scope, Epoch, RankedChange> {
        let outer = self.scope();
        outer.region_named(REGION, |inner| {
            type Update = ((WindowId, (Reverse<u64>, Key)), Epoch, isize);
            let candidates = self.enter(inner);
            let updates = candidates.unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(
                Pipeline,
                "candidates",
                |start, _| {
                    drop(start);
                    move |input, output| {
                        input.for_each(|time, data| {
                            let epoch = *time.least().expect("candidates carry a time");
                            let mut session = output.session(&time);
                            for Candidate { window, key, count, change } in data.drain(..) {
                                session.give(((window, (Reverse(count), key)), epoch, change as isize));
                            }
                        });
                    }
                },
            );
            // `reduce` presents values in order, so the first k are the best k and ties go to the lesser key.
            let ranked = updates.as_collection().reduce(move |_window, candidates, top| {
                top.extend(candidates.iter().take(k).map(|(entry, _)| ((*entry).clone(), 1isize)));
            });
            let changes = ranked.inner.unary::<CapacityContainerBuilder<Vec<RankedChange>>, _, _, _>(
                Pipeline,
                "ranked",
                |start, _| {
                    drop(start);
                    move |input, output| {
                        // Epochs that closed together come in one message stamped with the first of them; each change goes on
                        // at its own, or a list would show what is not committed yet.
                        input.for_each(|time, data| {
                            data.sort_unstable_by_key(|(_, epoch, _)| *epoch);
                            for of_epoch in data.chunk_by(|one, next| one.1 == next.1) {
                                let at = time.delayed(&of_epoch[0].1, 0);
                                let change = |((window, (Reverse(count), key)), _, change): &Update| RankedChange {
                                    window: *window,
                                    key: key.clone(),
                                    count: *count,
                                    change: *change as i64,
                                };
                                output.session(&at).give_iterator(of_epoch.iter().map(change));
                            }
                        });
                    }
                },
            );
            changes.leave(outer)
        })
    }
}

#[cfg(test)]
mod tests;

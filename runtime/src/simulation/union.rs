//! The union of the workers' candidates, ranked by sorting: it stands in for differential dataflow, which has tests of
//! its own.

use super::oracle::K;
use operators::CandidateChange;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use stream::{Epoch, Key, RankedChange, WindowId};

type Entry = (Reverse<u64>, Key);

#[derive(Default)]
pub(super) struct Union {
    windows: BTreeMap<WindowId, BTreeSet<Entry>>,
    heard: BTreeMap<Epoch, Vec<CandidateChange>>,
}

impl Union {
    pub(super) fn hear(&mut self, epoch: Epoch, changes: Vec<CandidateChange>) {
        self.heard.entry(epoch).or_default().extend(changes);
    }

    /// What an epoch changed, once every worker has told.
    pub(super) fn ranked(&mut self, epoch: Epoch) -> Vec<RankedChange> {
        let changes = self.heard.remove(&epoch).unwrap_or_default();
        let touched: BTreeSet<WindowId> = changes.iter().map(|change| change.window).collect();
        let best = |windows: &BTreeMap<WindowId, BTreeSet<Entry>>| -> BTreeSet<(WindowId, Entry)> {
            let of = |id: &WindowId| windows.get(id).into_iter().flatten().take(K).cloned().collect::<Vec<_>>();
            touched.iter().flat_map(|id| of(id).into_iter().map(|entry| (*id, entry))).collect()
        };
        let before = best(&self.windows);
        let (gone, come): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.change < 0);
        // A count may come and go within one epoch only by coming first.
        for CandidateChange { window, key, count, .. } in come {
            self.windows.entry(window).or_default().insert((Reverse(count), key));
        }
        for CandidateChange { window, key, count, .. } in gone {
            self.windows.entry(window).or_default().remove(&(Reverse(count), key));
        }
        let after = best(&self.windows);
        let change = |(window, (Reverse(count), key)): &(WindowId, Entry), change| RankedChange {
            window: *window,
            key: key.clone(),
            count: *count,
            change,
        };
        let gone = before.difference(&after).map(|entry| change(entry, -1));
        gone.chain(after.difference(&before).map(|entry| change(entry, 1))).collect()
    }
}

//! The timely wrapper of [`WindowStore`]: exchange by key group, apply each epoch once its frontier closes, in order.

use crate::{Candidate, WindowStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{Commit, DeltaBatch, Epoch, EventTime, Mark, Part, RowFlush, WindowChange};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// The outputs of [`CountInWindows::count_in_windows`].
pub struct Counted<'scope> {
    /// One per worker and epoch, also an empty one: for the journal.
    pub parts: StreamVec<'scope, Epoch, Part>,
    /// Totals and evictions.
    pub windows: StreamVec<'scope, Epoch, WindowChange>,
    /// Changes of the workers' own top K.
    pub candidates: StreamVec<'scope, Epoch, Candidate>,
    /// Each worker's answer to every epoch's order about rows, if anybody takes rows.
    pub rows: StreamVec<'scope, Epoch, RowFlush>,
}

/// Counting of combined deltas.
pub trait CountInWindows<'scope> {
    /// Sends each batch to the worker it names, and applies whole epochs in order. `marks` has one mark per epoch from
    /// this worker; `commits` tells which windows may leave (it is read, never waited for).
    fn count_in_windows(
        self,
        store: WindowStore,
        marks: StreamVec<'scope, Epoch, Mark>,
        commits: StreamVec<'scope, Epoch, Arc<Commit>>,
    ) -> Counted<'scope>;
}

/// What has arrived for an epoch that is not closed yet.
#[derive(Default)]
struct OpenEpoch {
    batches: Vec<DeltaBatch>,
    mark: Option<(Mark, [Capability<Epoch>; 4])>,
}

impl<'scope> CountInWindows<'scope> for StreamVec<'scope, Epoch, DeltaBatch> {
    fn count_in_windows(
        self,
        mut store: WindowStore,
        marks: StreamVec<'scope, Epoch, Mark>,
        commits: StreamVec<'scope, Epoch, Arc<Commit>>,
    ) -> Counted<'scope> {
        let scope = self.scope();
        let mut builder = OperatorBuilder::new("count_in_windows".to_owned(), scope);
        let mut deltas = builder.new_input(self, Exchange::new(|batch: &DeltaBatch| u64::from(batch.worker)));
        let mut marks = builder.new_input(marks, Pipeline);
        let (parts, parts_stream) = builder.new_output::<Vec<Part>>();
        let (windows, windows_stream) = builder.new_output::<Vec<WindowChange>>();
        let (candidates, candidates_stream) = builder.new_output::<Vec<Candidate>>();
        let (rows, rows_stream) = builder.new_output::<Vec<RowFlush>>();
        // Not connected to any output: what is said about the past does not hold back the future.
        let mut commits = builder.new_input_connection(commits, Pipeline, []);
        let mut parts = OutputBuilder::<_, CapacityContainerBuilder<Vec<Part>>>::from(parts);
        let mut windows = OutputBuilder::<_, CapacityContainerBuilder<Vec<WindowChange>>>::from(windows);
        let mut candidates = OutputBuilder::<_, CapacityContainerBuilder<Vec<Candidate>>>::from(candidates);
        let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<RowFlush>>>::from(rows);
        builder.build(move |start| {
            drop(start);
            let mut open: BTreeMap<Epoch, OpenEpoch> = BTreeMap::new();
            let mut evictable: Option<EventTime> = None;
            // Recovered candidates are told with the first epoch.
            let mut recovered = store.candidates();
            move |frontiers| {
                deltas.for_each(|time, data| {
                    let epoch = *time.least().expect("deltas carry an epoch");
                    open.entry(epoch).or_default().batches.append(data);
                });
                marks.for_each(|time, data| {
                    let epoch = *time.least().expect("marks carry an epoch");
                    let capability = |port| time.retain_least(port).expect("marks carry an epoch");
                    for mark in data.drain(..) {
                        let before = open.entry(epoch).or_default().mark.replace((mark, [0, 1, 2, 3].map(capability)));
                        assert!(before.is_none(), "bug: epoch {epoch} was closed twice");
                    }
                });
                commits.for_each(|_, data| {
                    evictable = data.drain(..).filter_map(|commit| commit.evictable).max().max(evictable);
                });
                let (mut parts, mut windows) = (parts.activate(), windows.activate());
                let (mut candidates, mut rows) = (candidates.activate(), rows.activate());
                while let Some(entry) = open.first_entry() {
                    let epoch = *entry.key();
                    if frontiers[0].less_equal(&epoch) || frontiers[1].less_equal(&epoch) {
                        break;
                    }
                    let OpenEpoch { batches, mark } = entry.remove();
                    let (mark, [part_at, window_at, candidate_at, row_at]) =
                        mark.expect("every epoch is closed by a mark");
                    let closed = store.close(epoch, &batches, evictable.take(), mark.rows);
                    parts.session(&part_at).give(closed.part);
                    windows.session(&window_at).give_iterator(closed.windows.into_iter());
                    let changed = std::mem::take(&mut recovered).into_iter().chain(closed.candidates);
                    candidates.session(&candidate_at).give_iterator(changed.map(Candidate::from));
                    rows.session(&row_at).give_iterator(closed.rows.into_iter());
                }
            }
        });
        Counted { parts: parts_stream, windows: windows_stream, candidates: candidates_stream, rows: rows_stream }
    }
}

#[cfg(test)]
mod tests;

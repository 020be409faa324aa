//! The source operator: hands a reader's batches to timely at their epoch, and stops taking them while too many epochs
//! are uncommitted. The committed frontier comes back on an input that is connected to no output: it gates and wakes,
//! and is never waited for by the dataflow.

use crate::reader_thread::{Closed, Tell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, OnceLock};
use stream::{Commit, DeltaBatch, Epoch, Mark, Report};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::SyncActivator;

/// How many epochs may be uncommitted before sources stop.
const EPOCHS_IN_FLIGHT: u64 = 4;

/// What a source operator gives.
pub struct Input<'scope> {
    /// Combined deltas, one batch for each worker that owns any.
    pub deltas: StreamVec<'scope, Epoch, DeltaBatch>,
    /// One mark per epoch.
    pub marks: StreamVec<'scope, Epoch, Mark>,
    /// One report per epoch.
    pub reports: StreamVec<'scope, Epoch, Report>,
}

/// One worker's end of its reader.
pub(crate) struct Feed {
    pub(crate) closed: Receiver<Closed>,
    pub(crate) tell: Sender<Tell>,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
    /// Set once the run is over and every follower has everything: the input may end.
    pub(crate) over: Arc<AtomicBool>,
}

pub(crate) fn read<'scope>(
    scope: Scope<'scope, Epoch>,
    commits: StreamVec<'scope, Epoch, Arc<Commit>>,
    feed: Feed,
) -> Input<'scope> {
    let mut builder = OperatorBuilder::new("read".to_owned(), scope);
    let info = builder.operator_info();
    let (deltas, deltas_stream) = builder.new_output::<Vec<DeltaBatch>>();
    let (marks, marks_stream) = builder.new_output::<Vec<Mark>>();
    let (reports, reports_stream) = builder.new_output::<Vec<Report>>();
    let mut commits = builder.new_input_connection(commits, Pipeline, []);
    let mut deltas = OutputBuilder::<_, CapacityContainerBuilder<Vec<DeltaBatch>>>::from(deltas);
    let mut marks = OutputBuilder::<_, CapacityContainerBuilder<Vec<Mark>>>::from(marks);
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<Vec<Report>>>::from(reports);
    let again = scope.activator_for(info.address.clone());
    assert!(feed.wake.set(scope.worker().sync_activator_for(info.address.to_vec())).is_ok(), "a feed has one operator");
    builder.build(move |start| {
        let mut capabilities = Some(start);
        let mut ended = false;
        move |frontiers| {
            commits.for_each(|_, data| {
                for commit in data.drain(..) {
                    tell(&feed.tell, &commit);
                }
            });
            if ended && feed.over.load(Ordering::Acquire) {
                capabilities = None;
            }
            let Some(at) = capabilities.as_mut() else { return };
            let uncommitted = frontiers[0].frontier().first().copied().unwrap_or(Epoch::MAX);
            let (mut deltas, mut marks, mut reports) = (deltas.activate(), marks.activate(), reports.activate());
            let epoch = *at[0].time();
            if ended || epoch >= uncommitted.saturating_add(EPOCHS_IN_FLIGHT) {
                return; // A change of the frontier schedules us again.
            }
            match feed.closed.try_recv() {
                Ok(mut closed) => {
                    assert_eq!(closed.epoch, epoch, "bug: a reader closed epochs out of order");
                    ended = closed.close.last;
                    closed.report.last = ended;
                    deltas.session(&at[0]).give_iterator(closed.batches.into_iter());
                    marks.session(&at[1]).give(Mark { rows: closed.close.rows });
                    reports.session(&at[2]).give(closed.report);
                    for capability in at.iter_mut() {
                        capability.downgrade(&(epoch + 1));
                    }
                    again.activate();
                }
                // The reader activates us when there is more.
                Err(TryRecvError::Empty) => {}
                // A dropped capability would read as a finished input, so never let go: the reader's own fault ends
                // the process.
                Err(TryRecvError::Disconnected) => {}
            }
        }
    });
    Input { deltas: deltas_stream, marks: marks_stream, reports: reports_stream }
}

fn tell(reader: &Sender<Tell>, commit: &Commit) {
    // A reader that is gone has closed its last epoch.
    if !commit.granted.is_empty() {
        let _ = reader.send(Tell::Granted(commit.granted.clone()));
    }
    if commit.changed || commit.last {
        let offsets = commit.partitions.iter().map(|(name, state)| (name.clone(), state.next_offset)).collect();
        let _ = reader.send(Tell::Committed(offsets, commit.last));
    }
}

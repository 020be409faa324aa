//! The commit operator, on worker 0: gathers every worker's part and every reader's report of an epoch, hands them to
//! the commit thread, and sends the data message `committed` once the record is durable. It holds the epoch's
//! capability until then, so the frontier of its output is the committed frontier that gates the sources.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};
use stream::{Commit, Epoch, Part, Report};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::SyncActivator;

/// An epoch that every worker has applied and nobody has written down.
pub(crate) struct Uncommitted {
    pub(crate) epoch: Epoch,
    pub(crate) parts: Vec<Part>,
    pub(crate) reports: Vec<Report>,
}

/// Worker 0's end of the commit thread.
pub(crate) struct CommitLine {
    pub(crate) uncommitted: Sender<Uncommitted>,
    pub(crate) committed: Receiver<Arc<Commit>>,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
}

#[derive(Default)]
struct Gathering {
    parts: Vec<Part>,
    reports: Vec<Report>,
    capability: Option<Capability<Epoch>>,
}

/// `line` is given on worker 0 only.
pub(crate) fn commit<'scope>(
    parts: StreamVec<'scope, Epoch, Part>,
    reports: StreamVec<'scope, Epoch, Report>,
    line: Option<CommitLine>,
) -> StreamVec<'scope, Epoch, Arc<Commit>> {
    let scope = parts.scope();
    let peers = scope.peers();
    let mut builder = OperatorBuilder::new("commit".to_owned(), scope);
    let info = builder.operator_info();
    let mut parts = builder.new_input(parts, Exchange::new(|_: &Part| 0));
    let mut reports = builder.new_input(reports, Exchange::new(|_: &Report| 0));
    let (committed, committed_stream) = builder.new_output::<Vec<Arc<Commit>>>();
    let mut committed = OutputBuilder::<_, CapacityContainerBuilder<Vec<Arc<Commit>>>>::from(committed);
    if let Some(line) = &line {
        assert!(
            line.wake.set(scope.worker().sync_activator_for(info.address.to_vec())).is_ok(),
            "there is one commit line"
        );
    }
    builder.build(move |start| {
        drop(start);
        let mut gathering: BTreeMap<Epoch, Gathering> = BTreeMap::new();
        let mut writing: BTreeMap<Epoch, Capability<Epoch>> = BTreeMap::new();
        move |frontiers| {
            parts.for_each(|time, data| {
                let epoch = *time.least().expect("parts carry an epoch");
                let open = gathering.entry(epoch).or_default();
                open.parts.append(data);
                open.capability.get_or_insert_with(|| time.retain_least(0).expect("parts carry an epoch"));
            });
            reports.for_each(|time, data| {
                let epoch = *time.least().expect("reports carry an epoch");
                let open = gathering.entry(epoch).or_default();
                open.reports.append(data);
                open.capability.get_or_insert_with(|| time.retain_least(0).expect("reports carry an epoch"));
            });
            let Some(line) = &line else {
                assert!(gathering.is_empty(), "bug: epochs are gathered on worker 0 only");
                return;
            };
            while let Some(entry) = gathering.first_entry() {
                let epoch = *entry.key();
                if frontiers.iter().any(|frontier| frontier.less_equal(&epoch)) {
                    break;
                }
                let Gathering { mut parts, mut reports, capability } = entry.remove();
                // Every worker speaks for every epoch, also with nothing to say: silence would be a lost part.
                assert_eq!(
                    (parts.len(), reports.len()),
                    (peers, peers),
                    "bug: epoch {epoch} lacks a worker's part or report"
                );
                parts.sort_by_key(|part| part.worker);
                reports.sort_by_key(|report| report.reader);
                writing.insert(epoch, capability.expect("whatever came, came with a capability"));
                // The commit thread ends the process when it fails; nobody is left to answer then.
                let _ = line.uncommitted.send(Uncommitted { epoch, parts, reports });
            }
            let mut output = committed.activate();
            for commit in line.committed.try_iter() {
                let capability = writing.remove(&commit.epoch).expect("epochs are committed once");
                output.session(&capability).give(commit);
            }
        }
    });
    committed_stream
}

//! Records from memory instead of a transport, for examples and tests. A job's records come through its readers'
//! threads, which do the same: read into an intake, close epochs, hand batches and marks to the dataflow.

use crate::{IntakeSettings, RecordIntake};
use std::sync::Arc;
use stream::{Decode, DeltaBatch, Epoch, Intake, Mark, PartitionState, RawRecord, RecordSink, Report, RowOrder};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

/// A record from memory: its partition, and its value.
pub type FedRecord = (usize, Vec<u8>);

/// The outputs of [`feed`].
pub struct Fed<'scope> {
    /// Combined rows.
    pub deltas: StreamVec<'scope, Epoch, DeltaBatch>,
    /// One mark per epoch, which asks for rows.
    pub marks: StreamVec<'scope, Epoch, Mark>,
    /// One report per epoch: positions, watermarks, accounts, dead letters, late figures.
    pub reports: StreamVec<'scope, Epoch, Report>,
}

/// Feed records through an intake and close an epoch after every `per_epoch` of them. Every worker is given the same
/// records and takes the partitions `p` with `p % workers` equal to its index: so all agree where epochs end, and each
/// partition is read in its order whatever the number of workers.
pub fn feed<'scope, D: Decode + 'static>(
    scope: Scope<'scope, Epoch>,
    decoder: D,
    settings: IntakeSettings,
    records: Vec<FedRecord>,
    per_epoch: usize,
) -> Fed<'scope> {
    assert!(per_epoch > 0, "an epoch takes at least one record");
    let (index, peers) = (scope.index(), scope.peers());
    let count = records.iter().map(|(partition, _)| partition + 1).max().unwrap_or(0);
    let fresh = PartitionState { next_offset: 0, fingerprint: 0, watermark: None, active: true, floors: Vec::new() };
    let partitions: Vec<(Arc<str>, PartitionState)> =
        (0..count).map(|partition| (partition.to_string().into(), fresh.clone())).collect();
    let mut intake = RecordIntake::new(decoder, settings, index, &partitions);

    let mut builder = OperatorBuilder::new("feed".to_owned(), scope);
    let again = scope.activator_for(builder.operator_info().address);
    let (deltas, deltas_stream) = builder.new_output::<Vec<DeltaBatch>>();
    let (marks, marks_stream) = builder.new_output::<Vec<Mark>>();
    let (reports, reports_stream) = builder.new_output::<Vec<Report>>();
    let mut deltas = OutputBuilder::<_, CapacityContainerBuilder<Vec<DeltaBatch>>>::from(deltas);
    let mut marks = OutputBuilder::<_, CapacityContainerBuilder<Vec<Mark>>>::from(marks);
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<Vec<Report>>>::from(reports);
    builder.build(move |mut capabilities| {
        let mut records = records.into_iter();
        let mut epoch: Epoch = 0;
        move |_| {
            if records.len() == 0 {
                capabilities.clear();
                return;
            }
            for (partition, value) in
                records.by_ref().take(per_epoch).filter(|(partition, _)| partition % peers == index)
            {
                let offset = intake.positions()[partition];
                intake.record(&raw(partition, offset, &value));
            }
            let (batches, report) = intake.close(epoch);
            deltas.activate().session(&capabilities[0]).give_iterator(batches.into_iter());
            marks.activate().session(&capabilities[1]).give(Mark { rows: RowOrder::Take });
            reports.activate().session(&capabilities[2]).give(report);
            epoch += 1;
            capabilities.iter_mut().for_each(|capability| capability.downgrade(&epoch));
            again.activate();
        }
    });
    Fed { deltas: deltas_stream, marks: marks_stream, reports: reports_stream }
}

fn raw(partition: usize, offset: i64, value: &[u8]) -> RawRecord<'_> {
    RawRecord {
        partition,
        offset,
        next_offset: offset + 1,
        timestamp: None,
        append_time: false,
        key: None,
        value: Some(value),
        headers: &Vec::new,
    }
}

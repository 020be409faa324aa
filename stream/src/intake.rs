//! The seam between reader threads (runtime) and what they do with a record (operators).

use crate::{DeltaBatch, Epoch, Fault, Grant, PartitionPosition, RecordSink, Report, SourceReader};

/// Decodes, judges and combines what one reader reads. Pure but for the clock it was given.
pub trait Intake: RecordSink + Send {
    /// Records taken since the last close.
    fn records(&self) -> u64;

    /// End the epoch: the combined rows, one batch for each worker that has any, and the report.
    fn close(&mut self, epoch: Epoch) -> (Vec<DeltaBatch>, Report);

    /// A partition that was added while the job runs: it is held from its first record until it is granted a floor.
    fn add(&mut self, partition: &PartitionPosition);

    /// A partition may go on from this floor; what was held is judged now, into the open epoch.
    fn grant(&mut self, grant: &Grant);

    /// A partition was silent for long enough and its end equals our position: hold its records from now on.
    fn propose_idle(&mut self, partition: usize);

    /// Partitions whose records are held, so that the transport can be paused.
    fn held(&self) -> Vec<usize>;

    /// Where reading stands in each partition, by index.
    fn positions(&self) -> Vec<i64>;
}

/// A reader ready to run: the transport and what its records go through.
pub struct Reader {
    /// The partitions, by index.
    pub partitions: Vec<PartitionPosition>,
    /// The transport.
    pub source: Box<dyn SourceReader>,
    /// The rest.
    pub intake: Box<dyn Intake>,
}

impl Reader {
    /// Read once into the intake.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn read(&mut self, wait: std::time::Duration, limit: usize) -> Result<crate::ReadState, Fault> {
        self.source.read(wait, limit, &mut *self.intake)
    }
}

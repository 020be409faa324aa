//! Reading the log: which partitions it still holds from where the job began to what something carries, and their records.

use crate::recount::{Lane, Recount};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stream::{Clock, Fault, Loss, PartitionInfo, PartitionPosition, RawRecord, RecordSink, Source};

/// Told while the log is read: how much of it, and how much there is, in the log's own unit.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// How long to wait for a record that must be there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one read waits.
const WAIT: Duration = Duration::from_millis(200);
/// Records of one read.
const RECORDS_AT_ONCE: usize = 20_000;

/// By partition: why the log does not tell everything that the job read of it.
pub type Coverage = BTreeMap<Arc<str>, String>;

/// What the log no longer tells.
pub fn coverage(lanes: &[Lane], found: &[PartitionInfo], losses: &[Loss]) -> Coverage {
    let gap = |lane: &Lane| {
        let hidden = losses.iter().find(|loss| loss.partition == lane.name && loss.hides_what_was_counted());
        if let Some(loss) = hidden {
            return Some(format!("{loss} was accepted as lost: what was counted by then cannot be counted again"));
        }
        let Some(info) = found.iter().find(|info| info.name == lane.name) else {
            return Some("it is gone from the source".to_owned());
        };
        if lane.target <= lane.start {
            None
        } else if info.earliest > lane.start {
            let last = (info.earliest - 1).min(lane.target - 1);
            Some(format!("the log begins at {}: offsets {} to {last} are gone", info.earliest, lane.start))
        } else if info.end < lane.target {
            Some(format!("the log ends at {}: offsets {} to {} are gone", info.end, info.end, lane.target - 1))
        } else {
            None
        }
    };
    lanes.iter().filter_map(|lane| Some((lane.name.clone(), gap(lane)?))).collect()
}

/// Read and count every partition that the log still tells whole.
///
/// # Errors
/// The source cannot be read, or stops giving what it holds.
pub fn read(
    source: &dyn Source,
    recount: &mut Recount<'_>,
    coverage: &Coverage,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<(), Fault> {
    let is_read = |lane: &&Lane| lane.target > lane.start && !coverage.contains_key(&lane.name);
    let lanes: Vec<usize> = (0..recount.lanes.len()).filter(|index| is_read(&&recount.lanes[*index])).collect();
    let positions: Vec<PartitionPosition> = lanes
        .iter()
        .map(|index| &recount.lanes[*index])
        .map(|lane| PartitionPosition { name: lane.name.clone(), offset: lane.start, fingerprint: 0 })
        .collect();
    let targets: Vec<i64> = lanes.iter().map(|index| recount.lanes[*index].target).collect();
    let starts: Vec<i64> = positions.iter().map(|position| position.offset).collect();
    let total: i64 = targets.iter().zip(&starts).map(|(target, start)| target - start).sum();
    if lanes.is_empty() {
        return Ok(());
    }
    let mut reader = source.open(&positions)?;
    let mut taking = Taking { recount, lanes, reached: starts.clone() };
    let mut paused = vec![false; targets.len()];
    let mut moved_at = clock.monotonic();
    let mut before = starts.clone();
    loop {
        reader.read(WAIT, RECORDS_AT_ONCE, &mut taking)?;
        let reached = || taking.reached.iter().zip(&targets).map(|(reached, target)| *reached.min(target));
        progress((reached().sum::<i64>() - starts.iter().sum::<i64>()).unsigned_abs(), total.unsigned_abs());
        let mut finished = true;
        for (index, target) in targets.iter().enumerate() {
            let is_done = taking.reached[index] >= *target;
            finished &= is_done;
            if is_done && !std::mem::replace(&mut paused[index], is_done) {
                reader.pause(index, true)?;
            }
        }
        if finished {
            return Ok(());
        }
        if taking.reached != before {
            before.clone_from(&taking.reached);
            moved_at = clock.monotonic();
        } else if clock.monotonic() - moved_at > PATIENCE {
            return Err(stuck(&positions, &taking.reached, &targets));
        }
    }
}

fn stuck(positions: &[PartitionPosition], reached: &[i64], targets: &[i64]) -> Fault {
    let open = positions.iter().zip(reached).zip(targets).filter(|((_, reached), target)| reached < target);
    let open: Vec<String> =
        open.map(|((position, reached), target)| format!("{}: {reached} of {target}", position.name)).collect();
    Fault::transient(
        "cannot read the log up to where the job has read it",
        format!("nothing came for {PATIENCE:?}; partitions stand at {}", open.join(", ")),
        "check that every partition has a leader, then verify again",
    )
}

struct Taking<'a, 'b> {
    recount: &'a mut Recount<'b>,
    /// Lane by index of the reader's partition.
    lanes: Vec<usize>,
    reached: Vec<i64>,
}

impl RecordSink for Taking<'_, '_> {
    fn record(&mut self, record: &RawRecord<'_>) {
        self.recount.record(self.lanes[record.partition], record);
        self.reached[record.partition] = record.next_offset;
    }

    fn position(&mut self, partition: usize, next_offset: i64) {
        let reached = &mut self.reached[partition];
        *reached = (*reached).max(next_offset);
    }
}

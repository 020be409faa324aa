//! A source that makes its events itself, for a demonstration without any service. Its event time starts in the past,
//! runs faster than the wall clock until it has caught up, and then with it. The clock decides only how many events
//! there are by now; what an event says depends on its offset and on settings that the job keeps in its identity.

use crate::synthetic::{Synthetic, SyntheticRecord, SyntheticSettings};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{
    Clock, Fault, PartitionInfo, PartitionPosition, RawRecord, ReadState, RecordSink, Source, SourceIdentity,
    SourceReader, WallTime,
};

/// How long to wait when there is no event yet.
const PAUSE: Duration = Duration::from_millis(20);
const KIND: &str = "generator";

/// Everything that decides which events there are, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GeneratorSettings {
    /// The events. Their start is where event time begins.
    pub events: SyntheticSettings,
    /// Event i is in partition i modulo this; at least 1.
    pub partitions: u32,
    /// The wall clock, in milliseconds since 1970, when event time begins to run.
    pub base: i64,
    /// How many times as fast as the wall clock, until caught up; at least 1.
    pub speed: u32,
}

impl GeneratorSettings {
    /// Event time at some wall time.
    fn event_time(&self, now: WallTime) -> i64 {
        let elapsed = now.0.saturating_sub(self.base).max(0);
        let run = elapsed.saturating_mul(i64::from(self.speed.max(1)));
        self.events.start.millis().saturating_add(run).min(now.0)
    }
}

/// The generator.
pub struct GeneratorSource {
    shared: Arc<Shared>,
    until_end: bool,
    /// Under `until_end`: the ends when first asked.
    ends: Mutex<Option<Vec<i64>>>,
}

struct Shared {
    settings: GeneratorSettings,
    events: Synthetic,
    clock: Arc<dyn Clock>,
}

impl Shared {
    fn partitions(&self) -> u64 {
        u64::from(self.settings.partitions.max(1))
    }

    /// How many events each partition has by now.
    fn ends(&self) -> Vec<i64> {
        let (count, partitions) =
            (self.events.count_until(self.settings.event_time(self.clock.now())), self.partitions());
        (0..partitions).map(|partition| (count + partitions - 1 - partition) as i64 / partitions as i64).collect()
    }
}

impl GeneratorSource {
    /// A new generator. `until_end`: no further than the events that there are when first asked.
    pub fn new(settings: GeneratorSettings, clock: Arc<dyn Clock>, until_end: bool) -> Self {
        let events = Synthetic::new(settings.events.clone());
        GeneratorSource { shared: Arc::new(Shared { settings, events, clock }), until_end, ends: Mutex::new(None) }
    }

    /// The generator of a journal, which goes on with the very same events.
    ///
    /// # Errors
    /// The identity is not one of a generator.
    pub fn resume(identity: &SourceIdentity, clock: Arc<dyn Clock>, until_end: bool) -> Result<Self, Fault> {
        let wrong = |why: String| {
            let hint = "start a new job (another job.name or job.state), or go on with the source it was begun with";
            Fault::usage("cannot go on with the generator of the journal", why, hint)
        };
        if identity.kind != KIND {
            return Err(wrong(format!("the journal was begun with a source of kind \"{}\"", identity.kind)));
        }
        let settings = serde_json::from_str(&identity.cluster).map_err(|error| wrong(error.to_string()))?;
        Ok(Self::new(settings, clock, until_end))
    }

    /// What it was made with.
    pub fn settings(&self) -> &GeneratorSettings {
        &self.shared.settings
    }

    fn stops(&self) -> Option<Vec<i64>> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        self.until_end.then(|| ends.get_or_insert_with(|| self.shared.ends()).clone())
    }
}

impl Source for GeneratorSource {
    fn identity(&self) -> Result<SourceIdentity, Fault> {
        let cluster = serde_json::to_string(&self.shared.settings);
        let hint = "report this as a bug";
        Ok(SourceIdentity {
            kind: KIND.to_owned(),
            cluster: cluster.map_err(|error| Fault::failed("cannot write the generator's settings", error, hint))?,
            topic: "synthetic".to_owned(),
            topic_id: String::new(),
        })
    }

    fn partitions(&self) -> Result<Vec<PartitionInfo>, Fault> {
        let ends = self.stops().unwrap_or_else(|| self.shared.ends());
        let info =
            |(index, end): (usize, i64)| PartitionInfo { name: index.to_string().into(), earliest: 0, end, start: 0 };
        let mut partitions: Vec<PartitionInfo> = ends.into_iter().enumerate().map(info).collect();
        partitions.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(partitions)
    }

    fn open(&self, assigned: &[PartitionPosition]) -> Result<Box<dyn SourceReader>, Fault> {
        let ends = self.shared.ends();
        let stops = self.stops();
        let open = |position: &PartitionPosition| {
            let number = position.name.parse().ok().filter(|number| *number < self.shared.partitions());
            let (Some(number), 0..) = (number, position.offset) else {
                return Err(Fault::refused(
                    format!("cannot go on in partition \"{}\" at offset {}", position.name, position.offset),
                    format!("the generator has partitions 0 to {}, each from offset 0", self.shared.partitions() - 1),
                    "start a new job (another job.name or job.state)",
                ));
            };
            let stop = stops.as_ref().map_or(i64::MAX, |stops| stops[number as usize]);
            let end = ends[number as usize].min(stop);
            Ok(Lane { number, offset: position.offset, end, stop, paused: false })
        };
        let lanes = assigned.iter().map(open).collect::<Result<Vec<_>, Fault>>()?;
        Ok(Box::new(GeneratorReader { shared: self.shared.clone(), lanes, record: SyntheticRecord::default() }))
    }
}

/// One partition being read.
struct Lane {
    number: u64,
    offset: i64,
    end: i64,
    stop: i64,
    paused: bool,
}

struct GeneratorReader {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    record: SyntheticRecord,
}

impl GeneratorReader {
    /// Hand over an equal share of each partition, so that none runs ahead in event time.
    fn sweep(&mut self, limit: usize, into: &mut dyn RecordSink) -> bool {
        let ends = self.shared.ends();
        let share = (limit / self.lanes.len().max(1)).max(1) as i64;
        let mut found = false;
        for (partition, lane) in self.lanes.iter_mut().enumerate() {
            lane.end = ends[lane.number as usize].min(lane.stop);
            let until = if lane.paused { lane.offset } else { lane.end.min(lane.offset.saturating_add(share)) };
            for offset in lane.offset..until {
                let index = offset as u64 * self.shared.partitions() + lane.number;
                self.shared.events.write(index, &mut self.record);
                into.record(&RawRecord {
                    partition,
                    offset,
                    next_offset: offset + 1,
                    timestamp: None,
                    append_time: false,
                    key: self.record.key.as_deref(),
                    value: self.record.value.as_deref(),
                    headers: &Vec::new,
                });
            }
            found |= lane.offset < until;
            lane.offset = lane.offset.max(until);
        }
        found
    }
}

impl SourceReader for GeneratorReader {
    fn read(&mut self, wait: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault> {
        let mut found = self.sweep(limit, into);
        if !found && !wait.is_zero() {
            std::thread::sleep(wait.min(PAUSE));
            found = self.sweep(limit, into);
        }
        Ok(if found { ReadState::More } else { ReadState::Waiting })
    }

    fn pause(&mut self, partition: usize, paused: bool) -> Result<(), Fault> {
        self.lanes[partition].paused = paused;
        Ok(())
    }

    fn end(&self, partition: usize) -> Option<i64> {
        Some(self.lanes[partition].end)
    }
}

#[cfg(test)]
mod tests;

//! The log that instances read: partitions of seeded records, with everything in them that a log can have.

use super::fibers::point;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use stream::{
    DeadCode, Decode, Event, EventTime, Fault, KeyGroup, PartitionEnd, PartitionInfo, PartitionPosition, RawRecord,
    ReadState, RecordSink, Rejection, Source, SourceIdentity, SourceReader,
};

/// A few keys, several of them in the same key group.
pub(super) static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut groups: BTreeMap<KeyGroup, Vec<String>> = BTreeMap::new();
    for number in 0.. {
        let key = format!("k{number}");
        groups.entry(KeyGroup::of(&key)).or_default().push(key);
        let full: Vec<&Vec<String>> = groups.values().filter(|keys| keys.len() >= 3).collect();
        if full.len() >= 3 {
            return full.into_iter().flatten().cloned().collect();
        }
    }
    unreachable!("there are keys without end")
});

/// What is written at an offset.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) offset: i64,
    /// Event time; none for a record that is not an event.
    pub(super) at: Option<i64>,
    pub(super) key: usize,
    pub(super) n: u64,
    /// When the broker appended it.
    pub(super) stamp: i64,
}

#[derive(Default)]
pub(super) struct Partition {
    pub(super) records: Vec<Record>,
    /// The next offset; markers leave holes.
    pub(super) end: i64,
    /// Where event time has come to.
    front: i64,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) partitions: BTreeMap<Arc<str>, Partition>,
    /// Whether the broker's stamps are the reference for the future.
    pub(super) append_time: bool,
    /// Where a partition was told to end, when that was where its reader stood.
    pub(super) silent: BTreeSet<(Arc<str>, i64)>,
}

impl Log {
    pub(super) fn add(&mut self, name: &str, front: i64) {
        self.partitions.insert(name.into(), Partition { front, ..Partition::default() });
    }

    /// Append a record to a partition.
    pub(super) fn append(&mut self, name: &str, now: i64, below: impl Fn(u64) -> u64) {
        let stamps = self.append_time;
        let partition = self.partitions.get_mut(name).expect("it was added");
        let step = match below(40) {
            0 => 1_200_000 + below(1_800_000),
            1..4 => below(240_000),
            _ => below(15_000),
        };
        partition.front += step as i64;
        let behind = match below(20) {
            0 => below(3_600_000),
            1..3 => 60_000 + below(120_000),
            _ => below(9_000),
        };
        let stamp = if stamps { partition.front } else { now };
        let at = match below(25) {
            0 => None,
            1 => Some(stamp + 60_000 + below(7_200_000) as i64),
            _ => Some(partition.front - behind as i64),
        };
        let n = if below(12) == 0 { (1 << 31) + below(1 << 32) } else { 1 + below(3) };
        let key = below(KEYS.len() as u64) as usize;
        partition.records.push(Record { offset: partition.end, at, key, n, stamp });
        partition.end += 1 + i64::from(below(8) == 0);
    }
}

/// Reads what [`Log`] holds: event time, key and count.
pub(super) struct Plays;

impl Decode for Plays {
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Rejection> {
        let wrong = || Rejection { code: DeadCode::NotJson, detail: "not a play".to_owned() };
        let text = std::str::from_utf8(value.unwrap_or_default()).map_err(|_| wrong())?;
        let mut words = text.split(' ');
        let (Some(at), Some(key), Some(n)) = (words.next(), words.next(), words.next()) else { return Err(wrong()) };
        let time = at.parse().ok().and_then(EventTime::valid).ok_or_else(wrong)?;
        Ok(Event { key: key.into(), time: Some(time), n: n.parse().map_err(|_| wrong())? })
    }
}

/// The log as an instance sees it.
pub(super) struct SimulatedSource(pub(super) Arc<World>);

impl Source for SimulatedSource {
    fn identity(&self) -> Result<SourceIdentity, Fault> {
        let text = str::to_owned;
        Ok(SourceIdentity { kind: text("simulated"), cluster: text("c"), topic: text("plays"), topic_id: text("t") })
    }

    fn partitions(&self) -> Result<Vec<PartitionInfo>, Fault> {
        let log = self.0.log.lock().expect("never poisoned");
        let info = |(name, partition): (&Arc<str>, &Partition)| PartitionInfo {
            name: name.clone(),
            earliest: 0,
            end: partition.end,
            start: 0,
        };
        Ok(log.partitions.iter().map(info).collect())
    }

    fn open(&self, assigned: &[PartitionPosition]) -> Result<Box<dyn SourceReader>, Fault> {
        let lanes = assigned.iter().map(|position| (position.name.clone(), position.offset)).collect();
        Ok(Box::new(Reading { world: self.0.clone(), lanes, paused: BTreeSet::new(), told: Vec::new() }))
    }

    fn added(&self, known: &BTreeSet<Arc<str>>) -> Result<Vec<PartitionInfo>, Fault> {
        Ok(self.partitions()?.into_iter().filter(|info| !known.contains(&info.name)).collect())
    }
}

struct Reading {
    world: Arc<World>,
    lanes: Vec<(Arc<str>, i64)>,
    paused: BTreeSet<usize>,
    told: Vec<(usize, Option<PartitionEnd>)>,
}

impl SourceReader for Reading {
    fn read(&mut self, _: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault> {
        let Reading { world, lanes, paused, .. } = self;
        let able: Vec<usize> = (0..lanes.len()).filter(|lane| !paused.contains(lane)).collect();
        if able.is_empty() {
            return Ok(ReadState::Waiting);
        }
        let partition = able[world.fibers.below(able.len() as u64) as usize];
        let (name, position) = &mut lanes[partition];
        let log = world.log.lock().expect("never poisoned");
        let of = &log.partitions[name];
        let first = of.records.partition_point(|record| record.offset < *position);
        let records: Vec<Record> = of.records[first..].iter().take(limit).cloned().collect();
        let (end, append_time, is_all) = (of.end, log.append_time, first + records.len() == of.records.len());
        drop(log);
        for record in &records {
            let value = match record.at {
                Some(at) => format!("{at} {} {}", KEYS[record.key], record.n),
                None => "noise".to_owned(),
            };
            *position = record.offset + 1;
            into.record(&RawRecord {
                partition,
                offset: record.offset,
                next_offset: *position,
                timestamp: append_time.then_some(record.stamp),
                append_time,
                key: None,
                value: Some(value.as_bytes()),
                headers: &Vec::new,
            });
        }
        if is_all && *position < end {
            *position = end;
            into.position(partition, end);
        }
        Ok(if records.is_empty() { ReadState::Waiting } else { ReadState::More })
    }

    fn pause(&mut self, partition: usize, paused: bool) -> Result<(), Fault> {
        match paused {
            true => self.paused.insert(partition),
            false => self.paused.remove(&partition),
        };
        Ok(())
    }

    fn end(&self, _: usize) -> Option<i64> {
        None
    }

    /// Answered when asked, told later.
    fn ask_end(&mut self, partition: usize) -> Result<(), Fault> {
        point();
        let (name, position) = &self.lanes[partition];
        // No partition is lost sight of here.
        let position = *position;
        let mut log = self.world.log.lock().expect("never poisoned");
        let end = log.partitions[name].end;
        if end == position {
            log.silent.insert((name.clone(), end));
        }
        drop(log);
        let is_answered = self.world.fibers.below(4) > 0;
        self.told.push((partition, is_answered.then_some(PartitionEnd { written: end, readable: position })));
        Ok(())
    }

    fn told_ends(&mut self) -> Vec<(usize, Option<PartitionEnd>)> {
        if self.world.fibers.below(2) == 0 { std::mem::take(&mut self.told) } else { Vec::new() }
    }

    fn add(&mut self, added: &[PartitionPosition]) -> Result<(), Fault> {
        self.lanes.extend(added.iter().map(|position| (position.name.clone(), position.offset)));
        Ok(())
    }
}

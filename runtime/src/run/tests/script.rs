//! A source whose records are written down beforehand, and what they must count to, computed apart from the job.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64};
use stream::{
    DeadCode, Decode, Event as Counted, PartitionEnd, PartitionPosition, RawRecord, ReadState, RecordSink, Rejection,
    SourceIdentity, SourceReader,
};

/// Records of every partition: `milliseconds key`, or anything else.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) partitions: Arc<Mutex<BTreeMap<Arc<str>, Vec<String>>>>,
    /// How many records were handed over.
    pub(super) read: Arc<AtomicU64>,
    /// Reading this partition at this offset fails.
    pub(super) fault_at: Option<(&'static str, i64)>,
    /// How many ends were asked for.
    pub(super) asked: Arc<AtomicU64>,
    /// The next times that partitions are asked for, from the lowest bit on: whether there is no leader then.
    pub(super) leaderless: Arc<AtomicU64>,
    /// While it is so, nothing comes, though there is more.
    pub(super) stands_still: Arc<AtomicBool>,
}

/// 2025-10-19T14:00Z.
pub(super) const START: i64 = 1_760_882_400_000;

impl Script {
    pub(super) fn of(partitions: Vec<(&str, Vec<String>)>) -> Self {
        let partitions = partitions.into_iter().map(|(name, records)| (name.into(), records)).collect();
        Script {
            partitions: Arc::new(Mutex::new(partitions)),
            read: Arc::default(),
            fault_at: None,
            asked: Arc::default(),
            leaderless: Arc::default(),
            stands_still: Arc::default(),
        }
    }

    /// Records in disorder, some late, some for no use, a few keys with most of them.
    pub(super) fn seeded(partitions: usize, records: usize, seed: u64) -> Self {
        let mut state = seed;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut partition = |_| {
            (0..records)
                .map(|index| match below(100) {
                    0 => "not a play".to_owned(),
                    1..4 => format!("{} k{}", START + index as i64 * 300 - 240_000.min(index as i64 * 300), below(40)),
                    _ => format!(
                        "{} k{}",
                        START + index as i64 * 300 - below(4000).min(index as u64) as i64,
                        below(5) * below(9)
                    ),
                })
                .collect::<Vec<String>>()
        };
        let names: Vec<String> = (0..partitions).map(|index| index.to_string()).collect();
        Self::of(names.iter().enumerate().map(|(index, name)| (name.as_str(), partition(index))).collect())
    }

    /// More for a partition, or a new one.
    pub(super) fn append(&self, partition: &str, records: impl IntoIterator<Item = String>) {
        self.partitions.lock().unwrap().entry(partition.into()).or_default().extend(records);
    }

    pub(super) fn end(&self, partition: &str) -> i64 {
        self.partitions.lock().unwrap().get(partition).map_or(0, |records| records.len() as i64)
    }
}

impl Source for Script {
    fn identity(&self) -> Result<SourceIdentity, Fault> {
        let text = |text: &str| text.to_owned();
        Ok(SourceIdentity { kind: text("script"), cluster: text("c"), topic: text("plays"), topic_id: String::new() })
    }

    fn partitions(&self) -> Result<Vec<PartitionInfo>, Fault> {
        let times = self.leaderless.load(Ordering::SeqCst);
        self.leaderless.store(times >> 1, Ordering::SeqCst);
        if times & 1 == 1 {
            return Err(Fault::transient("cannot ask for the offsets", "no leader", "wait"));
        }
        let info = |(name, records): (&Arc<str>, &Vec<String>)| PartitionInfo {
            name: name.clone(),
            earliest: 0,
            end: records.len() as i64,
            start: 0,
        };
        Ok(self.partitions.lock().unwrap().iter().map(info).collect())
    }

    fn open(&self, assigned: &[PartitionPosition]) -> Result<Box<dyn SourceReader>, Fault> {
        let lanes = assigned.iter().map(|position| (position.name.clone(), position.offset)).collect();
        Ok(Box::new(Reading { script: self.clone(), lanes, paused: BTreeSet::new(), told: Vec::new() }))
    }

    fn look_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(20))
    }

    fn added(&self, known: &BTreeSet<Arc<str>>) -> Result<Vec<PartitionInfo>, Fault> {
        Ok(self.partitions()?.into_iter().filter(|info| !known.contains(&info.name)).collect())
    }
}

struct Reading {
    script: Script,
    lanes: Vec<(Arc<str>, i64)>,
    paused: BTreeSet<usize>,
    told: Vec<(usize, Option<PartitionEnd>)>,
}

impl SourceReader for Reading {
    fn read(&mut self, wait: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault> {
        let mut any = false;
        if self.script.stands_still.load(Ordering::SeqCst) {
            std::thread::sleep(wait);
            return Ok(ReadState::Waiting);
        }
        for (partition, (name, offset)) in self.lanes.iter_mut().enumerate() {
            if self.paused.contains(&partition) {
                continue;
            }
            // Few at a time, so that partitions and epochs interleave.
            let at_hand: Vec<String> = {
                let records = self.script.partitions.lock().unwrap();
                records[name].iter().skip(*offset as usize).take(limit.min(37)).cloned().collect()
            };
            for value in at_hand {
                if self.script.fault_at.is_some_and(|(broken, at)| *broken == **name && at == *offset) {
                    return Err(Fault::failed("cannot read on", "as scripted", "nothing"));
                }
                any = true;
                self.script.read.fetch_add(1, Ordering::SeqCst);
                let (value, next_offset) = (Some(value.as_bytes()), *offset + 1);
                let headers: &dyn Fn() -> Vec<stream::Header> = &Vec::new;
                let offset = std::mem::replace(offset, next_offset);
                into.record(&RawRecord {
                    partition,
                    offset,
                    next_offset,
                    timestamp: None,
                    append_time: false,
                    key: None,
                    value,
                    headers,
                });
            }
        }
        if !any {
            std::thread::sleep(wait);
        }
        Ok(if any { ReadState::More } else { ReadState::Waiting })
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

    fn ask_end(&mut self, partition: usize) -> Result<(), Fault> {
        self.script.asked.fetch_add(1, Ordering::SeqCst);
        let end = self.script.end(&self.lanes[partition].0);
        self.told.push((partition, Some(PartitionEnd { written: end, readable: end })));
        Ok(())
    }

    fn told_ends(&mut self) -> Vec<(usize, Option<PartitionEnd>)> {
        std::mem::take(&mut self.told)
    }

    fn add(&mut self, added: &[PartitionPosition]) -> Result<(), Fault> {
        self.lanes.extend(added.iter().map(|position| (position.name.clone(), position.offset)));
        Ok(())
    }
}

/// Reads what a script says.
pub(super) struct Plays;

fn play(text: &str) -> Option<(i64, &str)> {
    let (at, key) = text.split_once(' ')?;
    Some((at.parse().ok()?, key))
}

impl Decode for Plays {
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Counted<'a>, Rejection> {
        let play = value.and_then(|value| std::str::from_utf8(value).ok()).and_then(play);
        let (at, key) = play.ok_or(Rejection { code: DeadCode::KeyMissing, detail: "not a play".to_owned() })?;
        Ok(Counted { key: key.into(), time: EventTime::valid(at), n: 1 })
    }
}

/// What a script must come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Expected {
    /// By kind and start of the window, and key.
    pub(super) rows: BTreeMap<(u8, i64, String), u64>,
    /// Late records by kind and start.
    pub(super) late: BTreeMap<(u8, i64), u64>,
    pub(super) dead: BTreeSet<(String, i64)>,
    /// The least of the partitions' watermarks.
    pub(super) watermark: Option<i64>,
}

/// Recount: minutes, hours and all time in plain numbers, each partition judged by what it held before. `floors`: from
/// this offset on, a partition's watermark is at least this.
pub(super) fn recount(script: &Script, floors: &[(&str, i64, i64)]) -> Expected {
    let mut expected = Expected::default();
    let mut least: Option<i64> = None;
    for (name, records) in script.partitions.lock().unwrap().iter() {
        let mut watermark = i64::MIN;
        for (offset, record) in records.iter().enumerate() {
            for (_, _, floor) in floors.iter().filter(|(of, from, _)| **of == **name && *from == offset as i64) {
                watermark = watermark.max(*floor);
            }
            let Some((at, key)) = play(record) else {
                expected.dead.insert((name.to_string(), offset as i64));
                continue;
            };
            for (kind, size) in [(0, 60_000), (1, 3_600_000)] {
                let start = at - at % size;
                if start + size + LATENESS <= watermark {
                    *expected.late.entry((kind, start)).or_default() += 1;
                } else {
                    *expected.rows.entry((kind, start, key.to_owned())).or_default() += 1;
                }
            }
            *expected.rows.entry((2, i64::MIN, key.to_owned())).or_default() += 1;
            watermark = watermark.max(at - OUT_OF_ORDERNESS);
        }
        least = Some(least.map_or(watermark, |least| least.min(watermark)));
    }
    expected.watermark = least;
    expected
}

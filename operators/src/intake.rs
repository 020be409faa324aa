//! What a reader's thread does with a record: decode it, judge it by its partition's prefix, combine it. Everything
//! that cannot be counted becomes a dead letter with its code; nothing is dropped and nothing panics on input.

use crate::{Combiner, PartitionJudge};
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{
    Assigner, Assignment, Bug, Clock, DeadCode, DeadLetter, Decode, DeltaBatch, Epoch, EventTime, Grant, Header,
    Intake, LateMask, PartitionPosition, PartitionReport, RawRecord, RecordIdentity, RecordSink, Rejection, Report,
    TimeRules, WindowId, Windows, seeded,
};

/// What every intake of a job shares.
#[derive(Clone)]
pub struct IntakeSettings {
    /// Lateness.
    pub rules: TimeRules,
    /// Window kinds.
    pub windows: Windows,
    /// Which worker owns which key group.
    pub assignment: Assignment,
    /// The reference for future event times where the transport does not stamp on append.
    pub clock: Arc<dyn Clock>,
}

/// Implements [`Intake`] over a decoder.
pub struct RecordIntake<D> {
    decoder: D,
    settings: IntakeSettings,
    assigner: Assigner,
    reader: u32,
    partitions: Vec<Partition>,
    combiner: Combiner,
    dead_letters: Vec<DeadLetter>,
    /// Bytes of `dead_letters`.
    letter_bytes: u64,
    late: BTreeMap<WindowId, u64>,
    records: u64,
    /// The wall clock when last looked at.
    now: EventTime,
}

/// Bytes of records kept whole (dead letters of the open epoch, records that wait for a grant) that are enough for one
/// reader and epoch …
const KEPT: u64 = 8 << 20;
/// … and bytes of combined rows. So what an epoch holds is bounded whatever its records are, not by their number alone.
const COMBINED: usize = 64 << 20;

struct Partition {
    judge: PartitionJudge,
    report: PartitionReport,
    last: LastRecord,
    changed: bool,
    held: Vec<HeldRecord>,
    /// Bytes of `held`.
    held_bytes: u64,
    /// Where reading stands, held records included.
    position: i64,
}

impl Partition {
    fn new(name: &Arc<str>, state: &stream::PartitionState) -> Self {
        Partition {
            judge: PartitionJudge { watermark: state.watermark, holding: !state.active },
            report: PartitionReport {
                name: name.clone(),
                next_offset: state.next_offset,
                fingerprint: state.fingerprint,
                watermark: state.watermark,
                consumed: 0,
                counted: 0,
                dead_lettered: 0,
                idle: false,
                waiting: false,
                finished: false,
            },
            last: LastRecord::default(),
            changed: false,
            held: Vec::new(),
            held_bytes: 0,
            position: state.next_offset,
        }
    }
}

struct HeldRecord {
    offset: i64,
    next_offset: i64,
    timestamp: Option<i64>,
    append_time: bool,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
    /// What `appended` says, or the clock; as of when it was read, not of when it is let in.
    reference: EventTime,
}

impl<D: Decode> RecordIntake<D> {
    /// An intake for the partitions of one reader: name, position, and the journal's state.
    pub fn new(
        decoder: D,
        settings: IntakeSettings,
        reader: usize,
        partitions: &[(Arc<str>, stream::PartitionState)],
    ) -> Self {
        RecordIntake {
            assigner: settings.windows.assigner(),
            decoder,
            settings,
            reader: reader as u32,
            partitions: partitions.iter().map(|(name, state)| Partition::new(name, state)).collect(),
            combiner: Combiner::default(),
            dead_letters: Vec::new(),
            letter_bytes: 0,
            late: BTreeMap::new(),
            records: 0,
            now: EventTime::MIN,
        }
    }

    /// `held`: what "now" was when the record was read, if it waited since; else it is being read now.
    fn judge(&mut self, record: &RawRecord<'_>, held: Option<EventTime>) {
        let of_all = || self.partitions.iter().filter_map(|partition| partition.judge.watermark).min();
        let by_job = seeded(Bug::LateByJob).then(of_all);
        let RecordIntake {
            decoder,
            settings,
            assigner,
            partitions,
            combiner,
            dead_letters,
            letter_bytes,
            late,
            now,
            ..
        } = self;
        let partition = &mut partitions[record.partition];
        partition.changed = true;
        partition.report.next_offset = record.next_offset;
        partition.last.keep(record);
        partition.report.consumed += 1;
        let event = decoder.decode(record.value).and_then(|event| {
            let at = event_time(event.time, record)?;
            let skew = settings.rules.max_future_skew;
            let reference = held.or_else(|| appended(record)).unwrap_or_else(|| {
                // Time goes on: what was not in the future at the last look at the clock is not now.
                if at > now.plus(skew) {
                    *now = EventTime::from_millis(settings.clock.now().0);
                }
                *now
            });
            if at > reference.plus(skew) {
                if seeded(Bug::FutureMovesWatermark) {
                    partition.judge.accept(at, &settings.rules, assigner);
                }
                let detail = format!("{at} is more than {skew:?} after {reference}");
                return Err(Rejection { code: DeadCode::TimeFuture, detail });
            }
            Ok((event, at))
        });
        match event {
            Ok((event, at)) => {
                partition.report.counted += 1;
                let mut mask = partition.judge.accept(at, &settings.rules, assigner);
                if let Some(watermark) = by_job {
                    mask = settings.rules.judge(at, watermark, assigner);
                }
                if mask != LateMask::NONE && event.n > 0 {
                    for kind in (0..settings.windows.len() as u8).filter(|kind| mask.is_late(*kind)) {
                        *late.entry(assigner.assign(kind, at).id()).or_default() += event.n;
                    }
                }
                combiner.add(&event.key, at.minute(), mask, event.n);
            }
            Err(Rejection { code, detail }) => {
                partition.report.dead_lettered += 1;
                let letter = DeadLetter {
                    code,
                    detail,
                    partition: partition.report.name.clone(),
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: (record.headers)(),
                };
                *letter_bytes += letter.bytes();
                dead_letters.push(letter);
            }
        }
    }
}

/// The event's time, else the transport's.
fn event_time(own: Option<EventTime>, record: &RawRecord<'_>) -> Result<EventTime, Rejection> {
    if let Some(at) = own {
        return Ok(at);
    }
    let missing = |detail: &str| Rejection { code: DeadCode::TimeMissing, detail: detail.to_owned() };
    let millis = record.timestamp.filter(|millis| *millis >= 0);
    let millis = millis.ok_or_else(|| missing("no time in the record, and the transport has none"))?;
    EventTime::valid(millis).ok_or_else(|| Rejection {
        code: DeadCode::TimeInvalid,
        detail: format!("the transport's timestamp {millis} lies outside 1970 to 9999"),
    })
}

/// What the record says of "now": when the broker appended it.
fn appended(record: &RawRecord<'_>) -> Option<EventTime> {
    let stamp = record.timestamp.filter(|millis| record.append_time && *millis >= 0);
    stamp.map(EventTime::from_millis)
}

/// Room for a value that is kept from epoch to epoch.
const ROOM: usize = 1 << 16;

/// What makes the last judged record itself, kept so that only one record of an epoch is hashed.
#[derive(Default)]
struct LastRecord {
    is_new: bool,
    offset: i64,
    timestamp: Option<i64>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl LastRecord {
    fn keep(&mut self, record: &RawRecord<'_>) {
        self.is_new = true;
        self.offset = record.offset;
        self.timestamp = record.timestamp;
        self.key.clear();
        self.key.extend_from_slice(record.key.unwrap_or_default());
        self.value.clear();
        self.value.extend_from_slice(record.value.unwrap_or_default());
    }

    /// Its fingerprint, if there is a new one.
    fn fingerprint(&mut self) -> Option<u64> {
        let LastRecord { offset, timestamp, key, value, .. } = &*self;
        let identity = RecordIdentity { offset: *offset, timestamp: *timestamp, key: Some(key), value: Some(value) };
        let fingerprint = identity.fingerprint();
        // One large record is no reason to keep that much for ever.
        self.value.clear();
        self.value.shrink_to(ROOM);
        std::mem::take(&mut self.is_new).then_some(fingerprint)
    }
}

impl<D: Decode> RecordSink for RecordIntake<D> {
    fn record(&mut self, record: &RawRecord<'_>) {
        self.records += 1;
        let partition = &mut self.partitions[record.partition];
        partition.position = record.next_offset;
        if partition.judge.holding && !seeded(Bug::WokenNotHeld) {
            let bytes =
                size_of::<HeldRecord>() + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            partition.held_bytes += bytes as u64;
            partition.held.push(HeldRecord {
                offset: record.offset,
                next_offset: record.next_offset,
                timestamp: record.timestamp,
                append_time: record.append_time,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: (record.headers)(),
                reference: appended(record).unwrap_or_else(|| EventTime::from_millis(self.settings.clock.now().0)),
            });
            return;
        }
        self.judge(record, None);
    }

    fn is_full(&self) -> bool {
        let held: u64 = self.partitions.iter().map(|partition| partition.held_bytes).sum();
        self.letter_bytes + held >= KEPT || self.combiner.bytes() >= COMBINED
    }

    fn position(&mut self, partition: usize, next_offset: i64) {
        let partition = &mut self.partitions[partition];
        partition.position = partition.position.max(next_offset);
        if partition.held.is_empty() && next_offset > partition.report.next_offset {
            partition.report.next_offset = next_offset;
            partition.changed = true;
        }
    }
}

impl<D: Decode> Intake for RecordIntake<D> {
    fn records(&self) -> u64 {
        self.records
    }

    fn close(&mut self, epoch: Epoch) -> (Vec<DeltaBatch>, Report) {
        (self.records, self.letter_bytes) = (0, 0);
        let mut reports = Vec::new();
        for partition in &mut self.partitions {
            partition.report.watermark = partition.judge.watermark;
            if let Some(fingerprint) = partition.last.fingerprint() {
                partition.report.fingerprint = fingerprint;
            }
            partition.report.waiting = !partition.held.is_empty();
            if partition.changed || partition.report.idle || partition.report.waiting {
                reports.push(partition.report.clone());
            }
            partition.changed = false;
            let report = &mut partition.report;
            (report.consumed, report.counted, report.dead_lettered, report.idle) = (0, 0, 0, false);
        }
        let report = Report {
            epoch,
            reader: self.reader,
            last: false,
            partitions: reports,
            dead_letters: std::mem::take(&mut self.dead_letters),
            late: std::mem::take(&mut self.late).into_iter().collect(),
        };
        (self.combiner.drain(self.settings.assignment), report)
    }

    fn add(&mut self, partition: &PartitionPosition) {
        let state = stream::PartitionState::held_from(partition.offset, partition.fingerprint);
        // Reported at once: from then on the journal knows it.
        self.partitions.push(Partition { changed: true, ..Partition::new(&partition.name, &state) });
    }

    fn grant(&mut self, grant: &Grant) {
        let Some(index) = self.partitions.iter().position(|partition| partition.report.name == grant.partition) else {
            return;
        };
        self.partitions[index].judge.rejoin(grant.floor);
        self.partitions[index].held_bytes = 0;
        for held in std::mem::take(&mut self.partitions[index].held) {
            let headers = || held.headers.clone();
            let record = RawRecord {
                partition: index,
                offset: held.offset,
                next_offset: held.next_offset,
                timestamp: held.timestamp,
                append_time: held.append_time,
                key: held.key.as_deref(),
                value: held.value.as_deref(),
                headers: &headers,
            };
            self.judge(&record, Some(held.reference));
        }
        let partition = &mut self.partitions[index];
        partition.report.next_offset = partition.report.next_offset.max(partition.position);
        partition.changed = true;
    }

    fn propose_idle(&mut self, partition: usize) {
        let partition = &mut self.partitions[partition];
        if !partition.judge.holding {
            partition.judge.holding = true;
            partition.report.idle = true;
        }
    }

    fn held(&self) -> Vec<usize> {
        (0..self.partitions.len()).filter(|index| !self.partitions[*index].held.is_empty()).collect()
    }

    fn positions(&self) -> Vec<i64> {
        self.partitions.iter().map(|partition| partition.position).collect()
    }
}

#[cfg(test)]
mod tests;

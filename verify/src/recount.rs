//! Judging and counting, record by record. A record is judged by the watermark of its own partition before it moves it:
//! late for a window when `end + allowed_lateness <= W(p)`. What only the job could decide (floors of partitions that woke,
//! records of the future) is taken from its journal, and checked where it can be.

use crate::counts::{Counts, Cut, MAIN};
use crate::report::Report;
use crate::rules::Rules;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{Decode, EventTime, KindIndex, LedgerLine, Loss, LossKind, RawRecord, SourceIdentity};

/// What was decided once and written down, and no log can tell.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// Where reading began in each partition; partitions that came later began at 0.
    pub starts: BTreeMap<Arc<str>, i64>,
    /// By partition: `(offset, floor)`, in order; from that offset on its watermark is the floor at least.
    pub floors: BTreeMap<Arc<str>, Vec<(i64, EventTime)>>,
    /// Where records lay in the future when they were read.
    pub future: BTreeSet<(Arc<str>, i64)>,
    /// What was missing from the log and accepted as lost.
    pub losses: Vec<Loss>,
    /// The source that was read last.
    pub source: Option<SourceIdentity>,
    /// No clock of the job's was earlier.
    pub began_at: i64,
    /// No clock of the job's was later.
    pub now: i64,
}

impl Ground {
    /// Ranges of a partition that were accepted as lost before they were read.
    fn unread(&self, partition: &str) -> Vec<(i64, i64)> {
        let unread = self.losses.iter().filter(|loss| &*loss.partition == partition && loss.kind == LossKind::Unread);
        unread.filter_map(|loss| Some((loss.first, loss.last?))).collect()
    }
}

/// One partition.
#[derive(Debug)]
pub struct Lane {
    /// Its name.
    pub name: Arc<str>,
    /// The first offset that the job read.
    pub start: i64,
    /// Reading goes up to here: the greatest offset that something carries.
    pub target: i64,
    /// Below this every cut counts.
    settled: i64,
    /// Records as of the main cut.
    pub line: LedgerLine,
    /// What was accepted as lost before it was read, first and last: should it be there again, it counts nowhere.
    unread: Vec<(i64, i64)>,
    /// W(p) so far.
    watermark: Option<EventTime>,
    /// W(p) as of the main cut.
    pub(crate) main_watermark: Option<EventTime>,
    floors: Vec<(i64, EventTime)>,
    /// Floors that hold already.
    floored: usize,
}

/// The recount of a log.
pub struct Recount<'a> {
    /// The rules.
    pub rules: &'a mut Rules,
    /// What is expected is added here.
    pub counts: &'a mut Counts,
    /// Partitions by index.
    pub lanes: Vec<Lane>,
    decoder: Box<dyn Decode>,
    ground: &'a Ground,
    /// What is odd about the job's own decisions.
    report: &'a mut Report,
    /// Whether windows are counted, or accounts alone.
    windows: bool,
}

impl<'a> Recount<'a> {
    /// Every partition that a cut names, up to the greatest offset of any. `cuts[0]` is the main cut.
    pub fn new(
        rules: &'a mut Rules,
        counts: &'a mut Counts,
        report: &'a mut Report,
        decoder: Box<dyn Decode>,
        ground: &'a Ground,
        cuts: &[Cut],
    ) -> Self {
        let names: BTreeSet<&Arc<str>> = cuts.iter().flat_map(|cut| cut.offsets.keys()).collect();
        let mut lanes = Vec::new();
        counts.limits.clear();
        for name in names {
            let unread = ground.unread(name);
            let mut start = ground.starts.get(name).copied().unwrap_or(0);
            while let Some((_, last)) = unread.iter().find(|(first, last)| (*first..=*last).contains(&start)) {
                start = last + 1;
            }
            let lost = ground.losses.iter().filter(|loss| loss.partition == *name && loss.record <= cuts[0].record);
            let line = LedgerLine { lost: lost.map(Loss::offsets).sum(), ..LedgerLine::default() };
            let limits: Vec<i64> = cuts.iter().map(|cut| cut.offsets.get(name).copied().unwrap_or(start)).collect();
            let (least, greatest) = (limits.iter().min(), limits.iter().max());
            lanes.push(Lane {
                name: name.clone(),
                start,
                target: greatest.copied().unwrap_or(start),
                settled: least.copied().unwrap_or(start),
                line,
                unread,
                watermark: None,
                main_watermark: None,
                floors: ground.floors.get(name).cloned().unwrap_or_default(),
                floored: 0,
            });
            counts.limits.push(limits);
        }
        Recount { rules, counts, lanes, decoder, ground, report, windows: true }
    }

    /// Some of the log is gone: what is left tells accounts of whole partitions, and nothing of windows.
    pub fn accounts_only(&mut self) {
        self.windows = false;
    }

    /// One record of a lane; records of a lane come in their order.
    pub fn record(&mut self, index: usize, record: &RawRecord<'_>) {
        let Recount { rules, counts, lanes, decoder, ground, report, windows } = self;
        let lane = &mut lanes[index];
        let is_lost = lane.unread.iter().any(|(first, last)| (*first..=*last).contains(&record.offset));
        if record.offset >= lane.target || is_lost {
            return;
        }
        while let Some((_, floor)) = lane.floors.get(lane.floored).filter(|(from, _)| *from <= record.offset) {
            lane.watermark = lane.watermark.max(Some(*floor));
            lane.floored += 1;
        }
        let inside = record.offset < counts.limits[index][MAIN];
        let line = &mut lane.line;
        line.consumed += u64::from(inside);
        let event = decoder.decode(record.value).ok();
        let event = event.and_then(|event| {
            let at =
                event.time.or_else(|| record.timestamp.filter(|millis| *millis >= 0).and_then(EventTime::valid))?;
            let is_future = was_future(at, record, &lane.name, ground, rules.max_future_skew, report);
            (!is_future).then_some((event, at))
        });
        let Some((event, at)) = event else {
            line.dead_lettered += u64::from(inside);
            return;
        };
        line.counted += u64::from(inside);
        let watermark = lane.watermark;
        lane.watermark = watermark.max(Some(EventTime::from_millis(at.millis() - rules.out_of_orderness)));
        if inside {
            lane.main_watermark = lane.watermark;
        }
        if !*windows {
            return;
        }
        let (key, events) = (counts.number(&event.key), event.n as i64);
        for kind in 0..rules.calendar.kinds() as KindIndex {
            let window = rules.calendar.window(kind, at);
            let held = counts.held(window);
            let closes = window.end.millis().saturating_add(rules.allowed_lateness);
            if window.end != EventTime::MAX && watermark.is_some_and(|watermark| closes <= watermark.millis()) {
                held.late += if inside { events } else { 0 };
                continue;
            }
            if inside {
                held.count(key, events);
            }
            if record.offset >= lane.settled {
                held.edge(index as u32, record.offset, key);
            }
        }
    }
}

/// Whether a record was refused since it lay in the future. Where the broker stamped it, that is decided here again;
/// elsewhere the reference was the job's clock when it read, so the journal says it, and only the impossible is objected to.
fn was_future(
    at: EventTime,
    record: &RawRecord<'_>,
    partition: &Arc<str>,
    ground: &Ground,
    skew: i64,
    report: &mut Report,
) -> bool {
    let journaled = ground.future.contains(&(partition.clone(), record.offset));
    let (earliest, latest) = match record.timestamp.filter(|millis| record.append_time && *millis >= 0) {
        Some(appended) => (appended, appended),
        None => (ground.began_at, ground.now),
    };
    let (may_be, must_be) = (at.millis() > earliest.saturating_add(skew), at.millis() > latest.saturating_add(skew));
    if journaled != may_be && journaled != must_be {
        let what = if journaled { "was refused as of the future, which it was not" } else { "was of the future" };
        report.differs("time_future", || format!("partition {partition}, offset {}: {at} {what}", record.offset));
    }
    journaled
}

#[cfg(test)]
mod tests;

//! What is to be known of the running job, as the JSON text beside its boards. Decisions only.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use stream::{BoardKeys, Commit, EventTime, Generation, PartitionState, Sequence, Step, WallTime, WindowId, Windows};

/// How long a status may be believed.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_secs(60);
/// The rate is that of about this long …
const PACE_OVER: Duration = Duration::from_secs(10);
/// … from looks at least this far apart.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How fast records are read.
#[derive(Debug, Default)]
pub(super) struct Pace {
    looks: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// `consumed` records at `now`. Records per second; none until there is something to compare with.
    pub(super) fn at(&mut self, now: Duration, consumed: u64) -> Option<f64> {
        while self.looks.len() > 1 && now.saturating_sub(self.looks[1].0) >= PACE_OVER {
            self.looks.pop_front();
        }
        let first = self.looks.front().copied();
        if self.looks.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= LOOK_EVERY) {
            self.looks.push_back((now, consumed));
        }
        let (then, before) = first?;
        let seconds = now.saturating_sub(then).as_secs_f64();
        (seconds >= LOOK_EVERY.as_secs_f64())
            .then(|| (consumed.saturating_sub(before) as f64 / seconds * 10.0).round() / 10.0)
    }
}

#[derive(Serialize)]
struct Status<'a> {
    v: u32,
    job: &'a str,
    generation: Generation,
    epoch: Sequence,
    /// The job watermark.
    as_of: Option<String>,
    published_at: String,
    /// Since the journal began.
    consumed: u64,
    counted: u64,
    dead_lettered: u64,
    /// Records per second.
    rate: Option<f64>,
    /// In the source's unit; none if no end is known.
    behind: Option<u64>,
    /// The active partition without a watermark, or with the least one.
    watermark_held_by: Option<&'a str>,
    windows: Vec<Named<'a>>,
    partitions: Vec<Partition<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    window: &'a str,
    current: Option<String>,
    closed: Option<String>,
}

#[derive(Serialize)]
struct Partition<'a> {
    partition: &'a str,
    next_offset: i64,
    behind: Option<u64>,
    watermark: Option<String>,
    active: bool,
    consumed: u64,
    counted: u64,
    dead_lettered: u64,
}

/// The status as of a step.
pub(super) fn status(
    job: &str,
    step: &Step,
    windows: &Windows,
    keys: &BoardKeys,
    rate: Option<f64>,
    now: WallTime,
) -> String {
    let commit = &step.commit;
    let text = |at: Option<EventTime>| at.map(|at| at.to_string());
    let partitions = commit.partitions.iter().map(|(name, state)| {
        let line = commit.ledger.get(name).copied().unwrap_or_default();
        Partition {
            partition: name,
            next_offset: state.next_offset,
            behind: step.behind.get(name).copied(),
            watermark: text(state.watermark),
            active: state.active,
            consumed: line.consumed,
            counted: line.counted,
            dead_lettered: line.dead_lettered,
        }
    });
    let windows = step.pointers.iter().map(|pointers| {
        let start = |start: Option<EventTime>| start.map(|start| keys.start(WindowId { kind: pointers.kind, start }));
        let window = windows.kind(pointers.kind).name.as_str();
        Named { window, current: start(pointers.current), closed: start(pointers.closed) }
    });
    let status = Status {
        v: 1,
        job,
        generation: commit.generation,
        epoch: commit.sequence,
        as_of: text(commit.watermark),
        published_at: EventTime::from_millis(now.0).to_string(),
        consumed: consumed(commit),
        counted: commit.ledger.values().map(|line| line.counted).sum(),
        dead_lettered: commit.ledger.values().map(|line| line.dead_lettered).sum(),
        rate,
        behind: (!step.behind.is_empty()).then(|| step.behind.values().sum()),
        watermark_held_by: holder(&commit.partitions),
        windows: windows.collect(),
        partitions: partitions.collect(),
    };
    serde_json::to_string(&status).expect("texts and numbers always serialize")
}

/// Records read since the journal began.
pub(super) fn consumed(commit: &Commit) -> u64 {
    commit.ledger.values().map(|line| line.consumed).sum()
}

/// None orders before every instant: a partition without a watermark holds before all others.
fn holder(partitions: &BTreeMap<Arc<str>, PartitionState>) -> Option<&str> {
    let active = partitions.iter().filter(|(_, state)| state.active);
    active.min_by_key(|(_, state)| state.watermark).map(|(name, _)| &**name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_ten_seconds() {
        let mut pace = Pace::default();
        let at = Duration::from_millis;
        assert_eq!(pace.at(at(0), 100), None);
        assert_eq!(pace.at(at(250), 200), None, "too short to tell");
        assert_eq!(pace.at(at(2000), 300), Some(100.0));
        for second in 3..60 {
            pace.at(at(second * 1000), 300 + (second - 2) * 10);
        }
        assert_eq!(pace.at(at(60_000), 880), Some(10.0), "the fast beginning is forgotten");
        assert!(pace.looks.len() < 15);
        assert_eq!(Pace::default().at(at(5), 7), None);
    }

    #[test]
    fn the_slowest_active_partition_holds_the_watermark() {
        let state = |watermark: Option<i64>, active| PartitionState {
            next_offset: 1,
            fingerprint: 0,
            watermark: watermark.map(EventTime::from_millis),
            active,
            floors: Vec::new(),
        };
        let of = |states: &[PartitionState]| {
            let named = states.iter().zip(0..).map(|(state, number)| (Arc::from(format!("{number}")), state.clone()));
            let partitions: BTreeMap<Arc<str>, PartitionState> = named.collect();
            holder(&partitions).map(str::to_owned)
        };
        let (slow, fast, idle, new) =
            (state(Some(5), true), state(Some(9), true), state(Some(1), false), state(None, true));
        assert_eq!(of(&[fast.clone(), idle.clone(), slow.clone()]).as_deref(), Some("2"));
        assert_eq!(of(&[slow, new, fast]).as_deref(), Some("1"));
        assert_eq!(of(&[idle]), None);
    }
}

//! What an operator of the job sees: metrics for every committed epoch, one line when a partition holds the watermark
//! back, and, while behind, how far and for how long.

use crate::ceiling::Ceiling;
use crate::drift::Held;
use crate::journal::{Full, Writer};
use crate::lag::Lag;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::{Clock, Commit, DeadCode, EventTime, Fault, KindIndex, TimeRules, Windows};

/// What this process has committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunTotals {
    /// Records read.
    pub consumed: u64,
    /// Of these, counted.
    pub counted: u64,
    /// Of these, dead letters, by code.
    pub dead_by_code: BTreeMap<DeadCode, u64>,
    /// Late records by window kind.
    pub late_by_kind: BTreeMap<KindIndex, u64>,
}

/// Kept by the commit thread; sees every epoch in order.
pub(crate) struct Observer {
    windows: Windows,
    rules: TimeRules,
    clock: Arc<dyn Clock>,
    lag: Arc<Lag>,
    /// Records and counts before this process.
    before: (u64, u64),
    totals: Arc<Mutex<RunTotals>>,
    consumed: u64,
    started: Duration,
    last_look: Duration,
    consumed_at_look: u64,
    /// How far readers had come, in the source's unit.
    moved_at_look: i64,
    holder: Option<(Arc<str>, &'static str)>,
    was_behind: bool,
    held: Held,
    /// For whom partitions waited when the log last said so.
    held_by: Option<Arc<str>>,
}

/// How often the log may say where we stand.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Behind by less than this many seconds of the present rate is keeping up.
const WORTH_SAYING: f64 = 2.0;

impl Observer {
    /// `before`: records read and counted before this process.
    pub(crate) fn new(
        windows: Windows,
        rules: TimeRules,
        clock: Arc<dyn Clock>,
        lag: Arc<Lag>,
        before: (u64, u64),
    ) -> Self {
        let consumed = before.0;
        let now = clock.monotonic();
        for code in DeadCode::ALL {
            metrics::counter!("topk_dead_letters_total", "code" => code.name()).absolute(0);
        }
        for kind in windows.kinds() {
            metrics::counter!("topk_late_records_total", "window" => kind.name.clone()).absolute(0);
        }
        for reason in ["journal.max_bytes", "job.max_memory", "dead letters"] {
            metrics::gauge!("topk_paused", "reason" => reason).set(0.0);
        }
        Observer {
            windows,
            rules,
            clock,
            lag,
            before,
            totals: Arc::default(),
            consumed,
            started: now,
            last_look: now,
            consumed_at_look: consumed,
            moved_at_look: 0,
            holder: None,
            was_behind: false,
            held: Held::default(),
            held_by: None,
        }
    }

    /// What this process has committed so far, for whoever asks.
    pub(crate) fn totals(&self) -> Arc<Mutex<RunTotals>> {
        self.totals.clone()
    }

    /// An epoch is committed.
    pub(crate) fn committed(&mut self, commit: &Commit, writer: &Writer) {
        metrics::counter!("topk_epochs_total").increment(1);
        metrics::gauge!("topk_epoch").set(commit.sequence.0 as f64);
        metrics::gauge!("topk_generation").set(commit.generation.0 as f64);
        for letter in commit.dead_letters.iter() {
            metrics::counter!("topk_dead_letters_total", "code" => letter.code.name()).increment(1);
        }
        for (window, late) in &commit.late {
            let name = self.windows.kind(window.kind).name.clone();
            metrics::counter!("topk_late_records_total", "window" => name).increment(*late);
        }
        if let Some(watermark) = commit.watermark {
            metrics::gauge!("topk_watermark_timestamp_seconds").set(watermark.millis() as f64 / 1000.0);
        }
        let consumed: u64 = commit.ledger.values().map(|line| line.consumed).sum();
        let counted: u64 = commit.ledger.values().map(|line| line.counted).sum();
        metrics::counter!("topk_records_consumed_total").absolute(consumed - self.before.0);
        metrics::counter!("topk_records_counted_total").absolute(counted - self.before.1);
        self.consumed = consumed;
        self.add(commit, consumed, counted);
        let status = writer.status();
        metrics::gauge!("topk_journal_records_since_base").set(status.records_since_base as f64);
        metrics::gauge!("topk_journal_bytes_since_base").set(status.bytes_since_base as f64);
        metrics::gauge!("topk_journal_stored_bytes").set(status.stored_bytes as f64);
        metrics::gauge!("topk_journal_base_bytes").set(status.base_bytes as f64);
        let now = self.clock.monotonic();
        if now - self.last_look >= LOOK_EVERY {
            self.look(commit, now);
        }
    }

    fn add(&self, commit: &Commit, consumed: u64, counted: u64) {
        let mut totals = self.totals.lock().expect("nobody panics while holding the totals");
        (totals.consumed, totals.counted) = (consumed - self.before.0, counted - self.before.1);
        for letter in commit.dead_letters.iter() {
            *totals.dead_by_code.entry(letter.code).or_default() += 1;
        }
        for (window, late) in &commit.late {
            *totals.late_by_kind.entry(window.kind).or_default() += late;
        }
    }

    fn look(&mut self, commit: &Commit, now: Duration) {
        let seconds = (now - self.last_look).as_secs_f64();
        let taken = self.consumed - self.consumed_at_look;
        let moved = self.lag.moved();
        let units = moved - self.moved_at_look;
        (self.last_look, self.consumed_at_look, self.moved_at_look) = (now, self.consumed, moved);
        for (name, (position, end)) in self.lag.read() {
            let behind = end.map_or(0, |end| (end - position).max(0));
            metrics::gauge!("topk_source_lag", "partition" => name.to_string()).set(behind as f64);
        }
        for (name, state) in commit.partitions.iter() {
            if let Some(watermark) = state.watermark {
                metrics::gauge!("topk_partition_watermark_timestamp_seconds", "partition" => name.to_string())
                    .set(watermark.millis() as f64 / 1000.0);
            }
            metrics::gauge!("topk_partition_active", "partition" => name.to_string())
                .set(f64::from(u8::from(state.active)));
        }
        if let Some(watermark) = commit.watermark {
            let lag = (self.clock.now().0 - watermark.millis()).max(0) as f64 / 1000.0;
            metrics::gauge!("topk_watermark_lag_seconds").set(lag);
        }
        self.say_who_holds(commit);
        self.say_who_is_held();
        self.say_how_far(taken as f64 / seconds, records_behind(self.lag.behind(), units, taken), now);
    }

    /// One line when a partition holds the job watermark back, and again only when the holder or the reason changes.
    fn say_who_holds(&mut self, commit: &Commit) {
        let found = holder(commit, &self.rules);
        let now = found.as_ref().map(|(name, reason, _)| (name.clone(), *reason));
        if now == self.holder {
            return;
        }
        match found {
            Some((partition, reason, detail)) => {
                tracing::warn!(%partition, reason, "{detail}");
            }
            None => tracing::info!("no partition holds the watermark back any more"),
        }
        self.holder = now;
    }

    /// Reading stops because the journal is full, or goes on.
    pub(crate) fn full(&self, full: Option<&Full>) {
        metrics::gauge!("topk_paused", "reason" => "journal.max_bytes").set(f64::from(u8::from(full.is_some())));
        match full {
            Some(Full { stored, max, held_by: Some(follower) }) => {
                tracing::warn!(
                    stored,
                    max,
                    %follower,
                    "reading is paused: the journal has outgrown journal.max_bytes, and keeps what this follower has not got; bring it back, or raise the bound"
                );
            }
            Some(Full { stored, max, held_by: None }) => {
                tracing::warn!(
                    stored,
                    max,
                    "reading is paused: the journal has outgrown journal.max_bytes, and what remains is younger than journal.retain or is the state itself; wait, or change one of the two"
                );
            }
            None => tracing::info!("reading goes on: the journal has room again"),
        }
    }

    /// What this process holds; whether reading stops or goes on for its sake with this look.
    pub(crate) fn memory(&self, ceiling: &Ceiling, keys: u64, turned: bool) {
        metrics::gauge!("topk_resident_bytes").set(ceiling.resident() as f64);
        metrics::gauge!("topk_keys").set(keys as f64);
        if !turned {
            return;
        }
        metrics::gauge!("topk_paused", "reason" => "job.max_memory").set(f64::from(u8::from(ceiling.is_over())));
        let (resident, max) = (ceiling.resident(), ceiling.max().unwrap_or(u64::MAX));
        match ceiling.is_over() {
            true => tracing::warn!(
                resident,
                max,
                keys,
                "reading is paused: memory has outgrown job.max_memory; what is counted stays and is served. It goes on by itself if windows or waiting rows leave memory; keys stay, so else give this process more and raise job.max_memory"
            ),
            false => tracing::info!(resident, max, keys, "reading goes on: memory is below job.max_memory again"),
        }
    }

    /// Why a run to the end cannot get there.
    pub(crate) fn out_of_memory(&self, ceiling: &Ceiling, keys: u64) -> Fault {
        let (resident, max) = (ceiling.resident(), ceiling.max().unwrap_or(u64::MAX));
        Fault::usage(
            "cannot read to the end",
            format!(
                "memory has outgrown job.max_memory and gets no less: {resident} bytes of {max} are held, with {keys} keys"
            ),
            "what was read is counted and shown; give this process more memory, raise job.max_memory and run it again: it goes on from there",
        )
    }

    /// Partitions are read no further, or go on.
    pub(crate) fn held(&mut self, held: &Held) {
        for name in self.held.partitions.union(&held.partitions) {
            let waits = held.partitions.contains(name);
            metrics::gauge!("topk_partition_held", "partition" => name.to_string()).set(f64::from(u8::from(waits)));
        }
        self.held = held.clone();
    }

    /// One line when partitions are held, and again only when they wait for another one.
    fn say_who_is_held(&mut self) {
        if self.held.by == self.held_by {
            return;
        }
        self.held_by = self.held.by.clone();
        match &self.held_by {
            Some(by) => {
                let held: Vec<&str> = self.held.partitions.iter().map(|name| &**name).collect();
                tracing::info!(partitions = held.join(","), %by, "partitions more than time.max_drift ahead of the slowest wait for it");
            }
            None => tracing::info!("no partition waits for another any more"),
        }
    }

    /// `rate` in records per second, `behind` in records.
    fn say_how_far(&mut self, rate: f64, behind: u64, now: Duration) {
        let is_behind = now > self.started && rate > 0.0 && behind as f64 / rate > WORTH_SAYING;
        if is_behind {
            let eta = Duration::from_secs((behind as f64 / rate).min(1e9) as u64);
            tracing::info!(behind, rate = rate as u64, caught_up_in = ?eta, "behind the source");
        } else if self.was_behind {
            tracing::info!("caught up with the source");
        }
        self.was_behind = is_behind;
    }
}

/// Records still to read, where the source counts in `units` of its own (messages, bytes): as many to a unit as in what
/// was read last.
fn records_behind(units: u64, moved: i64, records: u64) -> u64 {
    match moved > 0 {
        true => (units as f64 * records as f64 / moved as f64).round() as u64,
        false => units,
    }
}

/// The active partition that keeps the job watermark where it is, if it is well behind the others or undefined.
fn holder(commit: &Commit, rules: &TimeRules) -> Option<(Arc<str>, &'static str, String)> {
    let active = || commit.partitions.iter().filter(|(_, state)| state.active);
    let ahead = active().filter_map(|(_, state)| state.watermark).max()?;
    if let Some((name, _)) = active().find(|(_, state)| state.watermark.is_none()) {
        let detail = "the watermark waits for this partition: it has no accepted record yet";
        return Some((name.clone(), "no accepted record", detail.to_owned()));
    }
    let (name, least) =
        active().filter_map(|(name, state)| Some((name, state.watermark?))).min_by_key(|(_, watermark)| *watermark)?;
    let gap = Duration::from_millis(u64::try_from(ahead.millis() - least.millis()).unwrap_or(0));
    let tolerated = rules.out_of_orderness + rules.allowed_lateness;
    let seen = EventTime::plus(least, rules.out_of_orderness);
    (gap > tolerated).then(|| {
        let detail = format!("the watermark is held at {least} by this partition: its newest event is of {seen}, {gap:?} behind the foremost partition");
        (name.clone(), "behind the others", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_is_told_in_records_whatever_the_source_counts_in() {
        assert_eq!(records_behind(700, 100, 100), 700, "messages");
        assert_eq!(records_behind(1_010_000, 101_000, 1000), 10_000, "bytes of 101 a record");
        assert_eq!(records_behind(50, 0, 0), 50, "nothing was read: the units are all there is");
    }
}

//! What one step writes into tables: sorted, checked, and without what retention no longer keeps. Pure.

use super::TablesSettings;
use crate::retention::oldest_kept;
use serde_json::{Map, Value};
use std::time::Duration;
use stream::{Commit, EventTime, Fault, KindIndex, Ranking, RowBlock, Step, WallTime, Window, WindowStatus, Windows};

/// Rows that one sweep deletes from one table, so that retention never holds up a flush for long.
pub(crate) const SWEEP_ROWS: i64 = 20_000;

/// Sweeps in one flush. The last flush of a run finishes the job as far as a stop can wait for it.
pub(crate) fn sweeps(commit: &Commit) -> usize {
    if commit.last { 100 } else { 1 }
}

/// A count, ready for a bigint column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CountRow<'a> {
    pub(crate) start: EventTime,
    pub(crate) key: &'a str,
    pub(crate) count: i64,
}

/// By kind; in each by (start, key), which is the primary key, each once.
pub(crate) type Counts<'a> = Vec<Vec<CountRow<'a>>>;

/// A window's status, ready for its row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StatusRow {
    pub(crate) status: WindowStatus,
    pub(crate) events: i64,
    pub(crate) keys: i64,
    pub(crate) late: i64,
}

/// A partition's account, ready for its row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LedgerRow<'a> {
    pub(crate) partition: &'a str,
    pub(crate) consumed: i64,
    pub(crate) counted: i64,
    pub(crate) dead_lettered: i64,
    pub(crate) lost: i64,
}

/// All that one transaction writes.
#[derive(Debug)]
pub(crate) struct Flush<'a> {
    /// Those in memory.
    pub(crate) counts: Counts<'a>,
    /// By (kind, start), each once.
    pub(crate) statuses: Vec<StatusRow>,
    /// By (kind, start), each once; none where the step leaves rankings as they are.
    pub(crate) rankings: Option<Vec<&'a Ranking>>,
    /// Windows to be ranked from their counts, once these are written.
    pub(crate) ranked_here: Vec<Window>,
    /// By partition.
    pub(crate) ledger: Vec<LedgerRow<'a>>,
    /// `{"partition": next offset}`.
    pub(crate) offsets: Value,
    /// `{"partition": everything the journal knows of it}`.
    pub(crate) partitions: Value,
    /// By kind: start of the oldest window kept, where any may expire.
    pub(crate) oldest_kept: Vec<Option<EventTime>>,
    /// By kind: count rows that came too late to be kept.
    pub(crate) expired: Vec<u64>,
}

/// What a flush has done to count rows.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Those written.
    pub(crate) rows: u64,
    /// By kind: those that came too late to be kept.
    pub(crate) expired: Vec<u64>,
}

impl<'a> Flush<'a> {
    /// Plan a step. `counts_expire`: leave out counts that have expired; a store that drops whole partitions does not,
    /// since what it still shows must be right.
    ///
    /// # Errors
    /// A count that no bigint holds.
    pub(crate) fn plan(step: &'a Step, settings: &TablesSettings, counts_expire: bool) -> Result<Self, Fault> {
        let (windows, commit) = (&settings.windows, &step.commit);
        let kinds = windows.len();
        assert_eq!(settings.retention.len(), kinds, "retention is given for each kind");
        let oldest_kept: Vec<Option<EventTime>> = (0..kinds)
            .map(|kind| oldest_kept(windows, kind as KindIndex, settings.retention[kind], commit.watermark))
            .collect();
        let kept =
            |kind: KindIndex, start: EventTime| oldest_kept[usize::from(kind)].is_none_or(|oldest| oldest <= start);

        let mut expired = vec![0; kinds];
        let kept_counts = if counts_expire { oldest_kept.clone() } else { vec![None; kinds] };
        let counts = counts(&step.rows, &kept_counts, &mut expired)?;

        let mut statuses = Vec::with_capacity(step.statuses.len());
        for status in step.statuses.iter().filter(|status| kept(status.window.kind, status.window.start)) {
            let what = || format!("a total of window {}", settings.windows.kind(status.window.kind).name);
            statuses.push(StatusRow {
                status: *status,
                events: bigint(status.totals.events, what)?,
                keys: bigint(status.totals.keys, what)?,
                late: bigint(status.totals.late, what)?,
            });
        }
        statuses.sort_by_key(|row| row.status.window.id());
        keep_last(&mut statuses, |row| row.status.window.id());

        let rankings = step.with_rankings.then(|| {
            let mut rankings: Vec<&Ranking> = step.rankings.iter().map(|ranking| &**ranking).collect();
            rankings.retain(|ranking| kept(ranking.window.kind, ranking.window.start));
            rankings.sort_by_key(|ranking| ranking.id());
            keep_last(&mut rankings, |ranking| ranking.id());
            rankings
        });

        let lost = step.lost.iter().flat_map(|lost| lost.rankings.iter().copied());
        let ranked_here = lost.filter(|window| kept(window.kind, window.start)).collect();

        let mut ledger = Vec::with_capacity(commit.ledger.len());
        for (partition, line) in commit.ledger.iter() {
            let what = || format!("the ledger of partition {partition}");
            ledger.push(LedgerRow {
                partition,
                consumed: bigint(line.consumed, what)?,
                counted: bigint(line.counted, what)?,
                dead_lettered: bigint(line.dead_lettered, what)?,
                lost: bigint(line.lost, what)?,
            });
        }
        let of_partitions = |value: &dyn Fn(&stream::PartitionState) -> Value| {
            Value::Object(
                commit.partitions.iter().map(|(name, state)| (name.to_string(), value(state))).collect::<Map<_, _>>(),
            )
        };
        Ok(Flush {
            counts,
            statuses,
            rankings,
            ranked_here,
            ledger,
            offsets: of_partitions(&|state| state.next_offset.into()),
            partitions: of_partitions(&|state| {
                serde_json::to_value(state).expect("a partition's state is numbers and lists of numbers")
            }),
            oldest_kept,
            expired,
        })
    }
}

impl Written {
    /// Measure a finished flush.
    pub(crate) fn record(&self, sink: &'static str, windows: &Windows, took: Duration, now: WallTime) {
        metrics::counter!("topk_flush_rows_total", "sink" => sink).increment(self.rows);
        metrics::histogram!("topk_flush_seconds", "sink" => sink).record(took.as_secs_f64());
        metrics::gauge!("topk_flush_timestamp_seconds", "sink" => sink).set(now.0 as f64 / 1000.0);
        for (kind, expired) in windows.kinds().iter().zip(&self.expired).filter(|(_, expired)| **expired > 0) {
            metrics::counter!("topk_rows_expired_total", "sink" => sink, "window" => kind.name.clone())
                .increment(*expired);
        }
    }
}

/// Count rows of blocks, the newest value of each; what retention no longer keeps is counted instead.
///
/// # Errors
/// A count that no bigint holds.
pub(crate) fn counts<'a>(
    blocks: &'a [RowBlock],
    oldest_kept: &[Option<EventTime>],
    expired: &mut [u64],
) -> Result<Counts<'a>, Fault> {
    let mut counts: Counts<'a> = vec![Vec::new(); oldest_kept.len()];
    for block in blocks {
        let (kind, start) = (usize::from(block.window.kind), block.window.start);
        assert_eq!(block.keys.len(), block.counts.len(), "a block has a count for each key");
        if oldest_kept[kind].is_some_and(|oldest| start < oldest) {
            expired[kind] += block.counts.len() as u64;
            continue;
        }
        for (key, count) in block.keys.iter().zip(&block.counts) {
            assert!(*count > 0, "no count row is ever 0");
            let count = bigint(*count, || format!("the count of \"{key}\""))?;
            counts[kind].push(CountRow { start, key, count });
        }
    }
    for rows in &mut counts {
        rows.sort_by(|a, b| (a.start, a.key).cmp(&(b.start, b.key)));
        keep_last(rows, |row| (row.start, row.key));
    }
    Ok(counts)
}

/// How many rows these are.
pub(crate) fn rows_in(counts: &Counts<'_>) -> u64 {
    counts.iter().map(|rows| rows.len() as u64).sum()
}

/// Of neighbours with the same name keep the last, which is the newest.
fn keep_last<T, N: PartialEq>(rows: &mut Vec<T>, name: impl Fn(&T) -> N) {
    rows.dedup_by(|later, kept| {
        let same = name(later) == name(kept);
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
}

/// A count as the tables can hold it.
pub(crate) fn bigint(count: u64, what: impl Fn() -> String) -> Result<i64, Fault> {
    i64::try_from(count).map_err(|_| {
        Fault::failed(
            format!("cannot write {} to the tables", what()),
            format!("{count} is more than a bigint holds ({})", i64::MAX),
            "check the input: a count this great is not one of events",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equals_is_kept() {
        let mut rows = vec![(1, 'a'), (1, 'b'), (2, 'c'), (3, 'd'), (3, 'e'), (3, 'f')];
        keep_last(&mut rows, |row| row.0);
        assert_eq!(rows, [(1, 'b'), (2, 'c'), (3, 'f')]);
    }

    #[test]
    fn a_count_above_a_bigint_is_a_fault() {
        assert_eq!(bigint(i64::MAX as u64, || unreachable!()), Ok(i64::MAX));
        let fault = bigint(i64::MAX as u64 + 1, || "x".into()).unwrap_err();
        assert!(fault.why.contains("9223372036854775808"), "{fault}");
    }
}

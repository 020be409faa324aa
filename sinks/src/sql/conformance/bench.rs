//! What every case of the suite stands on: a store to try, steps to give it, and what it shows.

use crate::sql::{TableReadings, TablesSettings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Claim, Commit, EventTime, Fault, Follower, Generation, Key, KeyArena, KindIndex, LedgerLine, Lost, LostRows,
    PartitionState, Progress, Ranking, RecordHash, RowBlock, RowChunks, Sequence, Step, Vocabulary, WindowId,
    WindowKind, WindowState, WindowStatus, WindowTotals, Windows, Zone,
};
/// A store of its own for one case, empty at first.
pub(crate) trait Bench {
    fn settings(&self) -> TablesSettings;
    /// A new follower, as after a restart.
    fn open(&self, settings: TablesSettings) -> Box<dyn Follower>;
    fn readings(&self) -> TableReadings;
    /// Expired counts go as soon as a whole partition of them has, all at once; else some rows at a time.
    fn drops_partitions(&self) -> bool;
    /// Rows as text. `{table:NAME}` stands for a table, `{time:COLUMN}` for a time as RFC 3339, '' if unbounded.
    fn query(&self, sql: &str) -> Vec<Vec<String>>;
}

/// Generates a test for each case.
macro_rules! every_case {
    ($bench:expr) => {
        $crate::sql::conformance::every_case! { $bench;
            looking_changes_nothing, replays_change_nothing, an_older_generation_is_fenced, a_second_job_is_refused,
            other_names_are_refused, rows_live_as_long_as_retention_says,
            expired_rows_go_in_bounded_batches, ranks_are_replaced,
            a_window_with_late_events_only, all_time_has_no_start, awkward_keys_keep_their_bytes_and_order,
            counts_up_to_a_bigint, another_chain_is_refused, progress_can_rebuild_a_journal, many_rows_in_one_flush,
            readings_are_as_of_one_epoch, the_newest_window, a_store_that_went_back_is_noticed,
            a_failed_flush_leaves_nothing, what_was_lost_comes_from_the_journal,
        }
    };
    ($bench:expr; $($case:ident),* $(,)?) => {
        $(#[test] fn $case() { $crate::sql::conformance::$case(&$bench); })*
    };
}
pub(crate) use every_case;

pub(crate) const MINUTE: KindIndex = 0;
pub(crate) const HOUR: KindIndex = 1;
pub(crate) const ALL_TIME: KindIndex = 2;
/// 2025-10-19T14:00:00Z
pub(crate) const TWO: i64 = 1_760_882_400_000;

pub(crate) fn settings() -> TablesSettings {
    let kinds = ["minute", "hour", "all_time"].map(|name| WindowKind::named(name).unwrap()).to_vec();
    TablesSettings {
        job: "songs".into(),
        url: String::new(),
        schema: String::new(),
        table_prefix: "song_plays".into(),
        key_column: "song_id".into(),
        words: Vocabulary::new("play", "plays", "song", "songs"),
        windows: Windows::new(kinds, Zone::utc()).unwrap(),
        retention: vec![None, Some(Duration::from_secs(2 * 3600)), None],
        allowed_lateness: Duration::from_secs(60),
        k: 10,
        flush_every: Duration::from_secs(1),
        top_k_every: Duration::from_secs(10),
    }
}

pub(crate) fn commit(generation: u64, sequence: u64, watermark: Option<i64>) -> Commit {
    let watermark = watermark.map(EventTime::from_millis);
    let state = PartitionState {
        next_offset: 100 + sequence as i64,
        fingerprint: u64::MAX,
        watermark,
        active: true,
        floors: vec![(7, EventTime::from_millis(TWO))],
    };
    let line =
        LedgerLine { consumed: 10 * sequence, counted: 9 * sequence, dead_lettered: sequence, lost: sequence / 2 };
    Commit {
        hash: RecordHash([sequence as u8; 32]),
        watermark,
        partitions: Arc::new(BTreeMap::from([("p\"0".into(), state)])),
        ledger: Arc::new(BTreeMap::from([("p\"0".into(), line)])),
        ..Commit::empty(Generation(generation), Sequence(sequence))
    }
}

pub(crate) fn step(commit: Commit) -> Step {
    Step::empty(commit)
}

pub(super) fn id(kind: KindIndex, at: i64) -> WindowId {
    settings().windows.window(kind, EventTime::from_millis(at)).id()
}

pub(crate) trait Fill {
    fn rows(self, kind: KindIndex, at: i64, rows: &[(&str, u64)]) -> Self;
    fn status(self, kind: KindIndex, at: i64, state: WindowState, totals: (u64, u64, u64)) -> Self;
    fn ranking(self, kind: KindIndex, at: i64, entries: &[(&str, u64)]) -> Self;
    /// Rows given so far come from the journal instead, and with them rankings of these windows.
    fn lost(self, rankings: &[(KindIndex, i64)]) -> Self;
}

/// What a journal would give.
#[derive(Debug)]
struct Journaled(Vec<RowBlock>);

impl LostRows for Journaled {
    fn open(&self) -> Result<RowChunks, Fault> {
        let chunks: Vec<_> = self.0.iter().map(|block| Ok(vec![block.clone()])).collect();
        Ok(Box::new(chunks.into_iter()))
    }
}

impl Fill for Step {
    fn rows(mut self, kind: KindIndex, at: i64, rows: &[(&str, u64)]) -> Self {
        let mut keys = KeyArena::default();
        rows.iter().for_each(|(key, _)| {
            keys.push(key);
        });
        let window = settings().windows.window(kind, EventTime::from_millis(at));
        self.rows.push(RowBlock { window, keys, counts: rows.iter().map(|row| row.1).collect() });
        self
    }

    fn status(mut self, kind: KindIndex, at: i64, state: WindowState, totals: (u64, u64, u64)) -> Self {
        let window = settings().windows.window(kind, EventTime::from_millis(at));
        let totals = WindowTotals { events: totals.0, keys: totals.1, late: totals.2 };
        self.statuses.push(WindowStatus { window, state, totals });
        self
    }

    fn ranking(mut self, kind: KindIndex, at: i64, entries: &[(&str, u64)]) -> Self {
        let window = settings().windows.window(kind, EventTime::from_millis(at));
        let entries: Vec<(Key, u64)> = entries.iter().map(|(key, count)| (Key::new(key), *count)).collect();
        let totals = WindowTotals { events: entries.iter().map(|entry| entry.1).sum(), ..Default::default() };
        self.with_rankings = true;
        self.rankings.push(Arc::new(Ranking { window, state: WindowState::Open, totals, entries }));
        self
    }

    fn lost(mut self, rankings: &[(KindIndex, i64)]) -> Self {
        let window = |(kind, at): &(KindIndex, i64)| settings().windows.window(*kind, EventTime::from_millis(*at));
        let rows = Arc::new(Journaled(std::mem::take(&mut self.rows)));
        self.lost = Some(Lost { rows, rankings: rankings.iter().map(window).collect() });
        self.with_rankings = true;
        self
    }
}

pub(super) fn claimed(bench: &dyn Bench, generation: u64) -> Box<dyn Follower> {
    let mut follower = bench.open(bench.settings());
    claim(&mut *follower, generation).unwrap();
    follower
}

pub(super) fn claim(follower: &mut dyn Follower, generation: u64) -> Result<Option<Progress>, Fault> {
    follower.claim(&Claim { job: "songs".into(), generation: Generation(generation) })
}

pub(super) fn exit<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> u8 {
    outcome.unwrap_err().exit.code()
}

pub(super) fn block<T>(future: impl Future<Output = Result<T, Fault>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future).unwrap()
}

/// Readings that outlive one call need one runtime.
pub(super) fn entries(bench: &dyn Bench, window: WindowId, k: u32) -> Vec<(String, u64)> {
    let readings = bench.readings();
    let ranking = block(readings.top_k(window, k)).expect("the window is known");
    ranking.entries.iter().map(|(key, count)| (key.to_string(), *count)).collect()
}

pub(crate) fn dump(bench: &dyn Bench) -> Vec<Vec<Vec<String>>> {
    [
        "SELECT {time:window_start}, song_id, plays FROM {table:song_plays_minute} ORDER BY window_start, song_id",
        "SELECT {time:window_start}, song_id, plays FROM {table:song_plays_hour} ORDER BY window_start, song_id",
        "SELECT song_id, plays FROM {table:song_plays_all_time} ORDER BY song_id",
        "SELECT \"window\", {time:window_start}, {time:window_end}, state, plays, songs, late, epoch FROM {table:window_status} ORDER BY \"window\", window_start",
        "SELECT period, region, {time:start_time}, {time:end_time}, rank, song_id, play_count FROM {table:top_k_songs} ORDER BY period, start_time, rank",
        "SELECT partition, consumed, counted, dead_lettered FROM {table:topk_ledger} ORDER BY partition",
        "SELECT shard, generation, epoch, top_k_epoch, commit_hash FROM {table:topk_progress} ORDER BY shard",
    ]
    .iter()
    .map(|sql| bench.query(sql))
    .collect()
}

pub(super) fn texts(rows: &[&[&str]]) -> Vec<Vec<String>> {
    rows.iter().map(|row| row.iter().map(|value| (*value).to_owned()).collect()).collect()
}

//! What the reader reads, as two small traits. Their adapters over the sinks' read side are at the end.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use sinks::{BoardReadings, TableReadings};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stream::{EventTime, Fault, Generation, Key, KindIndex, Sequence, WindowId, WindowState};

/// An answer of a store that is still on its way.
pub type Reading<'a, T> = BoxFuture<'a, Result<T, Fault>>;

/// The published boards: Redis, or this process's memory.
pub trait Boards: Send + Sync {
    /// Which store this is; `meta.source` in answers.
    fn name(&self) -> &'static str;

    /// The bytes of a board.
    fn get<'a>(&'a self, key: &'a str) -> Reading<'a, Option<Bytes>>;

    /// The content of a pointer: the `{start}` of a window.
    fn pointer<'a>(&'a self, key: &'a str) -> Reading<'a, Option<String>>;

    /// Store the final board `blob` if there is none under the key, and say whether. By default nothing is taken back.
    fn put_back<'a>(&'a self, _key: &'a str, _blob: &'a str, _time_to_live: Option<Duration>) -> Reading<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}

/// The SQL tables: Postgres or SQLite.
pub trait Tables: Send + Sync {
    /// Which store this is; `meta.source` in answers.
    fn name(&self) -> &'static str;

    /// The list of a window, at most `k` long: from the table of lists, else from the window's own table, in one
    /// transaction. None if the tables know nothing of the window.
    fn top_k(&self, window: WindowId, k: u32) -> Reading<'_, Option<Listing>>;

    /// Start of the newest window of a kind that has events; of those closed or final only, if `closed`.
    fn newest(&self, kind: KindIndex, closed: bool) -> Reading<'_, Option<EventTime>>;
}

/// A window's list and what its store knows of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Open, closed or final; none if the store does not say.
    pub state: Option<WindowState>,
    /// The job watermark; none while undefined.
    pub as_of: Option<EventTime>,
    /// The epoch the list is as of.
    pub epoch: Option<Sequence>,
    /// The incarnation that wrote it.
    pub generation: Option<Generation>,
    /// Sum over all keys.
    pub total_events: u64,
    /// Keys with a count.
    pub total_keys: u64,
    /// Best first: count descending, then key ascending, bytewise.
    pub items: Vec<(Key, u64)>,
}

/// The stores of one reader. At least one is needed for any list to be found.
#[derive(Clone, Default)]
pub struct Stores {
    /// Asked first.
    pub boards: Option<Arc<dyn Boards>>,
    /// Asked for what the boards do not have.
    pub tables: Option<Arc<dyn Tables>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores")
            .field("boards", &self.boards.as_ref().map(|boards| boards.name()))
            .field("tables", &self.tables.as_ref().map(|tables| tables.name()))
            .finish()
    }
}

impl Boards for BoardReadings {
    fn name(&self) -> &'static str {
        match self {
            BoardReadings::Redis(_) => "redis",
            BoardReadings::Memory(_) => "memory",
        }
    }

    fn get<'a>(&'a self, key: &'a str) -> Reading<'a, Option<Bytes>> {
        Box::pin(BoardReadings::get(self, key))
    }

    fn pointer<'a>(&'a self, key: &'a str) -> Reading<'a, Option<String>> {
        Box::pin(BoardReadings::pointer(self, key))
    }

    fn put_back<'a>(&'a self, key: &'a str, blob: &'a str, time_to_live: Option<Duration>) -> Reading<'a, bool> {
        Box::pin(BoardReadings::put_back(self, key, blob, time_to_live))
    }
}

impl Tables for TableReadings {
    fn name(&self) -> &'static str {
        match self {
            TableReadings::Postgres(_) => "postgres",
            TableReadings::Sqlite(_) => "sqlite",
        }
    }

    fn top_k(&self, window: WindowId, k: u32) -> Reading<'_, Option<Listing>> {
        Box::pin(async move {
            let ranking = TableReadings::top_k(self, window, k).await?;
            Ok(ranking.map(|ranking| Listing {
                state: Some(ranking.state),
                as_of: ranking.as_of,
                epoch: Some(ranking.epoch),
                generation: Some(ranking.generation),
                total_events: ranking.totals.events,
                total_keys: ranking.totals.keys,
                items: ranking.entries,
            }))
        })
    }

    fn newest(&self, kind: KindIndex, closed: bool) -> Reading<'_, Option<EventTime>> {
        Box::pin(TableReadings::newest(self, kind, closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{ask, instant, over, settings, window};
    use sinks::{BoardFollower, BoardSettings, MemoryBoard, SqliteReadings, SqliteTables, TablesSettings};
    use std::collections::BTreeMap;
    use stream::{
        Claim, Clock, Commit, Follower, KeyArena, ManualClock, Pointers, Ranking, RecordHash, RowBlock, Step, WallTime,
        Window, WindowStatus, WindowTotals,
    };

    fn boards() -> BoardSettings {
        let settings = settings();
        BoardSettings {
            job: settings.job,
            redis: sinks::RedisAddress::default(),
            prefix: settings.prefix,
            words: settings.words,
            retention: vec![None; settings.windows.len()],
            windows: settings.windows,
            k: settings.k,
            publish_every: Duration::ZERO,
            tables_beside: true,
        }
    }

    fn tables() -> TablesSettings {
        let settings = settings();
        TablesSettings {
            job: settings.job,
            url: String::new(),
            schema: String::new(),
            table_prefix: "song_plays".into(),
            key_column: "song_id".into(),
            words: settings.words,
            retention: vec![None; settings.windows.len()],
            windows: settings.windows,
            allowed_lateness: Duration::ZERO,
            k: settings.k,
            flush_every: Duration::ZERO,
            top_k_every: Duration::ZERO,
        }
    }

    /// Two hours, the first of them closed, as followers get them.
    fn step() -> Step {
        let (now, before) = (window("hour", "2025-10-19T14:05:00Z"), window("hour", "2025-10-19T13:05:00Z"));
        let ranking = |window: Window, state, entries: &[(&str, u64)]| Ranking {
            window,
            state,
            totals: WindowTotals {
                events: entries.iter().map(|(_, count)| count).sum(),
                keys: entries.len() as u64,
                late: 0,
            },
            entries: entries.iter().map(|(key, count)| (Key::new(key), *count)).collect(),
        };
        let rankings = [
            ranking(before, WindowState::Closed, &[("s2", 6), ("s1", 4)]),
            ranking(now, WindowState::Open, &[("s1", 5), ("s2", 3), ("s3", 3)]),
        ];
        let block = |ranking: &Ranking| {
            let mut keys = KeyArena::default();
            ranking.entries.iter().for_each(|(key, _)| {
                keys.push(key.as_str());
            });
            RowBlock { window: ranking.window, keys, counts: ranking.entries.iter().map(|(_, count)| *count).collect() }
        };
        let kinds = 0..settings().windows.len() as KindIndex;
        let pointers = kinds.map(|kind| Pointers {
            kind,
            current: (kind == now.kind).then_some(now.start),
            closed: (kind == now.kind).then_some(before.start),
        });
        Step {
            commit: Arc::new(Commit {
                epoch: 3,
                generation: Generation(2),
                sequence: Sequence(7),
                hash: RecordHash([7; 32]),
                changed: true,
                last: false,
                watermark: Some(instant("2025-10-19T14:05:00Z")),
                partitions: Arc::new(BTreeMap::new()),
                ledger: Arc::new(BTreeMap::new()),
                late: Vec::new(),
                dead_letters: Arc::new(Vec::new()),
                granted: Vec::new(),
                evictable: None,
            }),
            rows: rankings.iter().map(block).collect(),
            statuses: rankings
                .iter()
                .map(|ranking| WindowStatus { window: ranking.window, state: ranking.state, totals: ranking.totals })
                .collect(),
            with_rankings: true,
            rankings: rankings.map(Arc::new).to_vec(),
            pointers: pointers.collect(),
            dead_letters: Vec::new(),
            lost: None,
            behind: BTreeMap::new(),
        }
    }

    fn follow(mut follower: impl Follower) {
        follower.claim(&Claim { job: settings().job, generation: Generation(2) }).unwrap();
        follower.write(&step()).unwrap();
    }

    /// What followers write, the reader finds, and from either store it is the same list.
    #[tokio::test]
    async fn boards_and_tables_give_the_same_lists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("topk.db");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(WallTime(1_760_882_700_000)));
        let board = MemoryBoard::new(Arc::clone(&clock));
        let readings: Arc<dyn Tables> = Arc::new(TableReadings::Sqlite(SqliteReadings::new(&path, &tables()).unwrap()));
        let from_tables = over(Stores { boards: None, tables: Some(Arc::clone(&readings)) });
        let empty = ask(&from_tables, "/v1/top?window=hour").await.json();
        assert_eq!((&empty["meta"]["state"], &empty["meta"]["source"]), (&serde_json::Value::Null, &"sqlite".into()));

        let (written, at) = (board.clone(), path.clone());
        tokio::task::spawn_blocking(move || {
            follow(BoardFollower::memory(written, boards(), Arc::clone(&clock)));
            follow(SqliteTables::new(at, tables(), clock).unwrap());
        })
        .await
        .unwrap();

        let boards: Arc<dyn Boards> = Arc::new(BoardReadings::Memory(board));
        // That there was nothing is remembered for a second.
        from_tables.clock.advance(std::time::Duration::from_secs(1));
        let from_boards = over(Stores { boards: Some(boards), tables: Some(readings) });
        for path in
            ["/v1/top?window=hour", "/v1/top?window=hour&at=closed&k=1", "/v1/top?window=hour&at=2025-10-19T13:59:59Z"]
        {
            let (mut board, mut table) = (ask(&from_boards, path).await.json(), ask(&from_tables, path).await.json());
            assert_eq!(
                (&board["meta"]["source"], &table["meta"]["source"]),
                (&"memory".into(), &"sqlite".into()),
                "{path}"
            );
            for answer in [&mut board, &mut table] {
                answer["meta"]["source"].take();
                // Only boards are asked for the previous window.
                answer["items"].as_array_mut().unwrap().iter_mut().for_each(|item| {
                    item["previousRank"].take();
                });
            }
            assert!(!board["items"].as_array().unwrap().is_empty(), "{path}");
            assert_eq!(board, table, "{path}");
        }
        let current = ask(&from_boards, "/v1/top?window=hour").await.json();
        let before: Vec<_> =
            current["items"].as_array().unwrap().iter().map(|item| item["previousRank"].as_u64()).collect();
        assert_eq!(before, [Some(2), Some(1), None]);
        // Of a window that neither has heard of, both say nothing.
        assert_eq!(ask(&from_boards, "/top-k?window=hour&at=2025-10-19T11:00:00Z").await.body, "[]");
        assert_eq!(ask(&from_boards, "/v1/top?window=minute&at=closed").await.status, 404);
    }
}

//! The read side of the SQLite tables: each answer from one snapshot, on a blocking thread, with a deadline.

use super::connection::{has_tables, open_to_read};
use super::tables::{Failure, stored_progress};
use super::time::{instant, text};
use crate::sql::{Layout, TableRanking, TablesSettings, TakeRow, state_named};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{EventTime, Fault, Key, KindIndex, Progress, Span, WindowId, WindowTotals, Windows};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Reads what [`super::SqliteTables`] writes. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct SqliteReadings {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) windows: Windows,
    pub(super) layout: Layout,
    connection: Mutex<Option<Connection>>,
}

impl SqliteReadings {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// Names that cannot name tables.
    pub fn new(path: impl Into<PathBuf>, settings: &TablesSettings) -> Result<Self, Fault> {
        let layout = Layout::new(settings, None)?;
        let (path, windows) = (path.into(), settings.windows.clone());
        Ok(SqliteReadings { shared: Arc::new(Shared { path, windows, layout, connection: Mutex::new(None) }) })
    }

    /// The first `k` of a window; none if the tables know nothing of it.
    ///
    /// # Errors
    /// Unreadable, or not within the deadline.
    pub async fn top_k(&self, window: WindowId, k: u32) -> Result<Option<TableRanking>, Fault> {
        self.read(move |shared, connection| shared.top_k(connection, window, k)).await
    }

    /// Start of the newest window of a kind that had an event and, if asked, is closed or final.
    ///
    /// # Errors
    /// Unreadable, or not within the deadline.
    pub async fn newest(&self, kind: KindIndex, closed: bool) -> Result<Option<EventTime>, Fault> {
        self.read(move |shared, connection| shared.newest(connection, kind, closed)).await
    }

    /// How far the tables have got; none before the first flush.
    ///
    /// # Errors
    /// Unreadable, or not within the deadline.
    pub async fn progress(&self) -> Result<Option<Progress>, Fault> {
        self.read(|shared, connection| Ok(stored_progress(&shared.layout, connection)?.map(|stored| stored.progress())))
            .await
    }

    pub(crate) fn whole(&self, take: TakeRow<'_>) -> Result<bool, Fault> {
        self.shared.whole(take)
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Shared, &Connection) -> Result<Option<T>, Failure> + Send + 'static,
    ) -> Result<Option<T>, Fault> {
        let shared = self.shared.clone();
        let reading = tokio::task::spawn_blocking(move || shared.snapshot(ask));
        let late = || {
            Fault::transient(
                format!("cannot read the tables in {}", self.shared.path.display()),
                format!("no answer within {} s", DEADLINE.as_secs()),
                "check the disk, and whether another program holds the file's lock",
            )
        };
        let finished = tokio::time::timeout(DEADLINE, reading).await.map_err(|_| late())?;
        finished.expect("reading does not panic and is not cancelled")
    }
}

impl Shared {
    fn snapshot<T>(
        &self,
        ask: impl FnOnce(&Shared, &Connection) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Fault> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = open_to_read(&self.path)?;
        }
        let Some(connection) = &mut *held else { return Ok(None) };
        let answer = (|| {
            let transaction = connection.transaction()?;
            if has_tables(&transaction)? { ask(self, &transaction) } else { Ok(None) }
        })();
        if answer.is_err() {
            *held = None;
        }
        answer.map_err(|failure| failure.into_fault(&self.path))
    }

    fn top_k(&self, connection: &Connection, window: WindowId, k: u32) -> Result<Option<TableRanking>, Failure> {
        let Some(progress) = stored_progress(&self.layout, connection)? else { return Ok(None) };
        let kind = self.windows.kind(window.kind);
        let start = text(window.start);
        let status = self.layout.sql(STATUS, None);
        let status = connection.prepare_cached(&status)?.query_row(params![kind.name, start], |row| {
            let state: String = row.get(0)?;
            let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
            let totals = WindowTotals { events: number(1)?, keys: number(2)?, late: number(3)? };
            Ok((state, totals, number(4)?))
        });
        let Some((state, totals, changed)) = status.optional()? else { return Ok(None) };
        // The ranking may be older than the counts. It is the answer only if nothing of the window changed since.
        let fresh = progress.top_k_epoch.is_some_and(|ranked| changed <= ranked.0);
        let mut entries = if fresh {
            self.entries(connection, TOP_K, window.kind, params![kind.name, start, k])?
        } else {
            Vec::new()
        };
        // K may have been smaller when it was written.
        if (entries.len() as u64) < totals.keys.min(u64::from(k)) {
            entries = match kind.span {
                Span::AllTime => self.entries(connection, COUNTS_ALL_TIME, window.kind, params![k])?,
                _ => self.entries(connection, COUNTS, window.kind, params![start, k])?,
            };
        }
        Ok(Some(TableRanking {
            state: state_named(&state)?,
            totals,
            entries,
            epoch: progress.epoch,
            generation: progress.generation,
            as_of: progress.as_of,
        }))
    }

    fn entries(
        &self,
        connection: &Connection,
        template: &str,
        kind: KindIndex,
        parameters: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<(Key, u64)>> {
        let sql = self.layout.sql(template, Some(kind));
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(parameters, |row| {
            let key = row.get_ref(0)?.as_str()?;
            Ok((Key::new(key), row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        rows.collect()
    }

    fn newest(&self, connection: &Connection, kind: KindIndex, closed: bool) -> Result<Option<EventTime>, Failure> {
        let sql = self.layout.sql(NEWEST, None);
        let newest: Option<String> = connection
            .prepare_cached(&sql)?
            .query_row(params![self.windows.kind(kind).name, closed], |row| row.get(0))?;
        Ok(newest.map(|start| instant(&start, EventTime::MIN)).transpose()?)
    }
}

const STATUS: &str =
    "SELECT state, {events}, {keys}, late, epoch FROM {status} WHERE \"window\" = ?1 AND window_start = ?2";
const TOP_K: &str = "SELECT {key}, {event_count} FROM {top_k}
    WHERE period = ?1 AND region = '' AND start_time = ?2 AND rank <= ?3 ORDER BY rank";
const COUNTS: &str =
    "SELECT {key}, {events} FROM {counts} WHERE window_start = ?1 ORDER BY {events} DESC, {key} LIMIT ?2";
const COUNTS_ALL_TIME: &str = "SELECT {key}, {events} FROM {counts} ORDER BY {events} DESC, {key} LIMIT ?1";
const NEWEST: &str = "SELECT max(window_start) FROM {status}
    WHERE \"window\" = ?1 AND {events} > 0 AND (NOT ?2 OR state <> 'open')";

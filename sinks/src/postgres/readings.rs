//! The read side of the Postgres tables: each answer is one statement, and so one snapshot, within a deadline.

use super::connection::{Failure, Server};
use super::statements::{FROM_COUNTS, FROM_COUNTS_ALL_TIME, NEWEST, PROGRESS, TOP_K};
use super::time::Timestamptz;
use super::whole::{self, Whole};
use crate::sql::{Layout, TableRanking, TablesSettings, TakeRow, hash_of, state_named};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{EventTime, Fault, Generation, Key, KindIndex, Progress, Sequence, Span, WindowId, WindowTotals, Windows};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

/// For one answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Reads what [`super::PostgresTables`] writes, also from a replica. Cheap to clone; all clones share one connection,
/// on which questions are asked without waiting for earlier answers.
#[derive(Clone)]
pub struct PostgresReadings {
    shared: Arc<Shared>,
}

struct Shared {
    server: Server,
    /// The same with more time for an answer.
    patient: Server,
    layout: Layout,
    windows: Windows,
    connected: tokio::sync::Mutex<Option<Arc<Connected>>>,
}

struct Connected {
    client: Client,
    prepared: Mutex<HashMap<String, Statement>>,
}

impl PostgresReadings {
    /// Nothing is opened yet. `settings.url` may be that of a replica.
    ///
    /// # Errors
    /// A URL that cannot be used, or names that cannot name tables.
    pub fn new(settings: &TablesSettings) -> Result<Self, Fault> {
        let shared = Shared {
            server: Server::new(&settings.url, &settings.schema, DEADLINE, true)?,
            patient: Server::new(&settings.url, &settings.schema, whole::DEADLINE, true)?,
            layout: Layout::new(settings, Some(&settings.schema))?,
            windows: settings.windows.clone(),
            connected: tokio::sync::Mutex::default(),
        };
        Ok(PostgresReadings { shared: Arc::new(shared) })
    }

    /// The first `k` of a window; none if the tables know nothing of it.
    ///
    /// # Errors
    /// Unreachable, or not within the deadline (a retry helps).
    pub async fn top_k(&self, window: WindowId, k: u32) -> Result<Option<TableRanking>, Fault> {
        let kind = self.shared.windows.kind(window.kind);
        let counts = if kind.span == Span::AllTime { FROM_COUNTS_ALL_TIME } else { FROM_COUNTS };
        let sql = self.shared.layout.sql(&TOP_K.replace("FROM_COUNTS", counts), Some(window.kind));
        let rows = self.rows(sql, &[&kind.name, &Timestamptz(window.start), &i64::from(k)]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let number = |at: usize| first.get::<_, i64>(at).unsigned_abs();
        let entry = |row: &Row| {
            let key: Option<&str> = row.get(7);
            key.map(|key| (Key::new(key), row.get::<_, i64>(8).unsigned_abs()))
        };
        Ok(Some(TableRanking {
            state: state_named(first.get(0))?,
            totals: WindowTotals { events: number(1), keys: number(2), late: number(3) },
            entries: rows.iter().filter_map(entry).collect(),
            epoch: Sequence(number(4)),
            generation: Generation(number(5)),
            as_of: first.get::<_, Option<Timestamptz>>(6).map(|at| at.0),
        }))
    }

    /// Start of the newest window of a kind that had an event and, if asked, is closed or final.
    ///
    /// # Errors
    /// As [`PostgresReadings::top_k`].
    pub async fn newest(&self, kind: KindIndex, closed: bool) -> Result<Option<EventTime>, Fault> {
        let sql = self.shared.layout.sql(NEWEST, None);
        let rows = self.rows(sql, &[&self.shared.windows.kind(kind).name, &closed]).await?;
        Ok(rows.first().and_then(|row| row.get::<_, Option<Timestamptz>>(0)).map(|start| start.0))
    }

    /// How far the tables have got; none before the first flush.
    ///
    /// # Errors
    /// As [`PostgresReadings::top_k`].
    pub async fn progress(&self) -> Result<Option<Progress>, Fault> {
        let rows = self.rows(self.shared.layout.sql(PROGRESS, None), &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Progress {
            generation: Generation(row.get::<_, i64>(0).unsigned_abs()),
            sequence: Sequence(row.get::<_, i64>(1).unsigned_abs()),
            hash: Some(hash_of(row.get(3))?),
        }))
    }

    pub(crate) fn whole(&self, take: TakeRow<'_>) -> Result<bool, Fault> {
        let Shared { patient, layout, windows, .. } = &*self.shared;
        Whole { server: patient, layout, windows }.read(take)
    }

    /// The rows of a statement; none where there are no tables yet.
    async fn rows(&self, sql: String, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        match self.ask(sql, parameters).await {
            Ok(rows) => Ok(rows),
            Err(failure) if failure.is_undefined_table() => Ok(Vec::new()),
            Err(failure) => {
                // Whatever led here, the next question is asked on a new connection; unless one is just being made.
                if let Ok(mut held) = self.shared.connected.try_lock() {
                    *held = None;
                }
                Err(self.shared.server.fault(failure))
            }
        }
    }

    async fn ask(&self, sql: String, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        let server = &self.shared.server;
        let connecting = tokio::time::timeout(DEADLINE, self.connected());
        let connected = connecting.await.map_err(|_| Failure::Late(DEADLINE))??;
        let held = connected.prepared().get(&sql).cloned();
        let statement = match held {
            Some(statement) => statement,
            None => {
                let statement = server.within(connected.client.prepare(&sql)).await?;
                connected.prepared().insert(sql, statement.clone());
                statement
            }
        };
        server.within(connected.client.query(&statement, parameters)).await
    }

    async fn connected(&self) -> Result<Arc<Connected>, Failure> {
        let mut held = self.shared.connected.lock().await;
        if let Some(connected) = held.as_ref().filter(|connected| !connected.client.is_closed()) {
            return Ok(connected.clone());
        }
        let (client, _) = self.shared.server.connect().await?;
        Ok(held.insert(Arc::new(Connected { client, prepared: Mutex::default() })).clone())
    }
}

impl Connected {
    fn prepared(&self) -> std::sync::MutexGuard<'_, HashMap<String, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

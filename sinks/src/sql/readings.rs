//! The read side of the tables, wherever they are kept.

use super::{TableRanking, TakeRow};
use crate::{PostgresReadings, SqliteReadings};
use stream::{EventTime, Fault, KindIndex, Progress, WindowId};

/// Where a reader finds tables. Cheap to clone.
#[derive(Clone)]
pub enum TableReadings {
    /// In Postgres, or a replica of it.
    Postgres(PostgresReadings),
    /// In a SQLite file.
    Sqlite(SqliteReadings),
}

impl TableReadings {
    /// The first `k` of a window; none if the tables know nothing of it.
    ///
    /// # Errors
    /// Unreachable, or not within the deadline (a retry helps).
    pub async fn top_k(&self, window: WindowId, k: u32) -> Result<Option<TableRanking>, Fault> {
        match self {
            TableReadings::Postgres(postgres) => postgres.top_k(window, k).await,
            TableReadings::Sqlite(sqlite) => sqlite.top_k(window, k).await,
        }
    }

    /// Start of the newest window of a kind that had an event and, if asked, is closed or final.
    ///
    /// # Errors
    /// As [`TableReadings::top_k`].
    pub async fn newest(&self, kind: KindIndex, closed: bool) -> Result<Option<EventTime>, Fault> {
        match self {
            TableReadings::Postgres(postgres) => postgres.newest(kind, closed).await,
            TableReadings::Sqlite(sqlite) => sqlite.newest(kind, closed).await,
        }
    }

    /// How far the tables have got; none before the first flush.
    ///
    /// # Errors
    /// As [`TableReadings::top_k`].
    pub async fn progress(&self) -> Result<Option<Progress>, Fault> {
        match self {
            TableReadings::Postgres(postgres) => postgres.progress().await,
            TableReadings::Sqlite(sqlite) => sqlite.progress().await,
        }
    }

    /// Hand over every row of every table, all as of one snapshot; false where nothing was written yet. Blocks, and may
    /// take minutes: not for an async task.
    ///
    /// # Errors
    /// Unreachable, not within the deadline, or those of `take`.
    pub fn whole(&self, take: TakeRow<'_>) -> Result<bool, Fault> {
        match self {
            TableReadings::Postgres(postgres) => postgres.whole(take),
            TableReadings::Sqlite(sqlite) => sqlite.whole(take),
        }
    }
}

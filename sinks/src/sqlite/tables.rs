//! The follower that keeps tables in a SQLite file. One flush is one transaction.

use super::connection::{fault, has_tables, open, open_to_read, probe};
use super::statements::{
    DELETE_RANKING, RANK_COUNTS, SWEEP_COUNTS, SWEEP_STATUS, SWEEP_TOP_K, UPSERT, UPSERT_ALL_TIME, UPSERT_JOB,
    UPSERT_LEDGER, UPSERT_PROGRESS, UPSERT_STATUS,
};
use super::time::{instant, text};
use crate::sql::{
    Counts, Flush, Layout, Migration, SWEEP_ROWS, StatusRow, StoredOwner, StoredProgress, TablesSettings, Written,
    admit, counts, forget, hash_of, looked, ranked, rows_in, sweeps,
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stream::{
    Claim, Clock, EventTime, FailPoint, Fault, Follower, Forget, Generation, KindIndex, Progress, Ranking, RowChunks,
    Sequence, Span, Step, Wants, Window,
};

const MIGRATIONS: [Migration; 2] = [
    Migration {
        version: 1,
        once: include_str!("migrations/001_once.sql"),
        each_kind: include_str!("migrations/001_each_kind.sql"),
        all_time: include_str!("migrations/001_all_time.sql"),
    },
    Migration { version: 2, once: include_str!("migrations/002_once.sql"), each_kind: "", all_time: "" },
];

/// Tables in a SQLite file.
pub struct SqliteTables {
    path: PathBuf,
    place: String,
    settings: TablesSettings,
    layout: Layout,
    clock: Arc<dyn Clock>,
    connection: Option<Connection>,
    claimed: Option<Generation>,
    acknowledged: Option<Sequence>,
    /// What a lost journal would be built on.
    journal: Option<String>,
    /// By kind: everything before this start has been deleted.
    swept: Vec<Option<EventTime>>,
}

impl SqliteTables {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// Names that cannot name tables.
    pub fn new(path: impl Into<PathBuf>, settings: TablesSettings, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let path = path.into();
        Ok(SqliteTables {
            place: path.display().to_string(),
            layout: Layout::new(&settings, None)?,
            swept: vec![None; settings.windows.len()],
            path,
            settings,
            clock,
            connection: None,
            claimed: None,
            acknowledged: None,
            journal: None,
        })
    }

    /// Run in a transaction that no other writer overlaps, and commit it.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&Self, &Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.path)?,
        };
        let outcome = (|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = work(self, &transaction)?;
            transaction.commit()?;
            Ok(outcome)
        })();
        // After a failure a new connection begins without whatever state led to it.
        if outcome.is_ok() {
            self.connection = Some(connection);
        }
        outcome.map_err(|failure: Failure| failure.into_fault(&self.path))
    }

    fn now(&self) -> String {
        text(EventTime::from_millis(self.clock.now().0))
    }

    fn migrate(&self, transaction: &Transaction<'_>) -> Result<i32, Failure> {
        let applied: i32 = match has_tables(transaction)? {
            true => transaction
                .query_row(&self.layout.sql("SELECT schema_version FROM {job}", None), [], |row| row.get(0))?,
            false => 0,
        };
        let (missing, newest) = Migration::missing(&MIGRATIONS, applied, &self.place)?;
        for migration in missing {
            transaction.execute_batch(&self.layout.migration(migration))?;
            tracing::info!(version = migration.version, place = self.place, "applied a migration");
        }
        Ok(newest)
    }

    /// Whose the tables are, if this job may write them.
    fn owner(&self, transaction: &Transaction<'_>) -> Result<StoredOwner, Failure> {
        let owner = stored_owner(&self.layout, transaction)?.ok_or_else(|| StoredOwner::gone(&self.place))?;
        owner.writable_by(&self.settings.job, &self.place)?;
        Ok(owner)
    }

    fn flush(
        &self,
        transaction: &Transaction<'_>,
        step: &Step,
        flush: &Flush<'_>,
        lost: Option<RowChunks>,
    ) -> Result<(Vec<bool>, Written), Failure> {
        FailPoint::FlushBegun.reach()?;
        let commit = &step.commit;
        let owner = self.owner(transaction)?;
        let ours = self.claimed.unwrap_or(commit.generation).max(commit.generation);
        let stored = stored_progress(&self.layout, transaction)?;
        admit(&self.place, owner.generation, stored.as_ref(), ours, self.acknowledged, commit)?;
        FailPoint::FlushAdmitted.reach()?;

        let epoch = commit.sequence.0 as i64;
        self.write_counts(transaction, &flush.counts)?;
        let mut written = Written { rows: rows_in(&flush.counts), expired: flush.expired.clone() };
        for chunk in lost.into_iter().flatten() {
            let chunk = chunk?;
            let found = counts(&chunk, &flush.oldest_kept, &mut written.expired)?;
            written.rows += rows_in(&found);
            self.write_counts(transaction, &found)?;
        }
        for row in &flush.statuses {
            self.write_status(transaction, row, epoch)?;
        }
        for ranking in flush.rankings.iter().flatten() {
            self.write_ranking(transaction, ranking)?;
        }
        for window in &flush.ranked_here {
            self.rank_from_counts(transaction, window)?;
        }
        for row in &flush.ledger {
            transaction.prepare_cached(&self.layout.sql(UPSERT_LEDGER, None))?.execute(params![
                row.partition,
                row.consumed,
                row.counted,
                row.dead_lettered,
                row.lost
            ])?;
        }
        if let Some(journal) = &self.journal {
            transaction.execute(&self.layout.sql("UPDATE {job} SET journal = ?1", None), [journal])?;
        }
        let mut swept = self.sweep(transaction, &flush.oldest_kept)?;
        for _ in 1..sweeps(commit) {
            if !swept.contains(&false) {
                break;
            }
            swept = self.sweep(transaction, &flush.oldest_kept)?;
        }
        transaction.prepare_cached(&self.layout.sql(UPSERT_PROGRESS, None))?.execute(params![
            ours.0 as i64,
            epoch,
            flush.rankings.as_ref().map(|_| epoch),
            commit.hash.to_string(),
            flush.offsets.to_string(),
            flush.partitions.to_string(),
            commit.watermark.map(text),
            self.now(),
        ])?;
        FailPoint::FlushBeforeCommit.reach()?;
        Ok((swept, written))
    }

    fn write_counts(&self, transaction: &Transaction<'_>, counts: &Counts<'_>) -> Result<(), Failure> {
        for (kind, rows) in counts.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let kind = kind as KindIndex;
            if self.settings.windows.kind(kind).span == Span::AllTime {
                let mut upsert = transaction.prepare_cached(&self.layout.sql(UPSERT_ALL_TIME, Some(kind)))?;
                for row in rows {
                    upsert.execute(params![row.key, row.count])?;
                }
                FailPoint::FlushMidBatch.reach()?;
                continue;
            }
            let mut upsert = transaction.prepare_cached(&self.layout.sql(UPSERT, Some(kind)))?;
            for of_window in rows.chunk_by(|a, b| a.start == b.start) {
                let start = text(of_window[0].start);
                for row in of_window {
                    upsert.execute(params![start, row.key, row.count])?;
                }
            }
            FailPoint::FlushMidBatch.reach()?;
        }
        Ok(())
    }

    /// Replace the ranking of a window that only its counts know.
    fn rank_from_counts(&self, transaction: &Transaction<'_>, window: &Window) -> rusqlite::Result<()> {
        let (period, start) = (&self.settings.windows.kind(window.kind).name, text(window.start));
        transaction.prepare_cached(&self.layout.sql(DELETE_RANKING, None))?.execute(params![period, start])?;
        let rank = self.layout.sql(RANK_COUNTS, Some(window.kind));
        transaction.prepare_cached(&rank)?.execute(params![period, start, text(window.end), self.settings.k])?;
        Ok(())
    }

    fn write_status(&self, transaction: &Transaction<'_>, row: &StatusRow, epoch: i64) -> rusqlite::Result<()> {
        let window = row.status.window;
        transaction.prepare_cached(&self.layout.sql(UPSERT_STATUS, None))?.execute(params![
            self.settings.windows.kind(window.kind).name,
            text(window.start),
            text(window.end),
            row.status.state.to_string(),
            row.events,
            row.keys,
            row.late,
            epoch,
        ])?;
        Ok(())
    }

    fn write_ranking(&self, transaction: &Transaction<'_>, ranking: &Ranking) -> Result<(), Failure> {
        let window = ranking.window;
        let (period, start) = (&self.settings.windows.kind(window.kind).name, text(window.start));
        transaction.prepare_cached(&self.layout.sql(DELETE_RANKING, None))?.execute(params![period, start])?;
        let insert = self.layout.sql("INSERT INTO {top_k} VALUES (?1, '', ?2, ?3, ?4, ?5, ?6)", None);
        let mut insert = transaction.prepare_cached(&insert)?;
        let end = text(window.end);
        for (rank, key, count) in ranked(ranking)? {
            insert.execute(params![period, start, end, rank, key, count])?;
        }
        Ok(())
    }

    /// Delete what has expired, a bounded number of rows; by kind, whether all of it is gone.
    fn sweep(&self, transaction: &Transaction<'_>, oldest_kept: &[Option<EventTime>]) -> rusqlite::Result<Vec<bool>> {
        let mut done = vec![true; oldest_kept.len()];
        for (kind, oldest) in oldest_kept.iter().enumerate() {
            let Some(oldest) = oldest else { continue };
            if self.swept[kind] >= Some(*oldest) {
                continue;
            }
            let index = kind as KindIndex;
            let (name, start) = (&self.settings.windows.kind(index).name, text(*oldest));
            let counts = transaction
                .prepare_cached(&self.layout.sql(SWEEP_COUNTS, Some(index)))?
                .execute(params![start, SWEEP_ROWS])?;
            let mut full = counts as i64 == SWEEP_ROWS;
            for sweep in [SWEEP_TOP_K, SWEEP_STATUS] {
                let rows = transaction
                    .prepare_cached(&self.layout.sql(sweep, None))?
                    .execute(params![name, start, SWEEP_ROWS])?;
                full |= rows as i64 == SWEEP_ROWS;
            }
            done[kind] = !full;
        }
        Ok(done)
    }
}

impl Follower for SqliteTables {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn wants(&self) -> Wants {
        self.settings.wants()
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        probe(&self.path)?;
        let Some(connection) = open_to_read(&self.path)? else { return Ok(None) };
        let looked = (|| {
            if !has_tables(&connection)? {
                return Ok(None);
            }
            let owner = stored_owner(&self.layout, &connection)?;
            let stored = stored_progress(&self.layout, &connection)?;
            if let Some(owner) = &owner {
                owner.writable_by(&self.settings.job, &self.place)?;
            }
            Ok(owner.map(|owner| looked(owner.generation, stored.as_ref())))
        })();
        looked.map_err(|failure: Failure| failure.into_fault(&self.path))
    }

    fn remember(&mut self, journal: &str) {
        self.journal = Some(journal.to_owned());
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        let stored = self.in_transaction(|tables, transaction| {
            let claimed = StoredOwner::claimed(claim, &tables.settings);
            if has_tables(transaction)?
                && let Some(owner) = stored_owner(&tables.layout, transaction)?
            {
                owner.yields_to(&claimed, &tables.place)?;
            }
            let version = tables.migrate(transaction)?;
            transaction.execute(
                &tables.layout.sql(UPSERT_JOB, None),
                params![
                    claimed.job,
                    claimed.table_prefix,
                    claimed.key_column,
                    version,
                    claimed.generation.0 as i64,
                    tables.now(),
                    tables.journal
                ],
            )?;
            stored_progress(&tables.layout, transaction)
        })?;
        self.claimed = Some(claim.generation);
        self.acknowledged = None;
        Ok(stored.map(|stored| stored.progress()))
    }

    fn forget(&mut self, rows: Forget) -> Result<Option<EventTime>, Fault> {
        self.in_transaction(|tables, transaction| {
            tables.owner(transaction)?.held_by(tables.claimed, &tables.place)?;
            let as_of = stored_progress(&tables.layout, transaction)?.and_then(|stored| stored.as_of);
            let kinds = (0..tables.settings.windows.len() as KindIndex)
                .filter(|kind| tables.settings.windows.kind(*kind).span != Span::AllTime);
            let Some((after, until)) = forget::ends(rows, as_of, tables.settings.allowed_lateness) else {
                for kind in 0..tables.settings.windows.len() as KindIndex {
                    transaction.execute_batch(&tables.layout.sql("DELETE FROM {counts}", Some(kind)))?;
                }
                for table in forget::TABLES {
                    transaction.execute_batch(&tables.layout.sql(&format!("DELETE FROM {table}"), None))?;
                }
                return Ok(as_of);
            };
            for kind in kinds {
                let bounds = params![tables.settings.windows.kind(kind).name, text(after), text(until)];
                for sweep in [
                    format!("DELETE FROM {{counts}} WHERE window_start IN ({})", forget::ENDED),
                    format!("DELETE FROM {{top_k}} WHERE period = $1 AND start_time IN ({})", forget::ENDED),
                ] {
                    transaction.execute(&tables.layout.sql(&sweep, Some(kind)), bounds)?;
                }
            }
            Ok(as_of)
        })
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        let began = self.clock.monotonic();
        let flush = Flush::plan(step, &self.settings, true)?;
        let lost = step.lost.as_ref().map(|lost| lost.rows.open()).transpose()?;
        let (done, written) =
            self.in_transaction(|tables, transaction| tables.flush(transaction, step, &flush, lost))?;
        FailPoint::FlushCommitted.reach()?;
        for (kind, _) in done.into_iter().enumerate().filter(|(_, done)| *done) {
            self.swept[kind] = flush.oldest_kept[kind];
        }
        self.acknowledged = Some(step.commit.sequence);
        self.journal = None;
        written.record("sqlite", &self.settings.windows, self.clock.monotonic() - began, self.clock.now());
        Ok(())
    }
}

/// What can end a transaction.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Fault(Fault),
}

impl Failure {
    pub(super) fn into_fault(self, path: &Path) -> Fault {
        match self {
            Failure::Sqlite(error) => fault(path, &error),
            Failure::Fault(fault) => fault,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sqlite(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

fn stored_owner(layout: &Layout, connection: &Connection) -> Result<Option<StoredOwner>, Failure> {
    let sql = layout.sql("SELECT job, table_prefix, key_column, generation FROM {job}", None);
    let owner = connection.query_row(&sql, [], |row| {
        Ok(StoredOwner {
            job: row.get(0)?,
            table_prefix: row.get(1)?,
            key_column: row.get(2)?,
            generation: Generation(row.get::<_, i64>(3)?.unsigned_abs()),
        })
    });
    Ok(owner.optional()?)
}

pub(super) fn stored_progress(layout: &Layout, connection: &Connection) -> Result<Option<StoredProgress>, Failure> {
    let sql =
        layout.sql("SELECT generation, epoch, top_k_epoch, commit_hash, as_of FROM {progress} WHERE shard = 0", None);
    let row = connection.query_row(&sql, [], |row| {
        let top_k_epoch: Option<i64> = row.get(2)?;
        let (hash, as_of): (String, Option<String>) = (row.get(3)?, row.get(4)?);
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, top_k_epoch, hash, as_of))
    });
    let Some((generation, epoch, top_k_epoch, hash, as_of)) = row.optional()? else { return Ok(None) };
    Ok(Some(StoredProgress {
        generation: Generation(generation.unsigned_abs()),
        epoch: Sequence(epoch.unsigned_abs()),
        top_k_epoch: top_k_epoch.map(|epoch| Sequence(epoch.unsigned_abs())),
        hash: hash_of(&hash)?,
        as_of: as_of.map(|at| instant(&at, EventTime::MIN)).transpose()?,
    }))
}

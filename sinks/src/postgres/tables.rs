//! The follower that keeps tables in Postgres. One flush is one transaction.

use super::connection::{Failure, Server};
use super::statements::*;
use super::time::Timestamptz;
use super::work::{Session, Work};
use crate::sql::{
    Flush, Layout, Migration, SWEEP_ROWS, StoredOwner, StoredProgress, TablesSettings, admit, looked, ranked, sweeps,
};
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Claim, Clock, EventTime, Fault, Follower, Generation, KindIndex, Progress, Ranking, Sequence, Span, Step, Wants,
};
use tokio::runtime::Runtime;
use tokio_postgres::IsolationLevel;

/// For one answer of a flush.
const DEADLINE: Duration = Duration::from_secs(30);
/// Rows in one statement.
const ROWS_AT_ONCE: usize = 10_000;
const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    once: include_str!("migrations/001_once.sql"),
    each_kind: include_str!("migrations/001_each_kind.sql"),
    all_time: include_str!("migrations/001_all_time.sql"),
}];

/// Tables in Postgres. Blocks on a runtime of its own, so neither make nor drop it inside another one.
pub struct PostgresTables {
    server: Server,
    layout: Layout,
    settings: TablesSettings,
    clock: Arc<dyn Clock>,
    runtime: Runtime,
    session: Option<Session>,
    claimed: Option<Generation>,
    acknowledged: Option<Sequence>,
    /// By kind: everything before this start has been deleted.
    swept: Vec<Option<EventTime>>,
}

impl PostgresTables {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// A URL that cannot be used, or names that cannot name tables.
    pub fn new(settings: TablesSettings, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Fault::failed("cannot prepare to talk to Postgres", error, "check the process's limits")
        })?;
        Ok(PostgresTables {
            server: Server::new(&settings.url, &settings.schema, DEADLINE, false)?,
            layout: Layout::new(&settings, Some(&settings.schema))?,
            swept: vec![None; settings.windows.len()],
            settings,
            clock,
            runtime,
            session: None,
            claimed: None,
            acknowledged: None,
        })
    }

    /// Run in a transaction and commit it. After a failure, also of the commit, the next call connects anew.
    fn in_transaction<T>(
        &mut self,
        isolation: IsolationLevel,
        work: impl AsyncFnOnce(&Self, &mut Work<'_>) -> Result<T, Failure>,
    ) -> Result<T, Fault> {
        let held = self.session.take();
        let outcome = self.runtime.block_on(async {
            let mut session = match held {
                Some(session) => session,
                None => Session::open(&self.server).await?,
            };
            let outcome = async {
                let mut transaction = session.begin(&self.server, &self.layout, isolation).await?;
                let outcome = work(self, &mut transaction).await?;
                transaction.commit().await?;
                Ok(outcome)
            };
            match outcome.await {
                Ok(outcome) => Ok((session, outcome)),
                Err(failure) => {
                    session.close().await;
                    Err(failure)
                }
            }
        });
        let (session, outcome) = outcome.map_err(|failure| self.server.fault(failure))?;
        self.session = Some(session);
        Ok(outcome)
    }

    fn now(&self) -> Timestamptz {
        Timestamptz(EventTime::from_millis(self.clock.now().0))
    }

    async fn take(&self, work: &mut Work<'_>, claim: &Claim) -> Result<Option<StoredProgress>, Failure> {
        // Starts at the same moment take turns; the lock ends with the transaction.
        let schema = &self.settings.schema;
        work.row("SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('topk ' || $1, 0))", &[schema]).await?;
        let claimed = StoredOwner::claimed(claim, &self.settings);
        let has_tables = work.has_tables().await?;
        if has_tables && let Some(owner) = work.owner(true).await? {
            owner.yields_to(&claimed, self.server.place())?;
        }
        let version = self.migrate(work, has_tables).await?;
        let generation = claimed.generation.0 as i64;
        work.execute(
            UPSERT_OWNER,
            None,
            &[&claimed.job, &claimed.table_prefix, &claimed.key_column, &version, &generation, &self.now()],
        )
        .await?;
        work.progress().await
    }

    async fn migrate(&self, work: &mut Work<'_>, has_tables: bool) -> Result<i32, Failure> {
        let mut applied = 0;
        if has_tables && let Some(row) = work.row(SCHEMA_VERSION, &[]).await? {
            applied = row.get(0);
        }
        let (missing, newest) = Migration::missing(&MIGRATIONS, applied, self.server.place())?;
        if missing.is_empty() {
            return Ok(newest);
        }
        let schema = &self.settings.schema;
        if work.row("SELECT FROM pg_namespace WHERE nspname = $1", &[schema]).await?.is_none() {
            work.batch(&self.layout.sql("CREATE SCHEMA {schema}", None)).await?;
        }
        for migration in missing {
            work.batch(&self.layout.migration(migration)).await?;
            tracing::info!(version = migration.version, place = self.server.place(), "applied a migration");
        }
        self.grant(work).await?;
        Ok(newest)
    }

    /// Let `topk_read` read, as far as we may.
    async fn grant(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        // The role belongs to the whole cluster: somebody else may have made it this moment.
        let made = work.attempt(CREATE_READER).await?;
        let mut grants = self.layout.sql(GRANT_READER, None);
        for kind in 0..self.settings.windows.len() as KindIndex {
            grants.push(';');
            grants.push_str(&self.layout.sql(GRANT_READER_COUNTS, Some(kind)));
        }
        if let Some(why) = work.attempt(&grants).await? {
            let why = made.unwrap_or(why);
            tracing::warn!(
                why,
                "could not let the role topk_read read the tables; create it and grant SELECT, if you want it"
            );
        }
        Ok(())
    }

    async fn flush(&self, work: &mut Work<'_>, step: &Step, flush: &Flush<'_>) -> Result<Vec<bool>, Failure> {
        let (commit, place) = (&step.commit, self.server.place());
        let ours = self.claimed.unwrap_or(commit.generation).max(commit.generation);
        let owner = match work.owner(true).await {
            Ok(Some(owner)) => owner,
            Ok(None) => return Err(StoredOwner::gone(place).into()),
            Err(failure) if failure.is_undefined_table() => return Err(StoredOwner::gone(place).into()),
            Err(failure) => return Err(failure),
        };
        owner.writable_by(&self.settings.job, place)?;
        let stored = work.progress().await?;
        admit(place, owner.generation, stored.as_ref(), ours, self.acknowledged, commit)?;

        let epoch = commit.sequence.0 as i64;
        self.write_counts(work, flush).await?;
        self.write_statuses(work, flush, epoch).await?;
        if let Some(rankings) = &flush.rankings {
            self.write_rankings(work, rankings).await?;
        }
        let partitions: Vec<&str> = flush.ledger.iter().map(|row| row.partition).collect();
        let consumed: Vec<i64> = flush.ledger.iter().map(|row| row.consumed).collect();
        let counted: Vec<i64> = flush.ledger.iter().map(|row| row.counted).collect();
        let dead_lettered: Vec<i64> = flush.ledger.iter().map(|row| row.dead_lettered).collect();
        work.execute(UPSERT_LEDGER, None, &[&partitions, &consumed, &counted, &dead_lettered]).await?;
        let mut swept = self.sweep(work, &flush.oldest_kept).await?;
        for _ in 1..sweeps(commit) {
            if !swept.contains(&false) {
                break;
            }
            swept = self.sweep(work, &flush.oldest_kept).await?;
        }
        work.execute(
            UPSERT_PROGRESS,
            None,
            &[
                &(ours.0 as i64),
                &epoch,
                &flush.rankings.as_ref().map(|_| epoch),
                &commit.hash.to_string(),
                &flush.offsets,
                &flush.partitions,
                &commit.watermark.map(Timestamptz),
                &self.now(),
            ],
        )
        .await?;
        Ok(swept)
    }

    async fn write_counts(&self, work: &mut Work<'_>, flush: &Flush<'_>) -> Result<(), Failure> {
        for (kind, rows) in flush.counts.iter().enumerate() {
            let kind = kind as KindIndex;
            for rows in rows.chunks(ROWS_AT_ONCE) {
                let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
                let counts: Vec<i64> = rows.iter().map(|row| row.count).collect();
                if self.settings.windows.kind(kind).span == Span::AllTime {
                    work.execute(UPSERT_ALL_TIME, Some(kind), &[&keys, &counts]).await?;
                } else {
                    let starts: Vec<Timestamptz> = rows.iter().map(|row| Timestamptz(row.start)).collect();
                    work.execute(UPSERT, Some(kind), &[&starts, &keys, &counts]).await?;
                }
            }
        }
        Ok(())
    }

    async fn write_statuses(&self, work: &mut Work<'_>, flush: &Flush<'_>, epoch: i64) -> Result<(), Failure> {
        for rows in flush.statuses.chunks(ROWS_AT_ONCE) {
            let windows = || rows.iter().map(|row| row.status.window);
            let kinds: Vec<&str> = windows().map(|window| self.kind(window.kind)).collect();
            let starts: Vec<Timestamptz> = windows().map(|window| Timestamptz(window.start)).collect();
            let ends: Vec<Timestamptz> = windows().map(|window| Timestamptz(window.end)).collect();
            let states: Vec<String> = rows.iter().map(|row| row.status.state.to_string()).collect();
            let events: Vec<i64> = rows.iter().map(|row| row.events).collect();
            let keys: Vec<i64> = rows.iter().map(|row| row.keys).collect();
            let late: Vec<i64> = rows.iter().map(|row| row.late).collect();
            work.execute(UPSERT_STATUS, None, &[&kinds, &starts, &ends, &states, &events, &keys, &late, &epoch])
                .await?;
        }
        Ok(())
    }

    async fn write_rankings(&self, work: &mut Work<'_>, rankings: &[&Ranking]) -> Result<(), Failure> {
        let per_statement = (ROWS_AT_ONCE / self.settings.k.max(1) as usize).max(1);
        for rankings in rankings.chunks(per_statement) {
            let kinds: Vec<&str> = rankings.iter().map(|ranking| self.kind(ranking.window.kind)).collect();
            let starts: Vec<Timestamptz> = rankings.iter().map(|ranking| Timestamptz(ranking.window.start)).collect();
            work.execute(DELETE_TOP_K, None, &[&kinds, &starts]).await?;
            let (mut of_kind, mut of_start, mut of_end) = (Vec::new(), Vec::new(), Vec::new());
            let (mut ranks, mut keys, mut counts) = (Vec::new(), Vec::new(), Vec::new());
            for ranking in rankings {
                for (rank, key, count) in ranked(ranking)? {
                    of_kind.push(self.kind(ranking.window.kind));
                    of_start.push(Timestamptz(ranking.window.start));
                    of_end.push(Timestamptz(ranking.window.end));
                    ranks.push(rank);
                    keys.push(key);
                    counts.push(count);
                }
            }
            work.execute(INSERT_TOP_K, None, &[&of_kind, &of_start, &of_end, &ranks, &keys, &counts]).await?;
        }
        Ok(())
    }

    /// Delete what has expired, a bounded number of rows; by kind, whether all of it is gone.
    async fn sweep(&self, work: &mut Work<'_>, oldest_kept: &[Option<EventTime>]) -> Result<Vec<bool>, Failure> {
        let mut done = vec![true; oldest_kept.len()];
        for (kind, oldest) in oldest_kept.iter().enumerate() {
            let Some(oldest) = oldest.filter(|oldest| self.swept[kind] < Some(*oldest)) else { continue };
            let (index, start) = (kind as KindIndex, Timestamptz(oldest));
            let name = self.kind(index);
            let most = [
                work.execute(SWEEP_COUNTS, Some(index), &[&start, &SWEEP_ROWS]).await?,
                work.execute(SWEEP_TOP_K, None, &[&name, &start, &SWEEP_ROWS]).await?,
                work.execute(SWEEP_STATUS, None, &[&name, &start, &SWEEP_ROWS]).await?,
            ];
            done[kind] = most.iter().all(|rows| *rows < SWEEP_ROWS as u64);
        }
        Ok(done)
    }

    fn kind(&self, kind: KindIndex) -> &str {
        &self.settings.windows.kind(kind).name
    }
}

impl Follower for PostgresTables {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn wants(&self) -> Wants {
        self.settings.wants()
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        self.in_transaction(IsolationLevel::RepeatableRead, async |tables, work| {
            if !work.has_tables().await? {
                return Ok(None);
            }
            let (owner, stored) = (work.owner(false).await?, work.progress().await?);
            if let Some(owner) = &owner {
                owner.writable_by(&tables.settings.job, tables.server.place())?;
            }
            Ok(owner.map(|owner| looked(owner.generation, stored.as_ref())))
        })
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        let stored =
            self.in_transaction(IsolationLevel::ReadCommitted, async |tables, work| tables.take(work, claim).await)?;
        self.claimed = Some(claim.generation);
        self.acknowledged = None;
        Ok(stored.map(|stored| stored.progress()))
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        let began = self.clock.monotonic();
        let flush = Flush::plan(step, &self.settings)?;
        let done = self.in_transaction(IsolationLevel::ReadCommitted, async |tables, work| {
            tables.flush(work, step, &flush).await
        })?;
        for (kind, _) in done.into_iter().enumerate().filter(|(_, done)| *done) {
            self.swept[kind] = flush.oldest_kept[kind];
        }
        self.acknowledged = Some(step.commit.sequence);
        flush.record("postgres", &self.settings.windows, self.clock.monotonic() - began, self.clock.now());
        Ok(())
    }
}

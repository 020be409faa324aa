//! The follower that keeps tables in Postgres. One flush is one transaction.

use super::connection::{Failure, Server};
use super::counts::{self, CountWriter};
use super::statements::*;
use super::time::Timestamptz;
use super::work::{Session, Work};
use super::write::Writer;
use crate::retention::oldest_kept;
use crate::sql::{
    self, Flush, Layout, Migration, StoredOwner, StoredProgress, TablesSettings, Written, admit, forget, looked, sweeps,
};
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Bug, Claim, Clock, Commit, EventTime, FailPoint, Fault, Follower, Forget, Generation, KindIndex, Progress,
    RecordHash, RowChunks, Sequence, Span, Step, Wants, seeded,
};
use tokio::runtime::Runtime;
use tokio_postgres::IsolationLevel;

/// For one answer of a flush.
const DEADLINE: Duration = Duration::from_secs(30);
/// When something reads a table whose partition is to be dropped.
const DROP_PAUSE: Duration = Duration::from_secs(60);
pub(super) const MIGRATIONS: [Migration; 3] = [
    Migration {
        version: 1,
        once: include_str!("migrations/001_once.sql"),
        each_kind: include_str!("migrations/001_each_kind.sql"),
        all_time: include_str!("migrations/001_all_time.sql"),
    },
    Migration { version: 2, once: "", each_kind: include_str!("migrations/002_each_kind.sql"), all_time: "" },
    Migration { version: 3, once: include_str!("migrations/003_once.sql"), each_kind: "", all_time: "" },
];

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
    /// What a lost journal would be built on.
    journal: Option<String>,
    /// The last record whose step was tried and not acknowledged.
    tried: Option<(Sequence, RecordHash)>,
    /// By kind: statuses and rankings before this start have been deleted.
    swept: Vec<Option<EventTime>>,
    /// No partition is dropped before this.
    drop_again_at: Duration,
    /// So many rows of a kind go by COPY.
    pub(super) copy_from: usize,
}

impl PostgresTables {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// A URL that cannot be used, or names that cannot name tables.
    pub fn new(settings: TablesSettings, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        Self::with_deadline(settings, clock, DEADLINE)
    }

    /// `deadline`: for one answer.
    pub(super) fn with_deadline(
        settings: TablesSettings,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Fault::failed("cannot prepare to talk to Postgres", error, "check the process's limits")
        })?;
        Ok(PostgresTables {
            server: Server::new(&settings.url, &settings.schema, deadline, false)?,
            layout: Layout::new(&settings, Some(&settings.schema))?,
            swept: vec![None; settings.windows.len()],
            settings,
            clock,
            runtime,
            session: None,
            claimed: None,
            acknowledged: None,
            journal: None,
            tried: None,
            drop_again_at: Duration::ZERO,
            copy_from: counts::COPY_FROM_ROWS,
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
        let has_tables = work.has_tables(schema).await?;
        if has_tables && let Some(owner) = work.owner(true).await? {
            owner.yields_to(&claimed, self.server.place())?;
        }
        let version = self.migrate(work, has_tables).await?;
        let generation = claimed.generation.0 as i64;
        work.execute(
            UPSERT_OWNER,
            None,
            &[
                &claimed.job,
                &claimed.table_prefix,
                &claimed.key_column,
                &version,
                &generation,
                &self.now(),
                &self.journal,
            ],
        )
        .await?;
        work.progress().await
    }

    /// See [`Follower::forget`].
    async fn let_go(&self, work: &mut Work<'_>, rows: Forget) -> Result<Option<EventTime>, Failure> {
        let windows = &self.settings.windows;
        self.owner(work).await?.held_by(self.claimed, self.server.place())?;
        let as_of = work.progress().await?.and_then(|stored| stored.as_of);
        let Some((after, until)) = forget::ends(rows, as_of, self.settings.allowed_lateness) else {
            let mut all = forget::TABLES.map(|table| self.layout.sql(table, None)).to_vec();
            all.extend((0..windows.len() as KindIndex).map(|kind| self.layout.sql("{counts}", Some(kind))));
            work.batch(&format!("TRUNCATE {}", all.join(", "))).await?;
            return Ok(as_of);
        };
        for kind in (0..windows.len() as KindIndex).filter(|kind| windows.kind(*kind).span != Span::AllTime) {
            let (name, after, until) = (&windows.kind(kind).name, Timestamptz(after), Timestamptz(until));
            for rows in ["{counts} WHERE", "{top_k} WHERE period = $1 AND"] {
                let start = if rows.starts_with("{counts}") { "window_start" } else { "start_time" };
                let sweep = format!("DELETE FROM {rows} {start} IN ({})", forget::ENDED);
                work.execute(&sweep, Some(kind), &[name, &after, &until]).await?;
            }
        }
        Ok(as_of)
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
            work.migration(&self.layout.migration(migration)).await?;
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

    /// Everything of a step, in one transaction; or nothing, if it is there already.
    async fn flush(
        &self,
        work: &mut Work<'_>,
        step: &Step,
        flush: &Flush<'_>,
        lost: Option<RowChunks>,
        is_tried: bool,
    ) -> Result<Flushed, Failure> {
        FailPoint::FlushBegun.reach()?;
        let (commit, place) = (&*step.commit, self.server.place());
        let ours = self.claimed.unwrap_or(commit.generation).max(commit.generation);
        let stored = self.admitted(work, commit, ours).await?;
        let is_asked = is_tried && !seeded(Bug::UnknownCommitAdded);
        if is_asked && stored.is_some_and(|stored| stored.epoch == commit.sequence && stored.generation == ours) {
            tracing::info!(place, epoch = commit.sequence.0, "a flush of unknown outcome was committed");
            return Ok(Flushed::default());
        }
        FailPoint::FlushAdmitted.reach()?;
        let mut flushed = Flushed::default();
        let adds = seeded(Bug::AdditiveUpsert) || is_tried && seeded(Bug::UnknownCommitAdded);
        self.write_counts(work, flush, lost, adds, &mut flushed.written).await?;
        let writer = Writer { settings: &self.settings, flush, commit };
        writer.statuses(work).await?;
        writer.rankings(work).await?;
        writer.ledger(work).await?;
        if let Some(journal) = &self.journal {
            work.execute("UPDATE {job} SET journal = $1::text::jsonb", None, &[journal]).await?;
        }
        for _ in 0..sweeps(commit) {
            flushed.swept = writer.sweep(work, &self.swept).await?;
            if !flushed.swept.contains(&false) {
                break;
            }
        }
        writer.progress(work, ours, self.now()).await?;
        FailPoint::FlushBeforeCommit.reach()?;
        Ok(flushed)
    }

    /// What the tables show so far, if a step of this epoch may be written over it.
    async fn admitted(
        &self,
        work: &mut Work<'_>,
        commit: &Commit,
        ours: Generation,
    ) -> Result<Option<StoredProgress>, Failure> {
        let owner = self.owner(work).await?;
        let stored = work.progress().await?;
        admit(self.server.place(), owner.generation, stored.as_ref(), ours, self.acknowledged, commit)?;
        Ok(stored)
    }

    /// Whose the tables are, if this job may write them. Until the transaction ends that stays so.
    async fn owner(&self, work: &mut Work<'_>) -> Result<StoredOwner, Failure> {
        let place = self.server.place();
        let owner = match work.owner(true).await {
            Ok(Some(owner)) => owner,
            Ok(None) => return Err(StoredOwner::gone(place).into()),
            Err(failure) if failure.is_undefined_table() => return Err(StoredOwner::gone(place).into()),
            Err(failure) => return Err(failure),
        };
        owner.writable_by(&self.settings.job, place)?;
        Ok(owner)
    }

    /// Counts in memory, then those from the journal, a stretch of keys at a time.
    async fn write_counts(
        &self,
        work: &mut Work<'_>,
        flush: &Flush<'_>,
        lost: Option<RowChunks>,
        adds: bool,
        written: &mut Written,
    ) -> Result<(), Failure> {
        let Flush { oldest_kept, .. } = flush;
        written.expired = vec![0; oldest_kept.len()];
        let how = CountWriter { settings: &self.settings, oldest_kept, copy_from: self.copy_from, adds };
        counts::write(work, &flush.counts, &how, written).await?;
        let Some(lost) = lost else { return Ok(()) };
        // The journal is read between statements.
        work.batch("SET LOCAL idle_in_transaction_session_timeout = '10min'").await?;
        let all = vec![None; oldest_kept.len()];
        for chunk in lost {
            let chunk = chunk?;
            let found = sql::counts(&chunk, &all, &mut [])?;
            counts::write(work, &found, &how, written).await?;
        }
        Ok(())
    }

    /// Drop partitions that hold nothing but expired rows. Each in a transaction of its own and only if nobody reads the
    /// table at this moment: who waits for that lock makes readers wait.
    fn drop_expired(&mut self, oldest_kept: &[Option<EventTime>]) {
        if self.drop_again_at > self.clock.monotonic() {
            return;
        }
        for (kind, oldest) in oldest_kept.iter().enumerate() {
            let Some(oldest) = oldest else { continue };
            let kind = kind as KindIndex;
            loop {
                let dropped = self.in_transaction(IsolationLevel::ReadCommitted, async |tables, work| {
                    tables.drop_one(work, kind, *oldest).await
                });
                match dropped {
                    Ok(None) => break,
                    Ok(Some(partition)) => {
                        tracing::info!(partition, "dropped a partition that retention no longer keeps");
                        metrics::counter!("topk_partitions_dropped_total").increment(1);
                    }
                    Err(fault) => {
                        tracing::info!(%fault, again_in = ?DROP_PAUSE, "an expired partition could not be dropped yet");
                        self.drop_again_at = self.clock.monotonic() + DROP_PAUSE;
                        return;
                    }
                }
            }
        }
    }

    async fn drop_one(
        &self,
        work: &mut Work<'_>,
        kind: KindIndex,
        oldest_kept: EventTime,
    ) -> Result<Option<String>, Failure> {
        let partitions = counts::partitions(work, kind).await?;
        let Some(name) = partitions.expired(oldest_kept).next().map(|partition| partition.name.clone()) else {
            return Ok(None);
        };
        // A newer instance may keep rows for longer.
        let owner = work.owner(true).await?.ok_or_else(|| StoredOwner::gone(self.server.place()))?;
        if Some(owner.generation) != self.claimed {
            return Ok(None);
        }
        let table = self.layout.table(&name);
        work.batch("SET LOCAL lock_timeout = '500ms'").await?;
        let detach = format!("ALTER TABLE {{counts}} DETACH PARTITION {table}; DROP TABLE {table}");
        work.batch(&self.layout.sql(&detach, Some(kind))).await?;
        work.partitions.get_mut(&kind).expect("read above").remove(&name);
        Ok(Some(name))
    }
}

/// What a flush did.
#[derive(Default)]
struct Flushed {
    written: Written,
    /// By kind, whether everything expired is gone.
    swept: Vec<bool>,
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
            if !work.has_tables(&tables.settings.schema).await? {
                return Ok(None);
            }
            let (owner, stored) = (work.owner(false).await?, work.progress().await?);
            if let Some(owner) = &owner {
                owner.writable_by(&tables.settings.job, tables.server.place())?;
            }
            Ok(owner.map(|owner| looked(owner.generation, stored.as_ref())))
        })
    }

    fn remember(&mut self, journal: &str) {
        self.journal = Some(journal.to_owned());
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        let stored =
            self.in_transaction(IsolationLevel::ReadCommitted, async |tables, work| tables.take(work, claim).await)?;
        self.claimed = Some(claim.generation);
        self.acknowledged = None;
        self.tried = None;
        Ok(stored.map(|stored| stored.progress()))
    }

    fn forget(&mut self, rows: Forget) -> Result<Option<EventTime>, Fault> {
        self.in_transaction(IsolationLevel::ReadCommitted, async |tables, work| tables.let_go(work, rows).await)
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        let began = self.clock.monotonic();
        let mut flush = Flush::plan(step, &self.settings, false)?;
        if seeded(Bug::RetentionByClock) {
            let TablesSettings { windows, retention, .. } = &self.settings;
            let now = Some(EventTime::from_millis(self.clock.now().0));
            let kept = (0..).zip(retention).map(|(kind, retention)| oldest_kept(windows, kind, *retention, now));
            flush.oldest_kept = kept.collect();
        }
        let lost = step.lost.as_ref().map(|lost| lost.rows.open()).transpose()?;
        let this = (step.commit.sequence, step.commit.hash);
        // Where an earlier try got no answer to its COMMIT, the progress row tells what became of it.
        let is_tried = self.tried.replace(this) == Some(this);
        let flushed = self.in_transaction(IsolationLevel::ReadCommitted, async |tables, work| {
            tables.flush(work, step, &flush, lost, is_tried).await
        })?;
        FailPoint::FlushCommitted.reach()?;
        (self.tried, self.journal) = (None, None);
        for (kind, _) in flushed.swept.into_iter().enumerate().filter(|(_, done)| *done) {
            self.swept[kind] = flush.oldest_kept[kind];
        }
        self.acknowledged = Some(step.commit.sequence);
        let took = self.clock.monotonic() - began;
        flushed.written.record("postgres", &self.settings.windows, took, self.clock.now());
        self.drop_expired(&flush.oldest_kept);
        Ok(())
    }
}

//! One transaction at work: statements prepared once for a connection, each answer within the deadline.

use super::connection::{Failure, Server};
use super::partitions::Partitions;
use super::statements::{OWNER, OWNER_LOCKED, PROGRESS, TABLE_EXISTS};
use super::time::Timestamptz;
use crate::sql::{Layout, StoredOwner, StoredProgress, hash_of};
use std::collections::HashMap;
use std::time::Duration;
use stream::{Generation, KindIndex, Sequence};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, CopyInSink, Error, IsolationLevel, Row, Statement, Transaction};

/// Until a migration has been applied: it may have to look at every row.
const MIGRATION_DEADLINE: Duration = Duration::from_secs(3600);
/// Until a connection has said goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// A connection and what has been prepared on it.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    prepared: HashMap<String, Statement>,
    partitions: HashMap<KindIndex, Partitions>,
    arrivals: Arrivals,
}

/// The temporary table that rows are copied into. It lives as long as the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Arrivals {
    /// Not tried yet.
    #[default]
    Unknown,
    Made,
    /// We may not make one.
    Refused,
}

impl Session {
    pub(super) async fn open(server: &Server) -> Result<Self, Failure> {
        let (client, connection) = server.connect().await?;
        Ok(Session {
            client,
            connection,
            prepared: HashMap::new(),
            partitions: HashMap::new(),
            arrivals: Arrivals::default(),
        })
    }

    /// End the connection now. Nobody drives it between two calls: a rollback left to itself would hold its locks.
    pub(super) async fn close(self) {
        let Session { client, mut connection, .. } = self;
        drop(client);
        if tokio::time::timeout(CLOSE_DEADLINE, &mut connection).await.is_err() {
            connection.abort();
        }
    }

    /// Begin. What is not committed is rolled back.
    pub(super) async fn begin<'a>(
        &'a mut self,
        server: &'a Server,
        layout: &'a Layout,
        isolation: IsolationLevel,
    ) -> Result<Work<'a>, Failure> {
        let Session { client, prepared, partitions, arrivals, .. } = self;
        let transaction = server.within(client.build_transaction().isolation_level(isolation).start()).await?;
        Ok(Work { transaction, prepared, partitions, arrivals, server, layout })
    }
}

/// A transaction that has begun.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    prepared: &'a mut HashMap<String, Statement>,
    /// By kind, as far as they have been read: as of this transaction.
    pub(super) partitions: &'a mut HashMap<KindIndex, Partitions>,
    pub(super) arrivals: &'a mut Arrivals,
    server: &'a Server,
    pub(super) layout: &'a Layout,
}

impl Work<'_> {
    async fn statement(&mut self, template: &str, kind: Option<KindIndex>) -> Result<Statement, Failure> {
        let sql = self.layout.sql(template, kind);
        if let Some(statement) = self.prepared.get(&sql) {
            return Ok(statement.clone());
        }
        let statement = self.server.within(self.transaction.prepare(&sql)).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Run a statement; how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        template: &str,
        kind: Option<KindIndex>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failure> {
        let statement = self.statement(template, kind).await?;
        self.server.within(self.transaction.execute(&statement, parameters)).await
    }

    /// At most one row.
    pub(super) async fn row(
        &mut self,
        template: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Failure> {
        let statement = self.statement(template, None).await?;
        self.server.within(self.transaction.query_opt(&statement, parameters)).await
    }

    /// All rows.
    pub(super) async fn rows(
        &mut self,
        template: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.statement(template, None).await?;
        self.server.within(self.transaction.query(&statement, parameters)).await
    }

    /// Begin a COPY from here.
    pub(super) async fn copy_in(&mut self, template: &str) -> Result<CopyInSink<bytes::Bytes>, Failure> {
        let statement = self.statement(template, None).await?;
        self.server.within(self.transaction.copy_in(&statement)).await
    }

    /// One answer, within the deadline.
    pub(super) async fn within<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        self.server.within(asking).await
    }

    /// Run SQL that may take as long as a migration does.
    pub(super) async fn migration(&mut self, sql: &str) -> Result<(), Failure> {
        let millis = MIGRATION_DEADLINE.as_millis();
        self.batch(&format!("SET LOCAL statement_timeout = {millis}")).await?;
        let asked = tokio::time::timeout(MIGRATION_DEADLINE, self.transaction.batch_execute(sql)).await;
        asked.map_err(|_| Failure::Late(MIGRATION_DEADLINE))?.map_err(Failure::Postgres)
    }

    /// Run SQL as it stands.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        self.server.within(self.transaction.batch_execute(sql)).await
    }

    /// Run SQL; if it fails, undo it alone and say why.
    pub(super) async fn attempt(&mut self, sql: &str) -> Result<Option<String>, Failure> {
        self.batch("SAVEPOINT attempt").await?;
        match self.batch(sql).await {
            Ok(()) => self.batch("RELEASE attempt").await.map(|()| None),
            Err(failure @ Failure::Postgres(_)) => {
                let fault = self.server.fault(failure);
                self.batch("ROLLBACK TO attempt").await?;
                Ok(Some(fault.why))
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.server.within(self.transaction.commit()).await
    }

    /// Whether a migration has been applied yet.
    pub(super) async fn has_tables(&mut self, schema: &str) -> Result<bool, Failure> {
        Ok(self.row(TABLE_EXISTS, &[&schema]).await?.is_some_and(|row| row.get(0)))
    }

    /// The owner; until the transaction ends nobody else may claim or write if it is locked.
    pub(super) async fn owner(&mut self, lock: bool) -> Result<Option<StoredOwner>, Failure> {
        let row = self.row(if lock { OWNER_LOCKED } else { OWNER }, &[]).await?;
        Ok(row.map(|row| StoredOwner {
            job: row.get(0),
            table_prefix: row.get(1),
            key_column: row.get(2),
            generation: Generation(row.get::<_, i64>(3).unsigned_abs()),
        }))
    }

    pub(super) async fn progress(&mut self) -> Result<Option<StoredProgress>, Failure> {
        let Some(row) = self.row(PROGRESS, &[]).await? else { return Ok(None) };
        Ok(Some(StoredProgress {
            generation: Generation(row.get::<_, i64>(0).unsigned_abs()),
            epoch: Sequence(row.get::<_, i64>(1).unsigned_abs()),
            top_k_epoch: row.get::<_, Option<i64>>(2).map(|epoch| Sequence(epoch.unsigned_abs())),
            hash: hash_of(row.get(3))?,
            as_of: row.get::<_, Option<Timestamptz>>(4).map(|at| at.0),
        }))
    }
}

//! Everything in the tables from one repeatable-read transaction, some thousand rows at a time, each within a deadline.
//! It writes nothing. While it lasts, expired partitions cannot be dropped: the job tries that again.

use super::connection::{Failure, Server};
use super::time::Timestamptz;
use crate::sql::whole::{AS_OF, COUNTS, COUNTS_ALL_TIME, LEDGER, RANKED, STATUS, column};
use crate::sql::{Layout, TableRow, TablesAsOf, TakeRow, hash_of};
use std::time::Duration;
use stream::{EventTime, Fault, Generation, KindIndex, Sequence, Span, Windows};
use tokio_postgres::{IsolationLevel, Row, Transaction};

/// For some thousand rows, the sorting of a table included.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// Rows that are in memory at once.
const ROWS_AT_ONCE: i32 = 10_000;

/// Reads everything.
pub(super) struct Whole<'a> {
    pub(super) server: &'a Server,
    pub(super) layout: &'a Layout,
    pub(super) windows: &'a Windows,
}

impl Whole<'_> {
    /// Hand over every row; false where nothing was written yet. Blocks.
    pub(super) fn read(&self, take: TakeRow<'_>) -> Result<bool, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Fault::failed("cannot prepare to talk to Postgres", error, "check the process's limits")
        })?;
        match runtime.block_on(self.rows(take)) {
            Err(failure) if failure.is_undefined_table() => Ok(false),
            outcome => outcome.map_err(|failure| self.server.fault(failure)),
        }
    }

    async fn rows(&self, take: TakeRow<'_>) -> Result<bool, Failure> {
        let (mut client, _) = self.server.connect().await?;
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = self.server.within(snapshot.start()).await?;
        let rows = self.server.within(transaction.query(&self.layout.sql(AS_OF, None), &[])).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        take(TableRow::AsOf(as_of(row)?))?;
        self.each(&transaction, LEDGER, None, &mut |row| {
            let (consumed, counted, dead_lettered, lost) = (row.get(1), row.get(2), row.get(3), row.get(4));
            take(TableRow::Ledger { partition: row.get(0), consumed, counted, dead_lettered, lost })
        })
        .await?;
        self.each(&transaction, STATUS, None, &mut |row| {
            let (kind, state) = (row.get(0), row.get(3));
            let (start, end) = (row.get::<_, Timestamptz>(1).0, row.get::<_, Timestamptz>(2).0);
            let (events, keys, late, epoch) = (row.get(4), row.get(5), row.get(6), row.get(7));
            take(TableRow::Status { kind, start, end, state, events, keys, late, epoch })
        })
        .await?;
        for kind in 0..self.windows.len() as KindIndex {
            let all_time = self.windows.kind(kind).span == Span::AllTime;
            let (sql, first) = if all_time { (COUNTS_ALL_TIME, 0) } else { (COUNTS, 1) };
            self.each(&transaction, sql, Some(kind), &mut |row| {
                let start = if all_time { EventTime::MIN } else { row.get::<_, Timestamptz>(0).0 };
                take(TableRow::Count { kind, start, key: row.get(first), count: row.get(first + 1) })
            })
            .await?;
        }
        self.each(&transaction, RANKED, None, &mut |row| {
            let (kind, region, key, count) = (row.get(0), row.get(1), row.get(5), row.get(6));
            let (start, end) = (row.get::<_, Timestamptz>(2).0, row.get::<_, Timestamptz>(3).0);
            take(TableRow::Ranked { kind, region, start, end, rank: row.get::<_, i32>(4).into(), key, count })
        })
        .await?;
        Ok(true)
    }

    async fn each(
        &self,
        transaction: &Transaction<'_>,
        template: &str,
        kind: Option<KindIndex>,
        take: &mut dyn FnMut(&Row) -> Result<(), Fault>,
    ) -> Result<(), Failure> {
        let sql = self.layout.sql(template, kind);
        let portal = self.server.within(transaction.bind(&sql, &[])).await?;
        loop {
            let rows = self.server.within(transaction.query_portal(&portal, ROWS_AT_ONCE)).await?;
            if rows.is_empty() {
                return Ok(());
            }
            rows.iter().try_for_each(&mut *take)?;
        }
    }
}

fn as_of(row: &Row) -> Result<TablesAsOf, Fault> {
    let number = |number: i64| number.unsigned_abs();
    Ok(TablesAsOf {
        generation: Generation(number(row.get(0))),
        epoch: Sequence(number(row.get(1))),
        top_k_epoch: row.get::<_, Option<i64>>(2).map(|epoch| Sequence(number(epoch))),
        hash: hash_of(row.get(3))?,
        as_of: row.get::<_, Option<Timestamptz>>(4).map(|at| at.0),
        offsets: column("offsets", row.get(5))?,
        partitions: column("partitions", row.get(6))?,
        journal: row.get(7),
    })
}

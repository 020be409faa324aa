//! Everything in the file from one read transaction, which holds back nobody: the write-ahead log keeps what it needs.

use super::connection::{has_tables, open_to_read};
use super::readings::Shared;
use super::tables::{Failure, stored_progress};
use super::time::instant;
use crate::sql::whole::{AS_OF, COUNTS, COUNTS_ALL_TIME, LEDGER, RANKED, STATUS, column};
use crate::sql::{TableRow, TablesAsOf, TakeRow};
use rusqlite::{Connection, Row};
use stream::{EventTime, Fault, KindIndex, Span};

impl Shared {
    /// Hand over every row; false where nothing was written yet. On a connection of its own.
    pub(super) fn whole(&self, take: TakeRow<'_>) -> Result<bool, Fault> {
        let Some(mut connection) = open_to_read(&self.path)? else { return Ok(false) };
        let read = (|| {
            let transaction = connection.transaction()?;
            if has_tables(&transaction)? { self.rows(&transaction, take) } else { Ok(false) }
        })();
        read.map_err(|failure: Failure| failure.into_fault(&self.path))
    }

    fn rows(&self, connection: &Connection, take: TakeRow<'_>) -> Result<bool, Failure> {
        let Some(stored) = stored_progress(&self.layout, connection)? else { return Ok(false) };
        let (offsets, partitions, journal): (String, String, Option<String>) =
            connection
                .query_row(&self.layout.sql(AS_OF, None), [], |row| Ok((row.get(5)?, row.get(6)?, row.get(7)?)))?;
        let value = |name, text: &str| {
            let wrong = |error| {
                Fault::failed(format!("cannot read topk_progress.{name}"), error, "look who else writes these tables")
            };
            serde_json::from_str(text).map_err(wrong)
        };
        take(TableRow::AsOf(TablesAsOf {
            generation: stored.generation,
            epoch: stored.epoch,
            top_k_epoch: stored.top_k_epoch,
            hash: stored.hash,
            as_of: stored.as_of,
            offsets: column("offsets", value("offsets", &offsets)?)?,
            partitions: column("partitions", value("partitions", &partitions)?)?,
            journal: journal.map(|journal| value("journal", &journal)).transpose()?,
        }))?;
        self.each(connection, LEDGER, None, &mut |row| {
            let (consumed, counted, dead_lettered, lost) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            take(TableRow::Ledger { partition: text(row, 0)?, consumed, counted, dead_lettered, lost })?;
            Ok(())
        })?;
        self.each(connection, STATUS, None, &mut |row| {
            take(TableRow::Status {
                kind: text(row, 0)?,
                start: instant(text(row, 1)?, EventTime::MIN)?,
                end: instant(text(row, 2)?, EventTime::MAX)?,
                state: text(row, 3)?,
                events: row.get(4)?,
                keys: row.get(5)?,
                late: row.get(6)?,
                epoch: row.get(7)?,
            })?;
            Ok(())
        })?;
        for kind in 0..self.windows.len() as KindIndex {
            let all_time = self.windows.kind(kind).span == Span::AllTime;
            let (sql, first) = if all_time { (COUNTS_ALL_TIME, 0) } else { (COUNTS, 1) };
            self.each(connection, sql, Some(kind), &mut |row| {
                let start = if all_time { EventTime::MIN } else { instant(text(row, 0)?, EventTime::MIN)? };
                take(TableRow::Count { kind, start, key: text(row, first)?, count: row.get(first + 1)? })?;
                Ok(())
            })?;
        }
        self.each(connection, RANKED, None, &mut |row| {
            take(TableRow::Ranked {
                kind: text(row, 0)?,
                region: text(row, 1)?,
                start: instant(text(row, 2)?, EventTime::MIN)?,
                end: instant(text(row, 3)?, EventTime::MAX)?,
                rank: row.get(4)?,
                key: text(row, 5)?,
                count: row.get(6)?,
            })?;
            Ok(())
        })?;
        Ok(true)
    }

    fn each(
        &self,
        connection: &Connection,
        template: &str,
        kind: Option<KindIndex>,
        take: &mut dyn FnMut(&Row<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut statement = connection.prepare(&self.layout.sql(template, kind))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    }
}

fn text<'a>(row: &'a Row<'_>, at: usize) -> Result<&'a str, Failure> {
    row.get_ref(at)?.as_str().map_err(|error| Failure::Sqlite(error.into()))
}

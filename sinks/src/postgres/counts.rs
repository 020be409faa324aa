//! Writing count rows: into partitions that are made when a row needs them, and by one of two paths with the same outcome:
//! a few rows as arrays in one statement, many by binary COPY into a temporary table and one upsert from there.

use super::connection::Failure;
use super::partitions::{Partition, Partitions, length};
use super::statements::*;
use super::time::Timestamptz;
use super::work::{Arrivals, Work};
use crate::sql::{CountRow, Counts, TablesSettings, Written};
use std::pin::pin;
use stream::{EventTime, FailPoint, KindIndex, Span};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

/// Rows of one kind from which on COPY is no slower than arrays: see `bench/postgres`.
pub(super) const COPY_FROM_ROWS: usize = 20_000;
/// Rows in one statement of arrays.
const ROWS_AT_ONCE: usize = 10_000;
/// Rows in one COPY and one upsert, each of which has a deadline.
const COPIED_AT_ONCE: usize = 200_000;
/// Rows handed to the connection within one deadline.
const ROWS_SENT_AT_ONCE: usize = 5_000;

/// How count rows are written.
pub(super) struct CountWriter<'a> {
    pub(super) settings: &'a TablesSettings,
    /// By kind: start of the oldest window kept, where any may expire.
    pub(super) oldest_kept: &'a [Option<EventTime>],
    /// So many rows of a kind go by COPY.
    pub(super) copy_from: usize,
    /// Seeded bugs alone: to what is there.
    pub(super) adds: bool,
}

/// Upsert rows, which are in the order of their key.
pub(super) async fn write(
    work: &mut Work<'_>,
    counts: &Counts<'_>,
    how: &CountWriter<'_>,
    written: &mut Written,
) -> Result<(), Failure> {
    let CountWriter { settings, oldest_kept, copy_from, adds } = *how;
    for (kind, rows) in counts.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let index = kind as KindIndex;
        let span = settings.windows.kind(index).span;
        let mut rows = rows.as_slice();
        if let Some(oldest) = oldest_kept[kind] {
            let first = partitions(work, index).await?.first_kept(oldest);
            let expired = rows.partition_point(|row| row.start < first);
            written.expired[kind] += expired as u64;
            rows = &rows[expired..];
        }
        written.rows += rows.len() as u64;
        if let Some(length) = length(span, settings.retention[kind]) {
            let starts = rows.chunk_by(|a, b| a.start == b.start).map(|of_window| of_window[0].start);
            make_partitions(work, index, starts, length).await?;
        }
        let all_time = span == Span::AllTime;
        if rows.len() >= copy_from && has_arrivals(work).await? {
            for rows in rows.chunks(COPIED_AT_ONCE) {
                copy(work, index, rows, all_time).await?;
            }
        } else {
            for rows in rows.chunks(ROWS_AT_ONCE) {
                upsert(work, index, rows, all_time, adds).await?;
            }
        }
        FailPoint::FlushMidBatch.reach()?;
    }
    Ok(())
}

async fn upsert(
    work: &mut Work<'_>,
    kind: KindIndex,
    rows: &[CountRow<'_>],
    all_time: bool,
    adds: bool,
) -> Result<(), Failure> {
    let sql = if all_time { UPSERT_ALL_TIME } else { UPSERT };
    let added = adds.then(|| {
        // To an equal count too: that is what a repeated flush finds.
        let upsert = sql.rsplit_once("WHERE").map_or(sql, |(upsert, _)| upsert);
        upsert.replacen("= EXCLUDED.{events}", "= stored.{events} + EXCLUDED.{events}", 1)
    });
    let sql = added.as_deref().unwrap_or(sql);
    let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
    let counts: Vec<i64> = rows.iter().map(|row| row.count).collect();
    if all_time {
        work.execute(sql, Some(kind), &[&keys, &counts]).await?;
    } else {
        let starts: Vec<Timestamptz> = rows.iter().map(|row| Timestamptz(row.start)).collect();
        work.execute(sql, Some(kind), &[&starts, &keys, &counts]).await?;
    }
    Ok(())
}

/// Whether there is a table to copy into. A user without the right to make one is told once, and rows go as arrays.
async fn has_arrivals(work: &mut Work<'_>) -> Result<bool, Failure> {
    if *work.arrivals == Arrivals::Unknown {
        *work.arrivals = match work.attempt(CREATE_ARRIVED).await? {
            None => Arrivals::Made,
            Some(why) => {
                tracing::warn!(why, "cannot make a temporary table; large flushes are slower without");
                Arrivals::Refused
            }
        };
    }
    Ok(*work.arrivals == Arrivals::Made)
}

async fn copy(work: &mut Work<'_>, kind: KindIndex, rows: &[CountRow<'_>], all_time: bool) -> Result<(), Failure> {
    let (copy, upsert, types): (_, _, &[Type]) = if all_time {
        (COPY_ARRIVED_ALL_TIME, UPSERT_ARRIVED_ALL_TIME, &[Type::TEXT, Type::INT8])
    } else {
        (COPY_ARRIVED, UPSERT_ARRIVED, &[Type::TIMESTAMPTZ, Type::TEXT, Type::INT8])
    };
    let sink = work.copy_in(copy).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    for rows in rows.chunks(ROWS_SENT_AT_ONCE) {
        let send = async {
            for row in rows {
                let start = Timestamptz(row.start);
                let values: [&(dyn ToSql + Sync); 3] = [&start, &row.key, &row.count];
                writer.as_mut().write(&values[usize::from(all_time)..]).await?;
            }
            Ok(())
        };
        work.within(send).await?;
    }
    work.within(writer.finish()).await?;
    work.execute(upsert, Some(kind), &[]).await?;
    work.batch(EMPTY_ARRIVED).await
}

/// Make what is missing for windows that start then. Attaching keeps readers out of nothing; making a partition in place would.
async fn make_partitions(
    work: &mut Work<'_>,
    kind: KindIndex,
    starts: impl Iterator<Item = EventTime>,
    length: i64,
) -> Result<(), Failure> {
    let table = work.layout.counts_name(kind);
    let missing = partitions(work, kind).await?.missing(starts, length, &table);
    for partition in &missing {
        let name = work.layout.table(&partition.name);
        let sql = format!(
            "CREATE TABLE {name} (LIKE {{counts}} INCLUDING ALL);
             COMMENT ON TABLE {name} IS 'Rows of {table} with window_start from {from} up to {to}.';
             ALTER TABLE {{counts}} ATTACH PARTITION {name} FOR VALUES FROM ({from_bound}) TO ({to_bound})",
            from = partition.from,
            to = partition.to,
            from_bound = bound(partition.from),
            to_bound = bound(partition.to),
        );
        work.batch(&work.layout.sql(&sql, Some(kind))).await?;
    }
    work.partitions.get_mut(&kind).expect("read above").add(missing);
    Ok(())
}

/// The partitions of a kind, read once for a connection.
pub(super) async fn partitions<'a>(work: &'a mut Work<'_>, kind: KindIndex) -> Result<&'a Partitions, Failure> {
    if !work.partitions.contains_key(&kind) {
        let table = work.layout.sql("{counts}", Some(kind));
        let rows = work.rows(PARTITIONS, &[&table]).await?;
        let partition = |row: &tokio_postgres::Row| Partition {
            name: row.get(0),
            from: row.get::<_, Timestamptz>(1).0,
            to: row.get::<_, Timestamptz>(2).0,
        };
        work.partitions.insert(kind, Partitions::new(rows.iter().map(partition).collect()));
    }
    Ok(&work.partitions[&kind])
}

/// Whole seconds: every boundary is a whole minute.
fn bound(at: EventTime) -> String {
    format!("to_timestamp({})", at.millis().div_euclid(1000))
}

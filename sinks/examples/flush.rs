//! How fast a flush into Postgres is, beside the least that the server must do for it: a bare COPY of sorted rows and one
//! upsert, into a table of the same make. Both in turns, on the same server, in the same run; what is in the tables is
//! checked before a figure is shown. And which way is faster for few rows, arrays or COPY.
//!
//! `bench/postgres` runs it. By hand: `TOPK_TEST_POSTGRES=postgres://… cargo run --release -p sinks --example flush [ROWS]`

use sinks::{PostgresTables, TablesSettings};
use std::collections::BTreeMap;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Claim, Clock, Commit, EventTime, Follower, Generation, KeyArena, RecordHash, RowBlock, Sequence, Step, SystemClock,
    Vocabulary, WindowKind, Windows, Zone,
};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SCHEMA: &str = "bench_flush";
/// 2025-10-19T14:00:00Z
const START: i64 = 1_760_882_400_000;
/// Flushes of each kind: the first inserts every row, the others change every row.
const ROUNDS: u64 = 4;

fn main() -> Outcome<()> {
    let url =
        std::env::var("TOPK_TEST_POSTGRES").map_err(|_| "TOPK_TEST_POSTGRES names no Postgres: run bench/postgres")?;
    let rows: usize = std::env::args().nth(1).map_or(Ok(300_000), |rows| rows.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (client, connection) = runtime.block_on(tokio_postgres::connect(&url, NoTls))?;
    runtime.spawn(connection);
    runtime.block_on(client.batch_execute(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")))?;
    let clock = Arc::new(SystemClock::default());
    // Both without TLS, which would be a third thing to measure.
    let separator = if url.contains('?') { '&' } else { '?' };
    let mut tables = PostgresTables::new(settings(&format!("{url}{separator}sslmode=disable")), clock.clone())?;
    tables.claim(&Claim { job: "bench".into(), generation: Generation(1) })?;

    // In the order in which keys were first seen, as workers give them.
    let names: Vec<String> =
        (0..rows).map(|number| format!("v{:08x}", (number as u32).wrapping_mul(2_654_435_761))).collect();
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    tables.write(&step(1, &names[..1], 1))?;
    runtime.block_on(client.batch_execute(BARE_TABLES))?;

    println!("{rows} rows of one hour, {ROUNDS} flushes of each kind in turns; the first inserts, the others update\n");
    println!("{:>8} {:>14} {:>22} {:>8}", "flush", "topk rows/s", "COPY + upsert rows/s", "ratio");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let flush = step(round + 1, &names, round);
        // In turns who is first: what one leaves to the server's background writers slows the other.
        let (mut ours, mut bare) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours = timed(&*clock, || Ok(tables.write(&flush)?))?;
            } else {
                bare = timed(&*clock, || Ok(runtime.block_on(copy_and_upsert(&client, &sorted, round))?))?;
            }
        }
        runtime.block_on(check(&client, rows, round))?;
        let rate = |took: Duration| rows as f64 / took.as_secs_f64();
        let ratio = bare.as_secs_f64() / ours.as_secs_f64();
        let kind = if round == 1 { "insert" } else { "update" };
        println!("{kind:>8} {:>14.0} {:>22.0} {:>7.0} %", rate(ours), rate(bare), 100.0 * ratio);
        ratios.push(ratio);
        // Neither is to pay for the other's dead rows.
        for clean in ["VACUUM bench_flush.bare", "VACUUM bench_flush.plays_hour", "CHECKPOINT"] {
            runtime.block_on(client.batch_execute(clean))?;
        }
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    println!("\nmean ratio {:.0} %\n\n{:>8} {:>16} {:>16}", 100.0 * mean, "rows", "arrays, ms", "COPY, ms");
    for few in [50, 200, 500, 1000, 2000, 5000, 10_000, 20_000] {
        let stride = rows / few.min(rows);
        let some: Vec<&str> = sorted.iter().step_by(stride.max(1)).take(few).copied().collect();
        let (mut arrays, mut copied) = (Vec::new(), Vec::new());
        for count in 0..9 {
            let count = 1000 + 2 * count;
            arrays.push(timed(&*clock, || Ok(runtime.block_on(upsert_arrays(&client, &some, count))?))?);
            copied.push(timed(&*clock, || Ok(runtime.block_on(copy_and_upsert(&client, &some, count + 1))?))?);
        }
        println!("{few:>8} {:>16.2} {:>16.2}", median(arrays), median(copied));
    }
    drop(tables);
    runtime.block_on(client.batch_execute(&format!("DROP SCHEMA {SCHEMA} CASCADE")))?;
    Ok(())
}

fn settings(url: &str) -> TablesSettings {
    TablesSettings {
        job: "bench".into(),
        url: url.to_owned(),
        schema: SCHEMA.into(),
        table_prefix: "plays".into(),
        key_column: "song_id".into(),
        words: Vocabulary::new("play", "plays", "song", "songs"),
        windows: Windows::new(vec![WindowKind::named("hour").expect("it is a kind")], Zone::utc()).expect("one kind"),
        retention: vec![None],
        allowed_lateness: Duration::from_secs(60),
        k: 1000,
        flush_every: Duration::from_secs(1),
        top_k_every: Duration::from_secs(10),
    }
}

fn step(sequence: u64, names: &[String], count: u64) -> Step {
    let mut keys = KeyArena::default();
    names.iter().for_each(|name| {
        keys.push(name);
    });
    let window = settings("").windows.window(0, EventTime::from_millis(START));
    let commit = Commit {
        epoch: sequence,
        generation: Generation(1),
        sequence: Sequence(sequence),
        hash: RecordHash([sequence as u8; 32]),
        changed: true,
        last: false,
        watermark: None,
        partitions: Arc::new(BTreeMap::new()),
        ledger: Arc::new(BTreeMap::new()),
        late: Vec::new(),
        dead_letters: Arc::default(),
        granted: Vec::new(),
        evictable: None,
    };
    Step { rows: vec![RowBlock { window, keys, counts: vec![count; names.len()] }], ..Step::empty(commit) }
}

/// The same columns, constraints and indexes as a partition has, in a partitioned table of its own.
const BARE_TABLES: &str =
    "CREATE TABLE bench_flush.bare (LIKE bench_flush.plays_hour INCLUDING ALL) PARTITION BY RANGE (window_start);
    CREATE TABLE bench_flush.bare_1 PARTITION OF bench_flush.bare FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TEMPORARY TABLE arrived (window_start timestamptz, key text, count bigint) ON COMMIT DELETE ROWS";
const UPSERT: &str = "INSERT INTO bench_flush.bare AS stored SELECT * FROM arrived
    ON CONFLICT (window_start, song_id) DO UPDATE SET plays = EXCLUDED.plays WHERE stored.plays <> EXCLUDED.plays";
const UPSERT_ARRAYS: &str = "INSERT INTO bench_flush.bare AS stored
    SELECT '2025-10-19T14:00:00Z', * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (window_start, song_id) DO UPDATE SET plays = EXCLUDED.plays WHERE stored.plays <> EXCLUDED.plays";

/// Microseconds since 2000, as Postgres has them.
fn start() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_millis(START as u64)
}

async fn copy_and_upsert(client: &Client, sorted: &[&str], count: u64) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    let sink = client.copy_in("COPY arrived FROM STDIN (FORMAT binary)").await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::TIMESTAMPTZ, Type::TEXT, Type::INT8]));
    let (start, count) = (start(), count as i64);
    for key in sorted {
        writer.as_mut().write(&[&start, key, &count]).await?;
    }
    writer.finish().await?;
    client.execute(UPSERT, &[]).await?;
    client.batch_execute("COMMIT").await
}

async fn upsert_arrays(client: &Client, sorted: &[&str], count: u64) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    client.execute(UPSERT_ARRAYS, &[&sorted, &vec![count as i64; sorted.len()]]).await?;
    client.batch_execute("COMMIT").await
}

/// Every row is there with its count, in both tables.
async fn check(client: &Client, rows: usize, count: u64) -> Outcome<()> {
    for table in ["plays_hour", "bare"] {
        let query = format!("SELECT count(*), sum(plays)::bigint FROM {SCHEMA}.{table}");
        let row = client.query_one(&query, &[]).await?;
        let found: (i64, i64) = (row.get(0), row.get(1));
        if found != (rows as i64, (rows as u64 * count) as i64) {
            return Err(format!("{table} has (rows, sum) {found:?} after flush {count}").into());
        }
    }
    Ok(())
}

fn timed(clock: &dyn Clock, work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let began = clock.monotonic();
    work()?;
    Ok(clock.monotonic() - began)
}

/// In milliseconds.
fn median(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64() * 1000.0
}

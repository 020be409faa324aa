//! Postgres under the conformance suite of all SQL stores, and what is its own.

mod outages;
mod partitioned;
mod tls;

use super::{PostgresReadings, PostgresTables};
use crate::sql::conformance::{ALL_TIME, Bench, Fill, HOUR, TWO, commit, dump, every_case, settings, step};
use crate::sql::{TableReadings, TablesSettings};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use stream::{Claim, Fault, Follower, Generation, SystemClock};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A schema of its own in the Postgres that `./test` starts.
struct Schema {
    url: String,
    name: String,
    /// So many rows of a kind go by COPY.
    copy_from: usize,
}

impl Schema {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("TOPK_TEST_POSTGRES").expect(
            "TOPK_TEST_POSTGRES names no Postgres: run ./test, which starts one, or set it to postgres://user@host:port/database",
        );
        let name = format!("conformance {} {}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Two is few enough that most cases go both ways.
        Schema { url, name, copy_from: 2 }
    }

    /// Where rows always go as arrays.
    fn of_arrays() -> Self {
        let mut schema = Self::new();
        schema.copy_from = usize::MAX;
        schema
    }

    fn run(&self, sql: &str) -> Vec<SimpleQueryMessage> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute("SET timezone = 'UTC'").await.unwrap();
            client.simple_query(sql).await.unwrap()
        })
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.run(&format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name));
    }
}

impl Bench for Schema {
    fn settings(&self) -> TablesSettings {
        TablesSettings { url: self.url.clone(), schema: self.name.clone(), ..settings() }
    }

    fn open(&self, settings: TablesSettings) -> Box<dyn Follower> {
        let mut tables = PostgresTables::new(settings, Arc::new(SystemClock::default())).unwrap();
        tables.copy_from = self.copy_from;
        Box::new(tables)
    }

    fn drops_partitions(&self) -> bool {
        true
    }

    fn readings(&self) -> TableReadings {
        TableReadings::Postgres(PostgresReadings::new(&self.settings()).unwrap())
    }

    fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let mut text = String::new();
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once('{') {
            let (token, after) = after.split_once('}').unwrap();
            text.push_str(before);
            match token.split_once(':').unwrap() {
                ("table", table) => text.push_str(&format!("\"{}\".\"{table}\"", self.name)),
                ("time", time) => text.push_str(&format!(
                    "CASE WHEN isfinite({time}) THEN to_char({time}, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') ELSE '' END"
                )),
                _ => panic!("no such token: {token}"),
            }
            rest = after;
        }
        text.push_str(rest);
        let rows = self.run(&text);
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("null").to_owned()).collect())
            }
            _ => None,
        };
        rows.iter().filter_map(row).collect()
    }
}

every_case!(Schema::new());

mod arrays {
    use super::*;

    every_case!(Schema::of_arrays());
}

fn claim(follower: &mut dyn Follower, generation: u64) -> Result<(), Fault> {
    follower.claim(&Claim { job: "songs".into(), generation: Generation(generation) }).map(|_| ())
}

/// The same flushes by both paths, some rows new, some changed, some as they were.
#[test]
fn both_paths_write_the_same() {
    let [copied, arrays] = [Schema::new(), Schema::of_arrays()].map(|schema| {
        let mut follower = schema.open(schema.settings());
        claim(&mut *follower, 1).unwrap();
        for sequence in 1..=4_u64 {
            let names: Vec<String> = (0..3000).map(|number| format!("k{}", number * sequence % 7001)).collect();
            let rows: Vec<(&str, u64)> =
                names.iter().enumerate().map(|(at, name)| (name.as_str(), sequence * (at as u64 % 3 + 1))).collect();
            let mut flush = step(commit(1, sequence, None)).rows(ALL_TIME, TWO, &rows);
            for hour in 0..3 {
                flush = flush.rows(HOUR, TWO + hour * 3_600_000, &rows[hour as usize * 1000..]);
            }
            follower.write(&flush).unwrap();
        }
        let rows = schema.query("SELECT count(*) FROM {table:song_plays_hour}");
        assert!(rows[0][0].parse::<u32>().unwrap() > 9000);
        dump(&schema)
    });
    assert_eq!(copied, arrays);
}

#[test]
fn a_user_who_may_not_make_temporary_tables_writes_all_the_same() {
    let schema = Schema::new();
    let role = schema.name.replace(' ', "_");
    let database = format!("{role}_only");
    schema.run(&format!("CREATE ROLE {role} LOGIN"));
    schema.run(&format!("CREATE DATABASE {database} OWNER {role}"));
    schema.run(&format!("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {role}"));
    let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let url = schema.url.replacen("//topk@", &format!("//{role}@"), 1).replace("/topk", &format!("/{database}"));
        let there = Schema { url, name: schema.name.clone(), copy_from: 1 };
        let mut follower = there.open(there.settings());
        claim(&mut *follower, 1).unwrap();
        for sequence in 1..3 {
            follower.write(&step(commit(1, sequence, None)).rows(HOUR, TWO, &[("a", sequence), ("b", 1)])).unwrap();
        }
        let rows = there.query("SELECT song_id, plays FROM {table:song_plays_hour} ORDER BY 1");
        assert_eq!(rows, [["a", "2"], ["b", "1"]]);
        drop(follower);
    }));
    schema.run(&format!("DROP DATABASE {database} WITH (FORCE)"));
    schema.run(&format!("DROP ROLE {role}"));
    written.unwrap();
}

#[test]
fn every_table_and_column_has_a_comment() {
    let schema = Schema::new();
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 1).unwrap();
    follower.write(&step(commit(1, 1, None)).rows(HOUR, TWO, &[("a", 1)])).unwrap();
    let of = format!(
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relkind IN ('r', 'p') AND n.nspname = '{}'",
        schema.name
    );
    let all = schema.query(&format!("SELECT count(*) > 30, count(DISTINCT c.oid) {of}"));
    assert_eq!(all[0], ["t", "9"], "eight tables and a partition");
    let bare = format!(
        "SELECT c.relname, a.attname {of}
         AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)"
    );
    assert_eq!(schema.query(&bare), Vec::<Vec<String>>::new());
}

#[test]
fn the_role_topk_read_may_read_and_not_write() {
    let schema = Schema::new();
    claim(&mut *schema.open(schema.settings()), 1).unwrap();
    let may = |table: &str, right: &str| {
        schema.query(&format!("SELECT has_table_privilege('topk_read', '\"{}\".{table}', '{right}')", schema.name))[0]
            [0]
        .clone()
    };
    for table in ["song_plays_minute", "song_plays_all_time", "top_k_songs", "window_status", "topk_progress"] {
        assert_eq!((may(table, "SELECT"), may(table, "UPDATE")), ("t".into(), "f".into()), "{table}");
    }
    let usage = format!("SELECT has_schema_privilege('topk_read', '{}', 'USAGE')", schema.name);
    assert_eq!(schema.query(&usage)[0][0], "t");
}

#[test]
fn starts_at_the_same_moment_take_turns() {
    let schema = Schema::new();
    std::thread::scope(|scope| {
        for generation in 1..=4 {
            let schema = &schema;
            scope.spawn(move || {
                let outcome = claim(&mut *schema.open(schema.settings()), generation);
                assert!(outcome.is_ok() || outcome.unwrap_err().exit.code() == 4);
            });
        }
    });
    assert_eq!(schema.query("SELECT generation, schema_version FROM {table:topk_job}"), [["4", "3"]]);
}

#[test]
fn a_lost_connection_is_transient_and_then_made_anew() {
    let schema = Schema::new();
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 1).unwrap();
    follower.write(&step(commit(1, 1, None))).unwrap();
    // The database refuses connections of a role of our own, and ends the one that is there.
    let role = schema.name.replace(' ', "_");
    schema.run(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let url = schema.url.replacen("//topk@", &format!("//{role}@"), 1);
        assert_ne!(url, schema.url, "the tests' Postgres has the user topk");
        let mut follower = schema.open(TablesSettings { url, ..schema.settings() });
        claim(&mut *follower, 2).unwrap();
        follower.write(&step(commit(2, 2, None))).unwrap();
        let end = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{role}'");
        assert_eq!(schema.query(&end), [["t"]]);
        let fault = follower.write(&step(commit(2, 3, None))).unwrap_err();
        assert!(fault.is_transient(), "{fault}");
        follower.write(&step(commit(2, 3, None))).unwrap();
    }));
    schema.run(&format!("DROP ROLE {role}"));
    ended.unwrap();
    assert_eq!(schema.query("SELECT epoch FROM {table:topk_progress}"), [["3"]]);
}

#[test]
fn top_k_from_counts_is_an_index_scan() {
    let schema = Schema::new();
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 1).unwrap();
    let names: Vec<String> = (0..20_000).map(|number| format!("k{number}")).collect();
    let rows: Vec<(&str, u64)> = names.iter().zip(1..).map(|(name, count)| (name.as_str(), count)).collect();
    let hours = (0..10).zip(rows.chunks(2000));
    let fill = hours.fold(step(commit(1, 1, None)), |fill, (hour, rows)| fill.rows(HOUR, TWO + hour * 3_600_000, rows));
    follower.write(&fill).unwrap();
    schema.query("ANALYZE {table:song_plays_hour}");
    let plan = schema.query(
        "EXPLAIN SELECT song_id, plays FROM {table:song_plays_hour} WHERE window_start = '2025-10-19T15:00:00Z' ORDER BY plays DESC, song_id LIMIT 9",
    );
    let plan = plan.concat().join("\n");
    assert!(plan.contains("Index Scan") || plan.contains("Index Only Scan"), "{plan}");
    assert!(!plan.contains("Sort") && plan.matches("Scan").count() == 1, "one partition, in order: {plan}");
}

#[test]
fn nobody_there_is_a_transient_fault_without_the_password() {
    let url = "postgres://user:secret@127.0.0.1:1/topk".to_owned();
    let there = TablesSettings { url, schema: "public".into(), ..settings() };
    let mut tables = PostgresTables::new(there, Arc::new(SystemClock::default())).unwrap();
    let fault = tables.look().unwrap_err();
    assert!(fault.is_transient() && !fault.to_string().contains("secret"), "{fault}");
    assert!(fault.what.contains("127.0.0.1:1/topk"), "{fault}");
}

#[test]
fn a_server_that_never_answers_is_a_transient_fault() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://topk@{}/topk", listener.local_addr().unwrap());
    let there = TablesSettings { url, schema: "public".into(), ..settings() };
    let mut tables = PostgresTables::new(there, Arc::new(SystemClock::default())).unwrap();
    assert!(tables.look().unwrap_err().is_transient());
}

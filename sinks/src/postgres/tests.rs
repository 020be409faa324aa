//! Postgres under the conformance suite of all SQL stores, and what is its own.

use super::{PostgresReadings, PostgresTables};
use crate::sql::conformance::{Bench, commit, every_case, settings};
use crate::sql::{TableReadings, TablesSettings};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use stream::{Claim, Fault, Follower, Generation, Step, SystemClock};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A schema of its own in the Postgres that `./test` starts.
struct Schema {
    url: String,
    name: String,
}

impl Schema {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("TOPK_TEST_POSTGRES").expect(
            "TOPK_TEST_POSTGRES names no Postgres: run ./test, which starts one, or set it to postgres://user@host:port/database",
        );
        let name = format!("conformance {} {}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Schema { url, name }
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
        Box::new(PostgresTables::new(settings, Arc::new(SystemClock::default())).unwrap())
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

fn claim(follower: &mut dyn Follower, generation: u64) -> Result<(), Fault> {
    follower.claim(&Claim { job: "songs".into(), generation: Generation(generation) }).map(|_| ())
}

fn nothing(sequence: u64) -> Step {
    Step::empty(commit(1, sequence, None))
}

#[test]
fn every_table_and_column_has_a_comment() {
    let schema = Schema::new();
    claim(&mut *schema.open(schema.settings()), 1).unwrap();
    let of = format!(
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relkind = 'r' AND n.nspname = '{}'",
        schema.name
    );
    let all = schema.query(&format!("SELECT count(*) > 30, count(DISTINCT c.oid) {of}"));
    assert_eq!(all[0], ["t", "8"]);
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
    assert_eq!(schema.query("SELECT generation, schema_version FROM {table:topk_job}"), [["4", "1"]]);
}

#[test]
fn a_lost_connection_is_transient_and_then_made_anew() {
    let schema = Schema::new();
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 1).unwrap();
    follower.write(&nothing(1)).unwrap();
    // The database refuses connections of a role of our own, and ends the one that is there.
    let role = schema.name.replace(' ', "_");
    schema.run(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let url = schema.url.replacen("//topk@", &format!("//{role}@"), 1);
        assert_ne!(url, schema.url, "the tests' Postgres has the user topk");
        let mut follower = schema.open(TablesSettings { url, ..schema.settings() });
        claim(&mut *follower, 2).unwrap();
        follower.write(&nothing(2)).unwrap();
        let end = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{role}'");
        assert_eq!(schema.query(&end), [["t"]]);
        let fault = follower.write(&nothing(3)).unwrap_err();
        assert!(fault.is_transient(), "{fault}");
        follower.write(&nothing(3)).unwrap();
    }));
    schema.run(&format!("DROP ROLE {role}"));
    ended.unwrap();
    assert_eq!(schema.query("SELECT epoch FROM {table:topk_progress}"), [["3"]]);
}

#[test]
fn top_k_from_counts_is_an_index_scan() {
    let schema = Schema::new();
    claim(&mut *schema.open(schema.settings()), 1).unwrap();
    let fill =
        "INSERT INTO {table:song_plays_hour} SELECT 'epoch'::timestamptz + (n % 10) * interval '1 hour', 'k' || n, n
         FROM generate_series(1, 20000) AS n";
    schema.query(fill);
    schema.query("ANALYZE {table:song_plays_hour}");
    let plan = schema.query(
        "EXPLAIN SELECT song_id, plays FROM {table:song_plays_hour} WHERE window_start = 'epoch' ORDER BY plays DESC, song_id LIMIT 9",
    );
    let plan = plan.concat().join("\n");
    assert!(plan.contains("song_plays_hour_top") && !plan.contains("Sort"), "{plan}");
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

#[test]
fn tls_is_refused_by_name() {
    for mode in ["require", "verify-full", "verify-ca"] {
        let url = format!("postgres://user:secret@localhost/topk?sslmode={mode}");
        let there = TablesSettings { url, schema: "public".into(), ..settings() };
        let fault = PostgresTables::new(there, Arc::new(SystemClock::default())).err().unwrap();
        assert!(fault.exit.code() == 2 && fault.why.contains("TLS"), "{fault}");
    }
}

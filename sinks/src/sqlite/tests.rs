//! SQLite under the conformance suite of all SQL stores, and what is its own.

use super::{SqliteReadings, SqliteTables};
use crate::sql::conformance::{Bench, every_case, settings};
use crate::sql::{TableReadings, TablesSettings};
use rusqlite::types::Value;
use std::sync::Arc;
use stream::{Claim, Follower, Generation, SystemClock};

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        File { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("data").join("topk.db")
    }
}

impl Bench for File {
    fn settings(&self) -> TablesSettings {
        settings()
    }

    fn open(&self, settings: TablesSettings) -> Box<dyn Follower> {
        Box::new(SqliteTables::new(self.path(), settings, Arc::new(SystemClock::default())).unwrap())
    }

    fn readings(&self) -> TableReadings {
        TableReadings::Sqlite(SqliteReadings::new(self.path(), &settings()).unwrap())
    }

    fn drops_partitions(&self) -> bool {
        false
    }

    fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let sql = sql.replace("{table:", "{").replace("{time:", "{").replace(['{', '}'], "");
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        let mut statement = connection.prepare(&sql).unwrap();
        let columns = statement.column_count();
        let text = |value| match value {
            Value::Null => "null".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text,
            other => panic!("unexpected {other:?}"),
        };
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at).map(text)).collect());
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

every_case!(File::new());

#[test]
fn the_file_survives_power_cuts_as_far_as_sqlite_can() {
    let file = File::new();
    let connection = super::connection::open(&file.path()).unwrap();
    let pragma =
        |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, Value>(0)).unwrap();
    assert_eq!(pragma("journal_mode"), Value::Text("wal".into()));
    assert_eq!(pragma("synchronous"), Value::Integer(2));
}

#[test]
fn top_k_from_counts_is_an_index_scan() {
    let file = File::new();
    file.open(settings()).claim(&Claim { job: "songs".into(), generation: Generation(1) }).unwrap();
    let plan = file.query(
        "EXPLAIN QUERY PLAN SELECT song_id, plays FROM song_plays_hour WHERE window_start = 'x' ORDER BY plays DESC, song_id LIMIT 9",
    );
    assert_eq!(plan.len(), 1, "no sorting: {plan:?}");
    assert!(plan[0][3].contains("song_plays_hour_top"), "{plan:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_a_transient_fault() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().join("x").join("topk.db");
    let mut tables = SqliteTables::new(path, settings(), Arc::new(SystemClock::default())).unwrap();
    let fault = tables.claim(&Claim { job: "songs".into(), generation: Generation(1) }).unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    // A job that has not begun only looks, and must not begin.
    let fault = tables.look().unwrap_err();
    assert!(fault.is_transient() && fault.hint.contains("sink.sqlite.path"), "{fault}");
    let file = File::new();
    assert_eq!(file.open(settings()).look(), Ok(None));
    assert!(!file.path().parent().unwrap().exists(), "a look leaves nothing behind");
}

#[test]
fn another_programs_lock_is_a_transient_fault() {
    let file = File::new();
    let mut tables = file.open(settings());
    let claim = Claim { job: "songs".into(), generation: Generation(1) };
    tables.claim(&claim).unwrap();
    let other = rusqlite::Connection::open(file.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let fault = tables.claim(&claim).unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    other.execute_batch("ROLLBACK").unwrap();
    tables.claim(&claim).unwrap();
}

//! All that a job wrote, read back as text, so that two states can be compared whole.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Every row of every table, each row as text by column; rows in order of their text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables(pub BTreeMap<String, Vec<BTreeMap<String, Option<String>>>>);

impl Tables {
    /// The same without these columns, given as `table.column`.
    #[must_use]
    pub fn without(mut self, columns: &[&str]) -> Self {
        for (table, rows) in &mut self.0 {
            for row in &mut *rows {
                row.retain(|column, _| !columns.contains(&format!("{table}.{column}").as_str()));
            }
            rows.sort();
        }
        self
    }

    /// The same without these tables.
    #[must_use]
    pub fn without_tables(mut self, tables: &[&str]) -> Self {
        self.0.retain(|table, _| !tables.contains(&table.as_str()));
        self
    }

    /// # Panics
    /// They differ; the message names the tables and some rows.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        let names = |tables: &Self| tables.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(other), "{what}: other tables");
        let mut complaints = Vec::new();
        for (table, rows) in &self.0 {
            let others = &other.0[table];
            let missing: Vec<_> = only_in(rows, others).collect();
            let extra: Vec<_> = only_in(others, rows).collect();
            if !(missing.is_empty() && extra.is_empty()) {
                complaints.push(format!(
                    "{table}: {} rows only before, such as\n    {:?}\n  {} rows only after, such as\n    {:?}",
                    missing.len(),
                    &missing[..missing.len().min(3)],
                    extra.len(),
                    &extra[..extra.len().min(3)]
                ));
            }
        }
        assert!(complaints.is_empty(), "{what}: the tables differ\n  {}", complaints.join("\n  "));
    }
}

/// What is in the first sorted list and not in the second.
fn only_in<'a, T: Ord>(rows: &'a [T], others: &'a [T]) -> impl Iterator<Item = &'a T> {
    rows.iter().filter(|row| others.binary_search(row).is_err())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("Postgres answers");
    tokio::spawn(connection);
    client
}

/// Whether a Postgres takes connections.
pub fn postgres_answers(url: &str) -> bool {
    block_on(async { tokio_postgres::connect(url, tokio_postgres::NoTls).await.is_ok() })
}

/// Rows of a query on Postgres, as text.
///
/// # Panics
/// Postgres refuses it.
pub fn postgres_query(url: &str, query: &str) -> Vec<BTreeMap<String, Option<String>>> {
    block_on(async {
        let client = connect(url).await;
        let messages = client.simple_query(query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| {
            let columns = row.columns().iter().enumerate();
            columns.map(|(index, column)| (column.name().to_owned(), row.get(index).map(str::to_owned))).collect()
        })
        .collect()
    })
}

pub(crate) fn postgres(url: &str, schema: &str) -> Tables {
    let tables = format!(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = '{schema}' AND relkind IN ('r', 'p') AND NOT relispartition"
    );
    let names = postgres_query(url, &tables).into_iter().filter_map(|mut row| row.remove("relname")?);
    Tables(
        names
            .map(|name| (name.clone(), sorted(postgres_query(url, &format!("SELECT * FROM {schema}.{name}")))))
            .collect(),
    )
}

/// Rows of a query on a SQLite file, as text.
///
/// # Panics
/// SQLite refuses it.
pub fn sqlite_query(path: &Path, query: &str) -> Vec<BTreeMap<String, Option<String>>> {
    // Where the writer was killed, its log must be recovered first, and that is a write.
    let connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = connection.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    connection.busy_timeout(crate::wait::LONG).expect("a busy timeout");
    let mut statement = connection.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        columns.iter().enumerate().map(|(index, column)| Ok((column.clone(), in_words(row.get_ref(index)?)))).collect()
    });
    rows.and_then(Iterator::collect).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn in_words(value: rusqlite::types::ValueRef<'_>) -> Option<String> {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

pub(crate) fn sqlite(path: &Path) -> Tables {
    if !path.exists() {
        return Tables::default();
    }
    let names = sqlite_query(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    let names = names.into_iter().filter_map(|mut row| row.remove("name")?);
    Tables(names.map(|name| (name.clone(), sorted(sqlite_query(path, &format!("SELECT * FROM \"{name}\""))))).collect())
}

fn sorted<T: Ord>(mut rows: Vec<T>) -> Vec<T> {
    rows.sort();
    rows
}

fn redis_keys(url: &str, prefix: &str) -> (redis::Connection, Vec<String>) {
    let client = redis::Client::open(url).expect("a Redis URL");
    let mut connection = client.get_connection().expect("Redis answers");
    let keys = redis::cmd("KEYS").arg(format!("{prefix}:*")).query(&mut connection).expect("Redis lists keys");
    (connection, keys)
}

pub(crate) fn boards(url: &str, prefix: &str) -> BTreeMap<String, Value> {
    let (mut connection, keys) = redis_keys(url, prefix);
    let mut found = BTreeMap::new();
    for key in keys {
        let short = key[prefix.len() + 1..].to_owned();
        // The job's page and the owner's mark are no boards; a key may also have expired since.
        let content: Option<String> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap_or_default();
        if let Some(content) = content.filter(|_| short.contains(':')) {
            found.insert(short, serde_json::from_str(&content).unwrap_or(Value::String(content)));
        }
    }
    found
}

pub(crate) fn dead_file(path: &Path) -> Vec<Value> {
    let content = std::fs::read_to_string(path).unwrap_or_default();
    content.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// What a key holds.
pub fn redis_get(url: &str, key: &str) -> Option<String> {
    let mut connection = redis_keys(url, key).0;
    redis::cmd("GET").arg(key).query(&mut connection).expect("Redis answers")
}

/// Put something else under a key; its time to live stays.
pub fn redis_set(url: &str, key: &str, content: &str) {
    let mut connection = redis_keys(url, key).0;
    redis::cmd("SET").arg(key).arg(content).arg("KEEPTTL").query::<()>(&mut connection).expect("Redis answers");
}

/// Remove what a test left in Postgres.
pub(crate) fn forget(url: &str, schema: &str) {
    postgres_query(url, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE"));
}

/// Remove what a test left in Redis.
pub(crate) fn forget_boards(url: &str, prefix: &str) {
    let (mut connection, keys) = redis_keys(url, prefix);
    if !keys.is_empty() {
        redis::cmd("DEL").arg(keys).query::<()>(&mut connection).expect("Redis deletes keys");
    }
}

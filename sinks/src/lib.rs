//! Where committed counts become visible: SQL tables, boards, dead letters. Each is a follower of the journal; the read
//! sides of tables and boards are here too, beside what writes them.
//!
//! One conformance suite covers each pair: Postgres and SQLite, Redis and memory.

mod boards;
mod dead_letters;
mod file_place;
mod postgres;
mod retention;
mod sql;
mod sqlite;

pub use boards::{BoardFollower, BoardReadings, BoardSettings, MemoryBoard, RedisAddress, RedisReadings};
pub use dead_letters::DeadLetterFile;
pub use postgres::{PostgresReadings, PostgresTables};
pub use sql::{TableRanking, TableReadings, TableRow, TablesAsOf, TablesSettings, TakeRow};
pub use sqlite::{SqliteReadings, SqliteTables};

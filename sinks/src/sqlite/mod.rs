//! Tables in a SQLite file: the embedded twin of `postgres`, with the same names.

mod connection;
mod readings;
mod statements;
mod tables;
mod time;
mod whole;

pub use readings::SqliteReadings;
pub use tables::SqliteTables;

#[cfg(test)]
mod tests;

//! Tables in Postgres: the follower that writes them and the readings of a reader.

mod connection;
mod readings;
mod statements;
mod tables;
mod time;
mod work;

pub use readings::PostgresReadings;
pub use tables::PostgresTables;

#[cfg(test)]
mod tests;

//! Tables in Postgres: the follower that writes them and the readings of a reader.

mod connection;
mod counts;
mod partitions;
mod readings;
mod statements;
mod tables;
mod time;
mod tls;
mod whole;
mod work;
mod write;

pub use readings::PostgresReadings;
pub use tables::PostgresTables;

#[cfg(test)]
mod tests;

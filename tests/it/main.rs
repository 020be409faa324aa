//! The one end-to-end test binary: the real `topk`, real Kafka, Postgres and Redis, and an independent recount.

mod bad_input;
mod bounds;
mod boards;
mod bucket;
mod command_line;
mod embedded;
mod exactness;
mod examples;
mod fail_points;
mod kafka;
mod start_up;
mod tables_away;
mod tidy;

//! What the end-to-end tests stand on: the real `topk` binary, real services, and an independent recount.
//!
//! ```text
//! let setup = Setup::embedded("my-test").with("epoch.interval", "10ms");      // or Setup::on_services: Kafka, Postgres, Redis
//! setup.generate(&["--count", "1000", "--file", …]);                          // or kafka::produce(…)
//! let finished = setup.topk(&["run", "--until-end"]).expect_code(0);
//! setup.recount(&[]).expect_code(0);
//! ```

pub mod door;
pub mod bad_answers;
pub mod bucket;
pub mod dump;
pub mod fail_points;
pub mod fuzz;
pub mod kafka;
pub mod moments;
pub mod own_postgres;
pub mod process;
pub mod redis_server;
pub mod services;
pub mod setup;
pub mod wait;

pub use bucket::Bucket;
pub use door::Door;
pub use dump::Tables;
pub use fail_points::FailPoints;
pub use moments::Moments;
pub use process::{Finished, Running};
pub use redis_server::RedisServer;
pub use setup::Setup;
pub use wait::until;

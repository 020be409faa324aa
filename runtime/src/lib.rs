//! How a job runs, and nothing about what it computes: worker loop, epochs, journal, recovery, followers, shutdown.
//!
//! In the order of an epoch's life: `ticker` (when it closes), `reader_thread` and `read` (its records), `commit`,
//! `committer` and `commit_thread` (its record in the `journal`), `board_room`, `follow`, `due`, `backlog` and
//! `follower_thread` (what others see of it). Beside it: `silence` (idle partitions), `discovery` (added ones), `drift`
//! and `pauses` (who is read no further for now). `start` decides whether a job may begin; `run` puts everything together,
//! and `running` is what it becomes.

pub mod journal;

mod acks;
mod backlog;
mod board_room;
mod commit;
mod commit_thread;
mod committer;
mod discovery;
mod drift;
mod due;
mod follow;
mod follower_thread;
mod lag;
mod observe;
mod pauses;
mod pipeline;
mod read;
mod reader_thread;
mod run;
mod running;
mod share;
mod silence;
mod start;
#[cfg(test)]
mod testing;
mod storage;
mod ticker;

pub use board_room::{BoardRoom, ChangedWindows, EpochChanges, WindowRules};
pub use committer::{Committer, Decided};
pub use lag::{Lag, Places};
pub use observe::RunTotals;
pub use pipeline::Pipeline;
pub use read::Input;
pub use run::{NewIntake, Plan};
pub use running::{Begun, Event, Running, Stop};
pub use share::BusySeconds;
pub use start::Accepted;
pub use storage::{Bucket, Place, Service, Storage};

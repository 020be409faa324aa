//! Operators in the order a record meets them, which is also the order to read them in: `intake` (decode; `judge` by the
//! partition's own prefix; `combine`) on the reader's thread; `count_in_windows`, the timely wrapper of `window_store`
//! (`dictionary` of keys and `panes` of counts, both in `slots`; local `top_k`), on the worker that owns the key;
//! `rank_union`, the union of the workers' candidates, ranked by differential dataflow. Each is a pure state with a thin wrapper. They know nothing
//! of sources, sinks or the journal. [`feed`] stands in for a source; `examples/songs.rs` is a whole job.

mod combine;
mod intake;
mod judge;
mod slots;
mod dictionary;
mod panes;
mod top_k;
mod window_store;
mod count_in_windows;
mod rank_union;
mod feed;
#[cfg(test)]
mod random;

pub use combine::Combiner;
pub use count_in_windows::{CountInWindows, Counted};
pub use feed::{Fed, FedRecord, feed};
pub use intake::{IntakeSettings, RecordIntake};
pub use judge::PartitionJudge;
pub use rank_union::{Candidate, REGION, RankUnion};
pub use top_k::TopK;
pub use window_store::{Applied, CandidateChange, ClosedEpoch, WindowStore};

//! The words every crate speaks, in reading order: time, windows, keys, records, what a commit is, and the seams
//! (source, decode, intake, follower, board store) behind which the outside lives. No I/O and no threads here.
//!
//! Three clocks are kept apart by type. [`EventTime`] is in the data. [`Epoch`] numbers slices of input within one
//! process and is timely's timestamp. The wall clock is an argument ([`Clock`]), read only at the edge.

mod board;
mod calendar;
mod clock;
mod commit;
mod dead_letter;
mod decode;
mod delta;
mod event_time;
mod fail_point;
mod fault;
mod follower;
mod intake;
mod key;
mod key_group;
mod loss;
mod ranking;
mod record;
mod report;
mod seeded;
mod change;
mod source;
mod state;
mod vocabulary;
mod watermark;
mod window;

pub use board::{Blob, BoardKeys};
pub use calendar::{TZDB_VERSION, Zone};
pub use change::{Mark, RankedChange, RowFlush, RowOrder, WindowChange};
pub use clock::{Clock, ManualClock, SystemClock, WallTime};
pub use commit::{Commit, Epoch, Generation, Grant, LedgerLine, PartitionState, RecordHash, Sequence};
pub use dead_letter::{DeadCode, DeadLetter};
pub use decode::{Decode, Event, Rejection};
pub use delta::{DeltaBatch, DeltaRow, Part, PartRow};
pub use event_time::{EventTime, Minute};
pub use fail_point::FailPoint;
pub use fault::{Exit, Fault, Retry};
pub use follower::{Claim, Follower, Forget, Lost, LostRows, Pointers, Progress, RowChunks, Step, Wants};
pub use intake::{Intake, Reader};
pub use key::{Key, KeyArena};
pub use key_group::{Assignment, KEY_GROUPS, KeyGroup, fingerprint, key_hash};
pub use loss::{Loss, LossKind, LossName};
pub use ranking::{Ranking, RowBlock, WindowStatus, WindowTotals};
pub use record::{Header, RawRecord, RecordIdentity};
pub use report::{PartitionReport, Report};
pub use seeded::{Bug, Catcher, seeded};
pub use source::{
    PartitionEnd, PartitionInfo, PartitionPosition, ReadState, RecordSink, Source, SourceIdentity, SourceReader,
};
pub use state::{GroupState, PaneCell};
pub use vocabulary::Vocabulary;
pub use watermark::{LateMask, TimeRules, job_watermark};
pub use window::{Assigner, KindIndex, Span, Window, WindowId, WindowKind, WindowState, Windows};

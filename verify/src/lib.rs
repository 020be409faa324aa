//! An independent recount: counts a job's log again by the written rules and compares tables, boards and accounts with it,
//! each at the epoch and offsets that it carries. Read-only towards everything.
//!
//! Windowing, lateness, watermarks and ranking are written here a second time, from the rules and not from the code that is
//! judged; `tests/it/tidy.rs` holds that. Only the decoder is the job's own, and the transport that brings the bytes.
//!
//! Memory: for each key `2 * length + 60` bytes, for each (window, key) that was counted or found about 40, for each ranked
//! place 16. Records between the oldest and the newest epoch that something carries, seconds of load as a rule, take 24 for
//! each of their windows.
//!
//! Reading order: `calendar` (windows), `rules`, `recount` (judging and counting), `log` (reading it), `counts` (what was
//! expected and found, and rankings), `tables`, `boards` and `totals` (comparing), `report`.

mod boards;
mod calendar;
mod counts;
mod log;
mod recount;
mod report;
mod rules;
mod tables;
mod totals;

pub use boards::{Boards, Carried};
pub use counts::{Counts, Cut};
pub use log::{Coverage, Progress, coverage, read};
pub use recount::{Ground, Lane, Recount};
pub use report::{Check, Report};
pub use rules::Rules;
pub use tables::{StatusFound, Tables};
pub use totals::expect_from_totals;

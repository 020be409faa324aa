//! What the SQL stores share, all of it pure: names, migrations, what a step writes, who may write.

mod flush;
pub(crate) mod forget;
mod layout;
mod ownership;
mod progress;
mod ranking;
mod readings;
mod settings;
pub(crate) mod whole;

#[cfg(test)]
pub(crate) mod conformance;

pub(crate) use flush::{CountRow, Counts, Flush, SWEEP_ROWS, StatusRow, Written, counts, rows_in, sweeps};
pub(crate) use layout::{Layout, Migration};
pub(crate) use ownership::StoredOwner;
pub(crate) use progress::{StoredProgress, admit, hash_of, looked};
pub use ranking::TableRanking;
pub(crate) use ranking::{ranked, state_named};
pub use readings::TableReadings;
pub use settings::TablesSettings;
pub use whole::{TableRow, TablesAsOf, TakeRow};

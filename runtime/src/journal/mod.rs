//! The truth: one chain of create-only objects in an object store.
//!
//! # The protocol
//!
//! Records are `commit/{sequence}`, numbered 1, 2, 3, … through all kinds, each naming the hash of the one before.
//! The first is **genesis**; a **fence** says that a new generation has taken over; an **epoch** is a slice of input
//! with everything decided about it; a **base** is a compaction's result. State is the newest base plus every epoch
//! above the record it covers, wherever the base itself stands.
//!
//! *Writing.* Names carry the sequence number alone, so two writers meet at the same name, and an object is only ever
//! created, never replaced. If a create is refused or its outcome is unknown, the writer reads the object back: its own
//! bytes mean success. Somebody else's mean, while fencing, "read the tail again and try the next number"; afterwards,
//! a higher generation means that we are fenced (exit 4), and anything else is a bug (exit 1). Bytes once offered under
//! a number are offered again unchanged or not at all.
//!
//! *Starting.* Append a fence with the last generation + 1 (or genesis, to an empty chain), retrying while others win;
//! then close every `generation/{x}` up to our own; only then read state and ask followers how far they are.
//!
//! *Slots.* Compaction deletes old records, and a deleted name could be created again by an instance that was frozen
//! just before its put. Therefore `generation/{x}` objects are kept for ever, nothing is deleted before a start has
//! closed its slots, and after each commit, before anything of it is shown, the writer checks that the slot of the
//! next generation is still absent. A slot holds the hash of its fence record: whoever finds its own slot taken by
//! another fence has been overtaken. And a chain that ends before the greatest slot's generation has lost commits: it is
//! refused before anything is written.
//!
//! *Compacting.* A background thread folds base and epochs from files alone. The base record lists its parts, with
//! length and hash, and what may be deleted; deletion happens after the record is durable and the slot was checked.
//!
//! # Reading order
//!
//! `record` (what records say), `format` (their bytes), `columns` and `letters` (their binary sections), `store`
//! and `attempts` (blocking I/O, trying again), `chain` (names, reading, the one way to write), `slots`, `start` (fencing),
//! `fold` and `recover` (records into state), `packed` (how it waits for the workers), `reread` (the same beside a running job),
//! `writer` (appending), `compact`, `collect`, `bound` and `tend` (forgetting); `inspect` and `check` are for people, `stood` is
//! for a recount, `rebuild` is for a journal that was lost.

mod attempts;
mod base_part;
mod bound;
mod chain;
mod check;
mod collect;
mod columns;
mod compact;
mod fold;
mod format;
mod inspect;
mod letters;
mod packed;
mod rebuild;
mod record;
mod recover;
mod recovered;
mod reread;
mod settings;
mod slots;
mod start;
mod stood;
mod store;
mod tend;
#[cfg(test)]
mod peek;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod varint;
mod writer;

#[cfg(test)]
pub(crate) use peek::{Peeked, PeekedEpoch, PeekedPlace, Says, peek, relinked};
#[cfg(test)]
pub(crate) use testing::Random;

pub use bound::Full;
pub use check::{Findings, Progress};
pub use format::FORMAT_VERSION;
pub use inspect::{Contents, Entry};
pub use packed::PackedGroup;
pub use rebuild::{Rebuild, Shown};
pub use record::{Ack, EpochContent, FIRST, Genesis, Rebuilt, Remembered, StartOffset};
pub use recovered::{Coverage, LoadFrom, Recovered};
pub use reread::{Lease, Rereader};
pub use settings::{Hold, JournalSettings, Patience};
pub use slots::Fence;
pub use start::{Glance, Journal, Standing, Started};
pub use stood::{Decisions, Stood};
pub use writer::{Status, Writer};

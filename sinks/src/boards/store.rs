//! What a place for boards must be able to do. Every operation is atomic for its one key.

use bytes::Bytes;
use std::time::Duration;
use stream::{EventTime, Fault, Generation, KindIndex, Sequence, WindowId};

/// How new a board is. Older ones are refused, equal ones may be overwritten.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Age {
    pub(crate) generation: Generation,
    pub(crate) epoch: Sequence,
}

/// A board to store.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) window: WindowId,
    pub(crate) key: String,
    pub(crate) bytes: String,
    /// Compared with the stored board's. Usually the blob's own; greater to insist.
    pub(crate) age: Age,
    pub(crate) time_to_live: Option<Duration>,
}

/// What became of a [`Board`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    Written,
    /// The stored one is newer; it may say that its window is final.
    Refused {
        stored: Age,
        is_final: bool,
    },
}

/// A place for boards.
pub(crate) trait BoardStore: Send {
    /// For logs and metrics.
    fn name(&self) -> &'static str;

    /// For people: where it is.
    fn place(&self) -> String;

    /// From now on we are this incarnation. Once the owner under this key is a newer one, nothing more is written: that is
    /// looked at in the same go as each write.
    fn guard(&mut self, owner: &str, ours: Generation);

    /// What is stored under each key.
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Fault>;

    /// Store each board whose age is not below that of the one stored.
    fn put(&mut self, boards: &[Board]) -> Result<Vec<Put>, Fault>;

    /// Move pointers (key, label) forward: labels of one kind sort by time.
    fn advance(&mut self, pointers: &[(String, String)]) -> Result<(), Fault>;

    /// Store `new` if exactly `expected` is stored (none: nothing), and say whether.
    fn swap(&mut self, key: &str, expected: Option<&[u8]>, new: &str) -> Result<bool, Fault>;

    /// Store a text that nothing is compared with and that goes by itself.
    fn keep(&mut self, key: &str, text: &str, time_to_live: Duration) -> Result<(), Fault>;

    /// Of what is stored under names with this beginning, remove the boards that are older and do not say that their
    /// window is final. How many they were.
    fn drop_outdated(&mut self, prefix: &str, age: Age) -> Result<u64, Fault>;

    /// Windows of a kind before this start are no longer kept. Stores that live by the wall clock alone ignore it.
    fn forget(&mut self, kind: KindIndex, before: EventTime);
}

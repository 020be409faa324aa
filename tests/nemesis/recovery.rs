//! When something that was hit works again.

use crate::ask;
use crate::tail::Tail;
use std::time::Duration;
use tests::Setup;

/// What says that it works again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    /// An epoch is committed behind this record.
    Counting { after: u64 },
    /// The tables are as of this epoch or a later one.
    Tables { epoch: u64 },
    /// The boards are.
    Boards { epoch: u64 },
}

/// Something that was hit and does not work again yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pending {
    pub(crate) victim: String,
    pub(crate) awaited: Awaited,
    pub(crate) since: Duration,
}

impl Pending {
    pub(crate) fn is_over(&self, setup: &Setup, tail: &Tail) -> bool {
        match self.awaited {
            Awaited::Counting { after } => tail.newest_epoch > after,
            Awaited::Tables { epoch } => tables(setup).is_some_and(|shown| shown >= epoch),
            Awaited::Boards { epoch } => boards(setup).is_some_and(|shown| shown >= epoch),
        }
    }
}

/// The epoch that the tables are as of.
pub(crate) fn tables(setup: &Setup) -> Option<u64> {
    let said = ask::postgres(&format!("SELECT epoch FROM {}.topk_progress", setup.name())).ok()?;
    said.first()?.first()?.first()?.as_deref()?.parse().ok()
}

/// The epoch that the boards are as of.
fn boards(setup: &Setup) -> Option<u64> {
    let status = ask::Redis::connect().ok()?.get(&format!("{}:status", setup.name())).ok()??;
    serde_json::from_str::<serde_json::Value>(&status).ok()?["epoch"].as_u64()
}

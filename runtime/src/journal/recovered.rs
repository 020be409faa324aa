//! What a start finds in the journal.

use super::{Ack, PackedGroup, Rebuilt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{
    DeadLetter, EventTime, KindIndex, LedgerLine, Loss, PartitionState, RecordHash, Sequence, SourceIdentity, WindowId,
    WindowTotals,
};

/// How far followers have got by their own account; asked after the fence, so that no older instance moves it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoadFrom {
    /// The record the tables are as of; 0 if they have nothing yet, none if there are no tables.
    pub tables: Option<Sequence>,
    /// Who delivers dead letters (the name it acknowledges under) and the last record it found delivered, after which loading
    /// goes on; 0 if it found none: then after its journaled progress. None if nobody delivers them.
    pub dead_letters: Option<(String, Sequence)>,
}

/// Whether the journal still knows all that a follower lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coverage {
    /// Exactly what it lacks is marked.
    Exact,
    /// Which panes changed since is no longer known; all that live are marked, and nothing is lost.
    Everything,
    /// Some of what it lacks has left the journal, up to this record.
    Gap(Sequence),
}

/// The state after the last record.
#[derive(Clone, PartialEq, Debug)]
pub struct Recovered {
    /// The last record: our fence, or our genesis.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: RecordHash,
    /// The last epoch record and its hash; genesis if there is none.
    pub last_epoch: (Sequence, RecordHash),
    /// The job watermark W.
    pub watermark: Option<EventTime>,
    /// Every partition.
    pub partitions: BTreeMap<Arc<str>, PartitionState>,
    /// Every partition's account.
    pub ledger: BTreeMap<Arc<str>, LedgerLine>,
    /// Totals of every window within retention, and of every window that has panes.
    pub totals: BTreeMap<WindowId, WindowTotals>,
    /// Followers' progress as far as it was journaled; their own account is later or the same.
    pub acks: BTreeMap<String, Ack>,
    /// Keys and panes of the key groups that have any, by group. Panes the tables lack are dirty.
    pub groups: Vec<PackedGroup>,
    /// Whether the dirty panes are all that the tables lack.
    pub tables: Coverage,
    /// Dead letters not yet delivered, each with its record, in order.
    pub dead_letters: Vec<(Sequence, DeadLetter)>,
    /// Whether these are all; never [`Coverage::Everything`].
    pub dead_letters_coverage: Coverage,
    /// Partition and offset of every `time_future` dead letter since the journal began.
    pub future: BTreeSet<(Arc<str>, i64)>,
    /// Every loss that was accepted since the journal began.
    pub losses: Vec<Loss>,
    /// Tables that were built up again.
    pub rebuilt: Vec<Rebuilt>,
    /// By partition: dead letters up to this offset were out before the journal began.
    pub delivered: BTreeMap<Arc<str>, i64>,
    /// The source, if it is no longer the one that genesis names.
    pub source: Option<SourceIdentity>,
}

impl Recovered {
    /// Whether a dead letter is to be delivered: not if it was before this journal began.
    pub fn is_due(delivered: &BTreeMap<Arc<str>, i64>, letter: &DeadLetter) -> bool {
        delivered.get(&letter.partition).is_none_or(|last| letter.offset > *last)
    }

    /// The newest window of a kind that had an event.
    pub fn newest(&self, kind: KindIndex) -> Option<WindowId> {
        let ids = WindowId { kind, start: EventTime::MIN }..=WindowId { kind, start: EventTime::MAX };
        self.totals.range(ids).rev().find(|(_, totals)| totals.events > 0).map(|(id, _)| *id)
    }
}

//! What several test modules begin with.

pub(crate) mod faulty;

use crate::journal::{Coverage, Recovered};
use std::collections::{BTreeMap, BTreeSet};
use stream::{RecordHash, Sequence};

/// A journal that holds its genesis and nothing else, not even partitions.
pub(crate) fn nothing_recovered() -> Recovered {
    Recovered {
        sequence: Sequence(1),
        hash: RecordHash::default(),
        last_epoch: (Sequence(1), RecordHash::default()),
        watermark: None,
        partitions: BTreeMap::new(),
        ledger: BTreeMap::new(),
        totals: BTreeMap::new(),
        acks: BTreeMap::new(),
        groups: Vec::new(),
        tables: Coverage::Exact,
        dead_letters: Vec::new(),
        dead_letters_coverage: Coverage::Exact,
        future: BTreeSet::new(),
    }
}

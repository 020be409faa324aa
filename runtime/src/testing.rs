//! What several test modules begin with.

pub(crate) mod faulty;

use crate::journal::{Coverage, Genesis, Journal, JournalSettings, LoadFrom, Recovered, Rereader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stream::{Generation, ManualClock, RecordHash, Sequence, SourceIdentity, TimeRules, WallTime, Windows};

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
        losses: Vec::new(),
        rebuilt: Vec::new(),
        delivered: BTreeMap::new(),
        source: None,
    }
}

/// A reader of a journal that holds its genesis and nothing else.
pub(crate) fn rereader(windows: Windows) -> Rereader {
    let rules = TimeRules {
        out_of_orderness: Duration::ZERO,
        allowed_lateness: Duration::ZERO,
        max_future_skew: Duration::ZERO,
    };
    let store = Arc::new(object_store::memory::InMemory::new());
    let clock = Arc::new(ManualClock::at(WallTime(0)));
    let journal = Journal::open(store, JournalSettings::new("test", windows, rules), clock).unwrap();
    let text = |text: &str| text.to_owned();
    let source =
        SourceIdentity { kind: text("test"), cluster: text(""), topic: text("plays"), topic_id: String::new() };
    let genesis = Genesis {
        job: text("test"),
        source,
        partitions: BTreeMap::new(),
        settings: BTreeMap::new(),
        marks: BTreeMap::new(),
        delivered: BTreeMap::new(),
    };
    let started = journal.start(Generation(0), || Ok(genesis)).unwrap();
    started.load(&LoadFrom::default()).unwrap().1.rereader()
}

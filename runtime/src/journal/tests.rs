//! The journal as a whole, over stores that fail, against a model that never compacts.

mod accepted;
mod checking;
mod bound;
mod crashes;
mod damage;
mod fencing;
mod golden;
mod history;
mod recovery;
mod stood;

use super::*;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use stream::{
    Clock, EventTime, Fault, Generation, ManualClock, SourceIdentity, TimeRules, WallTime, WindowKind, Windows, Zone,
};

/// 2025-10-19T12:00Z: a week before Zurich's clocks change.
const NOON: i64 = 1_760_875_200_000;

fn windows() -> Windows {
    static WINDOWS: LazyLock<Windows> = LazyLock::new(make_windows);
    WINDOWS.clone()
}

fn make_windows() -> Windows {
    let kinds = ["minute", "hour", "day", "all_time"].map(|name| WindowKind::named(name).unwrap());
    Windows::new(kinds.into(), Zone::named("Europe/Zurich").unwrap()).unwrap()
}

fn rules() -> TimeRules {
    TimeRules {
        out_of_orderness: Duration::from_secs(5),
        allowed_lateness: Duration::from_secs(60),
        max_future_skew: Duration::from_secs(60),
    }
}

fn settings() -> JournalSettings {
    let patience = Patience {
        deadline: Duration::from_secs(20),
        attempts: 8,
        attempts_running: 8,
        first: Duration::from_millis(1),
        most: Duration::from_millis(2),
    };
    JournalSettings {
        retention: vec![Some(Duration::from_secs(900)), None, None, None],
        followers: vec![
            ("tables".into(), Hold::Always),
            ("boards".into(), Hold::WithinRetain),
            ("letters".into(), Hold::Records),
        ],
        patience,
        ..JournalSettings::new("songs", windows(), rules())
    }
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(WallTime(NOON)))
}

fn genesis() -> Genesis {
    let start = |offset, empty| StartOffset { offset, empty };
    Genesis {
        marks: BTreeMap::new(),
        delivered: BTreeMap::new(),
        job: "songs".into(),
        source: SourceIdentity {
            kind: "kafka".into(),
            cluster: "c".into(),
            topic: "plays".into(),
            topic_id: "t".into(),
        },
        partitions: BTreeMap::from([("plays-0".into(), start(0, false)), ("plays-1".into(), start(70, true))]),
        settings: BTreeMap::from([("zone".to_owned(), serde_json::json!("Europe/Zurich"))]),
    }
}

fn open_with(store: &Arc<dyn ObjectStore>, settings: JournalSettings, clock: &Arc<ManualClock>) -> Journal {
    let clock: Arc<dyn Clock> = clock.clone();
    Journal::open(store.clone(), settings, clock).unwrap()
}

fn open(store: &Arc<dyn ObjectStore>) -> Journal {
    open_with(store, settings(), &clock())
}

fn start(journal: &Journal) -> Result<(Recovered, Writer), Fault> {
    journal.start(Generation(0), || Ok(genesis()))?.load(&LoadFrom::default())
}

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

/// An object's bytes, past every plan.
fn bytes_of(store: &Arc<dyn ObjectStore>, name: &str) -> Option<Bytes> {
    store::Objects::new(store.clone(), Patience::default()).unwrap().read(name).unwrap()
}

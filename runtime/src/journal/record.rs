//! What the records of the chain say: genesis, fence, epoch, base. Bytes are [`super::format`]'s concern.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{
    DeadLetter, EventTime, Fault, Generation, Grant, LedgerLine, Loss, Part, PartitionState, RecordHash, Sequence,
    SourceIdentity, WallTime, WindowId, WindowTotals,
};

/// The sequence number of the genesis record. 0 means "before anything".
pub const FIRST: Sequence = Sequence(1);

/// The first record: what the job reads, from where, and the settings that give counts their meaning.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// The job's name.
    pub job: String,
    /// Who the source is.
    pub source: SourceIdentity,
    /// Where reading begins, as numbers.
    pub partitions: BTreeMap<Arc<str>, StartOffset>,
    /// The semantic settings: zone, tz database version, lateness, windows, dimensions, field mapping.
    pub settings: BTreeMap<String, Value>,
    /// By follower: where everything ends that was there before this journal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<String, i64>,
    /// Of a journal that was built again from tables, by partition: dead letters up to this offset are out already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delivered: BTreeMap<Arc<str>, i64>,
}

/// What tables keep of a journal, so that it can be built again from them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// The first record.
    pub genesis: Genesis,
    /// When it was written.
    pub began_at: WallTime,
    /// Every loss that was accepted since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Tables that were built up again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rebuilt: Vec<Rebuilt>,
    /// The source, if it is no longer the one that genesis names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceIdentity>,
}

impl Remembered {
    /// As JSON.
    pub(super) fn text(&self) -> Result<String, Fault> {
        serde_json::to_string(self)
            .map_err(|error| Fault::failed("cannot tell what the journal began with", error, "report this as a bug"))
    }
}

/// Tables that a person let be built up again from what the journal still had: they have no rows of windows that became
/// final after one watermark and by another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The follower's name.
    pub follower: String,
    /// Of windows that were final by then they have what they had; none: of no window.
    pub after: Option<EventTime>,
    /// Of windows that were final by then the journal has nothing.
    pub until: EventTime,
    /// When it was accepted.
    pub at: WallTime,
    /// The record that says so; the writer fills it in.
    #[serde(default)]
    pub record: Sequence,
}

/// Where a partition begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StartOffset {
    /// The first offset to read.
    pub offset: i64,
    /// Nothing was there to read: idle at once. Otherwise active from the beginning, without a floor.
    pub empty: bool,
}

impl Genesis {
    /// Settings that differ, each with what is journaled and what is configured; null stands for absent.
    pub fn differences(&self, configured: &BTreeMap<String, Value>) -> Vec<(String, Value, Value)> {
        let names: BTreeSet<&String> = self.settings.keys().chain(configured.keys()).collect();
        let of = |settings: &BTreeMap<String, Value>, name: &String| settings.get(name).cloned().unwrap_or_default();
        names
            .into_iter()
            .map(|name| (name.clone(), of(&self.settings, name), of(configured, name)))
            .filter(|(_, journaled, configured)| journaled != configured)
            .collect()
    }

    /// The partitions before the first epoch.
    pub fn states(&self) -> BTreeMap<Arc<str>, PartitionState> {
        let state = |start: &StartOffset| PartitionState {
            next_offset: start.offset,
            fingerprint: 0,
            watermark: None,
            active: !start.empty,
            floors: Vec::new(),
        };
        self.partitions.iter().map(|(name, start)| (name.clone(), state(start))).collect()
    }
}

/// How far a follower has got, as it told the committer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// The last record it has acted on.
    pub sequence: Sequence,
    /// That record's hash.
    pub hash: RecordHash,
    /// The job watermark of that record.
    pub watermark: Option<EventTime>,
}

/// What one epoch adds to the journal.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EpochContent {
    /// The job watermark W after this epoch.
    pub watermark: Option<EventTime>,
    /// Partitions as they are now: all of them or the changed ones.
    pub partitions: BTreeMap<Arc<str>, PartitionState>,
    /// Accounts since the journal began: all of them or the changed ones.
    pub ledger: BTreeMap<Arc<str>, LedgerLine>,
    /// Late records of this epoch by the window they missed.
    pub late: Vec<(WindowId, u64)>,
    /// This epoch's dead letters.
    pub dead_letters: Arc<Vec<DeadLetter>>,
    /// Partitions that may go on from the next epoch.
    pub granted: Vec<Grant>,
    /// Followers' progress: all of it or what changed.
    pub acks: BTreeMap<String, Ack>,
    /// What is missing from the log, and was accepted with this record.
    pub losses: Vec<Loss>,
    /// The source to go on with, if it is another one from here on.
    pub source: Option<SourceIdentity>,
    /// Tables that are built up again.
    pub rebuilt: Vec<Rebuilt>,
    /// The workers' shares: disjoint key groups, in any order.
    pub parts: Vec<Part>,
}

/// Where a record stands in the chain; the same for every kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) sequence: Sequence,
    pub(super) generation: Generation,
    /// Hash of the record before; zeros before genesis.
    pub(super) previous: RecordHash,
    /// The newest base record before this one; 0 if there is none.
    pub(super) base: Sequence,
    /// Wall clock when written, milliseconds since 1970. For people and retention, never for counts.
    pub(super) written_at: i64,
    /// Makes the bytes of two writers differ even if they say the same.
    pub(super) nonce: u64,
}

/// A partition's state in an epoch record: floors are written once, when they are granted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) next_offset: i64,
    pub(super) fingerprint: u64,
    pub(super) watermark: Option<EventTime>,
    pub(super) active: bool,
    /// Floors that are new in this record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) floors: Vec<(i64, EventTime)>,
}

/// An epoch record without its binary sections (delta, dead letters).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct EpochBody {
    pub(super) watermark: Option<EventTime>,
    pub(super) partitions: BTreeMap<Arc<str>, Place>,
    pub(super) ledger: BTreeMap<Arc<str>, LedgerLine>,
    pub(super) late: Vec<(WindowId, u64)>,
    pub(super) granted: Vec<Grant>,
    pub(super) acks: BTreeMap<String, Ack>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) losses: Vec<Loss>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<SourceIdentity>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rebuilt: Vec<Rebuilt>,
}

/// Everything but keys and panes, as of one record: small, and whole in every base.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) watermark: Option<EventTime>,
    pub(super) partitions: BTreeMap<Arc<str>, PartitionState>,
    pub(super) ledger: BTreeMap<Arc<str>, LedgerLine>,
    #[serde(with = "pairs")]
    pub(super) totals: BTreeMap<WindowId, WindowTotals>,
    pub(super) acks: BTreeMap<String, Ack>,
    /// Where `time_future` dead letters stand, since the journal began: a recount cannot decide these again.
    pub(super) future: BTreeSet<(Arc<str>, i64)>,
    /// The last epoch record and its hash; genesis if there is none.
    pub(super) last_epoch: (Sequence, RecordHash),
    /// The last record that had a dead letter; 0 if none had.
    pub(super) last_dead_letter: Sequence,
    /// Every loss that was accepted since the journal began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) losses: Vec<Loss>,
    /// The source, if it is no longer the one that genesis names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<SourceIdentity>,
    /// Tables that were built up again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rebuilt: Vec<Rebuilt>,
}

/// A base record: state as of the record it covers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct BaseBody {
    pub(super) covered: Sequence,
    pub(super) summary: Summary,
    /// Panes of windows final under this watermark are no longer in the base …
    pub(super) dropped: Option<EventTime>,
    /// … because every follower that holds panes had acted on this record.
    pub(super) dropped_at: Sequence,
    /// The objects with keys and panes; together they hold every key group.
    pub(super) parts: Vec<PartObject>,
    /// When recent bases were made, to tell the age of records.
    pub(super) marks: Vec<Mark>,
    /// What may be deleted once this record is durable: ranges of records, first and last …
    pub(super) delete_records: Vec<(Sequence, Sequence)>,
    /// … and folders of base parts.
    pub(super) delete_bases: Vec<String>,
}

/// A base part as its base record lists it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct PartObject {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) hash: RecordHash,
    /// First and last key group inside.
    pub(super) groups: (u16, u16),
}

/// Every record up to `covered` was written before `at`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) covered: Sequence,
    pub(super) at: i64,
}

impl Mark {
    /// Whether all it covers is at least this old.
    pub(super) fn is_older(&self, now: WallTime, than: std::time::Duration) -> bool {
        i128::from(now.0) - i128::from(self.at) >= than.as_millis() as i128
    }
}

/// Maps whose keys are not text, as a list of pairs.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_name_what_changed_on_either_side() {
        let settings = |pairs: &[(&str, Value)]| -> BTreeMap<String, Value> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let genesis = Genesis {
            job: "songs".into(),
            source: SourceIdentity {
                kind: "file".into(),
                cluster: "/".into(),
                topic: "*".into(),
                topic_id: String::new(),
            },
            partitions: BTreeMap::new(),
            marks: BTreeMap::new(),
            delivered: BTreeMap::new(),
            settings: settings(&[("zone", json!("UTC")), ("gone", json!(1)), ("same", json!([1]))]),
        };
        let now = settings(&[("zone", json!("Europe/Zurich")), ("new", json!(2)), ("same", json!([1]))]);
        assert_eq!(
            genesis.differences(&now),
            [
                ("gone".to_owned(), json!(1), Value::Null),
                ("new".to_owned(), Value::Null, json!(2)),
                ("zone".to_owned(), json!("UTC"), json!("Europe/Zurich")),
            ]
        );
        assert!(genesis.differences(&genesis.settings).is_empty());
    }
}

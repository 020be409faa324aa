//! Appending: one record, one object, one fsync; then the slot is checked, and only then may anything be shown.

use super::chain::{self, Put};
use super::format::{self, Kind};
use super::record::{Ack, EpochBody, EpochContent, Link, Place, Rebuilt, Remembered, Summary};
use super::recover::{Loaded, Origin};
use super::reread::{Gate, Rereader};
use super::store::Objects;
use super::tend::Compaction;
use super::{Fence, JournalSettings, Recovered, columns, letters, slots};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{
    Bug, Clock, EventTime, FailPoint, Fault, Generation, KEY_GROUPS, Loss, Part, PartitionState, RecordHash, Sequence,
    seeded,
};

/// Appends to the chain. Used by one thread, the one that commits.
pub struct Writer {
    pub(super) objects: Arc<Objects>,
    pub(super) settings: Arc<JournalSettings>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) origin: Origin,
    pub(super) generation: Generation,
    nonce: u64,
    pub(super) tail: Sequence,
    hash: RecordHash,
    /// The newest base record; 0 if there is none.
    pub(super) base: Sequence,
    /// What the journal says so far, without totals: to write only what changed.
    pub(super) summary: Summary,
    /// What followers have acknowledged since; see [`Writer::hear`].
    pub(super) acks: BTreeMap<String, Ack>,
    /// How many keys each key group has.
    keys: Vec<u32>,
    pub(super) compaction: Compaction,
    pub(super) gate: Arc<Gate>,
}

/// Figures for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Our generation.
    pub generation: Generation,
    /// The last record.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: RecordHash,
    /// Records above the one that the newest base covers.
    pub records_since_base: usize,
    /// Their bytes.
    pub bytes_since_base: u64,
    /// Bytes of the newest base's parts.
    pub base_bytes: u64,
    /// Bytes of all objects, as of the last listing, plus what was written since.
    pub stored_bytes: u64,
    /// Whether a compaction or deletion is under way.
    pub compacting: bool,
}

impl Writer {
    pub(super) fn new(
        objects: Arc<Objects>,
        settings: Arc<JournalSettings>,
        clock: Arc<dyn Clock>,
        origin: Origin,
        nonce: u64,
        tail: &chain::Record,
        loaded: &Loaded,
    ) -> Result<Self, Fault> {
        let recovered = &loaded.recovered;
        let mut keys = vec![0; usize::from(KEY_GROUPS)];
        for group in &recovered.groups {
            keys[usize::from(group.group.0)] = group.keys.len() as u32;
        }
        let summary = Summary {
            watermark: recovered.watermark,
            partitions: recovered.partitions.clone(),
            ledger: recovered.ledger.clone(),
            acks: recovered.acks.clone(),
            last_epoch: recovered.last_epoch,
            ..Summary::default()
        };
        Ok(Writer {
            compaction: Compaction::new(&objects, settings.max_bytes, loaded)?,
            gate: Gate::new(tail.base()),
            objects,
            settings,
            clock,
            origin,
            generation: tail.link.generation,
            nonce,
            tail: tail.link.sequence,
            hash: tail.opened.hash,
            base: tail.base(),
            summary,
            acks: BTreeMap::new(),
            keys,
        })
    }

    /// Our generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Who reads counts again while this goes on writing.
    pub fn rereader(&self) -> Rereader {
        let Writer { objects, settings, origin, gate, generation, .. } = self;
        Rereader::new(objects.clone(), settings.clone(), origin.clone(), gate.clone(), *generation)
    }

    /// Whoever writes elsewhere in our name asks here.
    pub fn fence(&self) -> Fence {
        Fence::new(self.objects.clone(), self.generation)
    }

    /// What this journal could be built on again if it were lost, as JSON.
    ///
    /// # Errors
    /// None that are known of.
    pub fn remembered(&self, recovered: &Recovered) -> Result<String, Fault> {
        let (losses, rebuilt) = (recovered.losses.clone(), recovered.rebuilt.clone());
        let (genesis, source) = (self.origin.body.clone(), recovered.source.clone());
        Remembered { genesis, began_at: self.origin.began_at, losses, rebuilt, source }.text()
    }

    /// Figures for metrics and for `journal.max_bytes`.
    pub fn status(&self) -> Status {
        self.compaction.status(self.generation, self.tail, self.hash)
    }

    /// Whether an epoch says anything that the journal does not. Acknowledgements alone do not: a record for each of
    /// them would be acknowledged in turn, for ever.
    pub fn changes(&self, content: &EpochContent) -> bool {
        let known = &self.summary;
        content.watermark != known.watermark
            || content.partitions.iter().any(|(name, state)| known.partitions.get(name) != Some(state))
            || content.ledger.iter().any(|(name, line)| known.ledger.get(name) != Some(line))
            || !(content.late.is_empty() && content.dead_letters.is_empty() && content.granted.is_empty())
            || !content.losses.is_empty()
            || content.source.is_some()
            || !content.rebuilt.is_empty()
            || content.parts.iter().any(|part| !(part.rows.is_empty() && part.new_keys.is_empty()))
    }

    /// Make an epoch durable. When this returns, it may be shown; after a fault nothing of it may, and the process
    /// must end: an epoch is never cut again.
    ///
    /// # Errors
    /// A newer instance has taken over (exit 4); the store failed for too long; the content breaks the journal's rules
    /// (a bug).
    pub fn append(&mut self, content: &EpochContent) -> Result<(Sequence, RecordHash), Fault> {
        let body = self.body(content).map_err(broken)?;
        let keys = self.count_keys(&content.parts).map_err(broken)?;
        let json = serde_json::to_vec(&body).map_err(|error| broken(error.to_string()))?;
        let delta = columns::encode(&content.parts).map_err(broken)?;
        let sections = [json, delta, letters::encode(&content.dead_letters)];
        let mut written = self.put(Kind::Epoch, &sections);
        if seeded(Bug::RecutAfterFailure) && written.as_ref().is_err_and(Fault::is_transient) {
            self.nonce += 1;
            written = self.put(Kind::Epoch, &sections);
        }
        let written = written?;
        self.summary.apply(written, &body, &content.dead_letters);
        // Totals are the folds' business; here they would only grow.
        self.summary.totals.clear();
        self.summary.future.clear();
        self.summary.losses.clear();
        self.summary.rebuilt.clear();
        self.keys = keys;
        Ok(written)
    }

    /// Write a record of any kind at the next number, and check the slot.
    pub(super) fn put(&mut self, kind: Kind, sections: &[Vec<u8>]) -> Result<(Sequence, RecordHash), Fault> {
        let link = Link {
            sequence: Sequence(self.tail.0 + 1),
            generation: self.generation,
            previous: self.hash,
            base: self.base,
            written_at: self.clock.now().0,
            nonce: self.nonce,
        };
        let sealed = format::seal(kind, &link, sections)?;
        let [before, created, checked] = steps(kind);
        before.reach()?;
        match chain::create(&self.objects, &chain::name_of(link.sequence), &sealed.bytes)? {
            Put::Ours => created.reach()?,
            Put::Foreign(bytes) => return Err(chain::foreign(self.generation, link.sequence, &bytes)),
        }
        if !seeded(Bug::NoSlotCheck) {
            slots::check_next(&self.objects, self.generation)?;
        }
        checked.reach()?;
        (self.tail, self.hash) = (link.sequence, sealed.hash);
        self.compaction.appended(sealed.bytes.len() as u64);
        Ok((self.tail, self.hash))
    }

    /// What changed, checked against what may change.
    fn body(&self, content: &EpochContent) -> Result<EpochBody, String> {
        let known = &self.summary;
        let record = Sequence(self.tail.0 + 1);
        if content.watermark < known.watermark {
            return Err(format!("the watermark goes back from {:?} to {:?}", known.watermark, content.watermark));
        }
        let mut partitions = BTreeMap::new();
        for (name, state) in &content.partitions {
            let before = known.partitions.get(name);
            if before != Some(state) {
                // Where a log was cut, reading goes on before what was read.
                let may_go_back = content.losses.iter().any(|loss| loss.partition == *name);
                let place = place(before, state, may_go_back).map_err(|why| format!("partition {name}: {why}"))?;
                partitions.insert(name.clone(), place);
            }
        }
        Ok(EpochBody {
            watermark: content.watermark,
            partitions,
            ledger: changed(&content.ledger, &known.ledger),
            late: content.late.clone(),
            granted: content.granted.clone(),
            acks: changed(&content.acks, &known.acks),
            losses: content.losses.iter().map(|loss| Loss { record, ..loss.clone() }).collect(),
            source: content.source.clone(),
            rebuilt: content.rebuilt.iter().map(|rebuilt| Rebuilt { record, ..rebuilt.clone() }).collect(),
        })
    }

    /// New keys are numbered on; no row may name a key that nobody has numbered.
    fn count_keys(&self, parts: &[Part]) -> Result<Vec<u32>, String> {
        let mut keys = self.keys.clone();
        for part in parts {
            for group in &part.new_key_groups {
                *keys.get_mut(usize::from(*group)).ok_or_else(|| format!("there is no key group {group}"))? += 1;
            }
            for row in &part.rows {
                let known = keys.get(usize::from(row.group)).copied().unwrap_or(0);
                if row.local >= known {
                    return Err(format!("row {row:?} is of a key that is not known: the group has {known}"));
                }
            }
        }
        Ok(keys)
    }
}

/// The steps of writing one record.
fn steps(kind: Kind) -> [FailPoint; 3] {
    match kind {
        Kind::Base => [FailPoint::BaseBeforeCreate, FailPoint::BaseCreated, FailPoint::BaseChecked],
        _ => [FailPoint::CommitBeforeCreate, FailPoint::CommitCreated, FailPoint::CommitChecked],
    }
}

fn changed<K: Ord + Clone, V: PartialEq + Clone + Serialize>(
    now: &BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
) -> BTreeMap<K, V> {
    let is_new = |(key, value): &(&K, &V)| before.get(key) != Some(value);
    now.iter().filter(is_new).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// `may_go_back`: by an accepted loss.
fn place(before: Option<&PartitionState>, now: &PartitionState, may_go_back: bool) -> Result<Place, String> {
    let (next_offset, watermark, floors): (i64, Option<EventTime>, &[_]) = match before {
        Some(before) => (before.next_offset, before.watermark, &before.floors),
        None => (i64::MIN, None, &[]),
    };
    let new_floors = now.floors.strip_prefix(floors).ok_or("a floor was forgotten or changed")?;
    if (now.next_offset < next_offset && !may_go_back) || now.watermark < watermark {
        return Err(format!("it goes back from {before:?} to {now:?}"));
    }
    Ok(Place {
        next_offset: now.next_offset,
        fingerprint: now.fingerprint,
        watermark: now.watermark,
        active: now.active,
        floors: new_floors.to_vec(),
    })
}

fn broken(why: String) -> Fault {
    Fault::failed("cannot commit an epoch", why, "report this as a bug; nothing of the epoch was written")
}

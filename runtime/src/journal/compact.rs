//! Compaction: when it is due, what it may forget, and the fold, group by group, from files alone.

use super::base_part;
use super::chain::{self, Put};
use super::collect::{self, Listing};
use super::fold::{Effect, Layer};
use super::format::{self, Kind};
use super::record::{Ack, BaseBody, Mark, PartObject};
use super::recover::{self, Origin};
use super::settings::{Hold, JournalSettings};
use super::store::Objects;
use serde::Serialize;
use std::collections::BTreeMap;
use stream::{EventTime, Fault, Generation, GroupState, KEY_GROUPS, Sequence, WallTime, WindowState};

/// The folder of base parts.
pub(super) const BASES: &str = "base";

/// A part is closed when its keys and panes reach this many bytes unpacked: small enough to spread loading over cores.
const PART_BYTES: usize = 8 << 20;

/// Whether enough has come since the last base: a number of records, or bytes beyond a quarter of the base. A base
/// that is small or not there yet does not make every epoch due.
pub(super) fn is_due(records: usize, bytes: u64, base_bytes: u64, settings: &JournalSettings) -> bool {
    records >= settings.compact_records || bytes > (base_bytes / 4).max(settings.compact_bytes)
}

/// What a follower has acted on: record and watermark.
type Reached = (Sequence, Option<EventTime>);

/// The slowest follower that holds panes: windows final under its watermark may leave the base. Boards hold for
/// `journal.retain` only. `through` is what there is without any follower; `before` what has left already.
pub(super) fn droppable(
    settings: &JournalSettings,
    acks: &BTreeMap<String, Ack>,
    marks: &[Mark],
    now: WallTime,
    through: Reached,
    before: Reached,
) -> Reached {
    let aged = aged(settings, marks, now);
    let mut slowest = through;
    for (name, hold) in &settings.followers {
        let ack = acks.get(name).map_or((Sequence(0), None), |ack| (ack.sequence, ack.watermark));
        let holds = match hold {
            Hold::Always => true,
            Hold::WithinRetain => ack.0 >= aged,
            Hold::Records => false,
        };
        if holds {
            slowest = (slowest.0.min(ack.0), slowest.1.min(ack.1));
        }
    }
    match slowest.1 {
        None => before,
        Some(_) => (slowest.0.max(before.0), slowest.1.max(before.1)),
    }
}

/// Compacted records up to this one may be deleted: older than `journal.retain`, and every follower that reads them is
/// past. The record that a follower stands at stays, so that its hash can be found.
pub(super) fn deletable(
    settings: &JournalSettings,
    acks: &BTreeMap<String, Ack>,
    marks: &[Mark],
    now: WallTime,
) -> Sequence {
    aged(settings, marks, now).min(passed(settings, acks))
}

/// Every follower that reads records is past this one.
pub(super) fn passed(settings: &JournalSettings, acks: &BTreeMap<String, Ack>) -> Sequence {
    let mut last = Sequence(u64::MAX);
    for (name, hold) in &settings.followers {
        if *hold != Hold::WithinRetain {
            let reached = acks.get(name).map_or(0, |ack| ack.sequence.0);
            last = last.min(Sequence(reached.saturating_sub(1)));
        }
    }
    last
}

/// The last record that is known to be older than `journal.retain`.
pub(super) fn aged(settings: &JournalSettings, marks: &[Mark], now: WallTime) -> Sequence {
    let old = marks.iter().filter(|mark| mark.is_older(now, settings.retain));
    old.map(|mark| mark.covered).max().unwrap_or_default()
}

/// Marks for the next base: the new one, all young ones, and of the old ones the newest.
pub(super) fn next_marks(settings: &JournalSettings, marks: &[Mark], new: Mark, now: WallTime) -> Vec<Mark> {
    let aged = aged(settings, marks, now);
    marks.iter().copied().filter(|mark| mark.covered >= aged).chain([new]).collect()
}

/// What to compact.
pub(super) struct Order {
    /// The newest base record; 0 if there is none.
    pub(super) base: Sequence,
    /// The record to be covered.
    pub(super) through: Sequence,
    pub(super) generation: Generation,
    pub(super) nonce: u64,
    pub(super) now: WallTime,
    /// What followers have acknowledged since that was last written down.
    pub(super) acks: BTreeMap<String, Ack>,
}

/// A base whose parts are durable and whose record is not written yet.
pub(super) struct Finished {
    pub(super) body: BaseBody,
    pub(super) listing: Listing,
    /// Records up to this one are listed.
    pub(super) deletes: Sequence,
}

#[derive(Serialize)]
struct PartHeader {
    covered: Sequence,
    generation: Generation,
    groups: (u16, u16),
}

/// Fold everything up to the ordered record into new parts. Reads and creates objects, and changes nothing else.
pub(super) fn fold(
    objects: &Objects,
    settings: &JournalSettings,
    origin: &Origin,
    order: &Order,
) -> Result<Finished, Fault> {
    let mut gathered = recover::gather(objects, origin, order.base, order.through)?;
    let marks = gathered.base.as_ref().map_or_else(Vec::new, |base| base.marks.clone());
    let before = gathered.base.as_ref().map_or((Sequence(0), None), |base| (base.dropped_at, base.dropped));
    let through = (order.through, gathered.summary.watermark);
    gathered.summary.hear(&order.acks);
    let acks = &gathered.summary.acks;
    let (dropped_at, dropped) = droppable(settings, acks, &marks, order.now, through, before);
    let delete_through = deletable(settings, acks, &marks, order.now);

    let layers: Vec<Layer> = std::mem::take(&mut gathered.epochs)
        .into_iter()
        .map(|epoch| Layer { sequence: epoch.sequence, delta: epoch.delta, effect: Effect::Count })
        .collect();
    let ranges = gathered.ranges();
    let dropped_before = gathered.dropped();
    let mut summary = gathered.summary;
    let mut parts = Parts::new(objects, order);
    let mut assigner = settings.windows.assigner();
    for range in &ranges {
        let (groups, gains) = recover::fold_range(objects, settings, &layers, dropped_before, range)?;
        summary.gain(gains).map_err(recover::not_foldable)?;
        for mut group in groups {
            group.panes.retain(|pane| {
                let window = assigner.assign(pane.kind, pane.start);
                window.state(dropped, settings.rules.allowed_lateness) != WindowState::Final
            });
            parts.add(group)?;
        }
    }
    let (folder, parts) = parts.finish()?;
    summary.prune(settings, dropped);
    let listing = collect::list(objects, order.generation, delete_through, &folder)?;
    let body = BaseBody {
        covered: order.through,
        summary,
        dropped,
        dropped_at: if dropped.is_some() { dropped_at } else { Sequence(0) },
        parts,
        marks: next_marks(settings, &marks, Mark { covered: order.through, at: order.now.0 }, order.now),
        delete_records: listing.records.clone(),
        delete_bases: listing.bases.clone(),
    };
    Ok(Finished { body, listing, deletes: delete_through })
}

/// Collects groups into parts of a good size.
pub(super) struct Parts<'a> {
    objects: &'a Objects,
    order: &'a Order,
    folder: String,
    open: Vec<GroupState>,
    open_bytes: usize,
    next_group: u16,
    done: Vec<PartObject>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(objects: &'a Objects, order: &'a Order) -> Self {
        let Order { through, generation, nonce, .. } = order;
        let folder = format!(
            "{BASES}/{through:020}-{generation:020}-{nonce:016x}",
            through = through.0,
            generation = generation.0
        );
        Parts { objects, order, folder, open: Vec::new(), open_bytes: 0, next_group: 0, done: Vec::new() }
    }

    pub(super) fn add(&mut self, group: GroupState) -> Result<(), Fault> {
        let last = group.group.0;
        self.open_bytes += group.keys.bytes() + group.keys.len() + 8 * group.panes.len();
        self.open.push(group);
        if self.open_bytes >= PART_BYTES && last + 1 < KEY_GROUPS { self.close(last) } else { Ok(()) }
    }

    fn close(&mut self, last: u16) -> Result<(), Fault> {
        let groups = (self.next_group, last);
        let header = PartHeader { covered: self.order.through, generation: self.order.generation, groups };
        let sealed = format::seal(Kind::Part, &header, &[base_part::encode(&self.open)])?;
        let name = format!("{}/{:04}", self.folder, self.done.len());
        if let Put::Foreign(_) = chain::create(self.objects, &name, &sealed.bytes)? {
            return Err(Fault::failed(
                format!("cannot write journal object {name}"),
                "somebody else's object stands there",
                "report this as a bug; nothing was overwritten",
            ));
        }
        self.done.push(PartObject { name, length: sealed.bytes.len() as u64, hash: sealed.hash, groups });
        self.open.clear();
        self.open_bytes = 0;
        self.next_group = last + 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(String, Vec<PartObject>), Fault> {
        self.close(KEY_GROUPS - 1)?;
        Ok((self.folder, self.done))
    }
}

#[cfg(test)]
mod tests;

//! Reading state back: the newest base, and every epoch record above the record it covers, wherever the base stands.
//! Records are read and key groups folded on all cores.

use super::chain::{self, EpochRecord, Record, in_parallel};
use super::fold::{Effect, Folder, Gains, Layer};
use super::format::{self, Kind, unreadable};
use super::record::{BaseBody, FIRST, Genesis, PartObject, Summary};
use super::settings::JournalSettings;
use super::store::Objects;
use super::{Coverage, LoadFrom, PackedGroup, Recovered, base_part};
use stream::{
    DeadLetter, EventTime, Fault, Generation, GroupState, KEY_GROUPS, KeyGroup, RecordHash, Sequence, WallTime,
};

/// The genesis record.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Origin {
    pub(super) body: Genesis,
    pub(super) hash: RecordHash,
    pub(super) generation: Generation,
    /// When it was written.
    pub(super) began_at: WallTime,
}

impl Origin {
    pub(super) fn read(objects: &Objects) -> Result<Self, Fault> {
        let record = chain::read_existing(objects, FIRST)?;
        Ok(Origin {
            body: record.opened.json(0)?,
            hash: record.opened.hash,
            generation: record.link.generation,
            began_at: WallTime(record.link.written_at),
        })
    }
}

/// Everything that folding needs, read from the journal. Epochs are complete up to `through`.
pub(super) struct Gathered {
    pub(super) base: Option<BaseBody>,
    pub(super) summary: Summary,
    pub(super) epochs: Vec<EpochRecord>,
    /// How many records there are above the covered one, and their bytes.
    pub(super) records: usize,
    pub(super) bytes: u64,
    /// The hash of the record before the first one above the covered one.
    covered_hash: Option<RecordHash>,
}

impl Gathered {
    /// The record up to which the base (or genesis) says everything.
    pub(super) fn covered(&self) -> Sequence {
        self.base.as_ref().map_or(FIRST, |base| base.covered)
    }

    /// What panes are no longer in the base.
    pub(super) fn dropped(&self) -> Option<EventTime> {
        self.base.as_ref().and_then(|base| base.dropped)
    }

    /// The stretches of key groups to fold, each with its part of the base.
    pub(super) fn ranges(&self) -> Vec<((u16, u16), Option<PartObject>)> {
        match &self.base {
            Some(base) => base.parts.iter().map(|part| (part.groups, Some(part.clone()))).collect(),
            None => (0..KEY_GROUPS / 64).map(|index| ((64 * index, 64 * index + 63), None)).collect(),
        }
    }
}

/// Read base and epochs up to a record.
pub(super) fn gather(
    objects: &Objects,
    genesis: &Origin,
    base: Sequence,
    through: Sequence,
) -> Result<Gathered, Fault> {
    let base = match base.0 {
        0 => None,
        _ => Some(read_base(objects, base)?),
    };
    let covered = base.as_ref().map_or(FIRST, |base| base.covered);
    let records = chain::stretch(objects, Sequence(covered.0 + 1), through)?;
    if let (None, Some((first, _))) = (&base, records.first())
        && first.link.previous != genesis.hash
    {
        let why = format!("it does not follow {}: it names another record before it", chain::name_of(FIRST));
        return Err(unreadable(&first.opened.name, why));
    }
    let mut summary = match &base {
        Some(base) => base.summary.clone(),
        None => Summary { partitions: genesis.body.states(), last_epoch: (FIRST, genesis.hash), ..Summary::default() },
    };
    let bytes = records.iter().map(|(record, _)| record.opened.length).sum();
    let covered_hash = records.first().map(|(record, _)| record.link.previous);
    let count = records.len();
    let epochs: Vec<EpochRecord> = records.into_iter().filter_map(|(_, epoch)| epoch).collect();
    for epoch in &epochs {
        summary.apply((epoch.sequence, epoch.hash), &epoch.body, &epoch.dead_letters);
    }
    Ok(Gathered { base, summary, epochs, records: count, bytes, covered_hash })
}

fn read_base(objects: &Objects, sequence: Sequence) -> Result<BaseBody, Fault> {
    let record = chain::read_existing(objects, sequence)?;
    let wrong = |why: &str| unreadable(&record.opened.name, why);
    if record.opened.kind != Kind::Base {
        return Err(wrong("it is not the base that a later record takes it for"));
    }
    let body: BaseBody = record.opened.json(0)?;
    let mut next = 0;
    for part in &body.parts {
        if part.groups.0 != next || part.groups.1 < part.groups.0 {
            return Err(wrong("its parts do not hold every key group once"));
        }
        next = part.groups.1.saturating_add(1);
    }
    if next != KEY_GROUPS || body.covered >= sequence || body.covered < FIRST {
        return Err(wrong("its parts do not hold every key group once, or it covers what is not before it"));
    }
    Ok(body)
}

/// Read a part of a base: the object must be the one that the base record lists.
pub(super) fn read_part(objects: &Objects, part: &PartObject) -> Result<Vec<GroupState>, Fault> {
    let bytes = objects.read(&part.name)?.ok_or_else(|| chain::missing(&part.name))?;
    let opened = format::open(&part.name, &bytes)?;
    if opened.kind != Kind::Part || opened.hash != part.hash || opened.length != part.length {
        return Err(unreadable(&part.name, "it is not the object that its base record lists"));
    }
    let groups = base_part::decode(&opened.section(0)?).map_err(|why| unreadable(&part.name, why))?;
    if groups.iter().any(|group| group.group.0 < part.groups.0 || group.group.0 > part.groups.1) {
        return Err(unreadable(&part.name, "it holds other key groups than its base record says"));
    }
    Ok(groups)
}

/// Fold one stretch of key groups. Groups without keys are left out.
pub(super) fn fold_range(
    objects: &Objects,
    settings: &JournalSettings,
    layers: &[Layer],
    dropped: Option<EventTime>,
    (range, part): &((u16, u16), Option<PartObject>),
) -> Result<(Vec<GroupState>, Gains), Fault> {
    let base = part.as_ref().map(|part| read_part(objects, part)).transpose()?.unwrap_or_default();
    let mut base = base.into_iter().peekable();
    let mut folder = Folder::new(layers, settings, dropped);
    let mut groups = Vec::new();
    for group in (range.0..=range.1).map(KeyGroup) {
        let old = base.next_if(|old| old.group == group);
        let folded = folder.fold(group, old).map_err(not_foldable)?;
        if !folded.keys.is_empty() {
            groups.push(folded);
        }
    }
    Ok((groups, folder.into_gains()))
}

pub(super) fn not_foldable(why: impl std::fmt::Display) -> Fault {
    Fault::failed(
        "cannot put the journal's state together",
        why,
        "report this as a bug, with the journal; nothing was changed",
    )
}

/// Everything a start needs besides what it recovered.
pub(super) struct Loaded {
    pub(super) recovered: Recovered,
    pub(super) base: Option<BaseBody>,
    pub(super) records: usize,
    pub(super) bytes: u64,
}

/// State after `tail`, up to which everything was gathered, with what followers lack marked.
pub(super) fn load(
    objects: &Objects,
    settings: &JournalSettings,
    mut gathered: Gathered,
    tail: &Record,
    from: &LoadFrom,
) -> Result<Loaded, Fault> {
    let covered = gathered.covered();
    let older = Older::read(objects, &gathered, from)?;
    let mut dead_letters = older.dead_letters;
    let mut layers = older.marks;
    for epoch in std::mem::take(&mut gathered.epochs) {
        if older.letters_after.is_some_and(|after| epoch.sequence > after) {
            dead_letters.extend(epoch.dead_letters.into_iter().map(|letter| (epoch.sequence, letter)));
        }
        let lacking = from.tables.is_some_and(|tables| epoch.sequence > tables);
        let effect = if lacking { Effect::CountDirty } else { Effect::Count };
        layers.push(Layer { sequence: epoch.sequence, delta: epoch.delta, effect });
    }
    let (ranges, dropped) = (gathered.ranges(), gathered.dropped());
    let folded = in_parallel(objects.threads, ranges.len(), |index| {
        let (mut groups, gains) = fold_range(objects, settings, &layers, dropped, &ranges[index])?;
        if older.tables != Coverage::Exact {
            groups.iter_mut().flat_map(|group| &mut group.panes).for_each(|pane| pane.dirty = true);
        }
        Ok((groups.into_iter().map(PackedGroup::pack).collect::<Vec<_>>(), gains))
    })?;
    let mut summary = gathered.summary;
    let mut groups = Vec::new();
    for (stretch, gains) in folded {
        groups.extend(stretch);
        summary.gain(gains).map_err(not_foldable)?;
    }
    summary.prune(settings, dropped);
    tracing::info!(covered = covered.0, through = tail.link.sequence.0, records = gathered.records, "journal loaded");
    let recovered = Recovered {
        sequence: tail.link.sequence,
        hash: tail.opened.hash,
        last_epoch: summary.last_epoch,
        watermark: summary.watermark,
        partitions: summary.partitions,
        ledger: summary.ledger,
        totals: summary.totals,
        acks: summary.acks,
        groups,
        tables: older.tables,
        dead_letters,
        dead_letters_coverage: older.letters,
        future: summary.future,
        losses: summary.losses,
        rebuilt: summary.rebuilt,
        delivered: Default::default(),
        source: summary.source,
    };
    Ok(Loaded { recovered, base: gathered.base, records: gathered.records, bytes: gathered.bytes })
}

/// What records at or below the covered one still say of what followers lack.
struct Older {
    tables: Coverage,
    letters: Coverage,
    /// Dead letters of later records are due.
    letters_after: Option<Sequence>,
    dead_letters: Vec<(Sequence, DeadLetter)>,
    marks: Vec<Layer>,
}

impl Older {
    fn read(objects: &Objects, gathered: &Gathered, from: &LoadFrom) -> Result<Older, Fault> {
        let covered = gathered.covered();
        // What is there says more than what was acknowledged: a broker may lose what it had confirmed. Where records that were
        // acted on have left since, nobody can tell, and they were acknowledged.
        let letters = from.dead_letters.as_ref().map(|(name, found)| {
            let journaled = gathered.summary.acks.get(name).map_or(Sequence(0), |ack| ack.sequence);
            (if *found == Sequence(0) { journaled } else { *found }, journaled.max(*found))
        });
        let letters_after = letters.map(|(after, _)| after);
        // Before genesis there is nothing to lack.
        let tables_after = from.tables.map(|tables| tables.max(FIRST)).filter(|tables| *tables < covered);
        let last_letter = gathered.base.as_ref().map_or(Sequence(0), |base| base.summary.last_dead_letter);
        let old_letters_after = letters_after.map(|after| after.max(FIRST)).filter(|after| *after < last_letter);

        let mut older = Older {
            tables: Coverage::Exact,
            letters: Coverage::Exact,
            letters_after,
            dead_letters: Vec::new(),
            marks: Vec::new(),
        };
        let Some(first) = tables_after.min(old_letters_after).or(tables_after).or(old_letters_after) else {
            return Ok(older);
        };
        let kept = kept_records(objects, gathered, Sequence(first.0 + 1))?;
        let kept_from = kept.first().map_or(Sequence(covered.0 + 1), |(record, _)| record.link.sequence);
        let whole = |after: Sequence| after.0 + 1 >= kept_from.0;
        if let Some(after) = tables_after {
            let dropped_at = gathered.base.as_ref().map_or(Sequence(0), |base| base.dropped_at);
            older.tables = match () {
                () if after < dropped_at => Coverage::Gap(dropped_at),
                () if whole(after) => Coverage::Exact,
                () => Coverage::Everything,
            };
        }
        let acted_on = letters.map(|(_, acted_on)| acted_on.max(FIRST)).filter(|acted_on| *acted_on < last_letter);
        if let Some(after) = acted_on.filter(|after| !whole(*after)) {
            tracing::warn!(after = after.0, kept_from = kept_from.0, "dead letters have left the journal undelivered");
            older.letters = Coverage::Gap(Sequence(kept_from.0 - 1));
        }
        for epoch in kept.into_iter().filter_map(|(_, epoch)| epoch) {
            let sequence = epoch.sequence;
            if letters_after.is_some_and(|after| sequence > after) {
                older.dead_letters.extend(epoch.dead_letters.into_iter().map(|letter| (sequence, letter)));
            }
            if older.tables == Coverage::Exact && tables_after.is_some_and(|after| sequence > after) {
                older.marks.push(Layer { sequence, delta: epoch.delta, effect: Effect::MarkDirty });
            }
        }
        Ok(older)
    }
}

/// The records from `first` up to the covered one that are still there and hang together with the chain. Something
/// else may lie on a deleted name (see slots); it does not hang together, and what is before it is not asked.
fn kept_records(
    objects: &Objects,
    gathered: &Gathered,
    first: Sequence,
) -> Result<Vec<(Record, Option<EpochRecord>)>, Fault> {
    let mut kept = Vec::new();
    walk_back(objects, gathered, first, |record, epoch| kept.push((record, epoch)))?;
    kept.reverse();
    Ok(kept)
}

/// The same one by one from the covered record backwards; gives the first one seen, or the one after the covered.
pub(super) fn walk_back(
    objects: &Objects,
    gathered: &Gathered,
    first: Sequence,
    mut see: impl FnMut(Record, Option<EpochRecord>),
) -> Result<Sequence, Fault> {
    let mut expected = gathered.covered_hash;
    let mut at = gathered.covered();
    while at >= first {
        // An older instance may still be deleting what its last base record lists.
        let Some(record) = chain::read(objects, at)? else { break };
        if expected != Some(record.opened.hash) {
            break;
        }
        expected = Some(record.link.previous);
        let epoch = record.epoch()?;
        see(record, epoch);
        at = Sequence(at.0 - 1);
    }
    Ok(Sequence(at.0 + 1))
}

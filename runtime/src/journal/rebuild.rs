//! A journal from tables, where the one they follow is lost: genesis as the tables remember it, and a base that says what
//! they show. Its records are numbered on from the greatest number that was shown anywhere, so that nothing goes back.

use super::compact::{Order, Parts};
use super::format::{self, Kind};
use super::record::{Ack, BaseBody, FIRST, Genesis, Link, Mark, Remembered, Summary};
use super::start::nonce;
use super::{Journal, chain, slots};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use stream::{
    Assigner, EventTime, Fault, Generation, GroupState, KEY_GROUPS, KeyArena, KeyGroup, KindIndex, LedgerLine,
    PaneCell, PartitionState, RecordHash, Sequence, WindowId, WindowState, WindowTotals,
};

/// What is to be known besides counts.
#[derive(Clone, PartialEq, Debug)]
pub struct Shown {
    /// What the tables remember of the journal.
    pub remembered: Remembered,
    /// The tables' name as a follower, and what they are as of.
    pub tables: (String, Ack),
    /// Every partition.
    pub partitions: BTreeMap<Arc<str>, PartitionState>,
    /// Every partition's account.
    pub ledger: BTreeMap<Arc<str>, LedgerLine>,
    /// Totals of every window that the tables know.
    pub totals: BTreeMap<WindowId, WindowTotals>,
    /// Where dead letters of the future stand.
    pub future: BTreeSet<(Arc<str>, i64)>,
    /// By partition: the last offset whose dead letter is out already.
    pub delivered: BTreeMap<Arc<str>, i64>,
    /// The greatest generation and number shown anywhere.
    pub above: (Generation, Sequence),
}

/// Counts, gathered row by row.
pub struct Rebuild {
    assigner: Assigner,
    lateness: std::time::Duration,
    watermark: Option<EventTime>,
    groups: Vec<Group>,
    /// What rows add up to in windows that may still change: (events, keys).
    sums: BTreeMap<WindowId, (u64, u64)>,
}

#[derive(Default)]
struct Group {
    keys: KeyArena,
    local: HashMap<Box<str>, u32>,
    panes: Vec<PaneCell>,
}

impl Rebuild {
    /// Nothing gathered yet, as of this watermark.
    pub fn new(journal: &Journal, watermark: Option<EventTime>) -> Self {
        Rebuild {
            assigner: journal.settings.windows.assigner(),
            lateness: journal.settings.rules.allowed_lateness,
            watermark,
            groups: (0..KEY_GROUPS).map(|_| Group::default()).collect(),
            sums: BTreeMap::new(),
        }
    }

    /// A row of a count table. What is final stays in the tables alone; its key is known from now on.
    pub fn count(&mut self, kind: KindIndex, start: EventTime, key: &str, count: u64) {
        let group = &mut self.groups[usize::from(KeyGroup::of(key).0)];
        let local = match group.local.get(key) {
            Some(local) => *local,
            None => {
                let local = group.keys.push(key);
                group.local.insert(key.into(), local);
                local
            }
        };
        let window = self.assigner.assign(kind, start);
        if window.state(self.watermark, self.lateness) == WindowState::Final {
            return;
        }
        let (events, keys) = self.sums.entry(window.id()).or_default();
        (*events, *keys) = (*events + count, *keys + 1);
        group.panes.push(PaneCell { local, kind, start: window.start, count, dirty: false });
    }

    /// How many keys there are, and counts in windows that may still change.
    pub fn size(&self) -> (u64, u64) {
        let keys = self.groups.iter().map(|group| group.keys.len() as u64).sum();
        (keys, self.groups.iter().map(|group| group.panes.len() as u64).sum())
    }

    /// Rows that were damaged or are not all there would be the truth from now on.
    fn check(&self, shown: &Shown) -> Result<(), Fault> {
        let wrong = |why: String| {
            Fault::refused(
                "the tables do not add up, so that no journal can be built on them",
                why,
                "restore an undamaged copy of the tables, or count anew with fresh tables and a fresh job.state",
            )
        };
        let mut windows: BTreeSet<WindowId> = self.sums.keys().copied().collect();
        let lives = |id: &WindowId| {
            self.assigner.windows().find(*id).state(self.watermark, self.lateness) != WindowState::Final
        };
        windows.extend(shown.totals.keys().filter(|id| lives(id)));
        for id in windows {
            let totals = shown.totals.get(&id).copied().unwrap_or_default();
            let found = self.sums.get(&id).copied().unwrap_or_default();
            if found != (totals.events, totals.keys) {
                let kind = &self.assigner.windows().kind(id.kind).name;
                return Err(wrong(format!(
                    "window {kind} of {}: its rows are {} in {} keys, and window_status says {} in {}",
                    id.start, found.0, found.1, totals.events, totals.keys
                )));
            }
        }
        for (name, line) in &shown.ledger {
            if line.consumed != line.counted + line.dead_lettered {
                return Err(wrong(format!("the account of partition {name} does not balance: {line:?}")));
            }
        }
        Ok(())
    }

    fn into_groups(self) -> impl Iterator<Item = GroupState> {
        (0..KEY_GROUPS).zip(self.groups).filter(|(_, group)| !group.keys.is_empty()).map(|(number, mut group)| {
            group.panes.sort_unstable_by_key(|pane| (pane.local, pane.kind, pane.start));
            GroupState { group: KeyGroup(number), keys: group.keys, panes: group.panes }
        })
    }
}

impl Journal {
    /// Write the journal that these tables follow. The next start goes on from it.
    ///
    /// # Errors
    /// There is a journal already, or the tables do not add up (exit 3); the store fails.
    pub fn rebuild(&self, shown: Shown, counts: Rebuild) -> Result<Sequence, Fault> {
        counts.check(&shown)?;
        if let Some(tail) = chain::tail(&self.objects)? {
            return Err(Fault::refused(
                "there is a journal already",
                format!("its last record is {} of generation {}", tail.link.sequence, tail.link.generation),
                "start the job with it; or move it away, if it is only the rest of a lost one",
            ));
        }
        let (name, ack) = shown.tables;
        let (generation, covered) = (Generation(shown.above.0.0 + 1), Sequence(shown.above.1.0.max(FIRST.0 + 1)));
        let (now, nonce) = (self.clock.now(), nonce());
        let order = Order { base: Sequence(0), through: covered, generation, nonce, now, acks: BTreeMap::new() };
        let mut parts = Parts::new(&self.objects, &order);
        counts.into_groups().try_for_each(|group| parts.add(group))?;
        let (_, parts) = parts.finish()?;
        let genesis = Genesis { delivered: shown.delivered, ..shown.remembered.genesis };
        let summary = Summary {
            watermark: ack.watermark,
            partitions: shown.partitions,
            ledger: shown.ledger,
            totals: shown.totals,
            acks: BTreeMap::from([(name, ack)]),
            future: shown.future,
            last_epoch: (ack.sequence, ack.hash),
            losses: shown.remembered.losses,
            rebuilt: shown.remembered.rebuilt,
            source: shown.remembered.source,
            ..Summary::default()
        };
        let body = BaseBody {
            covered,
            summary,
            dropped: ack.watermark,
            dropped_at: ack.watermark.map_or(Sequence(0), |_| ack.sequence),
            parts,
            marks: vec![Mark { covered, at: now.0 }],
            delete_records: Vec::new(),
            delete_bases: Vec::new(),
        };
        let first = (FIRST, RecordHash::default(), shown.remembered.began_at.0);
        // As in a chain whose older records were compacted away.
        let base = (Sequence(covered.0 + 1), ack.hash, now.0);
        let hash = self.put_rebuilt(Kind::Genesis, first, generation, nonce, &genesis)?;
        slots::close(&self.objects, generation, FIRST, hash)?;
        self.put_rebuilt(Kind::Base, base, generation, nonce, &body)?;
        Ok(base.0)
    }

    fn put_rebuilt(
        &self,
        kind: Kind,
        (sequence, previous, written_at): (Sequence, RecordHash, i64),
        generation: Generation,
        nonce: u64,
        body: &impl serde::Serialize,
    ) -> Result<RecordHash, Fault> {
        let link = Link { sequence, generation, previous, base: Sequence(0), written_at, nonce };
        let body = serde_json::to_vec(body)
            .map_err(|error| Fault::failed("cannot write a journal record", error, "report this as a bug"))?;
        let sealed = format::seal(kind, &link, &[body])?;
        match chain::create(&self.objects, &chain::name_of(sequence), &sealed.bytes)? {
            chain::Put::Ours => Ok(sealed.hash),
            chain::Put::Foreign(bytes) => Err(chain::foreign(generation, sequence, &bytes)),
        }
    }
}

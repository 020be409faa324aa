//! Counts read again from the journal while the job goes on writing it: what a follower missed while it was away, and
//! memory could not keep for it. Key groups are folded from files alone, one stretch after the other; meanwhile
//! compaction waits, so that nothing is deleted that is being read.

use super::JournalSettings;
use super::chain::EpochRecord;
use super::fold::{Effect, Layer};
use super::record::{FIRST, PartObject};
use super::recover::{self, Gathered, Origin};
use super::slots;
use super::store::Objects;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use stream::{
    EventTime, Fault, Generation, GroupState, KEY_GROUPS, KeyArena, LostRows, RowBlock, RowChunks, Sequence, WindowId,
    WindowState,
};

/// How long a reader waits for a compaction that is under way.
const WAIT_STEPS: u32 = 30_000;
const WAIT_STEP: Duration = Duration::from_millis(20);

/// Between compaction, which deletes, and readers.
pub(super) struct Gate(Mutex<GateState>);

struct GateState {
    readers: usize,
    compacting: bool,
    /// The newest base record; 0 if there is none.
    base: Sequence,
}

impl Gate {
    pub(super) fn new(base: Sequence) -> Arc<Self> {
        Arc::new(Gate(Mutex::new(GateState { readers: 0, compacting: false, base })))
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.0.lock().expect("nobody panics while holding the gate")
    }

    /// Compaction begins, unless somebody reads.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.compacting |= state.readers == 0;
        state.compacting
    }

    /// Compaction is over, deletion too.
    pub(super) fn open(&self, base: Sequence) {
        let mut state = self.lock();
        (state.compacting, state.base) = (false, base);
    }
}

/// Reads beside the writer. Cheap to clone.
#[derive(Clone)]
pub struct Rereader {
    objects: Arc<Objects>,
    settings: Arc<JournalSettings>,
    origin: Arc<Origin>,
    gate: Arc<Gate>,
    generation: Generation,
}

impl Rereader {
    pub(super) fn new(
        objects: Arc<Objects>,
        settings: Arc<JournalSettings>,
        origin: Origin,
        gate: Arc<Gate>,
        generation: Generation,
    ) -> Self {
        Rereader { objects, settings, origin: Arc::new(origin), gate, generation }
    }

    /// Our own compaction waits for us; a newer instance's does not.
    fn explain(&self, fault: Fault) -> Fault {
        slots::overtaken_or(&self.objects, self.generation, fault)
    }

    /// Keep compaction from beginning while the lease lives. Records committed after this can be read as they are.
    pub fn begin(&self) -> Lease {
        self.gate.lock().readers += 1;
        Lease { reader: self.clone() }
    }
}

/// While it lives, no compaction begins.
pub struct Lease {
    reader: Rereader,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.reader.gate.lock().readers -= 1;
    }
}

impl Lease {
    /// Counts as of record `through` that tables as of record `after` may lack. Windows final under `settled` they have.
    pub fn lost(self, after: Sequence, settled: Option<EventTime>, through: Sequence) -> Arc<dyn LostRows> {
        Arc::new(LostCounts { lease: Arc::new(self), after: after.max(FIRST), settled, through })
    }
}

struct LostCounts {
    lease: Arc<Lease>,
    after: Sequence,
    settled: Option<EventTime>,
    through: Sequence,
}

impl fmt::Debug for LostCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counts changed by records {} to {}", self.after.0 + 1, self.through)
    }
}

impl LostRows for LostCounts {
    fn open(&self) -> Result<RowChunks, Fault> {
        self.read().map_err(|fault| self.lease.reader.explain(fault))
    }
}

impl LostCounts {
    fn read(&self) -> Result<RowChunks, Fault> {
        let Rereader { objects, settings, origin, .. } = &self.lease.reader;
        let mut gathered = recover::gather(objects, origin, self.newest_base()?, self.through)?;
        if gathered.summary.last_epoch.0 > self.through {
            return Err(Fault::transient(
                format!("cannot read counts as of epoch {}", self.through),
                "the journal has been compacted beyond it",
                "nothing: they are read as of a later epoch",
            ));
        }
        let touched = self.touched(objects, &gathered)?;
        let layers: Vec<Layer> = std::mem::take(&mut gathered.epochs)
            .into_iter()
            .map(|epoch| Layer { sequence: epoch.sequence, delta: epoch.delta, effect: Effect::Count })
            .collect();
        let (ranges, dropped) = (gathered.ranges(), gathered.dropped());
        let (objects, settings, settled) = (objects.clone(), settings.clone(), self.settled);
        let lease = self.lease.clone();
        // One stretch is folded while the one before is being written.
        let ahead = 1;
        #[cfg(test)]
        let ahead = if crate::simulation::is_here() { ranges.len() } else { ahead };
        let (give, take) = sync_channel(ahead);
        let read = move || {
            let folded = |range: &((u16, u16), Option<PartObject>)| {
                let (groups, _) = recover::fold_range(&objects, &settings, &layers, dropped, range)?;
                Ok(blocks(groups, &touched, &settings, settled))
            };
            for range in &ranges {
                let chunk = folded(range).map_err(|fault| lease.reader.explain(fault));
                let is_over = chunk.is_err();
                // A receiver that is gone has given up.
                if give.send(chunk).is_err() || is_over {
                    return;
                }
            }
        };
        #[cfg(test)]
        if crate::simulation::is_here() {
            read();
            return Ok(Box::new(take.into_iter()));
        }
        let thread = std::thread::Builder::new().name("journal-reread".to_owned());
        thread.spawn(read).map_err(|error| {
            Fault::failed("cannot start a thread that reads the journal", error, "look at process limits")
        })?;
        Ok(Box::new(take.into_iter()))
    }

    /// The newest base, once nothing is being compacted or deleted any more.
    fn newest_base(&self) -> Result<Sequence, Fault> {
        for _ in 0..WAIT_STEPS {
            {
                let state = self.lease.reader.gate.lock();
                if !state.compacting {
                    return Ok(state.base);
                }
            }
            std::thread::sleep(WAIT_STEP);
        }
        Err(Fault::transient(
            "cannot read counts from the journal",
            "a compaction takes too long",
            "check the directory or bucket that holds the state",
        ))
    }

    /// Keys of all records that the follower has not seen.
    fn touched(&self, objects: &Objects, gathered: &Gathered) -> Result<Touched, Fault> {
        let mut touched = Touched::default();
        gathered.epochs.iter().filter(|epoch| epoch.sequence > self.after).for_each(|epoch| touched.see(epoch));
        let first = Sequence(self.after.0 + 1);
        if first > gathered.covered() {
            return Ok(touched);
        }
        let dropped_at = gathered.base.as_ref().map_or(Sequence(0), |base| base.dropped_at);
        if self.after < dropped_at {
            return Err(Fault::refused(
                "the tables lack what the journal no longer has",
                format!("records up to {dropped_at} that they have not acted on were compacted away"),
                "start again: it is then refused with the flag that builds them up again (--rebuild-sink)",
            ));
        }
        let seen = recover::walk_back(objects, gathered, first, |_, epoch| {
            epoch.iter().for_each(|epoch| touched.see(epoch));
        })?;
        // Without some of the records nobody knows what they touched: then it is everything that lives.
        touched.everything = seen > first;
        Ok(touched)
    }
}

/// Keys by group: one bit each.
#[derive(Default)]
struct Touched {
    everything: bool,
    groups: Vec<Vec<u64>>,
}

impl Touched {
    fn see(&mut self, epoch: &EpochRecord) {
        self.groups.resize(usize::from(KEY_GROUPS), Vec::new());
        for row in &epoch.delta.rows {
            let (word, bit) = (row.local as usize / 64, row.local % 64);
            let Some(words) = self.groups.get_mut(usize::from(row.group)) else { continue };
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << bit;
        }
    }

    fn has(&self, group: u16, local: u32) -> bool {
        let word = |words: &Vec<u64>| words.get(local as usize / 64).copied();
        self.everything
            || self.groups.get(usize::from(group)).and_then(word).is_some_and(|word| word & (1 << (local % 64)) != 0)
    }
}

/// What touched keys count in windows that the follower may not have as they are.
fn blocks(
    groups: Vec<GroupState>,
    touched: &Touched,
    settings: &JournalSettings,
    settled: Option<EventTime>,
) -> Vec<RowBlock> {
    let mut blocks: BTreeMap<WindowId, Option<RowBlock>> = BTreeMap::new();
    for group in groups {
        for pane in group.panes.iter().filter(|pane| touched.has(group.group.0, pane.local)) {
            let id = WindowId { kind: pane.kind, start: pane.start };
            let block = blocks.entry(id).or_insert_with(|| {
                let window = settings.windows.find(id);
                let is_there = window.state(settled, settings.rules.allowed_lateness) == WindowState::Final;
                (!is_there).then(|| RowBlock { window, keys: KeyArena::default(), counts: Vec::new() })
            });
            if let Some(block) = block {
                block.keys.push(group.keys.get(pane.local));
                block.counts.push(pane.count);
            }
        }
    }
    blocks.into_values().flatten().collect()
}

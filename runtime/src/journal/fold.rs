//! Folding: a key group's base and the rows above it become its state. The rule is the one that window state applies
//! live: a row counts in every window for which it is not late.

use super::columns::Delta;
use super::record::{Ack, EpochBody, Summary};
use super::settings::JournalSettings;
use std::collections::BTreeMap;
use stream::{
    Assigner, DeadCode, DeadLetter, EventTime, GroupState, KeyArena, KeyGroup, KindIndex, LateMask, Minute, PaneCell,
    PartitionState, RecordHash, Sequence, WindowId, WindowState, WindowTotals,
};

/// An epoch's rows and what to do with them.
pub(super) struct Layer {
    pub(super) sequence: Sequence,
    pub(super) delta: Delta,
    pub(super) effect: Effect,
}

/// What a layer's rows do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// They count; the tables have them.
    Count,
    /// They count, and the tables lack them.
    CountDirty,
    /// The base has them already, but the tables lack them.
    MarkDirty,
}

/// What folding added to each window: (events, keys).
pub(super) type Gains = BTreeMap<WindowId, (u64, u64)>;

/// A row of a layer, of the group being folded.
#[derive(Clone, Copy)]
struct Row {
    local: u32,
    minute: Minute,
    mask: LateMask,
    /// 0 if the base has it already.
    n: u64,
    dirty: bool,
}

/// Folds group after group, remembering windows.
pub(super) struct Folder<'a> {
    layers: &'a [Layer],
    assigner: Assigner,
    settings: &'a JournalSettings,
    dropped: Option<EventTime>,
    gains: Gains,
}

impl<'a> Folder<'a> {
    /// `dropped`: panes final under this watermark are no longer in the base, so no row may count in them.
    pub(super) fn new(layers: &'a [Layer], settings: &'a JournalSettings, dropped: Option<EventTime>) -> Self {
        Folder { layers, assigner: settings.windows.assigner(), settings, dropped, gains: Gains::new() }
    }

    /// What was added by all groups so far.
    pub(super) fn into_gains(self) -> Gains {
        self.gains
    }

    /// Fold one group.
    pub(super) fn fold(&mut self, group: KeyGroup, base: Option<GroupState>) -> Result<GroupState, String> {
        let (mut keys, panes) = base.map_or_else(Default::default, |base| (base.keys, base.panes));
        let mut rows = Vec::new();
        for layer in self.layers {
            take(group, layer, &mut keys, &mut rows)
                .map_err(|why| format!("epoch {}, key group {}: {why}", layer.sequence, group.0))?;
        }
        let touched = self.count(rows).map_err(|why| format!("key group {}: {why}", group.0))?;
        let panes = self.merge(panes, touched)?;
        Ok(GroupState { group, keys, panes })
    }

    /// What rows add to panes, sorted by place, each place once. Rows are few beside the panes they count in, so rows are
    /// sorted; a key's minutes in ascending order then walk through each kind's windows one after the other.
    fn count(&mut self, mut rows: Vec<Row>) -> Result<Vec<PaneCell>, String> {
        rows.sort_unstable_by_key(|row| u64::from(row.local) << 32 | u64::from(row.minute.0));
        let kinds = self.settings.windows.len() as KindIndex;
        let mut touched: Vec<PaneCell> = Vec::with_capacity(rows.len() + rows.len() / 2);
        for of_key in rows.chunk_by(|one, next| one.local == next.local) {
            for kind in 0..kinds {
                let mut end = None;
                for row in of_key.iter().filter(|row| !row.mask.is_late(kind)) {
                    let at = row.minute.start();
                    if end.is_none_or(|end| at >= end) {
                        let window = self.assigner.assign(kind, at);
                        touched.push(PaneCell { local: row.local, kind, start: window.start, count: 0, dirty: false });
                        end = Some(window.end);
                    }
                    let lateness = self.settings.rules.allowed_lateness;
                    let is_dropped = |end: EventTime| self.dropped.is_some_and(|dropped| end.plus(lateness) <= dropped);
                    if row.n > 0 && end.is_some_and(is_dropped) {
                        return Err(format!("a row of {at} counts in a window that was final before, ending {end:?}"));
                    }
                    let pane = touched.last_mut().expect("one was just pushed");
                    pane.count = pane.count.checked_add(row.n).ok_or("a count overflows")?;
                    pane.dirty |= row.dirty;
                }
            }
        }
        Ok(touched)
    }

    /// Both sides are sorted by place and hold each place once. A pane without a count is one that has left the base.
    fn merge(&mut self, base: Vec<PaneCell>, touched: Vec<PaneCell>) -> Result<Vec<PaneCell>, String> {
        if touched.is_empty() {
            return Ok(base);
        }
        let mut merged: Vec<PaneCell> = Vec::with_capacity(base.len() + touched.len());
        let mut base = base.into_iter().peekable();
        for touch in touched {
            while let Some(pane) = base.next_if(|pane| place(pane) < place(&touch)) {
                merged.push(pane);
            }
            let old = base.next_if(|pane| place(pane) == place(&touch));
            if touch.count > 0 {
                let (events, keys) = self.gains.entry(WindowId { kind: touch.kind, start: touch.start }).or_default();
                *events = events.checked_add(touch.count).ok_or("a window's events overflow")?;
                *keys += u64::from(old.is_none());
            }
            let before = old.map_or(0, |old| old.count);
            let count = before.checked_add(touch.count).ok_or("a count overflows")?;
            let dirty = touch.dirty || old.is_some_and(|old| old.dirty);
            if count > 0 {
                merged.push(PaneCell { count, dirty, ..touch });
            }
        }
        merged.extend(base);
        Ok(merged)
    }
}

fn place(pane: &PaneCell) -> (u32, u8, EventTime) {
    (pane.local, pane.kind, pane.start)
}

/// A layer's share of a group: its new keys, and its rows.
fn take(group: KeyGroup, layer: &Layer, keys: &mut KeyArena, into: &mut Vec<Row>) -> Result<(), String> {
    let Layer { delta, effect, .. } = layer;
    if *effect != Effect::MarkDirty {
        let groups = &delta.new_key_groups;
        for index in groups.partition_point(|at| *at < group.0)..groups.partition_point(|at| *at <= group.0) {
            keys.push(delta.new_keys.get(index as u32));
        }
    }
    let rows = &delta.rows;
    let own = rows.partition_point(|row| row.group < group.0)..rows.partition_point(|row| row.group <= group.0);
    for row in &rows[own] {
        if row.dimension != 0 {
            return Err("a row has a dimension, and this program knows none".to_owned());
        }
        if row.local as usize >= keys.len() {
            return Err(format!("a row is of key {}, and there are {}", row.local, keys.len()));
        }
        let n = if *effect == Effect::MarkDirty { 0 } else { row.n };
        into.push(Row { local: row.local, minute: row.minute, mask: row.mask, n, dirty: *effect != Effect::Count });
    }
    Ok(())
}

impl Summary {
    /// Take acknowledgements in where they are newer.
    pub(super) fn hear(&mut self, acks: &BTreeMap<String, Ack>) {
        for (name, ack) in acks {
            let known = self.acks.entry(name.clone()).or_insert(*ack);
            if ack.sequence > known.sequence {
                *known = *ack;
            }
        }
    }

    /// Take an epoch record in, in order of sequence. Counts come later, from [`Summary::gain`].
    pub(super) fn apply(&mut self, (sequence, hash): (Sequence, RecordHash), body: &EpochBody, letters: &[DeadLetter]) {
        self.last_epoch = (sequence, hash);
        self.watermark = body.watermark;
        for (name, place) in &body.partitions {
            let mut floors = self.partitions.get(name).map_or_else(Vec::new, |state| state.floors.clone());
            floors.extend(&place.floors);
            let state = PartitionState {
                next_offset: place.next_offset,
                fingerprint: place.fingerprint,
                watermark: place.watermark,
                active: place.active,
                floors,
            };
            self.partitions.insert(name.clone(), state);
        }
        self.ledger.extend(body.ledger.iter().map(|(name, line)| (name.clone(), *line)));
        self.acks.extend(body.acks.iter().map(|(name, ack)| (name.clone(), *ack)));
        self.losses.extend(body.losses.iter().cloned());
        self.rebuilt.extend(body.rebuilt.iter().cloned());
        self.source = body.source.clone().or(self.source.take());
        for (window, n) in &body.late {
            self.totals.entry(*window).or_default().late += n;
        }
        if !letters.is_empty() {
            self.last_dead_letter = sequence;
        }
        let future = letters.iter().filter(|letter| letter.code == DeadCode::TimeFuture);
        self.future.extend(future.map(|letter| (letter.partition.clone(), letter.offset)));
    }

    /// Add what folding found.
    pub(super) fn gain(&mut self, gains: Gains) -> Result<(), String> {
        for (window, (events, keys)) in gains {
            let totals: &mut WindowTotals = self.totals.entry(window).or_default();
            totals.events = totals.events.checked_add(events).ok_or("a window's events overflow")?;
            totals.keys += keys;
        }
        Ok(())
    }

    /// Forget the totals of windows that are final and beyond retention, counted back from the watermark, unless their
    /// panes may still be there (`dropped`, as in a base): such a window still owes its last board, which shows them.
    pub(super) fn prune(&mut self, settings: &JournalSettings, dropped: Option<EventTime>) {
        let Some(watermark) = self.watermark else { return };
        let lateness = settings.rules.allowed_lateness;
        self.totals.retain(|id, _| {
            let keep = settings.retention.get(usize::from(id.kind)).copied().flatten();
            let Some(keep) = keep else { return true };
            let window = settings.windows.find(*id);
            window.end.plus(keep.max(lateness)) > watermark || window.state(dropped, lateness) != WindowState::Final
        });
    }
}

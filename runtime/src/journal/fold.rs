//! Folding: a key group's base and the rows above it become its state. The rule is the one that window state applies
//! live: a row counts in every window for which it is not late.

use super::columns::Delta;
use super::record::{EpochBody, Summary};
use super::settings::JournalSettings;
use std::collections::BTreeMap;
use stream::{
    Assigner, DeadCode, DeadLetter, EventTime, GroupState, KeyArena, KeyGroup, PaneCell, PartitionState, RecordHash,
    Sequence, WindowId, WindowState, WindowTotals,
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
        let mut touched = Vec::new();
        for layer in self.layers {
            self.take(group, layer, &mut keys, &mut touched)
                .map_err(|why| format!("epoch {}, key group {}: {why}", layer.sequence, group.0))?;
        }
        let panes = self.merge(panes, combine(touched)?)?;
        Ok(GroupState { group, keys, panes })
    }

    fn take(
        &mut self,
        group: KeyGroup,
        layer: &Layer,
        keys: &mut KeyArena,
        touched: &mut Vec<PaneCell>,
    ) -> Result<(), String> {
        let Layer { delta, effect, .. } = layer;
        if *effect != Effect::MarkDirty {
            let groups = &delta.new_key_groups;
            for index in groups.partition_point(|at| *at < group.0)..groups.partition_point(|at| *at <= group.0) {
                keys.push(delta.new_keys.get(index as u32));
            }
        }
        let rows = &delta.rows;
        for row in
            &rows[rows.partition_point(|row| row.group < group.0)..rows.partition_point(|row| row.group <= group.0)]
        {
            if row.dimension != 0 {
                return Err("a row has a dimension, and this program knows none".to_owned());
            }
            if row.local as usize >= keys.len() {
                return Err(format!("a row is of key {}, and there are {}", row.local, keys.len()));
            }
            let lateness = self.settings.rules.allowed_lateness;
            let counts = *effect != Effect::MarkDirty;
            let mut reopened = None;
            self.assigner.counted(row.minute, row.mask, |window| {
                if counts && self.dropped.is_some_and(|dropped| window.end.plus(lateness) <= dropped) {
                    reopened = Some(window);
                }
                let count = if counts { row.n } else { 0 };
                let dirty = *effect != Effect::Count;
                touched.push(PaneCell { local: row.local, kind: window.kind, start: window.start, count, dirty });
            });
            if let Some(window) = reopened {
                return Err(format!("a row counts in {window:?}, which was final before"));
            }
        }
        Ok(())
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

/// Sort by place and add up what is at the same place.
fn combine(mut touched: Vec<PaneCell>) -> Result<Vec<PaneCell>, String> {
    touched.sort_unstable_by_key(place);
    let mut combined: Vec<PaneCell> = Vec::with_capacity(touched.len());
    for touch in touched {
        match combined.last_mut().filter(|last| place(last) == place(&touch)) {
            Some(last) => {
                last.count = last.count.checked_add(touch.count).ok_or("a count overflows")?;
                last.dirty |= touch.dirty;
            }
            None => combined.push(touch),
        }
    }
    Ok(combined)
}

impl Summary {
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

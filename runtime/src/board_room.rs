//! Rankings and totals of every window, as of the last epoch that is committed and whose ranking is complete. Pure: the
//! follow operator feeds it whole epochs in order, and followers are given what changed.

use crate::journal::Recovered;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Commit, EventTime, Key, KindIndex, Pointers, RankedChange, Ranking, Window, WindowChange, WindowId, WindowState,
    WindowStatus, WindowTotals, Windows,
};

/// What decides about windows here.
#[derive(Clone)]
pub struct WindowRules {
    /// The kinds.
    pub windows: Windows,
    /// How long a closed window is refined.
    pub allowed_lateness: Duration,
    /// How long totals are kept, by kind; none is for ever.
    pub retention: Vec<Option<Duration>>,
}

/// One epoch's changes from all workers.
#[derive(Default)]
pub struct EpochChanges {
    /// Totals and evictions.
    pub windows: Vec<WindowChange>,
    /// Entries that came and went.
    pub ranked: Vec<RankedChange>,
}

/// Windows that an epoch changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChangedWindows {
    /// Their state or totals.
    pub statuses: BTreeSet<WindowId>,
    /// Their board.
    pub rankings: BTreeSet<WindowId>,
    /// Some window closed.
    pub closed: bool,
    /// Rankings that leave memory with this epoch: their last state, for whoever has not shown it yet.
    pub left: Vec<Arc<Ranking>>,
}

/// See the module.
pub struct BoardRoom {
    rules: WindowRules,
    watermark: Option<EventTime>,
    totals: BTreeMap<WindowId, WindowTotals>,
    rankings: BTreeMap<WindowId, BTreeSet<(Reverse<u64>, Key)>>,
    /// Windows that are not final yet, with the state last shown.
    unfinished: BTreeMap<WindowId, (Window, WindowState)>,
    pointers: Vec<Pointers>,
    /// Windows final under this have left the workers; what still arrives about them is no change.
    evicted: Option<EventTime>,
}

impl BoardRoom {
    /// Go on from the journal. Rankings arrive with the first epoch.
    pub fn new(rules: WindowRules, recovered: &Recovered) -> Self {
        let kinds = 0..rules.windows.len() as KindIndex;
        let mut room = BoardRoom {
            watermark: recovered.watermark,
            totals: recovered.totals.clone(),
            rankings: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            pointers: kinds.map(|kind| Pointers { kind, current: None, closed: None }).collect(),
            evicted: None,
            rules,
        };
        for (id, totals) in recovered.totals.clone() {
            let window = room.rules.windows.find(id);
            let state = window.state(room.watermark, room.rules.allowed_lateness);
            if state != WindowState::Final {
                room.unfinished.insert(id, (window, state));
            }
            if totals.events > 0 {
                room.point(window, state);
            }
        }
        room
    }

    fn point(&mut self, window: Window, state: WindowState) {
        let pointers = &mut self.pointers[usize::from(window.kind)];
        pointers.current = pointers.current.max(Some(window.start));
        if state != WindowState::Open {
            pointers.closed = pointers.closed.max(Some(window.start));
        }
    }

    /// Every window known: what a follower without progress is given first.
    pub fn everything(&self) -> ChangedWindows {
        ChangedWindows {
            statuses: self.totals.keys().copied().collect(),
            rankings: self.rankings.keys().copied().collect(),
            closed: true,
            left: Vec::new(),
        }
    }

    /// Take in a committed epoch.
    pub fn advance(&mut self, commit: &Commit, changes: EpochChanges) -> ChangedWindows {
        let mut changed = ChangedWindows::default();
        self.watermark = commit.watermark;
        for change in changes.windows {
            match change {
                WindowChange::Added { window, events, keys } => {
                    let totals = self.totals.entry(window.id()).or_default();
                    totals.events += events;
                    totals.keys += keys;
                    let state = self.note(window, &mut changed);
                    // It may have gone past the watermark within this one epoch, and is then never seen to close.
                    changed.closed |= state == WindowState::Final;
                    self.point(window, state);
                    changed.rankings.insert(window.id());
                }
                WindowChange::Evicted(watermark) => self.evicted = self.evicted.max(Some(watermark)),
            }
        }
        for (id, late) in &commit.late {
            let window = self.rules.windows.find(*id);
            if !self.is_expired(&window) {
                self.totals.entry(*id).or_default().late += late;
                self.note(window, &mut changed);
            }
        }
        self.rank(changes.ranked, &mut changed);
        self.age(&mut changed);
        changed.left = self.forget();
        changed
    }

    fn note(&mut self, window: Window, changed: &mut ChangedWindows) -> WindowState {
        changed.statuses.insert(window.id());
        let state = window.state(self.watermark, self.rules.allowed_lateness);
        if state != WindowState::Final {
            self.unfinished.entry(window.id()).or_insert((window, WindowState::Open));
        }
        state
    }

    fn rank(&mut self, ranked: Vec<RankedChange>, changed: &mut ChangedWindows) {
        let mut last: Option<(WindowId, bool)> = None;
        for RankedChange { window, key, count, change } in ranked {
            let has_left = match last {
                Some((id, has_left)) if id == window => has_left,
                _ => {
                    self.rules.windows.find(window).state(self.evicted, self.rules.allowed_lateness)
                        == WindowState::Final
                }
            };
            last = Some((window, has_left));
            if has_left {
                continue;
            }
            let ranking = self.rankings.entry(window).or_default();
            let entry = (Reverse(count), key);
            // An epoch's changes come in any order, so a count may go before or after it came; both ends agree.
            let done = if change > 0 { ranking.insert(entry) } else { ranking.remove(&entry) };
            assert!(done, "bug: a ranking changed in a way that does not fit");
            changed.rankings.insert(window);
        }
    }

    /// States under the new watermark.
    fn age(&mut self, changed: &mut ChangedWindows) {
        let (watermark, allowed_lateness) = (self.watermark, self.rules.allowed_lateness);
        let mut moved = Vec::new();
        for (id, (window, shown)) in &mut self.unfinished {
            let state = window.state(watermark, allowed_lateness);
            if state != *shown {
                *shown = state;
                moved.push((*id, *window, state));
            }
        }
        for (id, window, state) in moved {
            changed.statuses.insert(id);
            changed.closed = true;
            if self.totals.get(&id).is_some_and(|totals| totals.events > 0) {
                changed.rankings.insert(id);
                self.point(window, state);
            }
            if state == WindowState::Final {
                self.unfinished.remove(&id);
            }
        }
    }

    /// Windows that have left the workers need no ranking; windows without one that are beyond retention no totals.
    /// The rankings that went.
    fn forget(&mut self) -> Vec<Arc<Ranking>> {
        let has_left = |id: &WindowId| {
            self.evicted.is_some()
                && self.rules.windows.find(*id).state(self.evicted, self.rules.allowed_lateness) == WindowState::Final
        };
        let gone: BTreeSet<WindowId> = self.rankings.keys().copied().filter(has_left).collect();
        let left = self.rankings(&gone);
        self.rankings.retain(|id, _| !gone.contains(id));
        for kind in 0..self.rules.windows.len() as KindIndex {
            let first = WindowId { kind, start: EventTime::MIN };
            let expired = |id: &WindowId| id.kind == kind && self.is_expired(&self.rules.windows.find(*id));
            // A ranking in memory may still owe its last board: every window that had an event gets one, however old.
            let gone: Vec<WindowId> = self
                .totals
                .range(first..)
                .map(|(id, _)| *id)
                .take_while(expired)
                .filter(|id| !self.rankings.contains_key(id))
                .collect();
            for id in gone {
                self.totals.remove(&id);
                self.unfinished.remove(&id);
            }
        }
        left
    }

    fn is_expired(&self, window: &Window) -> bool {
        match (self.watermark, self.rules.retention[usize::from(window.kind)]) {
            (Some(watermark), Some(retention)) => window.end <= watermark.minus(retention),
            _ => false,
        }
    }

    /// The ranking of a window, if it is in memory.
    pub fn ranking(&self, id: WindowId) -> Option<Ranking> {
        let entries = self.rankings.get(&id)?;
        let window = self.rules.windows.find(id);
        Some(Ranking {
            window,
            state: window.state(self.watermark, self.rules.allowed_lateness),
            totals: *self.totals.get(&id)?,
            entries: entries.iter().map(|(Reverse(count), key)| (key.clone(), *count)).collect(),
        })
    }

    /// Rankings in memory.
    pub fn live(&self) -> impl Iterator<Item = WindowId> {
        self.rankings.keys().copied()
    }

    /// The rankings of these windows, those in memory.
    pub fn rankings(&self, ids: &BTreeSet<WindowId>) -> Vec<Arc<Ranking>> {
        ids.iter().filter_map(|id| self.ranking(*id).map(Arc::new)).collect()
    }

    /// Of these windows those that had an event and whose ranking has left memory.
    pub fn not_in_memory(&self, ids: &BTreeSet<WindowId>) -> Vec<Window> {
        let had_event = |id: &WindowId| self.totals.get(id).is_some_and(|totals| totals.events > 0);
        let gone = ids.iter().filter(|id| !self.rankings.contains_key(id) && had_event(id));
        gone.map(|id| self.rules.windows.find(*id)).collect()
    }

    /// The statuses of these windows, those within retention.
    pub fn statuses(&self, ids: &BTreeSet<WindowId>) -> Vec<WindowStatus> {
        let status = |id: &WindowId| {
            let window = self.rules.windows.find(*id);
            Some(WindowStatus {
                window,
                state: window.state(self.watermark, self.rules.allowed_lateness),
                totals: *self.totals.get(id)?,
            })
        };
        ids.iter().filter_map(status).collect()
    }

    /// Pointers of every kind.
    pub fn pointers(&self) -> Vec<Pointers> {
        self.pointers.clone()
    }
}

#[cfg(test)]
mod tests;

//! Random epochs, and what they must add up to: a model that knows every event and folds nothing.

use super::*;
use crate::journal::testing::Random;
use std::collections::BTreeSet;
use stream::{
    Assignment, DeadCode, DeadLetter, Grant, KEY_GROUPS, KeyGroup, LateMask, LedgerLine, Part, PartRow, PartitionState,
    RecordHash, Sequence, Window, WindowId, WindowState, WindowTotals,
};

/// Everything that was committed, and where it stands.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) watermark: Option<EventTime>,
    pub(super) partitions: BTreeMap<Arc<str>, PartitionState>,
    pub(super) ledger: BTreeMap<Arc<str>, LedgerLine>,
    pub(super) acks: BTreeMap<String, Ack>,
    /// Keys in the order in which their group met them.
    keys: BTreeMap<u16, Vec<String>>,
    /// (group, local, window) → (count, last record that touched it).
    panes: BTreeMap<(u16, u32, WindowId), (u64, Sequence)>,
    late: BTreeMap<WindowId, u64>,
    letters: Vec<(Sequence, DeadLetter)>,
    pub(super) last_epoch: (Sequence, RecordHash),
    /// No follower holds panes back.
    pub(super) nobody_holds: bool,
    /// Watermark after each record.
    pub(super) epochs: Vec<(Sequence, RecordHash, Option<EventTime>)>,
}

/// An epoch that is not committed yet, and the model after it.
pub(super) struct Next {
    pub(super) content: EpochContent,
    after: Model,
    touched: BTreeSet<(u16, u32, WindowId)>,
    new_letters: Vec<DeadLetter>,
}

impl Model {
    pub(super) fn new(nobody_holds: bool) -> Self {
        Model {
            watermark: None,
            partitions: genesis().states(),
            ledger: BTreeMap::new(),
            acks: BTreeMap::new(),
            keys: BTreeMap::new(),
            panes: BTreeMap::new(),
            late: BTreeMap::new(),
            letters: Vec::new(),
            last_epoch: Default::default(),
            nobody_holds,
            epochs: Vec::new(),
        }
    }

    /// A random epoch after this one, cut for one to four workers.
    pub(super) fn next(&self, random: &mut Random) -> Next {
        let mut after = self.clone();
        let mut rows: BTreeMap<(u16, u32, u32, u8), u64> = BTreeMap::new();
        let mut new_keys: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        let (mut touched, mut letters) = (BTreeSet::new(), Vec::new());
        let mut late: BTreeMap<WindowId, u64> = BTreeMap::new();
        let reached = self.watermark.map_or(NOON, EventTime::millis);
        // Now and then a jump, so that windows become final in bulk.
        let ahead = if random.below(6) == 0 { 7_200_000 } else { 40_000 };
        for _ in 0..random.below(30) {
            let name: Arc<str> = format!("plays-{}", random.below(3)).into();
            let state = after.partitions.entry(name.clone()).or_insert_with(fresh);
            let line = after.ledger.entry(name.clone()).or_default();
            line.consumed += 1;
            state.next_offset += 1;
            state.fingerprint = random.next();
            if random.below(12) == 0 {
                line.dead_lettered += 1;
                letters.push(letter(random, &name, state.next_offset - 1));
                continue;
            }
            line.counted += 1;
            state.active = true;
            // Mostly around the watermark; some long past.
            let back = if random.below(8) == 0 { 7_200_000 } else { 90_000 };
            let event = at(reached + random.below(ahead) as i64 - random.below(back) as i64);
            let mask = rules().judge(event, self.watermark, &mut windows().assigner());
            state.watermark = Some(rules().advance(state.watermark, event));
            let key = format!("song-{}", random.below(300) * random.below(30));
            let group = KeyGroup::of(&key).0;
            let known = after.keys.entry(group).or_default();
            let local = known.iter().position(|other| *other == key).unwrap_or_else(|| {
                known.push(key.clone());
                new_keys.entry(group).or_default().push(key.clone());
                known.len() - 1
            }) as u32;
            let n = 1 + random.below(3);
            *rows.entry((group, local, event.minute().0, mask.0)).or_default() += n;
            for window in all_windows(event) {
                if mask.is_late(window.kind) {
                    *late.entry(window.id()).or_default() += n;
                } else {
                    after.panes.entry((group, local, window.id())).or_default().0 += n;
                    touched.insert((group, local, window.id()));
                }
            }
        }
        let mut granted = Vec::new();
        if random.below(5) == 0 && self.watermark.is_some() {
            let state = after.partitions.get_mut("plays-1").unwrap();
            let floor = state.watermark.max(self.watermark);
            state.floors.push((state.next_offset, floor.unwrap()));
            (state.watermark, state.active) = (floor, true);
            granted.push(Grant { partition: "plays-1".into(), floor });
        }
        let active = after.partitions.values().filter(|state| state.active);
        after.watermark = stream::job_watermark(self.watermark, active.map(|state| state.watermark));
        late.iter().for_each(|(window, n)| *after.late.entry(*window).or_default() += n);
        self.acknowledge(random, &mut after.acks);
        let content = EpochContent {
            watermark: after.watermark,
            partitions: after.partitions.clone(),
            ledger: after.ledger.clone(),
            late: late.into_iter().collect(),
            dead_letters: Arc::new(letters.clone()),
            granted,
            acks: after.acks.clone(),
            parts: parts(random, &rows, &new_keys),
            ..EpochContent::default()
        };
        Next { content, after, touched, new_letters: letters }
    }

    /// Followers go on by themselves, each at its own pace; some never begin.
    fn acknowledge(&self, random: &mut Random, acks: &mut BTreeMap<String, Ack>) {
        for name in ["tables", "boards", "letters"] {
            if self.epochs.is_empty() || random.below(3) == 0 {
                continue;
            }
            let before = acks.get(name).map_or(Sequence(0), |ack| ack.sequence);
            let (sequence, hash, watermark) = self.epochs[random.below(self.epochs.len() as u64) as usize];
            if sequence > before {
                acks.insert(name.to_owned(), Ack { sequence, hash, watermark });
            }
        }
    }

    /// The epoch is durable.
    pub(super) fn commit(&mut self, next: Next, (sequence, hash): (Sequence, RecordHash)) {
        *self = next.after;
        for place in next.touched {
            self.panes.get_mut(&place).unwrap().1 = sequence;
        }
        self.letters.extend(next.new_letters.into_iter().map(|letter| (sequence, letter)));
        self.last_epoch = (sequence, hash);
        self.epochs.push((sequence, hash, self.watermark));
    }

    /// Compare with what a journal gave back.
    pub(super) fn check(&self, found: &Recovered, from: &LoadFrom, hint: &str) {
        assert_eq!(found.watermark, self.watermark, "{hint}");
        assert_eq!(found.partitions, self.partitions, "{hint}");
        assert_eq!(found.ledger, self.ledger, "{hint}");
        assert_eq!(found.acks, self.acks, "{hint}");
        if !self.epochs.is_empty() {
            assert_eq!(found.last_epoch, self.last_epoch, "{hint}");
        }
        let future = self.letters.iter().filter(|(_, letter)| letter.code == DeadCode::TimeFuture);
        let future: BTreeSet<_> = future.map(|(_, letter)| (letter.partition.clone(), letter.offset)).collect();
        assert_eq!(found.future, future, "{hint}");
        self.check_keys_and_panes(found, from, hint);
        self.check_totals(found, hint);
        if found.dead_letters_coverage == Coverage::Exact {
            let (after, acted_on) =
                from.dead_letters.as_ref().map_or((Sequence(u64::MAX), Sequence(u64::MAX)), |(name, own)| {
                    let acknowledged = self.acks.get(name).map_or(Sequence(0), |ack| ack.sequence);
                    (if own.0 == 0 { acknowledged } else { *own }, acknowledged.max(*own))
                });
            let later = |than: Sequence| -> Vec<_> {
                self.letters.iter().filter(|(sequence, _)| *sequence > than).cloned().collect()
            };
            // Those that were acknowledged and are not there come again as far as their records are there.
            assert!(found.dead_letters.ends_with(&later(acted_on)), "{hint}");
            assert!(later(after).ends_with(&found.dead_letters), "{hint}");
        }
    }

    fn check_keys_and_panes(&self, found: &Recovered, from: &LoadFrom, hint: &str) {
        let keys: BTreeMap<u16, Vec<String>> =
            found.groups.iter().map(|group| (group.group.0, group.keys.iter().map(str::to_owned).collect())).collect();
        assert_eq!(keys, self.keys, "{hint}");
        // What all that hold panes have acted on may be gone; nothing else.
        let acknowledged = self.acks.get("tables").and_then(|ack| ack.watermark);
        let held = if self.nobody_holds { self.watermark } else { acknowledged };
        let mut there = BTreeMap::new();
        for group in found.groups.iter().cloned().map(PackedGroup::unpack) {
            for pane in &group.panes {
                let id = WindowId { kind: pane.kind, start: pane.start };
                assert!(there.insert((group.group.0, pane.local, id), (pane.count, pane.dirty)).is_none(), "{hint}");
            }
        }
        for (place, (count, touched)) in &self.panes {
            match there.remove(place) {
                Some((found_count, dirty)) => {
                    assert_eq!(found_count, *count, "{hint} {place:?}");
                    let lacking = from.tables.is_some_and(|tables| *touched > tables);
                    match found.tables {
                        Coverage::Exact => assert_eq!(dirty, lacking, "{hint} {place:?}"),
                        _ => assert!(dirty, "{hint} {place:?}"),
                    }
                }
                None => {
                    let state = windows().find(place.2).state(held, rules().allowed_lateness);
                    assert_eq!(state, WindowState::Final, "{hint} {place:?} is missing");
                }
            }
        }
        assert_eq!(there, BTreeMap::new(), "{hint}");
    }

    /// Totals of the windows within retention, and of those whose panes are there: they may still owe a board.
    fn check_totals(&self, found: &Recovered, hint: &str) {
        let panes = found.groups.iter().cloned().flat_map(|group| group.unpack().panes);
        let live: BTreeSet<WindowId> = panes.map(|pane| WindowId { kind: pane.kind, start: pane.start }).collect();
        let minutes_end = |id: &WindowId| windows().find(*id).end.plus(Duration::from_secs(900));
        let is_kept =
            |id: &WindowId| id.kind != 0 || self.watermark.is_none_or(|watermark| minutes_end(id) > watermark);
        let mut totals = self.totals();
        // A window beyond retention that had late records alone goes with those that had more.
        totals.retain(|id, line| {
            is_kept(id) || live.contains(id) || (line.events == 0 && found.totals.get(id) == Some(line))
        });
        assert_eq!(found.totals, totals, "{hint}");
    }

    /// Totals of every window there ever was.
    fn totals(&self) -> BTreeMap<WindowId, WindowTotals> {
        let mut totals: BTreeMap<WindowId, WindowTotals> = BTreeMap::new();
        for ((_, _, id), (count, _)) in &self.panes {
            let line = totals.entry(*id).or_default();
            (line.events, line.keys) = (line.events + count, line.keys + 1);
        }
        self.late.iter().for_each(|(id, late)| totals.entry(*id).or_default().late += late);
        totals
    }
}

fn fresh() -> PartitionState {
    PartitionState { next_offset: 0, fingerprint: 0, watermark: None, active: true, floors: Vec::new() }
}

fn all_windows(event: EventTime) -> Vec<Window> {
    (0..4).map(|kind| windows().window(kind, event)).collect()
}

fn letter(random: &mut Random, partition: &Arc<str>, offset: i64) -> DeadLetter {
    let code = if random.below(2) == 0 { DeadCode::TimeFuture } else { DeadCode::NotUtf8 };
    DeadLetter {
        code,
        detail: "because".into(),
        partition: partition.clone(),
        offset,
        timestamp: Some(NOON),
        key: None,
        value: Some(vec![0xff; random.below(20) as usize]),
        headers: Vec::new(),
    }
}

fn parts(
    random: &mut Random,
    rows: &BTreeMap<(u16, u32, u32, u8), u64>,
    new_keys: &BTreeMap<u16, Vec<String>>,
) -> Vec<Part> {
    let assignment = Assignment::new(1 + random.below(4) as usize);
    let mut parts = vec![Part::default(); assignment.workers()];
    for group in 0..KEY_GROUPS {
        let part = &mut parts[assignment.worker(KeyGroup(group))];
        for key in new_keys.get(&group).into_iter().flatten() {
            part.new_keys.push(key);
            part.new_key_groups.push(group);
        }
        for ((group, local, minute, mask), n) in rows.range((group, 0, 0, 0)..(group + 1, 0, 0, 0)) {
            part.rows.push(PartRow {
                group: *group,
                local: *local,
                dimension: 0,
                minute: stream::Minute(*minute),
                mask: LateMask(*mask),
                n: *n,
            });
        }
    }
    let at = random.below(parts.len() as u64) as usize;
    parts.rotate_left(at);
    parts
}

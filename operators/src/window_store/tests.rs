//! Seeded histories against a naive count: totals, own top K, rows, journal parts, restarts, evictions.

use super::*;
use crate::Combiner;
use crate::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use stream::{Assignment, KEY_GROUPS, KeyGroup, LateMask, Minute, PaneCell, WindowKind, Zone};

const LATENESS: Duration = Duration::from_secs(300);
/// 2025-10-25T18:00:00Z: in Zurich the clocks change that night, and a week later a month ends.
const START: u32 = 1_761_415_200 / 60;

fn windows() -> &'static Windows {
    static WINDOWS: LazyLock<Windows> = LazyLock::new(|| {
        let kinds = WindowKind::NAMES.iter().map(|name| WindowKind::named(name).unwrap()).collect();
        Windows::new(kinds, Zone::named("Europe/Zurich").unwrap()).unwrap()
    });
    &WINDOWS
}

/// What the parts of a journal fold into.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Folded {
    keys: BTreeMap<u16, Vec<String>>,
    counts: BTreeMap<(Window, String), u64>,
}

impl Folded {
    fn fold(&mut self, part: &Part, assigner: &mut Assigner) {
        assert!(part.new_key_groups.is_sorted() && part.rows.is_sorted());
        for (group, key) in part.new_key_groups.iter().zip(part.new_keys.iter()) {
            assert_eq!(KeyGroup::of(key).0, *group);
            self.keys.entry(*group).or_default().push(key.to_owned());
        }
        let row_id = |row: &PartRow| (row.group, row.local, row.minute, row.mask);
        assert!(part.rows.windows(2).all(|pair| row_id(&pair[0]) < row_id(&pair[1])), "each combination once");
        for row in &part.rows {
            let key = &self.keys[&row.group][row.local as usize];
            for kind in (0..assigner.windows().len() as KindIndex).filter(|kind| !row.mask.is_late(*kind)) {
                let window = assigner.assign(kind, row.minute.start());
                *self.counts.entry((window, key.clone())).or_insert(0) += row.n;
            }
        }
    }

    /// The groups as a base gives them back, without windows that are gone.
    fn groups(&self, gone: impl Fn(Window) -> bool, dirty: &BTreeSet<(Window, String)>) -> Vec<GroupState> {
        let mut groups: Vec<GroupState> = (0..KEY_GROUPS)
            .map(|group| GroupState { group: KeyGroup(group), keys: KeyArena::default(), panes: Vec::new() })
            .collect();
        let mut locals = BTreeMap::new();
        for (group, keys) in &self.keys {
            for key in keys {
                locals.insert(key.as_str(), (*group, groups[usize::from(*group)].keys.push(key)));
            }
        }
        for ((window, key), count) in self.counts.iter().filter(|((window, _), _)| !gone(*window)) {
            let (group, local) = locals[key.as_str()];
            let dirty = dirty.contains(&(*window, key.clone()));
            let cell = PaneCell { local, kind: window.kind, start: window.start, count: *count, dirty };
            groups[usize::from(group)].panes.push(cell);
        }
        groups.iter_mut().for_each(|group| group.panes.sort_unstable());
        groups
    }
}

/// Best first, by window.
type Lists = BTreeMap<WindowId, BTreeSet<(Reverse<u64>, String)>>;

/// Stores of all workers, beside what they should say.
struct Run {
    k: usize,
    assignment: Assignment,
    stores: Vec<WindowStore>,
    assigner: Assigner,
    folded: Folded,
    known: BTreeSet<String>,
    /// The naive count.
    counts: BTreeMap<(Window, String), u64>,
    /// Candidates as told, by worker.
    told: Vec<Lists>,
    /// What changed since rows were last taken.
    untaken: BTreeSet<(Window, String)>,
    gone: Option<EventTime>,
    epoch: Epoch,
}

type Event = (String, Minute, LateMask, u64);

impl Run {
    fn new(workers: usize, k: usize) -> Self {
        Run {
            k,
            assignment: Assignment::new(workers),
            stores: (0..workers).map(|worker| WindowStore::new(worker, windows(), LATENESS, k, true)).collect(),
            assigner: windows().assigner(),
            folded: Folded::default(),
            known: BTreeSet::new(),
            counts: BTreeMap::new(),
            told: vec![BTreeMap::new(); workers],
            untaken: BTreeSet::new(),
            gone: None,
            epoch: 0,
        }
    }

    fn worker_of(&self, key: &str) -> usize {
        self.assignment.worker(KeyGroup::of(key))
    }

    fn is_gone(&self, window: Window) -> bool {
        window.state(self.gone, LATENESS) == WindowState::Final
    }

    fn hear(&mut self, worker: usize, changes: &[CandidateChange]) {
        for change in changes {
            let list = self.told[worker].entry(change.window).or_default();
            let entry = (Reverse(change.count), change.key.to_string());
            match change.change {
                1 => assert!(list.insert(entry), "{change:?} came twice"),
                -1 => assert!(list.remove(&entry), "{change:?} left without having come"),
                other => panic!("a change of {other}"),
            }
            self.told[worker].retain(|_, list| !list.is_empty());
        }
    }

    /// The windows of each worker with their true top K.
    fn check_candidates(&self) {
        let mut expected = vec![Lists::new(); self.stores.len()];
        for ((window, key), count) in self.counts.iter().filter(|((window, _), _)| !self.is_gone(*window)) {
            let list = expected[self.worker_of(key)].entry(window.id()).or_default();
            list.insert((Reverse(*count), key.clone()));
            if list.len() > self.k {
                list.pop_last();
            }
        }
        assert_eq!(self.told, expected);
    }

    fn apply(&mut self, events: &[Event]) {
        let mut totals: BTreeMap<WindowId, (u64, u64)> = BTreeMap::new();
        let mut combiners = [Combiner::default(), Combiner::default()];
        for (index, (key, minute, mask, n)) in events.iter().enumerate() {
            // Two readers, so that a (key, minute, mask) may come in two batches. New keys come from the first, or their
            // order in the dictionary would depend on how batches meet.
            let reader = if self.known.contains(key) { index % 2 } else { 0 };
            combiners[reader].add(key, *minute, *mask, *n);
            for kind in (0..windows().len() as KindIndex).filter(|kind| mask.0 & (1 << kind) == 0) {
                let window = self.assigner.assign(kind, minute.start());
                let count = self.counts.entry((window, key.clone())).or_insert(0);
                let total = totals.entry(window.id()).or_default();
                *total = (total.0 + n, total.1 + u64::from(*count == 0));
                *count += n;
                self.untaken.insert((window, key.clone()));
            }
        }
        let batches = combiners.iter_mut().flat_map(|combiner| combiner.drain(self.assignment));
        let mut of_worker = vec![Vec::new(); self.stores.len()];
        batches.for_each(|batch| of_worker[batch.worker as usize].push(batch));
        let mut sums: BTreeMap<WindowId, (u64, u64)> = BTreeMap::new();
        for (worker, batches) in of_worker.iter().enumerate() {
            let applied = self.stores[worker].apply(self.epoch, batches);
            assert_eq!((applied.part.epoch, applied.part.worker), (self.epoch, worker as u32));
            self.folded.fold(&applied.part, &mut self.assigner);
            for (window, events, keys) in &applied.totals {
                let sum = sums.entry(window.id()).or_default();
                *sum = (sum.0 + events, sum.1 + keys);
            }
            self.hear(worker, &applied.candidates);
        }
        self.known.extend(events.iter().map(|(key, ..)| key.clone()));
        assert_eq!(sums, totals);
        assert_eq!(self.folded.counts, self.counts);
        self.check_candidates();
        self.epoch += 1;
    }

    fn take_rows(&mut self) {
        for worker in 0..self.stores.len() {
            let blocks = self.stores[worker].take_rows();
            assert!(blocks.windows(2).all(|pair| pair[0].window < pair[1].window), "each window once, in order");
            for block in blocks {
                for (key, count) in block.keys.iter().zip(&block.counts) {
                    let row = (block.window, key.to_owned());
                    assert_eq!((*count, worker), (self.counts[&row], self.worker_of(key)));
                    assert!(self.untaken.remove(&row), "{row:?} is clean, or given twice");
                }
            }
        }
        assert!(self.untaken.is_empty(), "changed rows are missing");
    }

    fn evict(&mut self, watermark: EventTime) {
        self.take_rows();
        self.gone = Some(watermark);
        for worker in 0..self.stores.len() {
            let leaving = self.stores[worker].evict(watermark);
            assert!(leaving.iter().all(|change| change.change == -1 && self.is_gone(windows().find(change.window))));
            self.hear(worker, &leaving);
            let keys =
                self.counts.keys().filter(|(window, key)| !self.is_gone(*window) && self.worker_of(key) == worker);
            let live: BTreeSet<Window> = keys.map(|(window, _)| *window).collect();
            assert_eq!(self.stores[worker].live_windows(), live.len());
        }
        self.check_candidates();
    }

    /// Start again from the folded parts, with any number of workers.
    fn restart(&mut self, workers: usize) {
        let groups = self.folded.groups(|window| self.is_gone(window), &self.untaken);
        self.assignment = Assignment::new(workers);
        self.told = vec![BTreeMap::new(); workers];
        self.stores.clear();
        for worker in 0..workers {
            let mut store = WindowStore::new(worker, windows(), LATENESS, self.k, true);
            let ours = || groups.iter().filter(|group| self.assignment.worker(group.group) == worker);
            store.load(ours().map(|group| group.keys.len()).sum(), ours().cloned());
            let keys = self.folded.keys.values().flatten().filter(|key| self.worker_of(key) == worker);
            assert_eq!(store.keys(), keys.count());
            let candidates = store.candidates();
            self.stores.push(store);
            self.hear(worker, &candidates);
        }
        self.check_candidates();
    }
}

/// Keys with a skew; most minutes near a moving present, some up to a day behind; now and then late somewhere by chance.
struct History {
    random: Random,
    now: u32,
    keys: u64,
}

impl History {
    fn new(seed: u64, keys: u64) -> Self {
        History { random: Random::new(seed), now: START, keys }
    }

    fn epoch(&mut self, gone: Option<EventTime>) -> Vec<Event> {
        self.now += self.random.skewed(120) as u32;
        let events = self.random.below(60);
        (0..events).map(|_| self.event(gone)).collect()
    }

    fn event(&mut self, gone: Option<EventTime>) -> Event {
        let behind = if self.random.below(20) == 0 { self.random.below(1440) } else { self.random.below(90) };
        let minute = Minute(self.now - behind as u32);
        let chance = if self.random.below(8) == 0 { self.random.below(16) } else { 0 };
        let rules = windows();
        let is_final = |kind| rules.window(kind, minute.start()).state(gone, LATENESS) == WindowState::Final;
        let due = (0..rules.len() as KindIndex).filter(|kind| is_final(*kind)).fold(0, |mask, kind| mask | 1 << kind);
        let key = format!("key {}", self.random.skewed(self.keys));
        (key, minute, LateMask(due | chance as u8), self.random.below(9) + 1)
    }
}

#[test]
fn histories_agree_with_a_naive_count() {
    for (seed, workers, k) in [(1, 1, 3), (2, 2, 1), (3, 3, 10), (4, 7, 1000)] {
        let (mut run, mut history) = (Run::new(workers, k), History::new(seed, 80));
        for _ in 0..60 {
            run.apply(&history.epoch(run.gone));
            match history.random.below(6) {
                0 => run.take_rows(),
                1 => run.evict(Minute(history.now - 90).start()),
                _ => {}
            }
        }
        run.take_rows();
        let ended = Minute(history.now - 90).start();
        assert!(run.is_gone(windows().window(2, Minute(START).start())), "a day was evicted, up to {ended}");
    }
}

/// As Flink's rescale tests: the same history with restarts into other numbers of workers leaves the same journal, rows
/// and lists as without. Each of the two runs is also held against the naive count at every step.
#[test]
fn a_store_that_was_loaded_goes_on_like_one_that_never_stopped() {
    for seed in 10..16 {
        let (mut steady, mut restarted, mut history) = (Run::new(2, 5), Run::new(2, 5), History::new(seed, 60));
        for step in 0..30 {
            let events = history.epoch(steady.gone);
            for run in [&mut steady, &mut restarted] {
                run.apply(&events);
                match step % 7 {
                    2 => run.take_rows(),
                    5 => run.evict(Minute(history.now - 90).start()),
                    _ => {}
                }
            }
            if history.random.below(3) == 0 {
                restarted.restart(history.random.below(4) as usize + 1);
            }
            assert_eq!(steady.folded, restarted.folded, "keys keep their ids, counts their values");
            assert_eq!(steady.untaken, restarted.untaken);
        }
        steady.take_rows();
        restarted.take_rows();
    }
}

/// A key's dense record holds its newest window; what disorder brings for older ones lies beside it, before and after
/// rows were taken, and the touch after midnight must not lose the day before.
#[test]
fn older_windows_of_a_key_stay_right_around_midnight() {
    let midnight = START + 4 * 60; // 2025-10-25T22:00:00Z, the 26th in Zurich
    let mut run = Run::new(1, 2);
    let event = |key: &str, minute: u32| vec![(key.to_owned(), Minute(minute), LateMask::NONE, 1)];
    run.apply(&event("a", midnight - 1));
    run.apply(&event("a", midnight));
    run.apply(&event("a", midnight - 1));
    run.take_rows();
    run.apply(&event("a", midnight - 2));
    run.apply(&event("a", midnight - 1));
    run.apply(&event("b", midnight + 1));
    run.apply(&event("a", midnight + 1));
    run.apply(&event("a", midnight));
    run.take_rows();
    run.take_rows();
    run.evict(Minute(midnight + 5).start());
    assert!(run.is_gone(windows().window(2, Minute(midnight - 1).start())));
    run.apply(&event("b", midnight + 2));
    run.apply(&event("a", midnight + 2));
    run.restart(2);
    run.apply(&event("a", midnight + 1));
    run.take_rows();
    let day = windows().window(2, Minute(midnight).start());
    assert_eq!(run.counts[&(day, "a".to_owned())], 5);
}

#[test]
fn nothing_is_noted_for_tables_when_nobody_takes_rows() {
    let mut store = WindowStore::new(0, windows(), LATENESS, 2, false);
    let mut combiner = Combiner::default();
    combiner.add("a", Minute(START), LateMask::NONE, 1);
    store.apply(0, &combiner.drain(Assignment::new(1)));
    assert!(store.take_rows().is_empty());
    assert_eq!(store.evict(Minute(START + 6).start()).len(), 1, "and a window may leave all the same");
    assert!(store.evict(Minute(START).start()).is_empty(), "a watermark that is behind evicts nothing");
    assert_eq!((store.live_windows(), store.keys()), (4, 1));
}

#[test]
fn forgotten_rows_hold_no_window_and_noting_begins_again_when_rows_are_taken() {
    let mut store = WindowStore::new(0, windows(), LATENESS, 2, true);
    let mut epoch = 0;
    let mut count = |store: &mut WindowStore, key: &str, minute: u32| {
        let mut combiner = Combiner::default();
        combiner.add(key, Minute(minute), LateMask::NONE, 1);
        store.apply(epoch, &combiner.drain(Assignment::new(1)));
        epoch += 1;
    };
    count(&mut store, "a", START);
    let one = store.waiting_bytes();
    count(&mut store, "b", START);
    assert!(one > 0 && store.waiting_bytes() > one, "rows that wait are accounted for");
    store.forget_rows();
    assert_eq!(store.waiting_bytes(), 0);
    count(&mut store, "a", START);
    assert_eq!(store.waiting_bytes(), 0, "nothing is noted any more");
    assert!(!store.evict(Minute(START + 6).start()).is_empty());
    assert!(store.take_rows().is_empty(), "from here on they are noted");
    count(&mut store, "a", START + 6);
    let rows: Vec<u64> = store.take_rows().into_iter().flat_map(|block| block.counts).collect();
    assert_eq!(rows, [1, 3, 3, 3, 3], "absolute, with what was counted meanwhile");
}

#[test]
#[should_panic(expected = "bug: a count arrived for a final window that was evicted")]
fn a_count_for_an_evicted_window_is_our_bug() {
    let mut store = WindowStore::new(0, windows(), LATENESS, 2, false);
    store.evict(Minute(START + 6).start());
    let mut combiner = Combiner::default();
    combiner.add("a", Minute(START), LateMask::NONE, 1);
    store.apply(0, &combiner.drain(Assignment::new(1)));
}

#[test]
#[should_panic(expected = "bug: a window leaves before its rows were taken")]
fn a_window_that_leaves_with_its_rows_is_our_bug() {
    let mut store = WindowStore::new(0, windows(), LATENESS, 2, true);
    let mut combiner = Combiner::default();
    combiner.add("a", Minute(START), LateMask::NONE, 1);
    store.apply(0, &combiner.drain(Assignment::new(1)));
    store.evict(Minute(START + 6).start());
}

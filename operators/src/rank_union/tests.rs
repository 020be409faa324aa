//! The ranking over all workers' candidates against sorting everything; and what comes out when the union is left out.

use super::*;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use stream::{Assignment, EventTime, KeyGroup};
use timely::dataflow::operators::capture::{Capture, Extract};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Input, Probe};

/// Best first, by window.
type Lists = BTreeMap<WindowId, Vec<(Reverse<u64>, String)>>;

/// A ranking stage: [`RankUnion::rank_union`], or what is tried in its place.
type Stage = for<'scope> fn(StreamVec<'scope, Epoch, Candidate>, usize) -> StreamVec<'scope, Epoch, RankedChange>;

fn union<'scope>(candidates: StreamVec<'scope, Epoch, Candidate>, k: usize) -> StreamVec<'scope, Epoch, RankedChange> {
    candidates.rank_union(k)
}

/// No union: every worker's candidates pass for the list.
fn bypass<'scope>(
    candidates: StreamVec<'scope, Epoch, Candidate>,
    _k: usize,
) -> StreamVec<'scope, Epoch, RankedChange> {
    candidates.map(|Candidate { window, key, count, change }| RankedChange { window, key, count, change })
}

fn window(minute: i64) -> WindowId {
    WindowId { kind: 0, start: EventTime::from_millis(minute * 60_000) }
}

fn candidate(minute: i64, key: &str, count: u64, change: i64) -> Candidate {
    Candidate { window: window(minute), key: Key::new(key), count, change }
}

/// Run a stage over each worker's candidates by epoch; the lists after each epoch. All epochs are given at once, so that
/// several close together: each change must still come out at its own.
fn run(stage: Stage, k: usize, epochs: &[Vec<Vec<Candidate>>]) -> Vec<Lists> {
    let (sender, changes) = channel();
    let given = Arc::new(epochs.to_vec());
    let workers = epochs[0].len();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let index = worker.index();
        let (mut input, probe) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, candidates) = scope.new_input::<Vec<Candidate>>();
            let ranked = stage(candidates, k);
            ranked.clone().capture_into(sender.clone());
            (input, ranked.probe().0)
        });
        for (epoch, of_workers) in given.iter().enumerate() {
            of_workers[index].iter().cloned().for_each(|candidate| input.send(candidate));
            input.advance_to(epoch as Epoch + 1);
        }
        input.close();
        worker.step_or_park_while(None, || !probe.done());
    });
    drop(guards.expect("the workers start"));
    let mut by_epoch: BTreeMap<Epoch, Vec<RankedChange>> = changes.extract().into_iter().collect();
    let mut present: BTreeMap<(WindowId, Reverse<u64>, String), i64> = BTreeMap::new();
    let lists_after = |epoch| {
        for change in by_epoch.remove(&epoch).unwrap_or_default() {
            *present.entry((change.window, Reverse(change.count), change.key.to_string())).or_insert(0) +=
                change.change;
        }
        present.retain(|_, times| *times != 0);
        assert!(present.values().all(|times| *times == 1), "an entry is there once or not at all: {present:?}");
        let mut lists = Lists::new();
        for (window, count, key) in present.keys() {
            lists.entry(*window).or_default().push((*count, key.clone()));
        }
        lists
    };
    (0..epochs.len() as Epoch).map(lists_after).collect()
}

/// A history of growing counts: what each worker's own top K tells in each epoch, and the true lists after it.
fn history(seed: u64, workers: usize, k: usize) -> (Vec<Vec<Vec<Candidate>>>, Vec<Lists>) {
    let mut random = Random::new(seed);
    let owner = Assignment::new(workers);
    let mut counts: BTreeMap<(WindowId, String), u64> = BTreeMap::new();
    let mut told: Vec<BTreeSet<Candidate>> = vec![BTreeSet::new(); workers];
    let (mut epochs, mut lists) = (Vec::new(), Vec::new());
    for epoch in 0..40 {
        for _ in 0..random.below(40) {
            let minute = (epoch / 10 + random.below(3)) as i64;
            let key = format!("key {}", random.skewed(90));
            *counts.entry((window(minute), key)).or_insert(0) += random.below(3) + 1;
        }
        // Every ten epochs the oldest window leaves.
        counts.retain(|(of, _), _| *of >= window(epoch as i64 / 10));
        let mut all = Lists::new();
        let mut own: Vec<Lists> = vec![Lists::new(); workers];
        for ((window, key), count) in &counts {
            let entry = (Reverse(*count), key.clone());
            own[owner.worker(KeyGroup::of(key))].entry(*window).or_default().push(entry.clone());
            all.entry(*window).or_default().push(entry);
        }
        for list in own.iter_mut().chain([&mut all]).flat_map(|lists| lists.values_mut()) {
            list.sort();
            list.truncate(k);
        }
        let tell = |worker: usize| {
            let members = own[worker].iter().flat_map(|(window, list)| list.iter().map(|entry| (*window, entry)));
            let as_candidate = |(window, (count, key)): (WindowId, &(Reverse<u64>, String))| Candidate {
                window,
                key: Key::new(key),
                count: count.0,
                change: 1,
            };
            let now: BTreeSet<Candidate> = members.map(as_candidate).collect();
            let before = std::mem::replace(&mut told[worker], now.clone());
            let left = before.difference(&now).map(|candidate| Candidate { change: -1, ..candidate.clone() });
            left.chain(now.difference(&before).cloned()).collect()
        };
        epochs.push((0..workers).map(tell).collect());
        lists.push(all);
    }
    (epochs, lists)
}

#[test]
fn the_ranking_kept_from_changes_equals_sorting_everything() {
    for workers in [1, 2, 3] {
        for (seed, k) in [(1, 1), (2, 3), (3, 10), (4, 1000)] {
            let (epochs, expected) = history(seed, workers, k);
            assert_eq!(run(union, k, &epochs), expected, "seed {seed}, {workers} workers, top {k}");
        }
    }
}

/// The union is not decoration: with more than one worker, a list without it holds each worker's best and not the best.
#[test]
fn without_the_union_the_lists_are_wrong() {
    for workers in [2, 3] {
        let (epochs, expected) = history(2, workers, 3);
        let lists = run(bypass, 3, &epochs);
        assert_ne!(lists, expected);
        assert!(lists.last().unwrap().values().any(|list| list.len() > 3), "more than K entries are shown");
    }
    let (epochs, expected) = history(2, 1, 3);
    assert_eq!(
        run(bypass, 3, &epochs),
        expected,
        "alone, a worker's candidates are the list: the harness is not at fault"
    );
}

#[test]
fn equal_counts_are_ordered_by_key_bytewise() {
    let left = ["a", "B", "z"].map(|key| candidate(0, key, 5, 1)).to_vec();
    let right = ["ä", "aa", ""].map(|key| candidate(0, key, 5, 1)).to_vec();
    let lists = run(union, 4, &[vec![left, right]]);
    let keys: Vec<&str> = lists[0][&window(0)].iter().map(|(_, key)| key.as_str()).collect();
    assert_eq!(keys, ["", "B", "a", "aa"]);
}

#[test]
fn an_entry_that_leaves_makes_room_for_the_next_best_of_any_worker() {
    let epochs = [
        vec![
            vec![candidate(0, "a", 9, 1), candidate(0, "b", 7, 1)],
            vec![candidate(0, "c", 8, 1), candidate(0, "d", 1, 1)],
        ],
        vec![vec![candidate(0, "a", 9, -1)], vec![]],
        vec![vec![], vec![candidate(0, "d", 1, -1), candidate(0, "d", 10, 1)]],
        vec![vec![candidate(0, "b", 7, -1)], vec![candidate(0, "c", 8, -1), candidate(0, "d", 10, -1)]],
    ];
    let shown =
        |lists: &Lists| lists.get(&window(0)).map(|list| list.iter().map(|(_, key)| key.clone()).collect::<String>());
    let lists = run(union, 2, &epochs);
    let expected = [Some("ac"), Some("cb"), Some("dc"), None].map(|keys| keys.map(str::to_owned));
    assert_eq!(lists.iter().map(shown).collect::<Vec<_>>(), expected);
}

/// A candidate that leaves and comes back unchanged within an epoch is no change of the list.
#[test]
fn what_changes_nothing_says_nothing() {
    let (sender, changes) = channel();
    timely::execute_directly(move |worker| {
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, candidates) = scope.new_input::<Vec<Candidate>>();
            candidates.rank_union(1).capture_into(sender);
            input
        });
        input.send(candidate(0, "a", 9, 1));
        input.advance_to(1);
        input.send(candidate(0, "a", 9, -1));
        input.send(candidate(0, "a", 9, 1));
        input.send(candidate(0, "b", 3, 1));
    });
    let epochs: Vec<(Epoch, usize)> =
        changes.extract().into_iter().map(|(epoch, changes)| (epoch, changes.len())).collect();
    assert_eq!(epochs, [(0, 1)]);
}

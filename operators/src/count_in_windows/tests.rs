//! The dataflow around window state: the same answer from any number of workers and any cut into epochs; epochs in
//! order, and none before everybody has closed it.

use super::*;
use crate::random::Random;
use crate::{Combiner, FedRecord, IntakeSettings, RankUnion, feed};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Barrier, Mutex};
use std::time::Duration;
use stream::{
    Assignment, Decode, Event, Generation, GroupState, KeyArena, KeyGroup, LateMask, ManualClock, Minute, PaneCell,
    RecordHash, Rejection, RowOrder, Sequence, TimeRules, WallTime, Window, WindowId, WindowKind, Windows, Zone,
};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::capture::{Capture, Extract};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::UnorderedInput;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;

const K: usize = 4;
/// 2025-10-19T14:00:00Z.
const START: i64 = 1_760_882_400_000;

fn windows() -> Windows {
    let kinds = ["minute", "hour", "all_time"].map(|name| WindowKind::named(name).unwrap());
    Windows::new(kinds.to_vec(), Zone::utc()).unwrap()
}

fn store(worker: usize) -> WindowStore {
    WindowStore::new(worker, &windows(), Duration::ZERO, K, true)
}

/// `key millis`.
#[derive(Clone, Copy)]
struct Words;

impl Decode for Words {
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Rejection> {
        let (key, millis) = std::str::from_utf8(value.unwrap()).unwrap().split_once(' ').unwrap();
        Ok(Event { key: key.into(), time: Some(EventTime::from_millis(millis.parse().unwrap())), n: 1 })
    }
}

/// Three partitions, each out of order by up to two minutes.
fn records(seed: u64, count: i64) -> Vec<FedRecord> {
    let mut random = Random::new(seed);
    let mut record = |step: i64| {
        let millis = START + step * 500 - random.below(120_000) as i64;
        (random.below(3) as usize, format!("key{} {millis}", random.skewed(70)).into())
    };
    (0..count).map(&mut record).collect()
}

/// Look at a stream with the epochs of its data.
fn look<'scope, D: 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    mut each: impl FnMut(Epoch, &D) + 'static,
) -> StreamVec<'scope, Epoch, D> {
    stream.inspect_core(move |event| {
        if let Ok((stamp, data)) = event {
            data.iter().for_each(|datum| each(*stamp.least().unwrap(), datum));
        }
    })
}

/// All that a run says, without what may differ: epochs and workers.
#[derive(PartialEq, Eq, Debug, Default)]
struct Outcome {
    /// Parts, folded by the rules.
    folded: BTreeMap<(Window, String), u64>,
    /// Rows as last given.
    rows: BTreeMap<(Window, String), u64>,
    totals: BTreeMap<Window, (u64, u64)>,
    lists: BTreeSet<(WindowId, std::cmp::Reverse<u64>, String)>,
    late: BTreeMap<WindowId, u64>,
}

fn outcome(workers: usize, per_epoch: usize, records: &[FedRecord]) -> Outcome {
    let rules = TimeRules {
        out_of_orderness: Duration::from_secs(60),
        allowed_lateness: Duration::ZERO,
        max_future_skew: Duration::ZERO,
    };
    let clock = Arc::new(ManualClock::at(WallTime(START * 2)));
    let settings = IntakeSettings { rules, windows: windows(), assignment: Assignment::new(workers), clock };
    let (parts_to, parts) = channel();
    let (changes_to, changes) = channel();
    let (rows_to, rows) = channel();
    let (ranked_to, ranked) = channel();
    let (reports_to, reports) = channel();
    let given = records.to_vec();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        worker.dataflow(|scope| {
            let fed = feed(scope, Words, settings.clone(), given.clone(), per_epoch);
            let counted = fed.deltas.count_in_windows(store(scope.index()), fed.marks, empty(scope));
            // Their order within an epoch means nothing; `extract` wants one.
            let to = parts_to.clone();
            counted.parts.inspect(move |part| to.send(part.clone()).unwrap());
            let to = changes_to.clone();
            counted.windows.inspect(move |change| to.send(*change).unwrap());
            let to = rows_to.clone();
            look(counted.rows, move |epoch, flush| to.send((epoch, flush.clone())).unwrap());
            let to = reports_to.clone();
            fed.reports.inspect(move |report| to.send(report.clone()).unwrap());
            counted.candidates.rank_union(K).capture_into(ranked_to.clone());
        });
    });
    drop(guards.expect("the workers start"));

    let mut outcome = Outcome::default();
    let mut parts: Vec<Part> = parts.iter().collect();
    parts.sort_by_key(|part| (part.epoch, part.worker));
    let ids: Vec<(Epoch, u32)> = parts.iter().map(|part| (part.epoch, part.worker)).collect();
    let epochs = records.len().div_ceil(per_epoch) as Epoch;
    let expected: Vec<(Epoch, u32)> =
        (0..epochs).flat_map(|epoch| (0..workers as u32).map(move |worker| (epoch, worker))).collect();
    assert_eq!(ids, expected, "one part for each epoch and worker");
    let mut keys: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let mut assigner = windows().assigner();
    for part in &parts {
        for (group, key) in part.new_key_groups.iter().zip(part.new_keys.iter()) {
            assert_eq!(Assignment::new(workers).worker(KeyGroup::of(key)) as u32, part.worker);
            keys.entry(*group).or_default().push(key.to_owned());
        }
        for row in &part.rows {
            let key = &keys[&row.group][row.local as usize];
            for kind in (0..assigner.windows().len() as stream::KindIndex).filter(|kind| !row.mask.is_late(*kind)) {
                let window = assigner.assign(kind, row.minute.start());
                *outcome.folded.entry((window, key.clone())).or_insert(0) += row.n;
            }
        }
    }
    let mut rows: Vec<(Epoch, RowFlush)> = rows.iter().collect();
    rows.sort_by_key(|(epoch, flush)| (*epoch, flush.worker));
    for block in rows.into_iter().flat_map(|(_, flush)| flush.blocks) {
        for (key, count) in block.keys.iter().zip(&block.counts) {
            outcome.rows.insert((block.window, key.to_owned()), *count);
        }
    }
    for change in changes {
        let WindowChange::Added { window, events, keys } = change else { panic!("nothing was committed: {change:?}") };
        let total = outcome.totals.entry(window).or_default();
        *total = (total.0 + events, total.1 + keys);
    }
    let mut present = BTreeMap::new();
    for change in ranked.extract().into_iter().flat_map(|(_, changes)| changes) {
        let entry = (change.window, std::cmp::Reverse(change.count), change.key.to_string());
        *present.entry(entry).or_insert(0) += change.change;
    }
    outcome.lists = present.into_iter().filter(|(_, times)| *times != 0).map(|(entry, _)| entry).collect();
    for (window, n) in reports.iter().flat_map(|report| report.late) {
        *outcome.late.entry(window).or_insert(0) += n;
    }
    outcome
}

#[test]
fn workers_and_epochs_change_nothing() {
    let records = records(5, 3000);
    let one = outcome(1, 3000, &records);
    assert_eq!(one.folded, one.rows, "the tables get what the journal has");
    let mut totals: BTreeMap<Window, (u64, u64)> = BTreeMap::new();
    let mut lists: BTreeMap<WindowId, BTreeSet<_>> = BTreeMap::new();
    for ((window, key), count) in &one.folded {
        let total = totals.entry(*window).or_default();
        *total = (total.0 + count, total.1 + 1);
        let list = lists.entry(window.id()).or_default();
        list.insert((window.id(), std::cmp::Reverse(*count), key.clone()));
        if list.len() > K {
            list.pop_last();
        }
    }
    assert_eq!(one.totals, totals);
    assert_eq!(one.lists, lists.into_values().flatten().collect());
    // Over counters: counted(kind) + late(kind) = counted(all_time) = every record.
    for kind in 0..3 {
        let counted: u64 = totals.iter().filter(|(window, _)| window.kind == kind).map(|(_, (events, _))| events).sum();
        let late: u64 = one.late.iter().filter(|(window, _)| window.kind == kind).map(|(_, n)| n).sum();
        assert_eq!((counted + late, late > 0), (3000, kind < 2), "kind {kind}");
    }
    for workers in [1, 2, 3] {
        for per_epoch in [7, 100, 1499, 3000] {
            assert_eq!(outcome(workers, per_epoch, &records), one, "{workers} workers, {per_epoch} records an epoch");
        }
    }
}

fn batch(key: &str, minute: u32, n: u64) -> DeltaBatch {
    let mut combiner = Combiner::default();
    combiner.add(key, Minute((START / 60_000) as u32 + minute), LateMask::NONE, n);
    combiner.drain(Assignment::new(1)).remove(0)
}

/// What has come out of a dataflow on this thread.
type Came<T> = Rc<RefCell<Vec<T>>>;

/// Let a worker do whatever it can.
fn turn(worker: &mut Worker, times: usize) {
    for _ in 0..times {
        worker.step();
    }
}

/// One worker's dataflow, whose inputs may be written at any open epoch, and what has come out of it.
#[test]
fn epochs_are_applied_in_order_and_only_when_both_inputs_have_closed_them() {
    timely::execute_directly(|worker| {
        let came: Came<(Epoch, usize, u64)> = Rc::default();
        let flushed: Came<(Epoch, Vec<u64>)> = Rc::default();
        let (parts_to, rows_to) = (came.clone(), flushed.clone());
        let (deltas, marks) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (deltas, delta_stream) = scope.new_unordered_input();
            let (marks, mark_stream) = scope.new_unordered_input();
            let counted = delta_stream.count_in_windows(store(0), mark_stream, empty(scope));
            look(counted.parts, move |epoch, part| {
                assert_eq!(epoch, part.epoch);
                parts_to.borrow_mut().push((epoch, part.new_keys.len(), part.rows.iter().map(|row| row.n).sum()));
            });
            look(counted.rows, move |epoch, flush| {
                let counts: Vec<u64> = flush.blocks.iter().flat_map(|block| block.counts.clone()).collect();
                match flush.order {
                    RowOrder::Keep => assert!(counts.is_empty() && flush.waiting > 0),
                    _ => rows_to.borrow_mut().push((epoch, counts)),
                }
            });
            (deltas, marks)
        });
        let ((mut deltas, delta_start), (mut marks, mark_start)) = (deltas, marks);
        let mut delta_at: Vec<_> = (0..3u64).map(|epoch| Some(delta_start.delayed(&epoch))).collect();
        let mut mark_at: Vec<_> = (0..3u64).map(|epoch| Some(mark_start.delayed(&epoch))).collect();
        drop((delta_start, mark_start));
        let mut settle = || turn(worker, 20);
        for epoch in [2usize, 0, 1] {
            let at = delta_at[epoch].as_ref().unwrap();
            deltas.activate().session(at).give(batch("k", 0, 10_u64.pow(epoch as u32)));
            let at = mark_at[epoch].as_ref().unwrap();
            marks.activate().session(at).give(Mark { rows: if epoch == 0 { RowOrder::Keep } else { RowOrder::Take } });
            settle();
        }
        for epoch in [2, 1] {
            (delta_at[epoch], mark_at[epoch]) = (None, None);
            settle();
        }
        assert!(came.borrow().is_empty(), "epoch 0 is open, so later ones wait, however closed they are");
        mark_at[0] = None;
        settle();
        assert!(came.borrow().is_empty(), "its mark has come, but more deltas may");
        deltas.activate().session(delta_at[0].as_ref().unwrap()).give(batch("k", 0, 4));
        delta_at[0] = None;
        settle();
        assert_eq!(*came.borrow(), [(0, 1, 5), (1, 0, 10), (2, 0, 100)]);
        assert_eq!(*flushed.borrow(), [(1, vec![15; 3]), (2, vec![115; 3])], "absolute, at the epochs that ask");
    });
}

#[test]
fn nothing_comes_out_before_every_worker_has_closed_the_epoch() {
    let came = Arc::new(Mutex::new(Vec::new()));
    let (barrier, to) = (Arc::new(Barrier::new(2)), came.clone());
    let guards = timely::execute(timely::Config::process(2), move |worker| {
        let (mut deltas, mut marks): (InputHandle<Epoch, _>, InputHandle<Epoch, _>) =
            (InputHandle::new(), InputHandle::new());
        let to = to.clone();
        let seen = to.clone();
        let probe = worker.dataflow(|scope| {
            let marks = marks.to_stream(scope);
            let counted = deltas.to_stream(scope).count_in_windows(store(scope.index()), marks, empty(scope));
            counted.parts.inspect(move |part| to.lock().unwrap().push((part.epoch, part.worker))).probe().0
        });
        let late = worker.index() == 1;
        if !late {
            deltas.send(batch("k", 0, 1));
            marks.send(Mark { rows: RowOrder::Keep });
            deltas.close();
            marks.close();
            turn(worker, 200);
            barrier.wait();
            assert!(seen.lock().unwrap().is_empty(), "the other worker may still send to this one");
            barrier.wait();
        } else {
            turn(worker, 200);
            barrier.wait();
            barrier.wait();
            marks.send(Mark { rows: RowOrder::Keep });
            deltas.close();
            marks.close();
        }
        worker.step_or_park_while(None, || !probe.done());
    });
    drop(guards.expect("the workers start"));
    let mut parts = came.lock().unwrap().clone();
    parts.sort_unstable();
    assert_eq!(parts, [(0, 0), (0, 1)]);
}

fn commit(evictable: EventTime) -> Arc<Commit> {
    Arc::new(Commit {
        epoch: 0,
        generation: Generation(1),
        sequence: Sequence(1),
        hash: RecordHash::default(),
        changed: true,
        last: false,
        watermark: Some(evictable),
        partitions: Arc::default(),
        ledger: Arc::default(),
        late: Vec::new(),
        dead_letters: Arc::default(),
        granted: Vec::new(),
        evictable: Some(evictable),
    })
}

/// Recovered candidates are told with the first epoch. A commit lets windows leave at the next epoch; it is not waited
/// for: its stream stays open here, and epochs go on.
#[test]
fn recovered_candidates_are_told_and_windows_leave_once_committed() {
    timely::execute_directly(|worker| {
        let mut recovered = store(0);
        let mut keys = KeyArena::default();
        keys.push("old");
        let start = EventTime::from_millis(START);
        let pane = PaneCell { local: 0, kind: 0, start, count: 6, dirty: false };
        recovered.load(1, [GroupState { group: KeyGroup::of("old"), keys, panes: vec![pane] }].into_iter());
        let (mut deltas, mut marks, mut commits): (
            InputHandle<Epoch, _>,
            InputHandle<Epoch, _>,
            InputHandle<Epoch, _>,
        ) = (InputHandle::new(), InputHandle::new(), InputHandle::new());
        type Told = (Epoch, i64, String, u64, i64);
        let (told, left): (Came<Told>, Came<(Epoch, EventTime)>) = Default::default();
        let (candidates_to, left_to) = (told.clone(), left.clone());
        let probe = worker.dataflow(|scope| {
            let (marks, commits) = (marks.to_stream(scope), commits.to_stream(scope));
            let counted = deltas.to_stream(scope).count_in_windows(recovered, marks, commits);
            look(counted.windows, move |epoch, change| {
                if let WindowChange::Evicted(watermark) = change {
                    left_to.borrow_mut().push((epoch, *watermark));
                }
            });
            let minutes = look(counted.candidates, move |epoch, candidate| {
                if candidate.window.kind == 0 {
                    let minute = (candidate.window.start.millis() - START) / 60_000;
                    let told = (epoch, minute, candidate.key.to_string(), candidate.count, candidate.change);
                    candidates_to.borrow_mut().push(told);
                }
            });
            minutes.probe().0
        });
        let evictable = EventTime::from_millis(START + 60_000);
        for epoch in 0..3u64 {
            if epoch == 1 {
                commits.send(commit(evictable));
                commits.flush();
                turn(worker, 5);
            }
            deltas.send(batch("new", 1, 1));
            marks.send(Mark { rows: RowOrder::Take });
            deltas.advance_to(epoch + 1);
            marks.advance_to(epoch + 1);
            worker.step_or_park_while(None, || probe.less_equal(&epoch));
        }
        let told = told
            .borrow()
            .iter()
            .map(|(epoch, minute, key, n, change)| format!("{epoch} {minute} {key} {n} {change:+}"))
            .collect::<Vec<_>>();
        let expected = [
            "0 0 old 6 +1",
            "0 1 new 1 +1",
            "1 0 old 6 -1",
            "1 1 new 1 -1",
            "1 1 new 2 +1",
            "2 1 new 2 -1",
            "2 1 new 3 +1",
        ];
        assert_eq!(told, expected);
        assert_eq!(*left.borrow(), [(1, evictable)], "told once");
    });
}

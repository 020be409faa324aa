//! The desk, by hand: what is given to whom, when, and as of which epoch.

use super::*;
use crate::backlog::Answer;
use crate::board_room::WindowRules;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use stream::{
    DeadCode, DeadLetter, EventTime, Generation, Key, KeyArena, ManualClock, RecordHash, RowBlock, Sequence, Step,
    WallTime, Wants, Window, WindowKind, Windows, Zone,
};

mod letters;
mod lists;

const MINUTE: i64 = 60_000;
const SECOND: Duration = Duration::from_secs(1);
const MAX_BACKLOG: u64 = 1000;

fn windows() -> Windows {
    Windows::new(vec![WindowKind::named("minute").unwrap()], Zone::utc()).unwrap()
}

fn minute(number: i64) -> Window {
    windows().window(0, EventTime::from_millis(number * MINUTE))
}

fn tables() -> Wants {
    Wants { counts: true, rankings_every: Some(10 * SECOND), every: SECOND, ..Wants::default() }
}

fn boards() -> Wants {
    Wants { rankings_every: Some(SECOND), ..Wants::default() }
}

fn letters() -> Wants {
    Wants { dead_letters: true, ..Wants::default() }
}

fn letter(offset: i64) -> DeadLetter {
    DeadLetter {
        code: DeadCode::NotJson,
        detail: String::new(),
        partition: "0".into(),
        offset,
        timestamp: None,
        key: None,
        value: None,
        headers: Vec::new(),
    }
}

/// A follower as the test plays it.
struct Player {
    steps: Receiver<Step>,
    ready: Arc<AtomicBool>,
    gave_up: Arc<AtomicBool>,
}

impl Player {
    fn step(&self) -> Option<Step> {
        self.steps.try_recv().ok()
    }

    fn is_done(&self) {
        self.ready.store(true, Ordering::Release);
    }

    fn gives_up(&self) {
        self.gave_up.store(true, Ordering::Release);
        self.is_done();
    }
}

struct Bench {
    desk: Desk,
    clock: Arc<ManualClock>,
    drained: Receiver<Arc<Commit>>,
    epoch: Epoch,
    watermark: Option<EventTime>,
}

impl Bench {
    fn of<const N: usize>(wants: [Wants; N]) -> (Self, [Player; N]) {
        Self::with_undelivered(wants, Vec::new())
    }

    fn with_undelivered<const N: usize>(
        wants: [Wants; N],
        undelivered: Vec<(Sequence, Arc<DeadLetter>)>,
    ) -> (Self, [Player; N]) {
        let clock = Arc::new(ManualClock::at(WallTime(1_000_000)));
        let (tell, drained) = channel();
        let rules = WindowRules { windows: windows(), allowed_lateness: SECOND, retention: vec![None] };
        let mut followers = Vec::new();
        let players = wants.map(|wants| {
            let (line, steps, ready, gave_up) = FollowerLine::in_hand(wants, undelivered.clone());
            followers.push(line);
            Player { steps, ready, gave_up }
        });
        let desk = Desk::new(FollowDesk {
            room: BoardRoom::new(rules, &crate::testing::nothing_recovered()),
            followers,
            clock: clock.clone(),
            ticker: Arc::new(Ticker::new(1, 1)),
            lag: Arc::default(),
            max_backlog: MAX_BACKLOG,
            alignment: Arc::default(),
            delivered: BTreeMap::new(),
            rereader: crate::testing::rereader(windows()),
            wake: Arc::default(),
            drained: tell,
        });
        (Bench { desk, clock, drained, epoch: 0, watermark: None }, players)
    }

    fn commit(&mut self, changed: bool, last: bool, dead_letters: Vec<DeadLetter>) -> Arc<Commit> {
        self.epoch += 1;
        Arc::new(Commit {
            epoch: self.epoch,
            generation: Generation(1),
            sequence: Sequence(10 + self.epoch),
            hash: RecordHash::default(),
            changed,
            last,
            watermark: self.watermark,
            partitions: Arc::default(),
            ledger: Arc::default(),
            late: Vec::new(),
            dead_letters: Arc::new(dead_letters),
            granted: Vec::new(),
            evictable: None,
        })
    }

    /// An epoch in which a key gets its count in a minute; `rows` as the workers copied them out at this epoch.
    fn count(&mut self, number: i64, key: &str, rows: Option<&[(&str, u64)]>) {
        let commit = self.commit(true, false, Vec::new());
        let window = minute(number);
        let changes = EpochChanges {
            windows: vec![WindowChange::Added { window, events: 1, keys: 1 }],
            ranked: vec![RankedChange { window: window.id(), key: Key::new(key), count: 1, change: 1 }],
        };
        self.desk.show(commit, changes, rows.map(|rows| taken(vec![block(window, rows)])));
        self.desk.serve();
    }

    fn quiet(&mut self, last: bool, rows: Option<Vec<RowBlock>>) {
        let commit = self.commit(false, last, Vec::new());
        self.desk.show(commit, EpochChanges::default(), rows.map(taken));
        self.desk.serve();
    }
}

fn answer(order: RowOrder, blocks: Vec<RowBlock>, waiting: u64) -> Answer {
    let mut answer = Answer::default();
    answer.add(RowFlush { worker: 0, order, blocks, waiting });
    answer
}

fn taken(blocks: Vec<RowBlock>) -> Answer {
    answer(RowOrder::Take, blocks, 0)
}

fn block(window: Window, rows: &[(&str, u64)]) -> RowBlock {
    let mut keys = KeyArena::default();
    let counts = rows.iter().map(|(key, count)| (keys.push(key), *count).1).collect();
    RowBlock { window, keys, counts }
}

fn rows(step: &Step) -> Vec<(String, u64)> {
    let of = |block: &RowBlock| block.keys.iter().map(str::to_owned).zip(block.counts.clone()).collect::<Vec<_>>();
    step.rows.iter().flat_map(of).collect()
}

fn shown(step: &Step) -> BTreeMap<i64, usize> {
    step.rankings.iter().map(|ranking| (ranking.window.start.millis() / MINUTE, ranking.entries.len())).collect()
}

#[test]
fn rows_are_given_as_of_the_epoch_that_took_them() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", None);
    assert!(tables.step().is_none(), "asked for, not taken yet");
    bench.count(0, "b", Some(&[("a", 1), ("b", 1)]));
    let step = tables.step().expect("a step as of the epoch that took rows");
    assert_eq!((step.commit.epoch, rows(&step)), (2, vec![("a".into(), 1), ("b".into(), 1)]));
    assert_eq!(step.statuses[0].totals.events, 2);
}

/// Otherwise the tables would claim an epoch whose counts they lack, and a restart would never send these.
#[test]
fn rows_taken_while_the_follower_is_busy_are_not_given_as_of_a_later_epoch() {
    let (mut bench, [quick, slow]) = Bench::of([tables(), tables()]);
    bench.count(0, "a", None);
    bench.count(0, "b", Some(&[("a", 1), ("b", 1)]));
    assert_eq!((quick.step().unwrap().commit.epoch, slow.step().unwrap().commit.epoch), (2, 2));
    quick.is_done();
    bench.clock.advance(SECOND);
    bench.count(0, "c", Some(&[("c", 1)]));
    assert_eq!(quick.step().unwrap().commit.epoch, 3);
    bench.count(0, "d", None);
    slow.is_done();
    bench.desk.serve();
    assert!(slow.step().is_none(), "the rows of epoch 3 lack d");
    bench.count(0, "e", Some(&[("d", 1), ("e", 1)]));
    let step = slow.step().unwrap();
    let names: Vec<String> = rows(&step).into_iter().map(|(key, _)| key).collect();
    assert_eq!((step.commit.epoch, names), (5, ["c", "d", "e"].map(str::to_owned).to_vec()));
    assert_eq!(step.statuses[0].totals.events, 5);
}

#[test]
fn a_step_is_given_once_and_a_quiet_job_gives_none() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", Some(&[("a", 1)]));
    assert!(tables.step().is_some());
    tables.is_done();
    bench.clock.advance(100 * SECOND);
    bench.desk.serve();
    bench.quiet(false, None);
    assert!(tables.step().is_none() && !bench.desk.due[0].rows_asked);
}

#[test]
fn rankings_come_at_their_interval_and_every_changed_one_comes() {
    let (mut bench, [boards]) = Bench::of([boards()]);
    bench.count(0, "a", None);
    assert_eq!(shown(&boards.step().unwrap()), BTreeMap::from([(0, 1)]));
    boards.is_done();
    bench.count(0, "b", None);
    bench.count(1, "a", None);
    assert!(boards.step().is_none(), "not yet");
    bench.clock.advance(SECOND);
    bench.desk.serve();
    let step = boards.step().unwrap();
    assert_eq!((step.commit.epoch, shown(&step)), (3, BTreeMap::from([(0, 2), (1, 1)])));
    boards.is_done();
    bench.clock.advance(SECOND);
    bench.desk.serve();
    assert!(boards.step().is_none(), "nothing changed");
}

/// Hole 18 of the protocol: a state and the rows and lists that belong to it travel together.
/// Otherwise a job that falls silent would never show its last rankings.
#[test]
fn rankings_that_are_not_due_with_the_last_change_come_when_they_are() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", None);
    bench.count(0, "b", Some(&[("a", 1), ("b", 1)]));
    assert!(tables.step().unwrap().with_rankings);
    tables.is_done();
    bench.clock.advance(SECOND);
    bench.count(0, "c", None);
    bench.quiet(false, Some(vec![block(minute(0), &[("c", 1)])]));
    assert!(!tables.step().unwrap().with_rankings, "they come every ten seconds");
    tables.is_done();
    bench.clock.advance(10 * SECOND);
    bench.quiet(false, None);
    assert!(tables.step().is_none() && bench.desk.due[0].rows_asked);
    bench.quiet(false, Some(Vec::new()));
    let step = tables.step().expect("nothing has changed since, and rankings are due");
    assert_eq!((step.with_rankings, shown(&step)), (true, BTreeMap::from([(0, 3)])));
    tables.is_done();
    bench.clock.advance(20 * SECOND);
    bench.quiet(false, None);
    assert!(tables.step().is_none() && !bench.desk.due[0].rows_asked, "once");
}

#[test]
fn a_window_that_closes_brings_its_list_to_the_tables_at_once() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", Some(&[("a", 1)]));
    assert!(tables.step().unwrap().with_rankings);
    tables.is_done();
    bench.clock.advance(SECOND);
    bench.count(0, "b", Some(&[("b", 1)]));
    assert!(!tables.step().unwrap().with_rankings, "its interval is not over");
    tables.is_done();
    bench.clock.advance(SECOND);
    bench.watermark = Some(EventTime::from_millis(MINUTE));
    bench.count(1, "a", Some(&[("a", 1)]));
    let step = tables.step().unwrap();
    assert!(step.with_rankings);
    assert_eq!(shown(&step), BTreeMap::from([(0, 2), (1, 1)]));
    assert_eq!(step.statuses[0].state, stream::WindowState::Closed);
    assert_eq!(step.pointers[0].closed, Some(minute(0).start));
}

#[test]
fn a_store_that_may_lose_gets_everything_current_again_now_and_then() {
    let (mut bench, [boards]) = Bench::of([Wants { refresh_every: Some(30 * SECOND), ..boards() }]);
    bench.count(0, "a", None);
    boards.step().unwrap();
    boards.is_done();
    bench.clock.advance(29 * SECOND);
    bench.desk.serve();
    assert!(boards.step().is_none());
    bench.clock.advance(SECOND);
    bench.desk.serve();
    assert_eq!(shown(&boards.step().unwrap()), BTreeMap::from([(0, 1)]));
}

#[test]
fn dead_letters_come_once_each_with_their_record_those_undelivered_first() {
    let before = vec![(Sequence(4), Arc::new(letter(1))), (Sequence(7), Arc::new(letter(2)))];
    let (mut bench, [letters]) = Bench::with_undelivered([letters()], before);
    let of = |step: Step| -> Vec<(u64, i64)> {
        step.dead_letters.iter().map(|(sequence, letter)| (sequence.0, letter.offset)).collect()
    };
    let commit = bench.commit(true, false, vec![letter(3), letter(4)]);
    bench.desk.show(commit, EpochChanges::default(), None);
    bench.desk.serve();
    assert_eq!(of(letters.step().unwrap()), [(4, 1), (7, 2), (11, 3), (11, 4)]);
    for offset in 5..7 {
        let commit = bench.commit(true, false, vec![letter(offset)]);
        bench.desk.show(commit, EpochChanges::default(), None);
        bench.desk.serve();
    }
    assert!(letters.step().is_none(), "one step at a time");
    letters.is_done();
    bench.desk.serve();
    assert_eq!(of(letters.step().unwrap()), [(12, 5), (13, 6)]);
}

#[test]
fn the_run_is_drained_once_every_follower_has_made_everything_visible() {
    let (mut bench, [tables, boards, letters]) = Bench::of([tables(), boards(), letters()]);
    bench.count(0, "a", None);
    boards.step().unwrap();
    boards.is_done();
    bench.quiet(true, Some(vec![block(minute(0), &[("a", 1)])]));
    assert!(bench.drained.try_recv().is_err(), "the tables have not written yet");
    let step = tables.step().unwrap();
    assert!(step.commit.last && step.with_rankings);
    tables.is_done();
    bench.desk.serve();
    assert_eq!(bench.drained.try_recv().unwrap().epoch, 2);
    bench.desk.serve();
    assert!(bench.drained.try_recv().is_err(), "told once");
    assert!(tables.step().is_none() && boards.step().is_none() && letters.step().is_none());
}

/// An epoch in which the workers answer an order about rows.
fn answered(bench: &mut Bench, order: RowOrder, waiting: u64) {
    let commit = bench.commit(true, false, Vec::new());
    bench.desk.show(commit, EpochChanges::default(), Some(answer(order, Vec::new(), waiting)));
    bench.desk.serve();
}

#[test]
fn what_waits_for_a_follower_that_is_away_is_dropped_and_comes_from_the_journal() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", Some(&[("a", 1)]));
    assert!(tables.step().unwrap().lost.is_none());
    // It does not come back from this step, and more and more waits.
    answered(&mut bench, RowOrder::Keep, MAX_BACKLOG);
    assert!(!bench.desk.backlog.is_forgetting, "as much as may wait");
    answered(&mut bench, RowOrder::Keep, MAX_BACKLOG + 1);
    assert!(bench.desk.backlog.is_forgetting);
    answered(&mut bench, RowOrder::Forget, 0);
    assert!(!bench.desk.backlog.is_forgetting && bench.desk.due[0].lost);
    bench.count(1, "b", None);
    tables.is_done();
    bench.clock.advance(SECOND);
    bench.desk.serve();
    assert!(tables.step().is_none() && bench.desk.due[0].rows_asked, "rows are noted again from the next epoch on");
    bench.count(2, "c", Some(&[]));
    let step = tables.step().unwrap();
    let lost = step.lost.as_ref().expect("what was dropped");
    assert_eq!(format!("{:?}", lost.rows), "counts changed by records 12 to 16", "all after the step that it has");
    assert!(step.with_rankings && step.rows.is_empty());
    assert_eq!(step.statuses.len(), 3 - 1, "minutes 1 and 2");
    tables.is_done();
    bench.clock.advance(SECOND);
    bench.count(3, "d", Some(&[("d", 1)]));
    let step = tables.step().unwrap();
    assert!(step.lost.is_none(), "everything is as before");
    assert_eq!(rows(&step), [("d".to_owned(), 1)]);
}

#[test]
fn a_step_from_the_journal_that_was_given_up_is_made_anew() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", Some(&[("a", 1)]));
    tables.step().unwrap();
    answered(&mut bench, RowOrder::Keep, MAX_BACKLOG + 1);
    answered(&mut bench, RowOrder::Forget, 0);
    tables.is_done();
    bench.clock.advance(SECOND);
    bench.count(1, "b", Some(&[]));
    assert!(tables.step().unwrap().lost.is_some());
    tables.gives_up();
    bench.clock.advance(SECOND);
    bench.count(2, "c", Some(&[("c", 1)]));
    let step = tables.step().unwrap();
    assert_eq!(format!("{:?}", step.lost.unwrap().rows), "counts changed by records 12 to 15");
    assert!(step.rows.is_empty(), "they are in the journal too");
    assert_eq!(step.statuses.len(), 2, "also those of the step that was given up");
}

#[test]
fn rows_are_asked_for_early_when_too_many_wait_for_a_follower_that_is_there() {
    let (mut bench, [tables]) = Bench::of([tables()]);
    bench.count(0, "a", Some(&[("a", 1)]));
    tables.step().unwrap();
    tables.is_done();
    answered(&mut bench, RowOrder::Keep, 10);
    assert!(!bench.desk.due[0].rows_asked, "its interval is not over");
    answered(&mut bench, RowOrder::Keep, MAX_BACKLOG + 1);
    assert!(bench.desk.due[0].rows_asked && !bench.desk.backlog.is_forgetting);
}

//! Whole epochs into the room, by hand: windows of a minute and an hour, late for 30 seconds, minutes kept for 5.

use super::*;
use crate::testing::nothing_recovered;
use stream::{RecordHash, Sequence, WindowKind, Zone};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

fn rules() -> WindowRules {
    let kinds = ["minute", "hour"].map(|name| WindowKind::named(name).unwrap());
    let windows = Windows::new(kinds.into(), Zone::utc()).unwrap();
    let retention = vec![Some(Duration::from_secs(300)), None];
    WindowRules { windows, allowed_lateness: Duration::from_secs(30), retention }
}

fn minute(number: i64) -> Window {
    rules().windows.window(0, at(number * MINUTE))
}

fn hour(number: i64) -> Window {
    rules().windows.window(1, at(number * HOUR))
}

fn room() -> BoardRoom {
    BoardRoom::new(rules(), &nothing_recovered())
}

fn commit(watermark: Option<i64>, late: &[(Window, u64)]) -> Commit {
    Commit {
        epoch: 0,
        generation: stream::Generation(1),
        sequence: Sequence(2),
        hash: RecordHash::default(),
        changed: true,
        last: false,
        watermark: watermark.map(at),
        partitions: Arc::default(),
        ledger: Arc::default(),
        late: late.iter().map(|(window, count)| (window.id(), *count)).collect(),
        dead_letters: Arc::default(),
        granted: Vec::new(),
        evictable: None,
    }
}

fn added(window: Window, events: u64, keys: u64) -> WindowChange {
    WindowChange::Added { window, events, keys }
}

fn ranked(window: Window, key: &str, count: u64, change: i64) -> RankedChange {
    RankedChange { window: window.id(), key: Key::new(key), count, change }
}

fn ids<const N: usize>(windows: [Window; N]) -> BTreeSet<WindowId> {
    windows.iter().map(Window::id).collect()
}

/// What followers would be told of these windows: state, events, keys, late.
fn told(room: &BoardRoom, windows: &BTreeSet<WindowId>) -> Vec<(WindowId, WindowState, u64, u64, u64)> {
    let of = |status: WindowStatus| {
        (status.window.id(), status.state, status.totals.events, status.totals.keys, status.totals.late)
    };
    room.statuses(windows).into_iter().map(of).collect()
}

fn entries(room: &BoardRoom, window: Window) -> Vec<(String, u64)> {
    let ranking = room.ranking(window.id()).expect("the ranking is in memory");
    ranking.entries.into_iter().map(|(key, count)| (key.to_string(), count)).collect()
}

/// Pointers of minutes: current and closed, in minutes.
fn pointers(room: &BoardRoom) -> (Option<i64>, Option<i64>) {
    let pointers = room.pointers()[0];
    let minute = |at: Option<EventTime>| at.map(|at| at.millis() / MINUTE);
    (minute(pointers.current), minute(pointers.closed))
}

/// An epoch of one key's counts in one minute.
fn count(room: &mut BoardRoom, watermark: Option<i64>, number: i64) -> ChangedWindows {
    let changes =
        EpochChanges { windows: vec![added(minute(number), 1, 1)], ranked: vec![ranked(minute(number), "k", 1, 1)] };
    room.advance(&commit(watermark, &[]), changes)
}

#[test]
fn totals_add_up_over_workers_and_epochs() {
    let mut room = room();
    let windows = vec![added(minute(0), 3, 2), added(minute(0), 4, 1), added(hour(0), 7, 3)];
    let changed = room.advance(&commit(None, &[]), EpochChanges { windows, ranked: Vec::new() });
    assert_eq!(changed.statuses, ids([minute(0), hour(0)]));
    room.advance(
        &commit(None, &[(minute(0), 5)]),
        EpochChanges { windows: vec![added(minute(0), 1, 0)], ranked: vec![] },
    );
    let expected = [(minute(0).id(), WindowState::Open, 8, 3, 5), (hour(0).id(), WindowState::Open, 7, 3, 0)];
    assert_eq!(told(&room, &room.everything().statuses), expected);
}

#[test]
fn a_ranking_is_ordered_by_count_then_key_and_changes_in_any_order() {
    let mut room = room();
    let first = vec![ranked(minute(0), "b", 5, 1), ranked(minute(0), "a", 5, 1), ranked(minute(0), "c", 9, 1)];
    room.advance(&commit(None, &[]), EpochChanges { windows: vec![added(minute(0), 19, 3)], ranked: first });
    let order =
        |entries: &[(&str, u64)]| entries.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(entries(&room, minute(0)), order(&[("c", 9), ("a", 5), ("b", 5)]));
    let moved = vec![ranked(minute(0), "b", 12, 1), ranked(minute(0), "c", 9, -1), ranked(minute(0), "b", 5, -1)];
    let changed =
        room.advance(&commit(None, &[]), EpochChanges { windows: vec![added(minute(0), 7, 0)], ranked: moved });
    assert_eq!(changed.rankings, ids([minute(0)]));
    assert_eq!(entries(&room, minute(0)), order(&[("b", 12), ("a", 5)]));
    assert_eq!(room.ranking(minute(0).id()).unwrap().totals.events, 26, "totals are of all keys");
}

#[test]
#[should_panic(expected = "a ranking changed in a way that does not fit")]
fn an_entry_that_leaves_without_having_come_is_a_bug() {
    room().advance(&commit(None, &[]), EpochChanges { windows: vec![], ranked: vec![ranked(minute(0), "k", 1, -1)] });
}

#[test]
fn windows_go_from_open_to_closed_to_final_with_the_watermark() {
    let mut room = room();
    let state = |room: &BoardRoom| told(room, &ids([minute(0)]))[0].1;
    let first = count(&mut room, Some(MINUTE - 1), 0);
    assert_eq!((state(&room), first.closed), (WindowState::Open, false));
    let closing = room.advance(&commit(Some(MINUTE), &[]), EpochChanges::default());
    assert_eq!((state(&room), closing.closed), (WindowState::Closed, true));
    assert_eq!((&closing.statuses, &closing.rankings), (&ids([minute(0)]), &ids([minute(0)])));
    assert_eq!(room.ranking(minute(0).id()).unwrap().state, WindowState::Closed);
    let between = room.advance(&commit(Some(MINUTE + 29_999), &[]), EpochChanges::default());
    assert_eq!(between, ChangedWindows::default());
    let ending = room.advance(&commit(Some(MINUTE + 30_000), &[]), EpochChanges::default());
    assert_eq!((state(&room), ending.closed, &ending.rankings), (WindowState::Final, true, &ids([minute(0)])));
    let after = room.advance(&commit(Some(3 * MINUTE), &[]), EpochChanges::default());
    assert_eq!(after, ChangedWindows::default());
}

#[test]
fn pointers_only_go_forward() {
    let mut room = room();
    assert_eq!(pointers(&room), (None, None));
    count(&mut room, None, 3);
    count(&mut room, None, 1);
    assert_eq!(pointers(&room), (Some(3), None), "an event that is out of order does not point back");
    room.advance(&commit(Some(3 * MINUTE), &[]), EpochChanges::default());
    assert_eq!(pointers(&room), (Some(3), Some(1)));
    count(&mut room, Some(3 * MINUTE), 2);
    assert_eq!(pointers(&room), (Some(3), Some(2)), "a closed window may still get its first event");
    room.advance(&commit(Some(4 * MINUTE), &[]), EpochChanges::default());
    assert_eq!(pointers(&room), (Some(3), Some(3)));
}

/// While catching up, an epoch may span more than a window's whole life.
#[test]
fn a_window_that_opens_and_becomes_final_within_one_epoch_is_closed_all_the_same() {
    let mut room = room();
    let changed = count(&mut room, Some(2 * MINUTE), 0);
    assert!(changed.closed && changed.rankings == ids([minute(0)]));
    assert_eq!(pointers(&room), (Some(0), Some(0)));
    let mut totals = nothing_recovered();
    totals.watermark = Some(at(2 * MINUTE));
    totals.totals = BTreeMap::from([(minute(0).id(), WindowTotals { events: 1, keys: 1, late: 0 })]);
    assert_eq!(BoardRoom::new(rules(), &totals).pointers(), room.pointers(), "as after a restart");
}

#[test]
fn a_window_with_late_records_alone_has_totals_and_no_board() {
    let mut room = room();
    let changed = room.advance(&commit(Some(0), &[(minute(0), 2)]), EpochChanges::default());
    assert_eq!((&changed.statuses, &changed.rankings), (&ids([minute(0)]), &ids([])));
    let changed = room.advance(&commit(Some(MINUTE), &[]), EpochChanges::default());
    assert_eq!((&changed.statuses, &changed.rankings), (&ids([minute(0)]), &ids([])));
    assert_eq!(told(&room, &changed.statuses), [(minute(0).id(), WindowState::Closed, 0, 0, 2)]);
    room.advance(&commit(Some(3 * MINUTE), &[(minute(0), 1)]), EpochChanges::default());
    assert_eq!(told(&room, &changed.statuses), [(minute(0).id(), WindowState::Final, 0, 0, 3)], "late figures go on");
    assert_eq!(pointers(&room), (None, None));
    assert!(room.rankings(&changed.statuses).is_empty());
}

#[test]
fn totals_go_with_retention_counted_back_from_the_watermark() {
    let mut room = room();
    count(&mut room, Some(0), 0);
    room.advance(&commit(Some(0), &[]), EpochChanges { windows: vec![added(hour(0), 1, 1)], ranked: vec![] });
    room.advance(&commit(Some(6 * MINUTE - 1), &[]), EpochChanges::default());
    assert_eq!(room.everything().statuses, ids([minute(0), hour(0)]));
    room.advance(&commit(Some(6 * MINUTE), &[]), EpochChanges::default());
    assert_eq!(room.everything().statuses, ids([minute(0), hour(0)]), "its board may not be out yet");
    let evicted = EpochChanges { windows: vec![WindowChange::Evicted(at(6 * MINUTE))], ranked: vec![] };
    room.advance(&commit(Some(6 * MINUTE), &[(minute(0), 9)]), evicted);
    assert_eq!(room.everything().statuses, ids([hour(0)]), "also with a late record in the same epoch");
    let changed = room.advance(&commit(Some(6 * MINUTE), &[(minute(0), 9)]), EpochChanges::default());
    assert_eq!(changed, ChangedWindows::default(), "what is beyond retention does not come back");
    assert_eq!(pointers(&room), (Some(0), Some(0)), "pointers stay");
}

/// Contract, "Redis": every window that had an event gets its board, when catching up too, whatever its age.
#[test]
fn a_window_that_is_beyond_retention_at_once_still_gets_its_board() {
    let mut room = room();
    let changed = count(&mut room, Some(10 * MINUTE), 0);
    let boards = room.rankings(&changed.rankings);
    assert_eq!(boards.len(), 1);
    assert_eq!((boards[0].id(), boards[0].state), (minute(0).id(), WindowState::Final));
    assert!(boards[0].totals.events > 0 && !boards[0].entries.is_empty());
    let evicted = EpochChanges { windows: vec![WindowChange::Evicted(at(10 * MINUTE))], ranked: vec![] };
    let changed = room.advance(&commit(Some(10 * MINUTE), &[]), evicted);
    assert!(room.rankings(&changed.rankings).is_empty() && room.everything().statuses.is_empty());
}

/// Hole 21 of the protocol: what leaves memory looks like a thousand entries that left.
#[test]
fn eviction_is_never_shown_as_an_emptied_list() {
    let mut room = room();
    count(&mut room, None, 0);
    count(&mut room, Some(2 * MINUTE), 3);
    let windows = vec![WindowChange::Evicted(at(2 * MINUTE))];
    let gone = vec![ranked(minute(0), "k", 1, -1), ranked(minute(3), "l", 4, 1)];
    let changed = room.advance(&commit(Some(2 * MINUTE), &[]), EpochChanges { windows, ranked: gone });
    assert_eq!(changed.rankings, ids([minute(3)]));
    assert!(room.rankings(&ids([minute(0)])).is_empty());
    assert_eq!(room.live().collect::<Vec<_>>(), [minute(3).id()]);
    assert_eq!(told(&room, &ids([minute(0)]))[0].1, WindowState::Final, "its totals stay");

    // Another worker evicts an epoch later, and meanwhile its lower candidates rise in the union.
    let windows = vec![WindowChange::Evicted(at(2 * MINUTE))];
    let noise = vec![ranked(minute(0), "m", 1, 1), ranked(minute(0), "m", 1, -1)];
    let changed = room.advance(&commit(Some(2 * MINUTE), &[]), EpochChanges { windows, ranked: noise });
    assert_eq!(changed, ChangedWindows::default());
}

#[test]
fn a_restart_shows_everything_the_journal_has() {
    let mut journal = nothing_recovered();
    journal.watermark = Some(at(MINUTE));
    let totals = |events, late| WindowTotals { events, keys: events, late };
    journal.totals = BTreeMap::from([
        (minute(0).id(), totals(4, 0)),
        (minute(1).id(), totals(2, 1)),
        (minute(2).id(), totals(0, 3)),
        (hour(0).id(), totals(6, 0)),
    ]);
    let mut room = BoardRoom::new(rules(), &journal);
    let everything = room.everything();
    assert!(everything.closed && everything.rankings.is_empty(), "rankings come with the first epoch");
    assert_eq!(everything.statuses.len(), 4);
    assert_eq!(pointers(&room), (Some(1), Some(0)), "a window with late records alone is nobody's current");
    let first =
        EpochChanges { windows: vec![], ranked: vec![ranked(minute(0), "k", 4, 1), ranked(minute(1), "k", 2, 1)] };
    let changed = room.advance(&commit(Some(MINUTE), &[]), first);
    assert_eq!((&changed.rankings, &changed.statuses), (&ids([minute(0), minute(1)]), &ids([])));
    let changed = room.advance(&commit(Some(2 * MINUTE), &[]), EpochChanges::default());
    assert_eq!(
        told(&room, &changed.statuses).iter().map(|told| told.1).collect::<Vec<_>>(),
        [WindowState::Final, WindowState::Closed]
    );
    assert_eq!(pointers(&room), (Some(1), Some(1)));
}

/// A follower is given several epochs at once: the union of what they changed, in the latest state.
#[test]
fn several_epochs_between_steps_add_up() {
    let mut room = room();
    let mut all = ChangedWindows::default();
    for (watermark, number) in [(0, 0), (MINUTE, 1), (2 * MINUTE, 2)] {
        let changed = count(&mut room, Some(watermark), number);
        all.statuses.extend(changed.statuses);
        all.rankings.extend(changed.rankings);
    }
    let states: Vec<WindowState> = told(&room, &all.statuses).iter().map(|told| told.1).collect();
    assert_eq!(states, [WindowState::Final, WindowState::Closed, WindowState::Open]);
    let boards = room.rankings(&all.rankings);
    assert_eq!(boards.iter().map(|board| board.state).collect::<Vec<_>>(), states);
    assert!(boards.iter().all(|board| board.entries.len() == 1 && board.totals.events == 1));
}

//! Lists for a store that loses what it was given, or is away: what is given again, kept and given up.

use super::*;
use stream::Ranking;

#[test]
fn a_loss_brings_everything_current_at_once() {
    let (mut bench, [boards]) = Bench::of([Wants { refresh_every: Some(30 * SECOND), ..boards() }]);
    bench.count(0, "a", None);
    bench.count(1, "a", None);
    assert_eq!(shown(&boards.step().unwrap()), BTreeMap::from([(0, 1)]));
    boards.is_done();
    bench.clock.advance(SECOND);
    bench.desk.serve();
    assert_eq!(shown(&boards.step().unwrap()), BTreeMap::from([(1, 1)]));
    bench.desk.due[0].line.lose();
    boards.is_done();
    bench.desk.serve();
    assert_eq!(shown(&boards.step().unwrap()), BTreeMap::from([(0, 1), (1, 1)]), "without waiting for its interval");
    boards.is_done();
    bench.clock.advance(SECOND);
    bench.desk.serve();
    assert!(boards.step().is_none(), "once");
}

/// A board store that is away holds no counts in memory, and still gets every list that it lacks.
#[test]
fn lists_that_leave_memory_are_kept_for_a_follower_that_lacks_them() {
    let (mut bench, [boards]) = Bench::of([boards()]);
    bench.count(0, "a", None);
    boards.step().unwrap();
    bench.count(0, "b", None);
    bench.count(1, "a", None);
    bench.watermark = Some(EventTime::from_millis(10 * MINUTE));
    bench.quiet(false, None);
    let commit = bench.commit(false, false, Vec::new());
    let evicted = vec![WindowChange::Evicted(EventTime::from_millis(5 * MINUTE))];
    bench.desk.show(commit, EpochChanges { windows: evicted, ranked: Vec::new() }, None);
    assert_eq!(bench.desk.room.live().count(), 0);
    boards.is_done();
    bench.clock.advance(SECOND);
    bench.desk.serve();
    let step = boards.step().unwrap();
    assert_eq!(shown(&step), BTreeMap::from([(0, 2), (1, 1)]));
    assert!(step.rankings.iter().all(|ranking| ranking.state == stream::WindowState::Final));
    boards.is_done();
    bench.clock.advance(SECOND);
    bench.desk.serve();
    assert!(boards.step().is_none() && bench.desk.due[0].owed.is_empty());
}

#[test]
fn lists_kept_for_a_follower_that_is_away_are_bounded() {
    let (mut bench, [_boards]) = Bench::of([boards()]);
    bench.count(0, "a", None);
    let due = &mut bench.desk.due[0];
    let entries: Vec<(Key, u64)> = (0..1000).map(|number| (Key::new(&format!("{number:04}")), 1)).collect();
    for number in 0..1000 {
        let window = minute(number);
        let totals = stream::WindowTotals { events: 1000, keys: 1000, late: 0 };
        let state = stream::WindowState::Final;
        due.changed.rankings.insert(window.id());
        due.owe(&[Arc::new(Ranking { window, state, totals, entries: entries.clone() })]);
    }
    assert_eq!(due.owed.len(), 498, "with what each takes besides its entries");
    assert_eq!(due.owed.first_key_value().unwrap().0.start, minute(502).start, "the newest stay");
    assert!(due.changed.rankings.len() <= 499, "nor is their number remembered");
    let small = |number| {
        let (window, state) = (minute(number), stream::WindowState::Final);
        let totals = stream::WindowTotals { events: 1, keys: 1, late: 0 };
        Arc::new(Ranking { window, state, totals, entries: entries[..1].to_vec() })
    };
    let many: Vec<_> = (1000..201_000).map(small).collect();
    due.changed.rankings.extend(many.iter().map(|ranking| ranking.id()));
    due.owe(&many);
    assert_eq!(due.owed.len(), 100_000, "small ones take room too");
    assert!(due.changed.rankings.len() <= 100_001);
}

#[test]
fn a_refresh_is_a_step_even_when_there_is_no_list() {
    let (mut bench, [boards]) = Bench::of([Wants { refresh_every: Some(30 * SECOND), ..boards() }]);
    bench.quiet(false, None);
    assert!(boards.step().is_none());
    bench.clock.advance(30 * SECOND);
    bench.desk.serve();
    let step = boards.step().expect("so that what it says of the job does not grow old");
    assert!(!step.with_rankings && step.rankings.is_empty());
}

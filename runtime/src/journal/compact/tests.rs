//! The decisions of compaction, one by one.

use super::*;
use std::time::Duration;
use stream::{RecordHash, TimeRules, WindowKind, Windows, Zone};

const HOUR: i64 = 3_600_000;

fn settings() -> JournalSettings {
    let windows = Windows::new(vec![WindowKind::named("minute").unwrap()], Zone::utc()).unwrap();
    let rules = TimeRules {
        out_of_orderness: Duration::ZERO,
        allowed_lateness: Duration::ZERO,
        max_future_skew: Duration::ZERO,
    };
    let followers = vec![
        ("tables".to_owned(), Hold::Always),
        ("boards".to_owned(), Hold::WithinRetain),
        ("letters".to_owned(), Hold::Records),
    ];
    JournalSettings { followers, ..JournalSettings::new("songs", windows, rules) }
}

fn acks(of: &[(&str, u64)]) -> BTreeMap<String, Ack> {
    let ack = |sequence: u64| Ack {
        sequence: Sequence(sequence),
        hash: RecordHash::default(),
        watermark: watermark(sequence),
    };
    of.iter().map(|(name, sequence)| ((*name).to_owned(), ack(*sequence))).collect()
}

fn watermark(sequence: u64) -> Option<EventTime> {
    Some(EventTime::from_millis(1000 * sequence as i64))
}

fn reached(sequence: u64) -> Reached {
    (Sequence(sequence), watermark(sequence))
}

fn mark(covered: u64, at: i64) -> Mark {
    Mark { covered: Sequence(covered), at }
}

const NOTHING: Reached = (Sequence(0), None);

#[test]
fn due_by_records_or_by_bytes_beyond_a_quarter() {
    let settings = settings();
    assert!(!is_due(255, 0, 0, &settings));
    assert!(is_due(256, 0, 0, &settings));
    assert!(!is_due(1, 4 << 20, 0, &settings), "a small base does not make every epoch due");
    assert!(is_due(1, (4 << 20) + 1, 0, &settings));
    assert!(!is_due(1, 25 << 20, 100 << 20, &settings));
    assert!(is_due(1, (25 << 20) + 1, 100 << 20, &settings));
}

#[test]
fn the_slowest_that_holds_panes_decides_what_may_leave() {
    let settings = settings();
    let drop = |acknowledged: &[(&str, u64)], marks: &[Mark], now: i64, before| {
        droppable(&settings, &acks(acknowledged), marks, WallTime(now), reached(50), before)
    };
    assert_eq!(drop(&[("tables", 30), ("boards", 40), ("letters", 1)], &[], 0, NOTHING), reached(30));
    assert_eq!(drop(&[("tables", 30), ("boards", 20)], &[], 0, NOTHING), reached(20));
    assert_eq!(drop(&[("boards", 20)], &[], 0, NOTHING), NOTHING, "tables that never acknowledged hold everything");
    // Boards hold no longer than an hour: everything up to 25 is older than that.
    let marks = [mark(25, 0), mark(35, HOUR)];
    assert_eq!(drop(&[("tables", 30), ("boards", 20)], &marks, HOUR - 1, NOTHING), reached(20));
    assert_eq!(drop(&[("tables", 30), ("boards", 20)], &marks, HOUR, NOTHING), reached(30));
    assert_eq!(drop(&[("tables", 30)], &marks, HOUR, NOTHING), reached(30), "nor do boards that never were");
    // What has left does not come back, whatever a follower says.
    assert_eq!(drop(&[("tables", 10), ("boards", 40)], &[], 0, reached(30)), reached(30));
    assert_eq!(
        droppable(
            &JournalSettings { followers: vec![], ..settings },
            &acks(&[]),
            &[],
            WallTime(0),
            reached(50),
            NOTHING
        ),
        reached(50)
    );
}

#[test]
fn records_stay_for_retain_and_for_those_that_read_them() {
    let settings = settings();
    let marks = [mark(25, 0), mark(35, HOUR)];
    let delete =
        |acknowledged: &[(&str, u64)], now: i64| deletable(&settings, &acks(acknowledged), &marks, WallTime(now)).0;
    let all = [("tables", 50), ("boards", 1), ("letters", 50)];
    assert_eq!([delete(&all, HOUR - 1), delete(&all, HOUR), delete(&all, 2 * HOUR)], [0, 25, 35]);
    assert_eq!(delete(&[("tables", 50), ("letters", 20)], 2 * HOUR), 19, "the record it stands at stays");
    assert_eq!(delete(&[("tables", 50)], 2 * HOUR), 0);
}

#[test]
fn old_marks_are_forgotten_but_for_the_newest() {
    let settings = settings();
    let marks = [mark(5, 0), mark(25, 1), mark(35, HOUR)];
    let next = next_marks(&settings, &marks, mark(45, HOUR + 1), WallTime(HOUR + 1));
    assert_eq!(next, [mark(25, 1), mark(35, HOUR), mark(45, HOUR + 1)]);
}

//! Lateness and accounts against vectors computed by hand, Flink's among them (in minutes where its are in seconds, since
//! our windows are whole minutes; its watermarks are inclusive, ours exclusive).

use super::*;
use crate::counts::Cut;
use stream::{DeadCode, Event, Rejection, Sequence, Vocabulary, WindowId};

const MINUTE: i64 = 60_000;

/// Reads `key@millis`; anything else is refused.
struct Plain;

impl Decode for Plain {
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Rejection> {
        let text = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
        let refused = || Rejection { code: DeadCode::NotJson, detail: String::new() };
        let (key, time) = text.split_once('@').ok_or_else(refused)?;
        let time =
            if time.is_empty() { None } else { Some(EventTime::from_millis(time.parse().map_err(|_| refused())?)) };
        Ok(Event { key: key.into(), time, n: 1 })
    }
}

fn rules(kinds: &[&str], out_of_orderness: i64, allowed_lateness: i64) -> Rules {
    let words = Vocabulary::new("play", "plays", "song", "songs");
    let mut rules = Rules::new(kinds, "UTC", words).unwrap();
    (rules.out_of_orderness, rules.allowed_lateness, rules.max_future_skew) =
        (out_of_orderness, allowed_lateness, MINUTE);
    rules
}

fn ground() -> Ground {
    Ground { began_at: i64::MAX / 2, now: i64::MAX / 2, ..Ground::default() }
}

/// What a recount of one partition up to `until` finds.
struct Found {
    counts: Counts,
    report: Report,
    line: LedgerLine,
    watermark: Option<EventTime>,
}

fn recount(rules: &mut Rules, ground: &Ground, until: i64, records: &[(&str, Option<i64>)]) -> Found {
    let (mut counts, mut report) = (Counts::default(), Report::new(10));
    let offsets = BTreeMap::from([("p".into(), until)]);
    let cuts = [Cut { record: Sequence(9), watermark: None, offsets }];
    let mut recount = Recount::new(rules, &mut counts, &mut report, Box::new(Plain), ground, &cuts);
    for (offset, (value, timestamp)) in (0..).zip(records) {
        recount.record(
            0,
            &RawRecord {
                partition: 0,
                offset,
                next_offset: offset + 1,
                timestamp: *timestamp,
                append_time: timestamp.is_some(),
                key: None,
                value: Some(value.as_bytes()),
                headers: &Vec::new,
            },
        );
    }
    let (line, watermark) = (recount.lanes[0].line, recount.lanes[0].main_watermark);
    Found { counts, report, line, watermark }
}

impl Found {
    /// (count, late) of the window that begins at this minute.
    fn window(&self, kind: KindIndex, minute: i64) -> (i64, i64) {
        let id = WindowId { kind, start: EventTime::from_millis(minute * MINUTE) };
        self.counts.windows.get(&id).map_or((0, 0), |held| (held.totals().0, held.late))
    }
}

fn at(millis: i64) -> (String, Option<i64>) {
    (format!("a@{millis}"), None)
}

fn of(records: &[(String, Option<i64>)]) -> Vec<(&str, Option<i64>)> {
    records.iter().map(|(value, timestamp)| (value.as_str(), *timestamp)).collect()
}

/// Flink, WindowOperatorTest.testSideOutputDueToLatenessTumbling: a record behind the watermark is not late while its window
/// is open; at the window's end it is.
#[test]
fn late_is_of_a_window_and_its_end_is_outside() {
    let mut rules = rules(&["minute"], 0, 0);
    let records = [at(0), at(MINUTE - 1), at(10), at(MINUTE), at(MINUTE - 1), at(20)];
    let found = recount(&mut rules, &ground(), 6, &of(&records));
    // W(p) is 59,999 when 10 comes: its window ends at 60,000. It is 60,000 when the last two come.
    assert_eq!((found.window(0, 0), found.window(0, 1)), ((3, 2), (1, 0)));
    assert_eq!(found.line, LedgerLine { consumed: 6, counted: 6, dead_lettered: 0, lost: 0 });
}

/// Flink, WindowOperatorTest.testLateness, the boundary: end + allowed lateness <= W(p) is late, a millisecond before is not.
#[test]
fn allowed_lateness_ends_to_the_millisecond() {
    let (disorder, lateness) = (5_000, 60_000);
    let boundary = MINUTE + lateness + disorder;
    for (greatest, expected) in [(boundary - 1, (2, 0)), (boundary, (1, 1))] {
        let mut rules = rules(&["minute", "hour"], disorder, lateness);
        let found = recount(&mut rules, &ground(), 9, &of(&[at(0), at(greatest), at(1)]));
        assert_eq!(found.window(0, 0), expected, "greatest {greatest}");
        assert_eq!(found.window(1, 0), (3, 0), "it is late for its minute only");
        assert_eq!(found.watermark, Some(EventTime::from_millis(greatest - disorder)));
    }
}

/// Flink, BoundedOutOfOrdernessWatermarksTest: 1337 less 10, then 12345 less 10 whatever comes after it; never back.
#[test]
fn the_watermark_follows_the_greatest() {
    let mut rules = rules(&["minute"], 10, 0);
    let watermarks = [(1, 1327), (2, 12335), (3, 12335), (5, 12335)];
    for (until, expected) in watermarks {
        let found = recount(&mut rules, &ground(), until, &of(&[at(1337), at(12345), at(12300), at(12340), at(12280)]));
        assert_eq!(found.watermark, Some(EventTime::from_millis(expected)));
    }
}

#[test]
fn all_time_is_never_late_and_a_floor_holds_from_its_offset() {
    let mut rules = rules(&["minute", "all_time"], 0, 0);
    let floor = EventTime::from_millis(10 * MINUTE);
    let ground = Ground { floors: BTreeMap::from([("p".into(), vec![(1, floor)])]), ..ground() };
    let found = recount(&mut rules, &ground, 9, &of(&[at(5), at(6), at(9 * MINUTE), at(10 * MINUTE)]));
    assert_eq!((found.window(0, 0), found.window(0, 9), found.window(0, 10)), ((1, 1), (0, 1), (1, 0)));
    let all = WindowId { kind: 1, start: EventTime::MIN };
    assert_eq!(found.counts.windows[&all].totals(), (4, 1));
}

#[test]
fn records_beyond_the_cut_count_nowhere_and_dead_ones_in_the_account() {
    let mut rules = rules(&["minute"], 0, 0);
    let records = [("a@1", None), ("bad", None), ("b@", Some(7)), ("c@", None), ("d@", Some(-1)), ("e@2", None)];
    let found = recount(&mut rules, &ground(), 5, &records);
    assert_eq!(found.line, LedgerLine { consumed: 5, counted: 2, dead_lettered: 3, lost: 0 });
    assert_eq!(found.window(0, 0), (2, 0));
}

#[test]
fn a_record_of_the_future_is_decided_again_where_the_broker_stamped_it() {
    let mut rules = rules(&["minute"], 0, 0);
    let ground =
        Ground { future: [("p".into(), 1), ("p".into(), 3)].into(), began_at: 0, now: 1_000, ..Ground::default() };
    // Appended at 0: 60,000 is not beyond the skew, 60,001 is.
    let records = [("a@60000", Some(0)), ("a@60001", Some(0)), ("a@60001", Some(0)), ("a@60000", Some(0))];
    let found = recount(&mut rules, &ground, 9, &records);
    assert_eq!(found.line, LedgerLine { consumed: 4, counted: 2, dead_lettered: 2, lost: 0 });
    assert_eq!(found.report.differing(), 2, "{:?}", found.report.differences);
    assert!(found.report.differences[0].contains("offset 2") && found.report.differences[1].contains("offset 3"));
    // Without a stamp the job's clock was somewhere between 0 and 1,000: the journal is believed in between.
    let unsure = [("a@60000", None), ("a@60500", None), ("a@60500", None), ("a@61001", None)];
    assert_eq!(recount(&mut rules, &ground, 9, &unsure).report.differing(), 0);
    let ground = Ground { future: [("p".into(), 0)].into(), ..ground };
    assert_eq!(recount(&mut rules, &ground, 9, &unsure).report.differing(), 2, "0 cannot have been, 3 must have been");
}

//! Every rule of judging, on a decoder of a few lines; then Flink's cases on idleness and on many watermarks.

use super::*;
use stream::{Event, ManualClock, PartitionState, WallTime, WindowKind, Zone};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2025-10-19T14:00:00Z.
const START: i64 = 1_760_882_400_000;

/// `key n time` with `-` for no time; anything else is rejected.
struct Words;

impl Decode for Words {
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Rejection> {
        let reject = |code| Rejection { code, detail: "as the test wants it".to_owned() };
        let text = std::str::from_utf8(value.ok_or(reject(DeadCode::Null))?).map_err(|_| reject(DeadCode::NotUtf8))?;
        let [key, n, time] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(reject(DeadCode::NotJson)) };
        let time = (time != "-").then(|| EventTime::from_millis(time.parse().unwrap()));
        Ok(Event { key: key.into(), n: n.parse().unwrap(), time })
    }
}

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

fn seconds(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}

fn fresh(active: bool, watermark: Option<i64>) -> PartitionState {
    PartitionState { next_offset: 0, fingerprint: 0, watermark: watermark.map(at), active, floors: Vec::new() }
}

/// An intake of partitions `p0`, `p1`, …; minute, hour and all time; records a minute late in order and five minutes
/// late at all; the clock stands at `START + 1 h`, and 10 minutes after it begins the far future.
struct Bench {
    intake: RecordIntake<Words>,
    clock: Arc<ManualClock>,
    windows: Windows,
    rows: BTreeMap<(String, i64, u8), u64>,
    epoch: Epoch,
}

impl Bench {
    fn of(partitions: Vec<PartitionState>) -> Self {
        let kinds = ["minute", "hour", "all_time"].map(|name| WindowKind::named(name).unwrap());
        let windows = Windows::new(kinds.to_vec(), Zone::utc()).unwrap();
        let clock = Arc::new(ManualClock::at(WallTime(START + HOUR)));
        let rules =
            TimeRules { out_of_orderness: seconds(60), allowed_lateness: seconds(300), max_future_skew: seconds(600) };
        let settings =
            IntakeSettings { rules, windows: windows.clone(), assignment: Assignment::new(3), clock: clock.clone() };
        let partitions: Vec<(Arc<str>, PartitionState)> =
            partitions.into_iter().enumerate().map(|(index, state)| (format!("p{index}").into(), state)).collect();
        let intake = RecordIntake::new(Words, settings, 7, &partitions);
        Bench { intake, clock, windows, rows: BTreeMap::new(), epoch: 0 }
    }

    fn active(partitions: usize) -> Self {
        Self::of(vec![fresh(true, None); partitions])
    }

    fn raw(&mut self, partition: usize, value: Option<&str>, timestamp: Option<i64>, append_time: bool) {
        let offset = self.intake.positions()[partition];
        let headers = || vec![Header { name: "h".to_owned(), value: None }];
        self.intake.record(&RawRecord {
            partition,
            offset,
            next_offset: offset + 1,
            timestamp,
            append_time,
            key: Some(b"transport"),
            value: value.map(str::as_bytes),
            headers: &headers,
        });
    }

    /// One event of `key`, `millis` after the start.
    fn event(&mut self, partition: usize, key: &str, millis: i64) {
        self.raw(partition, Some(&format!("{key} 1 {}", START + millis)), None, false);
    }

    fn close(&mut self) -> Report {
        let (batches, report) = self.intake.close(self.epoch);
        assert_eq!((report.epoch, report.reader), (self.epoch, 7));
        self.epoch += 1;
        for batch in batches {
            for row in &batch.rows {
                let minutes = i64::from(row.minute.0) - START / MINUTE;
                *self.rows.entry((row.key.to_string(), minutes, row.mask.0)).or_insert(0) += row.n;
            }
        }
        report
    }

    fn rows(&self) -> Vec<(&str, i64, u8, u64)> {
        self.rows.iter().map(|((key, minute, mask), n)| (key.as_str(), *minute, *mask, *n)).collect()
    }

    fn grant(&mut self, partition: usize, floor: Option<i64>) {
        let partition = format!("p{partition}").into();
        self.intake.grant(&Grant { partition, floor: floor.map(|millis| at(START + millis)) });
    }

    fn window(&self, kind: u8, millis: i64) -> WindowId {
        self.windows.window(kind, at(START + millis)).id()
    }
}

fn codes(report: &Report) -> Vec<(DeadCode, i64)> {
    report.dead_letters.iter().map(|letter| (letter.code, letter.offset)).collect()
}

#[test]
fn a_record_is_judged_by_the_prefix_of_its_own_partition_before_it_moves_it() {
    let mut bench = Bench::active(2);
    bench.event(0, "ahead", 2 * MINUTE);
    bench.event(1, "behind", -9 * HOUR); // on time in its own partition
    bench.event(0, "far", 9 * MINUTE + 1); // W(p0) = 8:00.001
    bench.event(0, "late", 2 * MINUTE + 59_999); // [2:00, 3:00) + 5:00 <= 8:00.001
    bench.event(0, "late", 3 * MINUTE); // [3:00, 4:00) + 5:00 > 8:00.001
    bench.event(1, "jump", 0); // judged before it moves W(p1) by nine hours
    bench.event(1, "behind", -9 * HOUR);
    let report = bench.close();
    assert_eq!(
        bench.rows(),
        [
            ("ahead", 2, 0, 1),
            ("behind", -540, 0, 1),
            ("behind", -540, 0b011, 1),
            ("far", 9, 0, 1),
            ("jump", 0, 0, 1),
            ("late", 2, 0b001, 1),
            ("late", 3, 0, 1),
        ]
    );
    let expected = [(bench.window(0, -9 * HOUR), 1), (bench.window(0, 2 * MINUTE), 1), (bench.window(1, -9 * HOUR), 1)];
    assert_eq!(report.late, expected);
    let watermarks: Vec<_> = report.partitions.iter().map(|partition| partition.watermark).collect();
    assert_eq!(watermarks, [Some(at(START + 8 * MINUTE + 1)), Some(at(START - MINUTE))]);
}

/// `counted(kind) + late(kind) = counted(all_time)`: so late figures are in the unit of counts, and 0 is no figure.
#[test]
fn late_figures_are_in_the_unit_of_counts() {
    let mut bench = Bench::active(1);
    bench.event(0, "now", 30 * MINUTE);
    for n in [5, 2, 0] {
        bench.raw(0, Some(&format!("k {n} {START}")), None, false);
    }
    let report = bench.close();
    assert_eq!(report.late, [(bench.window(0, 0), 7)]);
    assert_eq!(bench.rows(), [("k", 0, 0b001, 7), ("now", 30, 0, 1)]);
    assert_eq!((report.partitions[0].consumed, report.partitions[0].counted), (4, 4));
}

#[test]
fn how_partitions_interleave_changes_nothing() {
    let mut random = crate::random::Random::new(11);
    let streams: Vec<Vec<i64>> =
        (0..3).map(|_| (0..400).map(|step| step * 9_000 - random.below(20 * MINUTE as u64) as i64).collect()).collect();
    let mut results = Vec::new();
    for _ in 0..8 {
        let (mut bench, mut next, mut late) = (Bench::active(3), [0; 3], BTreeMap::new());
        while next != [400; 3] {
            let partition = random.below(3) as usize;
            if next[partition] < 400 {
                let millis = streams[partition][next[partition]];
                bench.event(partition, &format!("k{}", millis.rem_euclid(7)), millis);
                next[partition] += 1;
            }
            if random.below(50) == 0 {
                bench.close().late.into_iter().for_each(|(window, n)| *late.entry(window).or_insert(0) += n);
            }
        }
        bench.close().late.into_iter().for_each(|(window, n)| *late.entry(window).or_insert(0) += n);
        results.push((bench.rows, late));
    }
    assert!(results[0].0.keys().any(|(.., mask)| *mask == 1), "some are late for their minute");
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_dead_letter_keeps_everything_and_moves_no_watermark() {
    let mut bench = Bench::active(1);
    bench.event(0, "good", 0);
    bench.raw(0, None, Some(12), false);
    bench.raw(0, Some("nonsense"), None, false);
    bench.event(0, "future", 9 * HOUR);
    let report = bench.close();
    assert_eq!(codes(&report), [(DeadCode::Null, 1), (DeadCode::NotJson, 2), (DeadCode::TimeFuture, 3)]);
    let [null, nonsense, _] = &report.dead_letters[..] else { panic!("three dead letters") };
    assert_eq!((null.partition.as_ref(), null.timestamp, null.value.as_deref()), ("p0", Some(12), None));
    assert_eq!(nonsense.key.as_deref(), Some(b"transport".as_slice()));
    assert_eq!(nonsense.value.as_deref(), Some(b"nonsense".as_slice()));
    assert_eq!(nonsense.headers, [Header { name: "h".to_owned(), value: None }]);
    let partition = &report.partitions[0];
    assert_eq!((partition.consumed, partition.counted, partition.dead_lettered), (4, 1, 3));
    assert_eq!((partition.next_offset, partition.watermark), (4, Some(at(START - MINUTE))));
}

#[test]
fn without_a_time_of_its_own_a_record_has_the_transports() {
    let mut bench = Bench::active(1);
    for timestamp in [None, Some(-1), Some(i64::MIN), Some(EventTime::LAST_VALID.millis() + 1), Some(i64::MAX)] {
        bench.raw(0, Some("k 1 -"), timestamp, false);
    }
    bench.raw(0, Some("k 1 -"), Some(START), false);
    bench.raw(0, Some("k 1 -"), Some(START), true);
    let report = bench.close();
    let expected = [DeadCode::TimeMissing, DeadCode::TimeMissing, DeadCode::TimeMissing, DeadCode::TimeInvalid];
    assert_eq!(codes(&report)[..4], [0, 1, 2, 3].map(|index| (expected[index], index as i64)));
    assert_eq!(codes(&report)[4..], [(DeadCode::TimeInvalid, 4)]);
    assert_eq!(bench.rows(), [("k", 0, 0, 2)]);
}

#[test]
fn the_far_future_begins_after_the_skew_from_the_append_time_else_from_the_clock() {
    let mut bench = Bench::active(1);
    let limit = START + HOUR + 10 * MINUTE;
    let event = |millis: i64| format!("k 1 {millis}");
    bench.raw(0, Some(&event(limit)), None, false);
    bench.raw(0, Some(&event(limit + 1)), None, false); // 1
    bench.raw(0, Some(&event(limit + 1)), Some(limit + HOUR), false); // 2: a producer's stamp is no reference
    bench.raw(0, Some(&event(limit + 1)), Some(START + HOUR + 1), true);
    bench.raw(0, Some(&event(START + 10 * MINUTE + 1)), Some(START), true); // 4: the clock would allow it
    bench.raw(0, Some(&event(START)), Some(-1), true); // the broker has no stamp: the clock decides
    bench.clock.advance(seconds(60));
    bench.raw(0, Some(&event(limit + MINUTE)), None, false);
    let report = bench.close();
    assert_eq!(codes(&report), [(DeadCode::TimeFuture, 1), (DeadCode::TimeFuture, 2), (DeadCode::TimeFuture, 4)]);
    assert_eq!(report.partitions[0].counted, 4);
}

/// Hole 8 of the protocol: while p is left out of the minimum W moves on; what p then brings is judged from the floor.
#[test]
fn an_idle_partitions_records_wait_for_a_grant_and_are_judged_from_its_floor() {
    let mut bench = Bench::of(vec![fresh(false, Some(START)), fresh(true, None)]);
    bench.event(0, "held", 2 * MINUTE);
    bench.event(0, "held", 40 * MINUTE);
    bench.event(1, "free", 0);
    assert_eq!((bench.intake.held(), bench.intake.positions()), (vec![0], vec![2, 1]));
    let report = bench.close();
    let held = &report.partitions[0];
    assert_eq!((held.name.as_ref(), held.waiting, held.next_offset, held.consumed), ("p0", true, 0, 0));
    assert_eq!(held.watermark, Some(at(START)));
    assert_eq!(bench.rows(), [("free", 0, 0, 1)]);

    bench.grant(0, Some(8 * MINUTE));
    assert!(bench.intake.held().is_empty());
    let report = bench.close();
    assert_eq!(bench.rows(), [("free", 0, 0, 1), ("held", 2, 0b001, 1), ("held", 40, 0, 1)]);
    assert_eq!(report.late, [(bench.window(0, 2 * MINUTE), 1)]);
    let held = &report.partitions[0];
    assert_eq!((held.waiting, held.next_offset, held.consumed), (false, 2, 2));
    assert_eq!(held.watermark, Some(at(START + 39 * MINUTE)));
}

/// The reference for the far future is the clock when the record was read, however long it then waits for its grant; a
/// stamp that the broker set on append comes before it, held or not.
#[test]
fn a_held_record_is_of_the_future_if_it_was_when_it_was_read() {
    let mut bench = Bench::of(vec![fresh(false, Some(START)), fresh(true, None)]);
    let limit = START + HOUR + 10 * MINUTE;
    let event = |millis: i64| format!("k 1 {millis}");
    bench.raw(0, Some(&event(limit)), None, false);
    bench.raw(0, Some(&event(limit + 1)), None, false); // 1
    bench.raw(0, Some(&event(START + 10 * MINUTE + 1)), Some(START), true); // 2: the clock would allow it
    bench.raw(0, Some(&event(limit + 1)), Some(START + HOUR + 1), true);
    bench.clock.advance(seconds(60));
    bench.raw(0, Some(&event(limit + MINUTE)), None, false);
    bench.clock.advance(seconds(3600));
    bench.grant(0, None);
    let report = bench.close();
    assert_eq!(codes(&report), [(DeadCode::TimeFuture, 1), (DeadCode::TimeFuture, 2)]);
    assert_eq!(report.partitions[0].counted, 3);
}

#[test]
fn a_floor_below_its_own_prefix_does_not_pull_a_partition_back() {
    let mut bench = Bench::of(vec![fresh(false, Some(START + 20 * MINUTE))]);
    bench.event(0, "k", 0);
    bench.grant(0, Some(0));
    let report = bench.close();
    assert_eq!(report.late, [(bench.window(0, 0), 1)]);
    assert_eq!(report.partitions[0].watermark, Some(at(START + 20 * MINUTE)));
}

/// Hole 9: idleness is a proposal; the committer may refuse it, and then the prefix is as if nothing had been said.
#[test]
fn records_after_a_proposed_idleness_are_held_until_it_is_refused() {
    let mut bench = Bench::active(1);
    bench.event(0, "k", 9 * MINUTE);
    bench.intake.propose_idle(0);
    bench.event(0, "k", 8 * MINUTE);
    let report = bench.close();
    let partition = &report.partitions[0];
    assert_eq!((partition.idle, partition.waiting, partition.next_offset, partition.consumed), (true, true, 1, 1));
    bench.grant(0, None);
    bench.event(0, "k", MINUTE);
    let report = bench.close();
    assert_eq!(bench.rows(), [("k", 1, 0b001, 1), ("k", 8, 0, 1), ("k", 9, 0, 1)]);
    assert_eq!((report.partitions[0].idle, report.partitions[0].next_offset), (false, 3));
    assert_eq!(report.partitions[0].watermark, Some(at(START + 8 * MINUTE)));
}

#[test]
fn positions_pass_holes_in_the_log_but_never_held_records() {
    let mut bench = Bench::active(2);
    bench.intake.position(0, 5); // transaction markers only
    assert_eq!(bench.close().partitions[0].next_offset, 5);
    bench.intake.position(0, 3);
    assert!(bench.close().partitions.is_empty(), "a position never goes back");
    bench.intake.propose_idle(0);
    bench.intake.position(0, 6);
    assert_eq!(bench.close().partitions[0].next_offset, 6, "holding, but nothing is held");
    bench.event(0, "k", 0);
    bench.intake.position(0, 9);
    assert_eq!((bench.close().partitions[0].next_offset, bench.intake.positions()[0]), (6, 9));
    bench.grant(0, None);
    assert_eq!(bench.close().partitions[0].next_offset, 9);
}

#[test]
fn a_report_names_what_changed_and_counts_from_nothing() {
    let mut bench = Bench::active(2);
    assert_eq!((bench.intake.combiner.bytes(), bench.intake.records()), (0, 0));
    bench.event(1, "k", 0);
    bench.event(1, "k", 1);
    bench.raw(1, Some("nonsense"), None, false);
    assert!(bench.intake.combiner.bytes() > 0);
    assert_eq!(bench.intake.records(), 3);
    let first = bench.close();
    let names: Vec<&str> = first.partitions.iter().map(|partition| partition.name.as_ref()).collect();
    assert_eq!(names, ["p1"]);
    assert_eq!((bench.intake.combiner.bytes(), bench.intake.records()), (0, 0));
    let quiet = bench.close();
    assert!(quiet.partitions.is_empty() && quiet.dead_letters.is_empty() && quiet.late.is_empty());
    bench.event(1, "k", 0);
    let next = &bench.close().partitions[0];
    assert_eq!((next.consumed, next.counted, next.dead_lettered, next.next_offset), (1, 1, 0, 4));
    assert_ne!(next.fingerprint, first.partitions[0].fingerprint);
    bench.intake.grant(&Grant { partition: "elsewhere".into(), floor: None });
    assert!(bench.close().partitions.is_empty(), "a grant to somebody else is not ours");
}

/// A flood of large records that cannot be counted, records that wait, and long keys: what an epoch holds has a bound in
/// bytes, and there is room again once they have gone on.
#[test]
fn it_is_full_by_bytes_and_not_only_by_number() {
    let large = "x".repeat(60_000);
    let mut bench = Bench::active(1);
    let mut sent = 0;
    while !bench.intake.is_full() {
        bench.raw(0, Some(&large), None, false);
        sent += 1;
    }
    let about = |most: u64| most / 61_000..=most / 60_000 + 1;
    assert!(about(KEPT).contains(&sent), "a letter takes a little more than its value: {sent}");
    assert_eq!(bench.close().dead_letters.len() as u64, sent);
    assert!(!bench.intake.is_full(), "they are handed over");

    bench.intake.propose_idle(0);
    let mut held = 0;
    while !bench.intake.is_full() {
        bench.raw(0, Some(&large), None, false);
        held += 1;
    }
    assert!(about(KEPT).contains(&held), "{held}");
    assert!(bench.close().partitions[0].waiting && bench.intake.is_full(), "no close lets go of what waits");
    bench.grant(0, None);
    assert_eq!(bench.close().dead_letters.len() as u64, held);
    assert!(!bench.intake.is_full());

    let mut keys = 0;
    while !bench.intake.is_full() {
        bench.event(0, &format!("{keys}{}", "k".repeat(60_000)), 0);
        keys += 1;
    }
    assert!(about(COMBINED as u64).contains(&keys), "{keys}");
    bench.close();
    assert!(!bench.intake.is_full());
}

/// One large record leaves no large buffer behind.
#[test]
fn what_is_kept_of_a_partitions_last_record_is_bounded() {
    let mut bench = Bench::active(1);
    bench.raw(0, Some(&"x".repeat(50 << 20)), None, false);
    let report = bench.close();
    assert_ne!(report.partitions[0].fingerprint, 0);
    assert!(bench.intake.partitions[0].last.value.capacity() <= ROOM);
}

/// The fingerprint tells records apart by offset, time, key and value, so that a refilled log is noticed.
#[test]
fn a_fingerprint_is_of_the_record_and_not_of_the_history() {
    let last = |values: &[&str]| {
        let mut bench = Bench::active(1);
        values.iter().for_each(|value| bench.raw(0, Some(value), Some(START), false));
        bench.close().partitions[0].fingerprint
    };
    assert_eq!(last(&["a 1 -", "b 1 -"]), last(&["c 1 -", "b 1 -"]));
    assert_ne!(last(&["a 1 -", "b 1 -"]), last(&["a 1 -", "c 1 -"]));
    assert_ne!(last(&["b 1 -"]), last(&["a 1 -", "b 1 -"]));
}

mod flink;

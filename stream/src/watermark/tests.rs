//! Flink's and Kafka Streams' cases on lateness and watermarks, ported; each names its origin and where we differ.

use super::*;
use crate::{WindowKind, Windows, Zone};

const SECOND: i64 = 60_000; // Flink's windows are seconds long, ours whole minutes: one of their seconds is our minute.

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

fn rules(out_of_orderness: i64, allowed_lateness: i64) -> TimeRules {
    let duration = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap());
    TimeRules {
        out_of_orderness: duration(out_of_orderness),
        allowed_lateness: duration(allowed_lateness),
        max_future_skew: Duration::ZERO,
    }
}

fn windows(minutes: u32) -> Assigner {
    Windows::new(vec![WindowKind::of_minutes("w", minutes)], Zone::utc()).unwrap().assigner()
}

/// Flink, BoundedOutOfOrdernessWatermarksTest: before records MIN; 1337 with B=10 -> 1326; then 12345, 12300, 12340,
/// 12280 -> 12334. Ours is exclusive, hence one more, and none before records.
#[test]
fn bounded_out_of_orderness() {
    let rules = rules(10, 0);
    let mut watermark = None;
    for (time, expected) in [(1337, 1327), (12345, 12335), (12300, 12335), (12340, 12335), (12280, 12335)] {
        watermark = Some(rules.advance(watermark, at(time)));
        assert_eq!(watermark, Some(at(expected)));
    }
}

/// Flink, WindowOperatorTest.testSideOutputDueToLatenessTumbling: size 2 s, L=0. 1000; W 1985; 1980 is on time (its
/// window is open); W 1999 fires; 1998 is late; 2001; W 2999 nothing; W 3999 fires one.
#[test]
fn late_is_relative_to_the_window() {
    let (rules, mut assigner) = (rules(0, 0), windows(2));
    let late = |time: i64, watermark: i64, assigner: &mut Assigner| {
        rules.judge(at(time * SECOND / 1000), Some(at((watermark + 1) * SECOND / 1000)), assigner) != LateMask::NONE
    };
    assert!(!late(1980, 1985, &mut assigner));
    assert!(late(1998, 1999, &mut assigner));
    assert!(!late(2001, 1999, &mut assigner));
    assert!(!late(2001, 2999, &mut assigner));
    assert!(late(2001, 3999, &mut assigner));
}

/// Flink, WindowOperatorTest.testLateness: size 2 s, L=500: 1997 at W 2300 still counts, 1998 at W 6000 is late.
/// Flink purges and emits 1; we accumulate, so the refined window shows the full count.
#[test]
fn allowed_lateness_refines() {
    let (rules, mut assigner) = (rules(0, SECOND / 2), windows(2));
    let mut late = |time: i64, watermark: i64| {
        rules.judge(at(time * SECOND / 1000), Some(at((watermark + 1) * SECOND / 1000)), &mut assigner)
    };
    assert_eq!(late(1300, 1500), LateMask::NONE);
    assert_eq!(late(1997, 2300), LateMask::NONE);
    assert_eq!(late(1998, 6000), LateMask(1));
}

/// Flink, WindowOperatorTest.testCleanupTimeOverflow: `end + L` near the greatest time saturates and never wraps.
#[test]
fn clean_up_time_does_not_overflow() {
    let kinds = vec![WindowKind::named("all_time").unwrap(), WindowKind::named("month").unwrap()];
    let mut assigner = Windows::new(kinds, Zone::utc()).unwrap().assigner();
    let rules = TimeRules { allowed_lateness: Duration::MAX, ..rules(0, 0) };
    assert_eq!(rules.judge(EventTime::LAST_VALID, Some(EventTime::LAST_VALID), &mut assigner), LateMask::NONE);
}

/// Flink, WindowOperatorTest.testCleanupTimerWithEmptyReduceStateForTumblingWindows: size 2 s, L=1: fires at 1999,
/// state gone at 2000. Our window of two minutes is final at end + 1 ms, not before.
#[test]
fn state_goes_one_lateness_after_the_end() {
    use crate::WindowState::{Closed, Final, Open};
    let window = windows(2).assign(0, at(0));
    let state = |watermark| window.state(Some(at(watermark)), Duration::from_millis(1));
    assert_eq!([state(119_999), state(120_000), state(120_001)], [Open, Closed, Final]);
}

/// Kafka Streams, KStreamWindowAggregateTest.shouldLogAndMeterWhenSkippingExpiredWindowByGrace: size 10, grace 90,
/// first time 200: 100 to 105 and 6 are dropped. Their grace is our out_of_orderness + allowed_lateness.
#[test]
fn grace_is_out_of_orderness_plus_lateness() {
    for (out_of_orderness, allowed_lateness) in [(0, 90), (90, 0), (40, 50)] {
        let rules = rules(out_of_orderness * SECOND, allowed_lateness * SECOND);
        let mut assigner = windows(10);
        let watermark = Some(rules.advance(None, at(200 * SECOND)));
        for time in [100, 101, 102, 103, 104, 105, 6] {
            assert_eq!(rules.judge(at(time * SECOND), watermark, &mut assigner), LateMask(1), "{time}");
        }
        assert_eq!(rules.judge(at(110 * SECOND), watermark, &mut assigner), LateMask::NONE);
        assert_eq!(rules.judge(at(200 * SECOND), watermark, &mut assigner), LateMask::NONE);
    }
}

/// Kafka Streams, SuppressScenarioTest.shouldSupportFinalResultsForTimeWindows: size 2, grace 1; times 0,1,2,1,0,5,0
/// give finals [0,2)=4 and [2,4)=1; the last 0 is dropped.
#[test]
fn final_results_for_time_windows() {
    let (rules, mut assigner) = (rules(0, SECOND), windows(2));
    let mut watermark = None;
    let mut counts = std::collections::BTreeMap::new();
    let mut late = 0;
    for time in [0, 1, 2, 1, 0, 5, 0] {
        let time = at(time * SECOND);
        if rules.judge(time, watermark, &mut assigner) == LateMask::NONE {
            *counts.entry(assigner.assign(0, time).start.millis() / SECOND).or_insert(0) += 1;
        } else {
            late += 1;
        }
        watermark = Some(rules.advance(watermark, time));
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(0, 4), (2, 1), (4, 1)]);
    assert_eq!(late, 1);
}

/// An hour may end after the local day does (+05:30): then the mask is late for the day and not for the hour.
#[test]
fn the_mask_is_a_set_and_not_a_level() {
    let kinds = vec![
        WindowKind::named("hour").unwrap(),
        WindowKind::named("day").unwrap(),
        WindowKind::named("all_time").unwrap(),
    ];
    let mut assigner = Windows::new(kinds, Zone::named("Asia/Kolkata").unwrap()).unwrap().assigner();
    let time: jiff::Timestamp = "2025-10-19T18:20:00Z".parse().unwrap();
    let watermark: jiff::Timestamp = "2025-10-19T18:30:00Z".parse().unwrap();
    let mask = rules(0, 0).judge(at(time.as_millisecond()), Some(at(watermark.as_millisecond())), &mut assigner);
    assert_eq!(mask, LateMask(0b010));
}

/// Flink, StatusWatermarkValveTest and WatermarkOutputMultiplexerTest, as the minimum over active partitions:
/// decreasing inputs yield nothing; all inputs are needed; (15, 10, idle) -> 10; (25, 10, 17) going idle one by one
/// -> 10, 17, 25. We differ when all go idle: W stays, it is not flushed to the maximum.
#[test]
fn the_minimum_over_active_partitions() {
    let w = |value: i64| Some(at(value));
    assert_eq!(job_watermark(w(25), [w(20)]), w(25), "never back");
    assert_eq!(job_watermark(None, [w(12), w(8), None]), None, "all inputs are needed");
    assert_eq!(job_watermark(None, [w(12), w(8), w(10)]), w(8));
    assert_eq!(job_watermark(None, [w(15), w(10)]), w(10), "the third is idle");
    let mut watermark = job_watermark(None, [w(25), w(10), w(17)]);
    assert_eq!(watermark, w(10));
    watermark = job_watermark(watermark, [w(25), w(17)]);
    assert_eq!(watermark, w(17));
    watermark = job_watermark(watermark, [w(25)]);
    assert_eq!(watermark, w(25));
    assert_eq!(job_watermark(watermark, []), w(25), "all idle: stays");
    assert_eq!(
        job_watermark(w(10), [w(50), w(5)]),
        w(10),
        "WatermarkOutputMultiplexerTest.combinedWatermarkDoesNotRegressWhenIdleOutputRegresses"
    );
    assert_eq!(
        job_watermark(None, []),
        None,
        "WatermarkOutputMultiplexerTest.noCombinedDeferredUpdateWhenWeHaveZeroOutputs"
    );
}

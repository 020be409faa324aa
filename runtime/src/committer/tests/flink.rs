//! Flink's StatusWatermarkValveTest, WatermarkOutputMultiplexerTest and WatermarksWithIdlenessTest where they concern
//! several inputs, as rows of our rule. One of their steps is one of our epochs. Everywhere we differ in two things:
//! idleness is decided by the commit and not where it is noticed, and an input that comes back counts from the epoch
//! after its grant, at a floor. `stream` and `operators` port the rows on the pure minimum and on one reader.

use super::*;

/// testSingleInputDecreasingWatermarksYieldsNoOutput: 25, then 20 -> nothing.
#[test]
fn a_decreasing_watermark_yields_nothing() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.record(0, 25).commit(), Some(25));
    bench.says[0].watermark = Some(at(20));
    assert!(!bench.decide(false).changed);
    assert_eq!(bench.state(0).watermark, Some(at(25)));
}

/// testSingleInputWatermarksIntactDuringIdleness: 25; idle; 50 is ignored while idle; active again; 51 -> 51. Theirs
/// ignores the 50 for ever; ours holds the record and judges it after the grant, so nothing is lost.
#[test]
fn a_watermark_is_intact_during_idleness() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.record(0, 25).commit(), Some(25));
    assert_eq!(bench.idle(0).commit(), Some(25));
    assert_eq!(bench.waiting(0, true).commit(), Some(25), "granted with this epoch, counted from the next");
    assert_eq!(bench.waiting(0, false).record(0, 50).commit(), Some(50));
    assert_eq!(bench.record(0, 51).commit(), Some(51));
}

/// testMultipleInputYieldsWatermarkOnlyWhenAllChannelsReceivesWatermarks: 0, 0, then the third -> 0.
#[test]
fn all_inputs_are_needed() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.record(0, 0).commit(), None);
    assert_eq!(bench.record(1, 0).commit(), None);
    assert_eq!(bench.record(2, 0).commit(), Some(0));
}

/// testMultipleInputIncreasingWatermarksYieldsMonotonicallyIncreasing: all 0; 12, 8, 10 -> 8; 15 on the second -> 10;
/// 17 on the third -> 12; 20 on the first -> 15.
#[test]
fn increasing_inputs_give_the_least() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.record(0, 0).record(1, 0).record(2, 0).commit(), Some(0));
    assert_eq!(bench.record(0, 12).commit(), Some(0));
    assert_eq!(bench.record(1, 8).record(2, 10).commit(), Some(8));
    assert_eq!(bench.record(1, 15).commit(), Some(10));
    assert_eq!(bench.record(2, 17).commit(), Some(12));
    assert_eq!(bench.record(0, 20).commit(), Some(15));
}

/// testMultipleInputWatermarkAdvancingWithPartiallyIdleChannels: (15, 10, idle) -> 10; then 18 on the second -> 15.
#[test]
fn the_watermark_advances_with_partly_idle_inputs() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.record(0, 15).record(1, 10).commit(), None);
    assert_eq!(bench.idle(2).commit(), Some(10));
    assert_eq!(bench.record(1, 18).commit(), Some(15));
    assert_eq!(bench.record(0, 20).commit(), Some(18));
}

/// testMultipleInputWatermarkAdvancingAsChannelsIndividuallyBecomeIdle: (25, 10, 17) -> 10, then 17, then 25.
#[test]
fn the_watermark_advances_as_inputs_become_idle_one_by_one() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.record(0, 25).record(1, 10).record(2, 17).commit(), Some(10));
    assert_eq!(bench.idle(1).commit(), Some(17));
    assert_eq!(bench.idle(2).commit(), Some(25));
}

/// testMultipleInputFlushMaxWatermarkAndStreamStatusOnceAllInputsBecomeIdle: (10, 5, 3) all idle -> theirs flushes 10.
/// We differ: with nobody active nothing is known, and W stays.
#[test]
fn all_idle_flushes_nothing() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.record(0, 10).record(1, 5).record(2, 3).commit(), Some(3));
    bench.idle(0).commit();
    assert_eq!(bench.idle(1).idle(2).commit(), Some(3), "the last two at once");
    assert_eq!(bench.commit(), Some(3));
}

/// testMultipleInputWatermarkAdvancingAsChannelsIndividuallyBecomeIdle's other half, named after
/// testUnalignedActiveChannelBecomesIdle and testWatermarksDoNotGoBackAfterResume: one that comes back behind the rest
/// does not pull the watermark back. Theirs leaves it out until it has caught up; ours raises it to the floor.
#[test]
fn an_input_that_comes_back_behind_the_rest_is_raised_to_the_floor() {
    let mut bench = Bench::new(2);
    bench.record(0, 7).record(1, 10).commit();
    assert_eq!(bench.idle(0).commit(), Some(10));
    assert_eq!(bench.record(1, 20).waiting(0, true).commit(), Some(20));
    assert_eq!(bench.waiting(0, false).record(0, 9).record(1, 30).commit(), Some(20), "it holds, at its floor of 20");
    assert_eq!(bench.state(0).watermark, Some(at(20)));
    assert_eq!(bench.record(0, 25).commit(), Some(25));
}

/// WatermarkOutputMultiplexerTest.whenImmediateOutputBecomesIdleWatermarkAdvances: 2 and 5; the first idle -> 5.
#[test]
fn when_an_output_becomes_idle_the_watermark_advances() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.record(0, 2).record(1, 5).commit(), Some(2));
    assert_eq!(bench.idle(0).commit(), Some(5));
}

/// WatermarkOutputMultiplexerTest.combinedWatermarkDoesNotRegressWhenIdleOutputRegresses: 2, 5; the first idle -> 5;
/// the first emits 3 -> stays 5.
#[test]
fn an_idle_output_that_regresses_does_not_pull_back() {
    let mut bench = Bench::new(2);
    bench.record(0, 2).record(1, 5).commit();
    assert_eq!(bench.idle(0).commit(), Some(5));
    assert_eq!(bench.waiting(0, true).commit(), Some(5));
    assert_eq!(bench.waiting(0, false).record(0, 3).commit(), Some(5));
}

/// WatermarkOutputMultiplexerTest.testRemoveUnblocksWatermarks and testRemoveOfLowestDoesNotImmediatelyAdvanceWatermark.
/// We differ: partitions never leave a run (one that is gone is refused at start); being idle is all that unblocks, and
/// does so in the epoch that journals it.
#[test]
fn an_idle_partition_without_a_record_unblocks() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.record(0, 5).commit(), None);
    let decided = bench.idle(1).decide(false);
    assert_eq!((decided.content.watermark, decided.changed), (Some(at(5)), true));
}

/// WatermarksWithIdlenessTest.testIdleActiveIdle, with another partition that goes on meanwhile: every return leaves
/// its floor behind, at the offset from which it holds.
#[test]
fn idle_then_active_then_idle_again_leaves_every_floor_behind() {
    let mut bench = Bench::new(2);
    bench.record(0, 1).record(1, 1).commit();
    for round in 1..4 {
        bench.idle(0).record(1, 10 * round).commit();
        let granted = bench.waiting(0, true).decide(false).content.granted;
        assert_eq!(granted, [Grant { partition: name(0), floor: Some(at(10 * round)) }]);
        bench.waiting(0, false).record(0, 10 * round + 1).commit();
    }
    assert_eq!(bench.state(0).floors, [(1, at(10)), (2, at(20)), (3, at(30))]);
}

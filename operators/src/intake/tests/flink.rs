//! Flink's WatermarksWithIdlenessTest and WatermarkOutputMultiplexerTest, played through an intake and a committer in
//! miniature. Theirs decide idleness by a timer inside the source and at once; ours proposes, the commit decides, and
//! the next epoch acts on it. Their rows on the pure minimum are ported beside `job_watermark`, in `stream`. Not
//! ported: testZeroTimeout and testNegativeTimeout (a matter of configuration, and our durations have no sign), and
//! deferred against immediate outputs (every watermark of ours is computed once per epoch, so all are deferred).

use super::*;
use stream::job_watermark;

/// What the committer keeps of partitions.
struct Job {
    bench: Bench,
    active: Vec<bool>,
    watermarks: Vec<Option<EventTime>>,
    watermark: Option<EventTime>,
}

impl Job {
    fn of(partitions: usize) -> Self {
        let bench = Bench::active(partitions);
        Job { bench, active: vec![true; partitions], watermarks: vec![None; partitions], watermark: None }
    }

    /// A record that brings W(p) to `minutes`, as their `emitWatermark`.
    fn emit(&mut self, partition: usize, minutes: i64) {
        self.bench.event(partition, "k", (minutes + 1) * MINUTE);
    }

    /// As their `markIdle`.
    fn idle(&mut self, partition: usize) {
        self.bench.intake.propose_idle(partition);
    }

    /// Commit an epoch: W in minutes, and what was granted.
    fn commit(&mut self) -> Option<i64> {
        let mut waiting = Vec::new();
        for report in self.bench.close().partitions {
            let partition: usize = report.name[1..].parse().unwrap();
            self.watermarks[partition] = self.watermarks[partition].max(report.watermark);
            self.active[partition] &= !report.idle;
            if report.waiting && !self.active[partition] {
                waiting.push(partition);
            }
        }
        let active = (0..self.active.len()).filter(|partition| self.active[*partition]);
        self.watermark = job_watermark(self.watermark, active.map(|partition| self.watermarks[partition]));
        for partition in waiting {
            let floor = self.watermarks[partition].max(self.watermark);
            (self.active[partition], self.watermarks[partition]) = (true, floor);
            self.bench.grant(partition, floor.map(|floor| floor.millis() - START));
        }
        self.watermark.map(|watermark| (watermark.millis() - START) / MINUTE)
    }
}

/// testInitiallyActive.
#[test]
fn a_partition_is_active_until_told_otherwise() {
    let mut bench = Bench::active(1);
    bench.event(0, "k", 0);
    assert!(!bench.close().partitions[0].idle && bench.intake.held().is_empty());
    assert_eq!(bench.rows(), [("k", 0, 0, 1)]);
}

/// testIdleWithoutEvents.
#[test]
fn a_partition_may_be_idle_without_ever_having_had_a_record() {
    let mut bench = Bench::active(1);
    bench.intake.propose_idle(0);
    let report = &bench.close().partitions[0];
    assert_eq!((report.idle, report.waiting, report.watermark), (true, false, None));
}

/// testRepeatedIdleChecks: theirs stays idle at every look. We differ: it is a decision, proposed once.
#[test]
fn idleness_is_proposed_once_however_often_one_looks() {
    let mut bench = Bench::active(1);
    bench.intake.propose_idle(0);
    bench.intake.propose_idle(0);
    assert!(bench.close().partitions[0].idle);
    bench.intake.propose_idle(0);
    assert!(bench.close().partitions.is_empty());
}

/// testActiveAfterIdleness: theirs is active with the next record. We differ: the record is held and asks; the commit
/// makes the partition active, or a window that was final could be counted in again.
#[test]
fn a_record_after_idleness_asks_and_does_not_decide() {
    let mut bench = Bench::active(1);
    bench.intake.propose_idle(0);
    bench.close();
    bench.event(0, "k", 0);
    for _ in 0..2 {
        let report = &bench.close().partitions[0];
        assert_eq!((report.idle, report.waiting, report.consumed), (false, true, 0), "it goes on asking");
    }
    bench.grant(0, Some(0));
    let report = &bench.close().partitions[0];
    assert_eq!((report.idle, report.waiting, report.consumed), (false, false, 1));
}

/// testIdleActiveIdle.
#[test]
fn idle_then_active_then_idle_again() {
    let mut bench = Bench::active(1);
    for round in 0..3 {
        bench.intake.propose_idle(0);
        assert!(bench.close().partitions[0].idle, "round {round}");
        bench.event(0, "k", 0);
        bench.grant(0, None);
        let report = &bench.close().partitions[0];
        assert_eq!((report.idle, report.consumed), (false, 1), "round {round}");
    }
}

/// singleImmediateWatermark, singleImmediateIdleness.
#[test]
fn one_partition_alone() {
    let mut job = Job::of(1);
    job.emit(0, 0);
    assert_eq!(job.commit(), Some(0));
    let mut job = Job::of(1);
    job.idle(0);
    assert_eq!((job.commit(), job.active[0]), (None, false));
}

/// singleImmediateWatermarkAfterIdleness: theirs has the watermark at once, ours an epoch after the grant.
#[test]
fn a_watermark_after_idleness_comes_with_the_grant() {
    let mut job = Job::of(1);
    job.idle(0);
    job.commit();
    job.emit(0, 0);
    assert_eq!((job.commit(), job.active[0]), (None, true), "granted, without a floor");
    assert_eq!(job.commit(), Some(0));
}

/// multipleImmediateWatermark: 2, 5, idle -> 2.
#[test]
fn the_least_of_the_active_ones() {
    let mut job = Job::of(3);
    job.emit(0, 2);
    job.emit(1, 5);
    job.idle(2);
    assert_eq!(job.commit(), Some(2));
}

/// whenImmediateOutputBecomesIdleWatermarkAdvances: 2, 5 -> 2; the first idle -> 5.
#[test]
fn idleness_of_the_slowest_lets_the_watermark_go_on() {
    let mut job = Job::of(2);
    job.emit(0, 2);
    job.emit(1, 5);
    assert_eq!(job.commit(), Some(2));
    job.idle(0);
    assert_eq!(job.commit(), Some(5));
}

/// whenAllImmediateOutputsBecomeIdleWatermarkAdvances and whenAllDeferredOutputsEmitAndIdleWatermarkAdvances: theirs
/// go to 5, the greatest. We differ on purpose: with nobody active W stays at 2, since nothing says that 5 is due.
#[test]
fn when_all_are_idle_the_watermark_stays() {
    let mut job = Job::of(2);
    job.emit(0, 5);
    job.emit(1, 2);
    assert_eq!(job.commit(), Some(2));
    job.idle(0);
    job.idle(1);
    assert_eq!(job.commit(), Some(2));

    let mut job = Job::of(2);
    for (partition, minutes) in [(0, 5), (1, 2)] {
        job.emit(partition, minutes);
        job.idle(partition);
    }
    assert_eq!(job.commit(), None, "it was never defined while somebody was active");
}

/// combinedWatermarkDoesNotRegressWhenIdleOutputRegresses: 2, 5; the first idle -> 5; it comes back with 3 -> 5.
/// Ours comes back at the floor, so what it brings for a final window is late.
#[test]
fn who_comes_back_behind_comes_back_at_the_floor() {
    let mut job = Job::of(2);
    job.emit(0, 2);
    job.emit(1, 50);
    job.idle(0);
    assert_eq!(job.commit(), Some(50));
    job.emit(0, 3);
    assert_eq!(job.commit(), Some(50));
    assert_eq!(job.watermarks[0], Some(at(START + 50 * MINUTE)));
    assert_eq!(job.commit(), Some(50));
    assert_eq!(job.bench.rows(), [("k", 3, 0, 1), ("k", 4, 0b001, 1), ("k", 51, 0, 1)]);
}

/// whenIdleDeferredOutputResumesUnderlyingOutputIsMarkedActive: 5 and 2, both idle; the first brings 3. Theirs was at
/// 5 and stays; ours was at 2 and goes to 5, which is the first's own prefix.
#[test]
fn who_comes_back_counts_with_its_own_prefix() {
    let mut job = Job::of(2);
    job.emit(0, 5);
    job.emit(1, 2);
    job.commit();
    job.idle(0);
    job.idle(1);
    assert_eq!(job.commit(), Some(2));
    job.emit(0, 3);
    assert_eq!((job.commit(), job.active.clone()), (Some(2), vec![true, false]));
    assert_eq!(job.commit(), Some(5));
}

/// testRemoveUnblocksWatermarks and testRemoveOfLowestDoesNotImmediatelyAdvanceWatermark. We differ: a partition is
/// never removed, it can only be idle; and W moves at a commit, not in between.
#[test]
fn the_lowest_leaves_by_being_idle() {
    let mut job = Job::of(2);
    job.emit(0, 7);
    assert_eq!(job.commit(), None, "the other has not said anything");
    job.idle(0);
    job.emit(1, 17);
    assert_eq!(job.watermark, None, "nothing moves between commits");
    assert_eq!(job.commit(), Some(17));
}

/// testRemoveOfHighestDoesNotRetractWatermark: the only one, at 2, leaves; another appears at 1 -> 2. Ours appears
/// idle, as a partition that was added does, and is let in at the floor.
#[test]
fn a_new_partition_does_not_pull_the_watermark_back() {
    let mut job = Job::of(2);
    job.idle(1);
    job.emit(0, 2);
    assert_eq!(job.commit(), Some(2));
    job.idle(0);
    job.emit(1, 1);
    assert_eq!(job.commit(), Some(2));
    assert_eq!(job.watermarks[1], Some(at(START + 2 * MINUTE)));
    assert_eq!(job.commit(), Some(2));
}

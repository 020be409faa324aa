//! The job's watermark, idleness and accounts, epoch by epoch; then Flink's cases that concern several partitions,
//! played through the real committer.

use super::*;
use crate::testing::nothing_recovered;
use stream::{DeadCode, DeadLetter, PartRow, RecordHash, Sequence, WindowId};

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

/// Partitions `p0`, `p1`, … all active and unread.
fn recovered(partitions: usize) -> Recovered {
    let state = PartitionState { next_offset: 0, fingerprint: 0, watermark: None, active: true, floors: Vec::new() };
    let partitions = (0..partitions).map(|index| (name(index), state.clone())).collect();
    Recovered { partitions, ..nothing_recovered() }
}

fn name(index: usize) -> Arc<str> {
    format!("p{index}").into()
}

/// A committer, and what its readers say of each partition.
struct Bench {
    committer: Committer,
    says: Vec<PartitionReport>,
}

impl Bench {
    fn of(recovered: Recovered, until: Option<&[(usize, i64)]>) -> Self {
        let says = |(name, state): (&Arc<str>, &PartitionState)| PartitionReport {
            name: name.clone(),
            next_offset: state.next_offset,
            fingerprint: state.fingerprint,
            watermark: state.watermark,
            consumed: 0,
            counted: 0,
            dead_lettered: 0,
            idle: false,
            waiting: false,
            finished: false,
        };
        let until = until.map(|ends| ends.iter().map(|(index, end)| (name(*index), *end)).collect());
        Bench { says: recovered.partitions.iter().map(says).collect(), committer: Committer::new(&recovered, until) }
    }

    fn new(partitions: usize) -> Self {
        Self::of(recovered(partitions), None)
    }

    /// A counted record that brings the reader's own W(p) to `watermark`.
    fn record(&mut self, partition: usize, watermark: i64) -> &mut Self {
        let says = &mut self.says[partition];
        says.next_offset += 1;
        says.fingerprint += 1;
        (says.consumed, says.counted) = (says.consumed + 1, says.counted + 1);
        says.watermark = says.watermark.max(Some(at(watermark)));
        self
    }

    fn idle(&mut self, partition: usize) -> &mut Self {
        self.says[partition].idle = true;
        self
    }

    fn waiting(&mut self, partition: usize, waiting: bool) -> &mut Self {
        self.says[partition].waiting = waiting;
        self
    }

    /// An epoch in which every partition speaks; one reader for each.
    fn decide(&mut self, last: bool) -> Decided {
        let report = |(reader, says): (usize, &PartitionReport)| Report {
            reader: reader as u32,
            partitions: vec![says.clone()],
            ..Report::default()
        };
        let reports = self.says.iter().enumerate().map(report).collect();
        for says in &mut self.says {
            (says.consumed, says.counted, says.dead_lettered, says.idle) = (0, 0, 0, false);
        }
        self.committer.decide(reports, Vec::new(), BTreeMap::new(), last)
    }

    /// The job watermark after an epoch.
    fn commit(&mut self) -> Option<i64> {
        self.decide(false).content.watermark.map(EventTime::millis)
    }

    fn state(&self, partition: usize) -> &PartitionState {
        &self.committer.partitions()[&name(partition)]
    }
}

#[test]
fn the_watermark_is_the_least_of_the_active_and_never_goes_back() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.record(0, 50).commit(), None, "p1 has no watermark yet and keeps it undefined");
    assert_eq!(bench.record(1, 20).commit(), Some(20));
    assert_eq!(bench.record(1, 70).commit(), Some(50));
    bench.idle(0);
    assert_eq!(bench.commit(), Some(70), "an idle partition is left out in the epoch that journals it");
    bench.waiting(0, true);
    assert_eq!(bench.commit(), Some(70), "back, and never below what was said");
    assert_eq!(bench.record(1, 90).commit(), Some(70), "it counts again, at its floor");
}

#[test]
fn a_restart_goes_on_from_the_watermark_of_the_journal() {
    let mut before = recovered(1);
    before.watermark = Some(at(40));
    let mut bench = Bench::of(before, None);
    assert_eq!(bench.record(0, 10).commit(), Some(40));
    assert_eq!(bench.record(0, 41).commit(), Some(41));
}

#[test]
fn idleness_is_journaled_once_and_refused_in_a_bounded_run() {
    let mut bench = Bench::new(2);
    bench.record(0, 5).record(1, 9).commit();
    let decided = bench.idle(0).decide(false);
    assert!(decided.changed && decided.content.granted.is_empty());
    assert!(!decided.content.partitions[&name(0)].active);

    let mut bounded = Bench::of(recovered(2), Some(&[(0, 9), (1, 9)]));
    bounded.record(0, 5).record(1, 9).commit();
    let decided = bounded.idle(0).decide(false);
    assert!(decided.changed, "the answer is a record, or the reader would wait for ever");
    assert_eq!(decided.content.granted, [Grant { partition: name(0), floor: None }]);
    assert!(decided.content.partitions[&name(0)].active);
    assert_eq!(bounded.record(1, 30).commit(), Some(5), "refused: it still holds the watermark");
}

/// Holes 8 and 10 of the protocol.
#[test]
fn a_waiting_partition_is_granted_from_the_next_epoch_on_at_a_floor_kept_for_ever() {
    let mut bench = Bench::new(2);
    bench.record(0, 5).record(1, 9).commit();
    bench.idle(0).record(1, 60).commit();
    let decided = bench.waiting(0, true).record(1, 70).decide(false);
    assert_eq!(decided.content.watermark, Some(at(70)), "it does not count in the epoch that grants");
    assert_eq!(decided.content.granted, [Grant { partition: name(0), floor: Some(at(70)) }]);
    let granted = &decided.content.partitions[&name(0)];
    assert_eq!((granted.active, granted.watermark, &granted.floors[..]), (true, Some(at(70)), &[(1, at(70))][..]));

    // The reader has not heard of it: it still waits, and still tells its old W(p) of 5.
    let decided = bench.record(1, 80).decide(false);
    assert_eq!(decided.content.granted, [], "once is enough");
    assert_eq!(decided.content.watermark, Some(at(70)), "now it counts, at the floor");
    assert_eq!(bench.state(0).watermark, Some(at(70)), "the old W(p) does not pull it back");
    assert_eq!(bench.waiting(0, false).record(0, 75).commit(), Some(75));
    assert_eq!(bench.state(0).floors, [(1, at(70))]);
}

#[test]
fn the_floor_is_never_below_the_partitions_own_watermark() {
    let mut bench = Bench::new(2);
    bench.record(0, 50).record(1, 9).commit();
    bench.idle(0).commit();
    let decided = bench.waiting(0, true).decide(false);
    assert_eq!(decided.content.granted, [Grant { partition: name(0), floor: Some(at(50)) }]);
    assert_eq!(decided.content.watermark, Some(at(9)));
}

#[test]
fn idle_and_waiting_in_one_epoch_is_idleness_journaled_and_granted_with_it() {
    let mut bench = Bench::new(2);
    bench.record(0, 5).record(1, 30).commit();
    let decided = bench.idle(0).waiting(0, true).decide(false);
    assert_eq!(decided.content.watermark, Some(at(30)));
    assert_eq!(decided.content.granted, [Grant { partition: name(0), floor: Some(at(30)) }]);
    assert_eq!(bench.state(0).floors, [(1, at(30))]);
}

#[test]
fn without_any_watermark_a_grant_has_no_floor() {
    let mut bench = Bench::new(1);
    bench.idle(0).commit();
    let decided = bench.waiting(0, true).decide(false);
    assert_eq!(decided.content.granted, [Grant { partition: name(0), floor: None }]);
    assert!(bench.state(0).active && bench.state(0).floors.is_empty());
}

#[test]
fn the_end_of_a_bounded_run_leaves_out_partitions_without_an_accepted_record() {
    let mut bench = Bench::of(recovered(3), Some(&[(0, 1), (1, 0), (2, 1)]));
    assert_eq!(bench.record(0, 50).record(2, 40).commit(), None);
    let decided = bench.decide(true);
    assert!(decided.changed);
    assert_eq!(decided.content.watermark, Some(at(40)));
    assert!(!bench.state(1).active, "the watermark has passed it: it must ask for a floor");

    // The next run goes on from there: what the partition then brings waits, and cannot reopen a final window.
    let mut next = recovered(3);
    next.partitions = bench.committer.partitions().clone();
    next.watermark = bench.committer.watermark();
    let mut bench = Bench::of(next, None);
    let decided = bench.waiting(1, true).decide(false);
    assert_eq!(decided.content.granted, [Grant { partition: name(1), floor: Some(at(40)) }]);
}

/// A drain before the end: what was not read yet may still be of any time.
#[test]
fn a_run_that_is_stopped_early_leaves_nobody_out() {
    for until in [None, Some(&[(0, 9), (1, 9)][..])] {
        let mut bench = Bench::of(recovered(2), until);
        bench.record(0, 50).commit();
        let decided = bench.decide(true);
        assert_eq!((decided.content.watermark, decided.changed), (None, false));
        assert!(bench.state(1).active);
    }
}

#[test]
fn nothing_changed_is_no_record() {
    let mut bench = Bench::new(2);
    assert!(!bench.decide(false).changed);
    assert!(bench.record(0, 5).decide(false).changed);
    assert!(!bench.decide(false).changed, "the same said again");
    assert!(!bench.decide(true).changed);
    let acks = BTreeMap::from([(
        "tables".to_owned(),
        Ack { sequence: Sequence(2), hash: RecordHash::default(), watermark: None },
    )]);
    let decided = bench.committer.decide(vec![Report::default()], vec![Part::default()], acks.clone(), false);
    assert!(!decided.changed, "an acknowledgement alone would be acknowledged in turn, for ever");
    assert_eq!(decided.content.acks, acks, "but it travels with the next record");
    let minute = stream::Minute(1);
    let row = PartRow { group: 0, local: 0, dimension: 0, minute, mask: stream::LateMask::NONE, n: 1 };
    let part = Part { rows: vec![row], ..Part::default() };
    assert!(bench.committer.decide(Vec::new(), vec![part], BTreeMap::new(), false).changed);
}

#[test]
fn a_position_that_moved_without_a_record_is_a_change() {
    let mut bench = Bench::new(1);
    bench.says[0].next_offset = 7; // transaction markers
    assert!(bench.decide(false).changed);
    assert_eq!(bench.state(0).next_offset, 7);
}

#[test]
fn late_figures_are_summed_and_dead_letters_ordered_over_all_readers() {
    let letter = |partition: usize, offset| DeadLetter {
        code: DeadCode::NotJson,
        detail: String::new(),
        partition: name(partition),
        offset,
        timestamp: None,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    let window = |start| WindowId { kind: 0, start: at(start) };
    let report = |dead_letters, late| Report { dead_letters, late, ..Report::default() };
    let reports = vec![
        report(vec![letter(2, 1), letter(0, 9)], vec![(window(60), 2), (window(0), 1)]),
        report(vec![letter(1, 4), letter(0, 3)], vec![(window(60), 5)]),
    ];
    let decided = Bench::new(3).committer.decide(reports, Vec::new(), BTreeMap::new(), false);
    assert!(decided.changed);
    assert_eq!(decided.content.late, [(window(0), 1), (window(60), 7)]);
    let order: Vec<(&str, i64)> =
        decided.content.dead_letters.iter().map(|letter| (&*letter.partition, letter.offset)).collect();
    assert_eq!(order, [("p0", 3), ("p0", 9), ("p1", 4), ("p2", 1)]);
}

#[test]
fn accounts_add_up_over_epochs() {
    let mut bench = Bench::new(1);
    bench.record(0, 1).record(0, 2).commit();
    let says = &mut bench.says[0];
    (says.next_offset, says.consumed, says.dead_lettered) = (3, 1, 1);
    bench.commit();
    let line = LedgerLine { consumed: 3, counted: 2, dead_lettered: 1, lost: 0 };
    assert_eq!(bench.committer.ledger()[&name(0)], line);
}

#[test]
#[should_panic(expected = "the ledger of p0 does not balance")]
fn a_record_that_is_neither_counted_nor_dead_is_a_bug() {
    let mut bench = Bench::new(1);
    bench.record(0, 1).says[0].consumed += 1;
    bench.commit();
}

#[test]
#[should_panic(expected = "p0 went back")]
fn a_position_that_goes_back_is_a_bug() {
    let mut bench = Bench::new(1);
    bench.record(0, 1).commit();
    bench.says[0].next_offset = 0;
    bench.commit();
}

mod flink;

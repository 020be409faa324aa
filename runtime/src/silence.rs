//! When a partition is idle: silence while we read, then an end that was asked for afterwards and equals our position.
//! Time in which we did not read (gated, paused) is not silence. The committer journals the idleness, or refuses it.
//! And when a partition stands still: silence, while whoever holds it says again and again that there is more to read. A
//! transport may lose sight of a partition for good and not know it (librdkafka 2.12: issues 5430 and 5593); a start finds
//! it again, and looks whether the log is still the one that was read.

use std::time::Duration;
use stream::PartitionEnd;

/// Silence beside records that can be read, until the transport is taken to have lost sight of the partition. After as long
/// a silence whoever holds it is asked, however long it may be silent before it is idle, and when it is idle.
const STANDS_STILL: Duration = Duration::from_secs(30);

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Nothing,
    /// Nothing has come since the question, and nothing is there beyond our position.
    Idle,
    /// Nothing comes, though it is there.
    StandsStill,
}

/// How long each partition of a reader has been silent, and which ends have been asked for.
pub(crate) struct Silence {
    timeout: Duration,
    partitions: Vec<Quiet>,
}

#[derive(Clone, Copy)]
struct Quiet {
    position: i64,
    silent: Duration,
    /// So much silence lets it be asked about: whether it is idle, and whether it stands still.
    due: (Duration, Duration),
    question: Question,
    /// Proposed to be idle; it is not proposed again before its position moves.
    settled: bool,
    /// Silence since it was first said that there is more to read; none if it was not said.
    unread: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    None,
    /// Asked, and nothing has come since; whether it had been silent for long enough to be idle.
    Asked {
        may_be_idle: bool,
    },
    /// Asked, and something has come since: the answer is to an old question.
    Outdated,
}

impl Quiet {
    fn at(position: i64, timeout: Duration) -> Self {
        let (silent, due) = (Duration::ZERO, (timeout, STANDS_STILL));
        Quiet { position, silent, due, question: Question::None, settled: false, unread: None }
    }

    /// Something came, or could not have come.
    fn disturb(&mut self, position: i64, timeout: Duration) {
        self.settled &= self.position == position;
        (self.position, self.silent, self.unread) = (position, Duration::ZERO, None);
        self.due = (timeout, STANDS_STILL);
        if self.question != Question::None {
            self.question = Question::Outdated;
        }
    }

    /// Whether it is to be asked about now.
    fn asks(&mut self, timeout: Duration) -> bool {
        let may_be_idle = !self.settled && self.silent >= self.due.0;
        if self.question != Question::None || !(may_be_idle || self.silent >= self.due.1) {
            return false;
        }
        if may_be_idle {
            self.due.0 = self.silent.saturating_add(timeout);
        }
        self.due.1 = self.silent + STANDS_STILL;
        self.question = Question::Asked { may_be_idle };
        true
    }
}

impl Silence {
    pub(crate) fn new(timeout: Duration, positions: &[i64]) -> Self {
        Silence { timeout, partitions: positions.iter().map(|position| Quiet::at(*position, timeout)).collect() }
    }

    /// A read took `spent` and left the partitions at these positions, of which the last may be new. Partitions that have
    /// now been silent for long enough to ask for their end; one question at a time for each.
    pub(crate) fn after_read(&mut self, spent: Duration, positions: &[i64], paused: &[usize]) -> Vec<usize> {
        let (known, timeout) = (self.partitions.len(), self.timeout);
        self.partitions.extend(positions.iter().skip(known).map(|position| Quiet::at(*position, timeout)));
        let mut quiet = Vec::new();
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            if positions[index] != partition.position || paused.contains(&index) {
                partition.disturb(positions[index], timeout);
                continue;
            }
            partition.silent += spent;
            partition.unread = partition.unread.map(|unread| unread + spent);
            if partition.asks(timeout) {
                quiet.push(index);
            }
        }
        quiet
    }

    /// The end that was asked for.
    pub(crate) fn told(&mut self, index: usize, end: Option<PartitionEnd>) -> Verdict {
        let partition = &mut self.partitions[index];
        let answered = std::mem::replace(&mut partition.question, Question::None);
        let Question::Asked { may_be_idle } = answered else { return Verdict::Nothing };
        // Whoever does not answer is away, and what is there does not come for that reason.
        let is_more = end.is_some_and(|end| end.readable > partition.position);
        partition.unread = is_more.then(|| partition.unread.unwrap_or_default());
        if partition.unread.is_some_and(|unread| unread >= STANDS_STILL) {
            return Verdict::StandsStill;
        }
        if may_be_idle && end.is_some_and(|end| end.written == partition.position) {
            partition.settled = true;
            return Verdict::Idle;
        }
        Verdict::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn end(written: i64, readable: i64) -> Option<PartitionEnd> {
        Some(PartitionEnd { written, readable })
    }

    /// Flink, WatermarksWithIdlenessTest (testIdleWithoutEvents, testRepeatedIdleChecks, testActiveAfterIdleness), with
    /// a timeout of three probes. We differ: silence alone decides nothing, it only lets the end be asked for.
    #[test]
    fn silence_is_counted_while_reading_and_a_record_ends_it() {
        let mut silence = Silence::new(3 * SECOND, &[0, 7]);
        assert!(silence.after_read(SECOND, &[0, 7], &[]).is_empty());
        assert!(silence.after_read(SECOND, &[0, 8], &[]).is_empty());
        assert_eq!(silence.after_read(SECOND, &[0, 8], &[]), [0]);
        assert!(silence.after_read(SECOND, &[0, 8], &[]).is_empty());
        assert_eq!(silence.after_read(SECOND, &[0, 8], &[]), [1], "partition 0 is being asked about");
        assert!(silence.after_read(SECOND, &[1, 9], &[]).is_empty());
    }

    /// Flink, FLINK-35886: paused time is not silence.
    #[test]
    fn paused_time_does_not_count() {
        let mut silence = Silence::new(2 * SECOND, &[0]);
        for _ in 0..10 {
            assert!(silence.after_read(SECOND, &[0], &[0]).is_empty());
        }
        assert!(silence.after_read(SECOND, &[0], &[]).is_empty());
        assert_eq!(silence.after_read(SECOND, &[0], &[]), [0]);
    }

    #[test]
    fn only_an_end_at_our_position_makes_idle_and_that_once() {
        let mut silence = Silence::new(SECOND, &[5]);
        for end in [end(6, 5), end(6, 6), None] {
            assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
            assert_eq!(silence.told(0, end), Verdict::Nothing, "{end:?}");
        }
        assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
        assert_eq!(silence.told(0, end(5, 5)), Verdict::Idle);
        for _ in 0..5 {
            assert!(silence.after_read(SECOND, &[5], &[]).is_empty(), "it is idle: not asked about again so soon");
        }
        assert!(silence.after_read(SECOND, &[6], &[]).is_empty());
        assert_eq!(silence.after_read(SECOND, &[6], &[]), [0]);
    }

    /// The query must have begun after the silence: one that was on its way while a record came says nothing, even if
    /// its answer happens to be where we stand now.
    #[test]
    fn an_answer_to_an_old_question_is_none() {
        let mut silence = Silence::new(SECOND, &[5]);
        assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
        assert!(silence.after_read(SECOND, &[6], &[]).is_empty());
        assert!(silence.after_read(3 * SECOND, &[6], &[]).is_empty(), "one question at a time");
        assert_eq!(silence.told(0, end(6, 6)), Verdict::Nothing);
        assert_eq!(silence.after_read(SECOND, &[6], &[]), [0]);
        assert!(silence.after_read(SECOND, &[6], &[0]).is_empty());
        assert_eq!(silence.told(0, end(6, 6)), Verdict::Nothing, "it was paused since");
        assert_eq!(silence.after_read(SECOND, &[6], &[]), [0]);
        assert_eq!(silence.told(0, end(6, 6)), Verdict::Idle);
    }

    #[test]
    fn a_partition_that_was_added_is_watched_too() {
        let mut silence = Silence::new(2 * SECOND, &[5]);
        assert!(silence.after_read(SECOND, &[5, 0], &[]).is_empty());
        assert_eq!(silence.after_read(SECOND, &[5, 0], &[]), [0, 1]);
    }

    /// The same answer whenever it is asked, and when that was.
    fn heard(silence: &mut Silence, seconds: u32, answer: Option<PartitionEnd>) -> Vec<(u32, Verdict)> {
        let mut heard = Vec::new();
        for second in 1..=seconds {
            if !silence.after_read(SECOND, &[5], &[]).is_empty() {
                heard.push((second, silence.told(0, answer)));
            }
        }
        heard
    }

    #[test]
    fn what_can_be_read_and_does_not_come_for_thirty_seconds_stands_still() {
        let heard = heard(&mut Silence::new(SECOND, &[5]), 31, end(7, 6));
        let (last, before) = heard.split_last().unwrap();
        assert_eq!((before.len(), *last), (30, (31, Verdict::StandsStill)), "30 s after the first that said so");
        assert!(before.iter().all(|(_, verdict)| *verdict == Verdict::Nothing));
    }

    /// What is lost sight of when nothing is written has more to read one day.
    #[test]
    fn an_idle_partition_is_asked_about_still_and_may_stand_still() {
        let mut silence = Silence::new(10 * SECOND, &[5]);
        assert_eq!(
            heard(&mut silence, 70, end(5, 5)),
            [(10, Verdict::Idle), (40, Verdict::Nothing), (70, Verdict::Nothing)]
        );
        assert_eq!(heard(&mut silence, 60, end(9, 9)), [(30, Verdict::Nothing), (60, Verdict::StandsStill)]);
    }

    #[test]
    fn a_long_timeout_asks_earlier_and_is_idle_no_earlier() {
        let nothing = Verdict::Nothing;
        let idle = heard(&mut Silence::new(75 * SECOND, &[5]), 75, end(5, 5));
        assert_eq!(idle, [(30, nothing), (60, nothing), (75, Verdict::Idle)]);
        let unknown = heard(&mut Silence::new(40 * SECOND, &[5]), 110, None);
        assert_eq!(unknown, [(30, nothing), (40, nothing), (70, nothing), (80, nothing), (110, nothing)]);
        let stands_still = heard(&mut Silence::new(75 * SECOND, &[5]), 60, end(9, 9));
        assert_eq!(stands_still, [(30, nothing), (60, Verdict::StandsStill)]);
    }

    #[test]
    fn an_open_transaction_a_pause_and_a_broker_that_is_away_are_no_standing_still() {
        for interrupted_by in ["an open transaction", "no answer", "a pause"] {
            let mut silence = Silence::new(SECOND, &[5]);
            for round in 0..10 {
                for _ in 0..30 {
                    assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
                    assert_eq!(silence.told(0, end(9, 8)), Verdict::Nothing, "{interrupted_by}, {round}");
                }
                assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
                let answer = match interrupted_by {
                    "an open transaction" => end(9, 5),
                    "no answer" => None,
                    _ => {
                        assert!(silence.after_read(SECOND, &[5], &[0]).is_empty());
                        end(9, 8)
                    }
                };
                assert_eq!(silence.told(0, answer), Verdict::Nothing, "{interrupted_by}, {round}");
            }
        }
    }
}

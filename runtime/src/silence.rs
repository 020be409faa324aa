//! When a partition is idle: silence while we read, then an end that was asked for afterwards and equals our position.
//! Time in which we did not read (gated, paused) is not silence. The committer journals the idleness, or refuses it.
//! And when a partition stands still: silence, while whoever holds it says again and again that there is more to read. A
//! transport may lose sight of a partition for good and not know it (librdkafka 2.12: issues 5430 and 5593).

use std::time::Duration;
use stream::PartitionEnd;

/// Silence beside records that can be read, until the transport is taken to stand still; as long a silence lets the end be
/// asked for. After each time that this did not help, twice as long: over a slow link a first record may take its time.
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
    /// The end is asked for when it has been silent for so long.
    due: Duration,
    question: Question,
    /// Proposed to be idle; it is not asked about again before its position moves.
    settled: bool,
    /// Silence since it was first said that there is more to read; none if it was not said.
    unread: Option<Duration>,
    /// So much of it is waited for.
    patience: Duration,
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
    fn at(position: i64, due: Duration) -> Self {
        let (silent, question, patience) = (Duration::ZERO, Question::None, STANDS_STILL);
        Quiet { position, silent, due, question, settled: false, unread: None, patience }
    }

    /// Something came, or could not have come.
    fn disturb(&mut self, position: i64, due: Duration) {
        if self.position != position {
            (self.settled, self.patience) = (false, STANDS_STILL);
        }
        (self.position, self.silent, self.due, self.unread) = (position, Duration::ZERO, due, None);
        if self.question != Question::None {
            self.question = Question::Outdated;
        }
    }
}

impl Silence {
    pub(crate) fn new(timeout: Duration, positions: &[i64]) -> Self {
        let mut silence = Silence { timeout, partitions: Vec::new() };
        silence.watch(positions);
        silence
    }

    /// The first question's moment, and the time between two of them.
    fn every(&self) -> Duration {
        self.timeout.min(STANDS_STILL)
    }

    fn watch(&mut self, positions: &[i64]) {
        let (known, due) = (self.partitions.len(), self.every());
        self.partitions.extend(positions.iter().skip(known).map(|position| Quiet::at(*position, due)));
    }

    /// A read took `spent` and left the partitions at these positions, of which the last may be new. Partitions that have
    /// now been silent for long enough to ask for their end; one question at a time for each.
    pub(crate) fn after_read(&mut self, spent: Duration, positions: &[i64], paused: &[usize]) -> Vec<usize> {
        self.watch(positions);
        let (timeout, every, mut quiet) = (self.timeout, self.every(), Vec::new());
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            if positions[index] != partition.position || paused.contains(&index) {
                partition.disturb(positions[index], every);
                continue;
            }
            partition.silent += spent;
            partition.unread = partition.unread.map(|unread| unread + spent);
            if partition.silent >= partition.due && partition.question == Question::None && !partition.settled {
                let may_be_idle = partition.silent >= timeout;
                let next = partition.silent.saturating_add(every);
                partition.due = if may_be_idle { next } else { next.min(timeout) };
                partition.question = Question::Asked { may_be_idle };
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
        partition.settled |= may_be_idle && end.is_some_and(|end| end.written == partition.position);
        if partition.settled {
            return Verdict::Idle;
        }
        // Whoever does not answer is away, and what is there does not come for that reason.
        let is_more = end.is_some_and(|end| end.readable > partition.position);
        partition.unread = is_more.then(|| partition.unread.unwrap_or_default());
        if partition.unread.is_none_or(|unread| unread < partition.patience) {
            return Verdict::Nothing;
        }
        (partition.unread, partition.patience) = (None, partition.patience * 2);
        Verdict::StandsStill
    }

    /// Where a partition stands.
    pub(crate) fn position(&self, index: usize) -> i64 {
        self.partitions[index].position
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
            assert!(silence.after_read(SECOND, &[5], &[]).is_empty(), "it is idle: nothing is left to ask");
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

    /// Answers of the same partition, one a second, until it stands still; how many there were.
    fn answers_until_still(silence: &mut Silence, end: Option<PartitionEnd>) -> u32 {
        for answers in 1..1000 {
            assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
            match silence.told(0, end) {
                Verdict::Nothing => {}
                Verdict::StandsStill => return answers,
                Verdict::Idle => panic!("there is more"),
            }
        }
        panic!("it is never said");
    }

    #[test]
    fn what_can_be_read_and_does_not_come_stands_still_and_is_given_more_time_after_each_try() {
        let mut silence = Silence::new(SECOND, &[5]);
        assert_eq!(answers_until_still(&mut silence, end(7, 6)), 31, "30 s after the first that said so");
        assert_eq!(answers_until_still(&mut silence, end(7, 6)), 61);
        assert_eq!(answers_until_still(&mut silence, end(7, 6)), 121);
        // It helped.
        assert!(silence.after_read(SECOND, &[6], &[]).is_empty());
        assert!(silence.after_read(SECOND, &[5], &[]).is_empty());
        assert_eq!(answers_until_still(&mut silence, end(7, 6)), 31);
    }

    /// However long a partition may be silent before it is idle.
    #[test]
    fn a_long_timeout_asks_earlier_and_is_idle_no_earlier() {
        let mut silence = Silence::new(75 * SECOND, &[5]);
        let asked_at = |silence: &mut Silence, answer: Option<PartitionEnd>| {
            let mut heard = Vec::new();
            for second in 1..=110 {
                if !silence.after_read(SECOND, &[5], &[]).is_empty() {
                    heard.push((second, silence.told(0, answer)));
                }
            }
            heard
        };
        let nothing = Verdict::Nothing;
        assert_eq!(asked_at(&mut silence, end(5, 5)), [(30, nothing), (60, nothing), (75, Verdict::Idle)]);
        let mut silence = Silence::new(75 * SECOND, &[5]);
        let heard = [(30, nothing), (60, Verdict::StandsStill), (75, nothing), (105, nothing)];
        assert_eq!(asked_at(&mut silence, end(9, 9)), heard);
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

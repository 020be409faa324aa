//! When a partition is idle: silence while we read, then an end that was asked for afterwards and equals our position.
//! Time in which we did not read (gated, paused) is not silence. The committer journals the idleness, or refuses it.

use std::time::Duration;

/// How long each partition of a reader has been silent, and which ends have been asked for.
pub(crate) struct Silence {
    timeout: Duration,
    partitions: Vec<Quiet>,
}

#[derive(Clone, Copy)]
struct Quiet {
    position: i64,
    silent: Duration,
    question: Question,
    /// Proposed to be idle; it is not asked about again before its position moves.
    settled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    None,
    /// Asked, and nothing has come since.
    Asked,
    /// Asked, and something has come since: the answer is to an old question.
    Outdated,
}

impl Quiet {
    fn at(position: i64) -> Self {
        Quiet { position, silent: Duration::ZERO, question: Question::None, settled: false }
    }

    /// Something came, or could not have come.
    fn disturb(&mut self, position: i64) {
        self.settled &= self.position == position;
        (self.position, self.silent) = (position, Duration::ZERO);
        if self.question == Question::Asked {
            self.question = Question::Outdated;
        }
    }
}

impl Silence {
    pub(crate) fn new(timeout: Duration, positions: &[i64]) -> Self {
        Silence { timeout, partitions: positions.iter().copied().map(Quiet::at).collect() }
    }

    /// A read took `spent` and left the partitions at these positions, of which the last may be new. Partitions that have
    /// now been silent for long enough to ask for their end; one question at a time for each.
    pub(crate) fn after_read(&mut self, spent: Duration, positions: &[i64], paused: &[usize]) -> Vec<usize> {
        self.partitions.extend(positions.iter().skip(self.partitions.len()).copied().map(Quiet::at));
        let mut quiet = Vec::new();
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            if positions[index] != partition.position || paused.contains(&index) {
                partition.disturb(positions[index]);
                continue;
            }
            partition.silent += spent;
            if partition.silent >= self.timeout && partition.question == Question::None && !partition.settled {
                partition.silent = Duration::ZERO;
                partition.question = Question::Asked;
                quiet.push(index);
            }
        }
        quiet
    }

    /// The end that was asked for. Whether the partition is idle: nothing has come since the question, and nothing is
    /// there beyond our position.
    pub(crate) fn told(&mut self, index: usize, end: Option<i64>) -> bool {
        let partition = &mut self.partitions[index];
        let answered = std::mem::replace(&mut partition.question, Question::None);
        partition.settled |= answered == Question::Asked && end == Some(partition.position);
        partition.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

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
        for end in [Some(6), None] {
            assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
            assert!(!silence.told(0, end), "{end:?}");
        }
        assert_eq!(silence.after_read(SECOND, &[5], &[]), [0]);
        assert!(silence.told(0, Some(5)));
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
        assert!(!silence.told(0, Some(6)));
        assert_eq!(silence.after_read(SECOND, &[6], &[]), [0]);
        assert!(silence.after_read(SECOND, &[6], &[0]).is_empty());
        assert!(!silence.told(0, Some(6)), "it was paused since");
        assert_eq!(silence.after_read(SECOND, &[6], &[]), [0]);
        assert!(silence.told(0, Some(6)));
    }

    #[test]
    fn a_partition_that_was_added_is_watched_too() {
        let mut silence = Silence::new(2 * SECOND, &[5]);
        assert!(silence.after_read(SECOND, &[5, 0], &[]).is_empty());
        assert_eq!(silence.after_read(SECOND, &[5, 0], &[]), [0, 1]);
    }
}

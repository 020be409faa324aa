//! When a partition is idle: silence while we read, then an end that was asked for afterwards and equals our position.
//! Time in which we did not read (gated, paused) is not silence. The committer journals the idleness, or refuses it.

use std::time::Duration;

/// How long each partition of a reader has been silent.
pub(crate) struct Silence {
    timeout: Duration,
    partitions: Vec<(i64, Duration)>,
}

impl Silence {
    pub(crate) fn new(timeout: Duration, positions: &[i64]) -> Self {
        Silence { timeout, partitions: positions.iter().map(|position| (*position, Duration::ZERO)).collect() }
    }

    /// A read took `spent` and left the partitions at these positions. Partitions that have now been silent for long
    /// enough to ask for their end; each is asked about once per timeout.
    pub(crate) fn after_read(&mut self, spent: Duration, positions: &[i64], paused: &[usize]) -> Vec<usize> {
        let mut quiet = Vec::new();
        for (index, (last, silent)) in self.partitions.iter_mut().enumerate() {
            if positions[index] != *last || paused.contains(&index) {
                (*last, *silent) = (positions[index], Duration::ZERO);
                continue;
            }
            *silent += spent;
            if *silent >= self.timeout {
                *silent = Duration::ZERO;
                quiet.push(index);
            }
        }
        quiet
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
        assert_eq!(silence.after_read(SECOND, &[0, 8], &[]), [1], "partition 0 is asked about again only later");
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
}

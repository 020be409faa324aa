//! Trying a store operation again: how long a store that fails is waited for, and what log and metrics say meanwhile.

use super::Patience;
use super::store::Objects;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use stream::Fault;

/// How patient to be, and who waits.
pub(super) struct Waiting {
    patience: Patience,
    is_running: AtomicBool,
    waiting: AtomicUsize,
}

impl Waiting {
    pub(super) fn new(patience: Patience) -> Self {
        Waiting { patience, is_running: AtomicBool::new(false), waiting: AtomicUsize::new(0) }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.patience.deadline
    }

    /// State is loaded and the job runs: from now on the store is waited for longer.
    pub(super) fn runs(&self) {
        self.is_running.store(true, Ordering::Relaxed);
    }

    fn attempts(&self) -> u32 {
        match self.is_running.load(Ordering::Relaxed) {
            true => self.patience.attempts_running,
            false => self.patience.attempts,
        }
    }

    /// Before attempt `attempt`, counted from 0; none when patience is at its end.
    fn pause(&self, attempt: u32) -> Option<Duration> {
        let pause = self.patience.first.saturating_mul(1 << attempt.min(20)).min(self.patience.most);
        (attempt + 1 < self.attempts()).then_some(pause)
    }

    fn show(&self) {
        metrics::gauge!("topk_journal_waiting").set(self.waiting.load(Ordering::Relaxed) as f64);
    }
}

/// The attempts at one operation, from the first failure on.
pub(super) struct Attempts<'a> {
    objects: &'a Objects,
    verb: &'static str,
    name: &'a str,
    failed: u32,
    paused: Duration,
    gave_up: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn of(objects: &'a Objects, verb: &'static str, name: &'a str) -> Self {
        Attempts { objects, verb, name, failed: 0, paused: Duration::ZERO, gave_up: false }
    }

    /// An attempt failed: if that may pass, wait before the next one. False: hand the fault up.
    pub(super) fn again(&mut self, fault: &Fault) -> bool {
        let waiting = &self.objects.waiting;
        let pause = waiting.pause(self.failed).filter(|_| fault.is_transient());
        let Some(pause) = pause else {
            self.gave_up = true;
            return false;
        };
        metrics::counter!("topk_journal_retries_total", "operation" => self.verb).increment(1);
        if self.failed == 0 {
            waiting.waiting.fetch_add(1, Ordering::Relaxed);
            waiting.show();
        }
        self.failed += 1;
        // An outage of an hour is a dozen lines.
        if self.failed.is_power_of_two() {
            tracing::warn!(%fault, attempt = self.failed, paused = ?self.paused, "the journal waits for its store");
        }
        self.objects.sleep(pause);
        self.paused += pause;
        true
    }
}

impl Drop for Attempts<'_> {
    fn drop(&mut self) {
        if self.failed == 0 {
            return;
        }
        let waiting = &self.objects.waiting;
        waiting.waiting.fetch_sub(1, Ordering::Relaxed);
        waiting.show();
        if !self.gave_up {
            let (operation, name) = (self.verb, self.name);
            tracing::info!(operation, name, attempts = self.failed + 1, "the journal's store answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_end() {
        let waiting = Waiting::new(Patience {
            deadline: Duration::from_secs(1),
            attempts: 5,
            attempts_running: 7,
            first: Duration::from_millis(10),
            most: Duration::from_millis(35),
        });
        let pauses = || (0..8).map_while(|attempt| waiting.pause(attempt)).map(|pause| pause.as_millis());
        assert_eq!(pauses().collect::<Vec<_>>(), [10, 20, 35, 35], "five attempts have four pauses");
        waiting.runs();
        assert_eq!(pauses().count(), 6, "a running job waits longer");
        assert_eq!(waiting.pause(u32::MAX - 1), None);
    }
}

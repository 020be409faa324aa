//! A store as the reader sees it: asked within a deadline, left alone for a moment after it failed, and talked about
//! once when it stops answering and once when it is back.

use crate::stores::Reading;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use stream::{Clock, Fault};

/// A store that failed is asked by one request in this time, and the others go on without it: a dead store must not cost
/// each of them a deadline.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The way to one store.
pub(crate) struct Line {
    name: &'static str,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    answers: AtomicBool,
    /// While it does not answer: when it may be asked again, in monotonic milliseconds.
    ask_again: AtomicU64,
}

impl Line {
    pub(crate) fn new(name: &'static str, deadline: Duration, clock: Arc<dyn Clock>) -> Self {
        Line { name, deadline, clock, answers: AtomicBool::new(true), ask_again: AtomicU64::new(0) }
    }

    /// The store's answer; none if it fails, or failed a moment ago.
    pub(crate) async fn ask<'a, T>(&self, reading: impl FnOnce() -> Reading<'a, T>) -> Option<T> {
        if self.is_left_alone() { None } else { self.probe(reading).await }
    }

    /// The same, however lately it failed.
    pub(crate) async fn probe<'a, T>(&self, reading: impl FnOnce() -> Reading<'a, T>) -> Option<T> {
        match within(self.deadline, self.name, reading()).await {
            Ok(answer) => {
                if !self.answers.swap(true, Ordering::AcqRel) {
                    tracing::info!("{} answers again", self.name);
                }
                Some(answer)
            }
            Err(fault) => {
                metrics::counter!("topk_reader_store_failures_total", "store" => self.name).increment(1);
                self.ask_again.store(self.now() + millis(LEFT_ALONE), Ordering::Release);
                if self.answers.swap(false, Ordering::AcqRel) {
                    tracing::warn!("{fault}");
                }
                None
            }
        }
    }

    /// Whoever finds the time over asks, and the others wait for another.
    fn is_left_alone(&self) -> bool {
        if self.answers.load(Ordering::Acquire) {
            return false;
        }
        let (now, ask_again) = (self.now(), self.ask_again.load(Ordering::Acquire));
        let next = now + millis(LEFT_ALONE);
        now < ask_again
            || self.ask_again.compare_exchange(ask_again, next, Ordering::AcqRel, Ordering::Acquire).is_err()
    }

    fn now(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A question with its deadline.
pub(crate) async fn within<T>(deadline: Duration, name: &str, reading: Reading<'_, T>) -> Result<T, Fault> {
    tokio::time::timeout(deadline, reading).await.unwrap_or_else(|_| {
        let why = format!("no answer within {deadline:?}");
        Err(Fault::transient(format!("cannot read from {name}"), why, "look whether it runs and has room"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use stream::ManualClock;

    #[tokio::test]
    async fn a_store_that_failed_is_asked_by_one_in_a_while() {
        let (clock, asked) = (Arc::new(ManualClock::default()), AtomicUsize::new(0));
        let line = Line::new("memory", Duration::from_secs(1), clock.clone());
        let fails = || -> Reading<'_, ()> {
            asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Err(Fault::transient("cannot read", "it is away", "wait")) })
        };
        for _ in 0..5 {
            assert_eq!(line.ask(fails).await, None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        clock.advance(LEFT_ALONE);
        for _ in 0..5 {
            assert_eq!(line.ask(fails).await, None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let answers = || -> Reading<'_, u32> { Box::pin(async { Ok(7) }) };
        assert_eq!(line.ask(answers).await, None, "left alone");
        assert_eq!(line.probe(answers).await, Some(7), "unless it matters");
        assert_eq!(line.ask(answers).await, Some(7), "it answers again");
    }
}

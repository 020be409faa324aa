//! The same line again and again hides the others: of each line of the program so many are shown at once, then a few a
//! minute, and what was left out is counted and said.

use serde_json::json;
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;
use stream::{Clock, SystemClock};
use tracing::callsite::Identifier;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// So many lines of one kind are shown at once.
const BURST: u32 = 20;
/// Afterwards one in this time. What is said every 5 s is never left out.
const EVERY: Duration = Duration::from_secs(3);

/// A formatter that leaves out what is said too often.
pub(super) struct Limited<F> {
    inner: F,
    /// Whether lines are JSON objects.
    json: bool,
    clock: SystemClock,
    kinds: Mutex<HashMap<Identifier, Bucket>>,
}

impl<F> Limited<F> {
    pub(super) fn new(inner: F, json: bool) -> Self {
        Limited { inner, json, clock: SystemClock::default(), kinds: Mutex::default() }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let admitted = {
            let mut kinds = self.kinds.lock().expect("nobody panics while holding the counts");
            kinds.entry(event.metadata().callsite()).or_default().admit(self.clock.monotonic())
        };
        let Some(left_out) = admitted else { return Ok(()) };
        if left_out > 0 {
            let message = format!("{left_out} lines like the next one were left out");
            match self.json {
                true => {
                    writeln!(writer, "{}", json!({ "level": "INFO", "message": message, "target": module_path!() }))?
                }
                false => writeln!(writer, "  ({message})")?,
            }
        }
        self.inner.format_event(context, writer, event)
    }
}

/// What one kind of line may still say.
#[derive(Default)]
struct Bucket {
    used: u32,
    /// Up to here, time was given back.
    at: Duration,
    left_out: u64,
}

impl Bucket {
    /// None: leave it out. Else how many were left out before it.
    fn admit(&mut self, now: Duration) -> Option<u64> {
        let back = (now.saturating_sub(self.at).as_nanos() / EVERY.as_nanos()) as u32;
        if back >= self.used {
            (self.used, self.at) = (0, now);
        } else {
            self.used -= back;
            self.at += EVERY * back;
        }
        if self.used >= BURST {
            self.left_out += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    #[test]
    fn a_burst_then_a_few_and_what_was_left_out_is_counted() {
        let mut bucket = Bucket::default();
        let at = Duration::from_millis;
        let shown = (0..1000).filter(|_| bucket.admit(at(10)).is_some()).count();
        assert_eq!(shown, BURST as usize);
        assert_eq!(bucket.admit(at(2900)), None);
        assert_eq!(bucket.admit(at(3100)), Some(981));
        assert_eq!(bucket.admit(at(3200)), None);
        let later = at(3_600_000);
        assert_eq!((bucket.admit(later), bucket.admit(later)), (Some(1), Some(0)));
        let mut steady = Bucket::default();
        assert!((0..10_000).all(|tick| steady.admit(Duration::from_secs(5 * tick)) == Some(0)));
    }

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_lines_are_not_held_back() {
        let said = Said::default();
        let into = said.clone();
        let format = Limited::new(tracing_subscriber::fmt::format().without_time(), false);
        let subscriber = tracing_subscriber::fmt().event_format(format).with_writer(move || into.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            (0..100).for_each(|n| tracing::warn!(n, "again"));
            tracing::warn!("something else");
        });
        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.matches("again").count(), BURST as usize, "{said}");
        assert_eq!(said.matches("something else").count(), 1, "{said}");
    }
}

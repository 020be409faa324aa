//! Waiting for a condition, with a deadline that says what was awaited. Deadlines are generous: they find what hangs, they
//! measure nothing.

use std::time::Duration;
use stream::{Clock, SystemClock};

/// Long enough for the slowest machine; what takes longer hangs.
pub const LONG: Duration = Duration::from_secs(120);

/// Ask `condition` again and again until it has an answer.
///
/// # Panics
/// When `deadline` has passed.
pub fn until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::default();
    let began = clock.monotonic();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(clock.monotonic() - began < deadline, "waited {deadline:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

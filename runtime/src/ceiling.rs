//! `job.max_memory`: while this process holds more, nothing is read. What counts is the resident set as the system tells it,
//! since that is what the system ends a process for; a sum of our own structures would leave out the allocator's slack, the
//! clients' buffers and whatever copies are under way. Decisions alone; the commit thread looks and acts.

use std::time::Duration;

/// A process that was paused reads on once it holds less than this part of the ceiling, so that it does not stop and go
/// with every block that is freed.
const LET_GO_AT: f64 = 0.95;
/// How often what lies free within the process is given back while it is over the ceiling: this walks all of it.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(5);

/// How much memory a run may take, and how that is measured.
pub struct MemoryBound {
    /// Reading pauses beyond this many bytes.
    pub max: Option<u64>,
    /// The bytes that this process holds now.
    pub resident: Box<dyn Fn() -> u64 + Send>,
    /// Gives the system back what was freed and is kept at hand.
    pub give_back: Box<dyn Fn() + Send>,
    /// A run to the end is given up once it is paused and has held no less for this long: nothing will change any more.
    pub patience: Duration,
}

impl MemoryBound {
    /// No bound.
    pub fn none() -> Self {
        MemoryBound {
            max: None,
            resident: Box::new(|| 0),
            give_back: Box::new(|| ()),
            patience: Duration::from_secs(30),
        }
    }
}

/// Looks at memory, and says when reading stops and goes on.
pub(crate) struct Ceiling {
    bound: MemoryBound,
    resident: u64,
    gave_back: Option<Duration>,
    pause: Option<Pause>,
}

/// Nothing is read.
struct Pause {
    /// The least that was held since it began, or since it last got less.
    least: u64,
    since: Duration,
}

impl Ceiling {
    pub(crate) fn new(bound: MemoryBound) -> Self {
        Ceiling { bound, resident: 0, gave_back: None, pause: None }
    }

    pub(crate) fn max(&self) -> Option<u64> {
        self.bound.max
    }

    /// Bytes held when last looked at.
    pub(crate) fn resident(&self) -> u64 {
        self.resident
    }

    pub(crate) fn is_over(&self) -> bool {
        self.pause.is_some()
    }

    /// Look. Whether reading stops or goes on with this look.
    pub(crate) fn look(&mut self, now: Duration) -> bool {
        self.resident = (self.bound.resident)();
        let Some(max) = self.bound.max else { return false };
        let let_go = (max as f64 * LET_GO_AT) as u64;
        let most = if self.is_over() { let_go } else { max };
        let is_due = self.gave_back.is_none_or(|last| now.saturating_sub(last) >= GIVE_BACK_EVERY);
        if self.resident > most && is_due {
            self.gave_back = Some(now);
            (self.bound.give_back)();
            self.resident = (self.bound.resident)();
        }
        let was_over = self.is_over();
        if self.resident <= most {
            self.pause = None;
            return was_over;
        }
        let pause = self.pause.get_or_insert(Pause { least: self.resident, since: now });
        // A little less is noise: a page here and there.
        if self.resident < pause.least - pause.least / 100 {
            *pause = Pause { least: self.resident, since: now };
        }
        !was_over
    }

    /// It is paused, and has held no less for as long as a run to the end waits.
    pub(crate) fn is_stuck(&self, now: Duration) -> bool {
        self.pause.as_ref().is_some_and(|pause| now.saturating_sub(pause.since) >= self.bound.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SECOND: Duration = Duration::from_secs(1);

    /// A ceiling of 1000 over what the test says is held, and what giving back leaves of it.
    fn ceiling(max: Option<u64>) -> (Ceiling, impl Fn(u64, u64)) {
        let (held, kept) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let (read, back) = (held.clone(), (held.clone(), kept.clone()));
        let bound = MemoryBound {
            max,
            resident: Box::new(move || read.load(Ordering::SeqCst)),
            give_back: Box::new(move || {
                back.0.fetch_min(back.1.load(Ordering::SeqCst), Ordering::SeqCst);
            }),
            patience: 10 * SECOND,
        };
        let set = move |now, after| {
            held.store(now, Ordering::SeqCst);
            kept.store(after, Ordering::SeqCst);
        };
        (Ceiling::new(bound), set)
    }

    #[test]
    fn it_pauses_above_the_ceiling_and_goes_on_well_below() {
        let (mut ceiling, hold) = ceiling(Some(1000));
        let mut look = |held, second: u32| {
            hold(held, u64::MAX);
            (ceiling.look(second * SECOND), ceiling.is_over())
        };
        assert_eq!(look(1000, 0), (false, false), "exactly the ceiling is allowed");
        assert_eq!(look(1001, 1), (true, true));
        assert_eq!(look(1500, 2), (false, true));
        assert_eq!(look(960, 3), (false, true), "a little below it would be back at once");
        assert_eq!(look(950, 4), (true, false));
        assert_eq!(look(1000, 5), (false, false));
    }

    #[test]
    fn what_lies_free_is_given_back_before_anything_stops() {
        let (mut ceiling, hold) = ceiling(Some(1000));
        hold(1200, 900);
        assert!(!ceiling.look(SECOND) && !ceiling.is_over());
        assert_eq!(ceiling.resident(), 900);
        hold(1200, 900);
        assert!(ceiling.look(2 * SECOND), "not with every look: it walks all memory");
        hold(1200, 900);
        assert!(ceiling.look(6 * SECOND) && !ceiling.is_over());
    }

    #[test]
    fn it_is_stuck_once_nothing_gets_less_any_more() {
        let (mut ceiling, hold) = ceiling(Some(1000));
        for (held, second, stuck) in [
            (2000, 0, false),
            (1999, 9, false),
            (1990, 10, true),
            (1900, 11, false),
            (2500, 20, false),
            (2500, 21, true),
        ] {
            hold(held, u64::MAX);
            ceiling.look(second * SECOND);
            assert_eq!(ceiling.is_stuck(second * SECOND), stuck, "{held} at {second}");
        }
        hold(100, u64::MAX);
        assert!(ceiling.look(90 * SECOND) && !ceiling.is_stuck(90 * SECOND));
    }

    #[test]
    fn without_a_ceiling_it_only_looks() {
        let (mut ceiling, hold) = ceiling(None);
        hold(u64::MAX, 0);
        assert!(!ceiling.look(SECOND) && !ceiling.is_over());
        assert_eq!(ceiling.resident(), u64::MAX);
    }
}

//! Checks by name: how often each was made, and what did not hold.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use stream::{Clock, SystemClock};

/// What was checked so far, by all who check.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    made: Mutex<Made>,
    clock: SystemClock,
}

#[derive(Debug, Default)]
struct Made {
    by_name: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
    first: Option<First>,
}

/// The first check that did not hold, and how long that was after the round's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct First {
    pub(crate) check: &'static str,
    pub(crate) after: Duration,
}

/// More are not kept.
const KEPT: usize = 100;

impl Checks {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().expect("nobody panics with the checks")
    }

    /// Something was checked; if it did not hold, this is what was found.
    pub(crate) fn hold(&self, name: &'static str, holds: bool, found: impl FnOnce() -> String) -> bool {
        *self.made().by_name.entry(name).or_default() += 1;
        if !holds {
            self.violated(name, &found());
        }
        holds
    }

    /// Something that must not happen has happened.
    pub(crate) fn violated(&self, name: &'static str, found: &str) {
        let violation = format!("{name}: {found}");
        let after = self.clock.monotonic();
        let mut made = self.made();
        made.first.get_or_insert(First { check: name, after });
        if made.violations.len() < KEPT {
            println!("VIOLATED  {violation}");
            made.violations.push(violation);
        }
    }

    /// How often each was made.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        self.made().by_name.iter().map(|(name, made)| ((*name).to_owned(), *made)).collect()
    }

    /// How often this one was made.
    pub(crate) fn times(&self, name: &str) -> u64 {
        self.made().by_name.get(name).copied().unwrap_or_default()
    }

    /// The first one that did not hold.
    pub(crate) fn first(&self) -> Option<First> {
        self.made().first
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.made().violations.clone()
    }

    pub(crate) fn all_held(&self) -> bool {
        self.made().violations.is_empty()
    }
}

//! Checks by name: how often each was made, and what did not hold.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// What was checked so far, by all who check.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    by_name: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

/// More are not kept.
const KEPT: usize = 100;

impl Checks {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.0.lock().expect("nobody panics with the checks")
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
        println!("VIOLATED  {violation}");
        let mut made = self.made();
        if made.violations.len() < KEPT {
            made.violations.push(violation);
        }
    }

    /// How often each was made.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        self.made().by_name.iter().map(|(name, made)| ((*name).to_owned(), *made)).collect()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.made().violations.clone()
    }

    pub(crate) fn all_held(&self) -> bool {
        self.made().violations.is_empty()
    }
}

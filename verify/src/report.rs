//! What was compared and what came of it: figures by check, the first differences by name, and all that could not be
//! compared, which is never left unsaid.

use std::collections::BTreeMap;

/// One check's figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Check {
    /// Things compared.
    pub compared: u64,
    /// Of these, different.
    pub differing: u64,
}

/// The outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Differences kept by name, for each check.
    most: u64,
    /// By name of the check.
    pub checks: BTreeMap<String, Check>,
    /// The first differences of each check, by name.
    pub differences: Vec<String>,
    /// What the log does not cover, and why.
    pub not_covered: Vec<String>,
    /// What could not be compared at all, and why.
    pub not_compared: Vec<String>,
    /// What is to be known and is no difference.
    pub notes: Vec<String>,
}

impl Report {
    /// Nothing compared yet. `most`: differences of each check that are kept by name.
    pub fn new(most: u64) -> Self {
        let (differences, not_covered, not_compared, notes) = Default::default();
        Report { most, checks: BTreeMap::new(), differences, not_covered, not_compared, notes }
    }

    /// Compared, so many of them.
    pub(crate) fn compared(&mut self, check: &str, number: u64) {
        match self.checks.get_mut(check) {
            Some(known) => known.compared += number,
            None => drop(self.checks.insert(check.to_owned(), Check { compared: number, differing: 0 })),
        }
    }

    /// A difference, which is built only if it is kept.
    pub(crate) fn differs(&mut self, check: &str, what: impl FnOnce() -> String) {
        self.compared(check, 0);
        let figures = self.checks.get_mut(check).expect("it was just made");
        figures.differing += 1;
        if figures.differing <= self.most {
            self.differences.push(format!("{check}: {}", what()));
        }
    }

    /// All differences.
    pub fn differing(&self) -> u64 {
        self.checks.values().map(|check| check.differing).sum()
    }

    /// Whether all could be compared and nothing differs.
    pub fn is_verified(&self) -> bool {
        self.differing() == 0 && self.not_covered.is_empty() && self.not_compared.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_beyond_those_that_are_named() {
        let mut report = Report::new(2);
        report.compared("rows", 10);
        assert!(report.is_verified());
        (0..5).for_each(|row| report.differs("rows", || format!("row {row}")));
        assert_eq!(report.differences, ["rows: row 0", "rows: row 1"]);
        assert_eq!((report.differing(), report.is_verified()), (5, false));
    }

    #[test]
    fn what_was_not_compared_is_not_verified() {
        for change in [
            |report: &mut Report| report.not_covered.push("x".into()),
            |report: &mut Report| report.not_compared.push("x".into()),
        ] {
            let mut report = Report::new(2);
            change(&mut report);
            assert!(!report.is_verified());
        }
    }
}

//! The one error of the house: what failed, why, what to do, whether a retry helps, and how the process ends.

use std::fmt;

/// Whether trying again can help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// It may: the outside was slow, away or busy.
    Helps,
    /// It cannot: somebody must change something first.
    Useless,
}

/// How the process ends if nobody handles the fault (contract, exit codes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 1: failed.
    Failed,
    /// 2: usage or configuration.
    Usage,
    /// 3: data would be lost, so refused.
    Refused,
    /// 4: a newer generation has taken over.
    Fenced,
}

impl Exit {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Fenced => 4,
        }
    }
}

/// A failure, in the three sentences its reader needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What was attempted and failed; lower case, no full stop.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do about it; empty where `why` is a list that says it for each.
    pub hint: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// How the process ends.
    pub exit: Exit,
}

impl Fault {
    fn new(what: impl Into<String>, why: impl fmt::Display, hint: impl Into<String>, retry: Retry, exit: Exit) -> Self {
        Fault { what: what.into(), why: why.to_string(), hint: hint.into(), retry, exit }
    }

    /// The outside is slow, away or busy: try again.
    pub fn transient(what: impl Into<String>, why: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(what, why, hint, Retry::Helps, Exit::Failed)
    }

    /// It failed and will fail again.
    pub fn failed(what: impl Into<String>, why: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(what, why, hint, Retry::Useless, Exit::Failed)
    }

    /// The user's input is wrong.
    pub fn usage(what: impl Into<String>, why: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(what, why, hint, Retry::Useless, Exit::Usage)
    }

    /// Going on would lose data.
    pub fn refused(what: impl Into<String>, why: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(what, why, hint, Retry::Useless, Exit::Refused)
    }

    /// A newer generation has taken over.
    pub fn fenced(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::new(
            what,
            why,
            "nothing: the newer instance goes on; start this one again only to take over from it",
            Retry::Useless,
            Exit::Fenced,
        )
    }

    /// Whether a retry helps.
    pub fn is_transient(&self) -> bool {
        self.retry == Retry::Helps
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

impl std::error::Error for Fault {}

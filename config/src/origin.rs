//! Where a value came from: shown by `config show --origin` and named by every error.

use std::fmt;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default of `default.toml`.
    Default,
    /// A default that depends on another setting, with that condition in words.
    Conditional(String),
    /// A file, or a text compiled into the program, and the line in it.
    File {
        /// The path as the user gave it, or the name of the compiled-in text.
        name: String,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// A flag of the command line, by its name.
    Flag(String),
}

impl Origin {
    /// Whether someone set this value, as opposed to a default.
    pub fn is_set(&self) -> bool {
        !matches!(self, Self::Default | Self::Conditional(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(formatter, "default"),
            Self::Conditional(condition) => write!(formatter, "default because {condition}"),
            Self::File { name, line } => write!(formatter, "from {name}:{line}"),
            Self::Environment(variable) => write!(formatter, "from env {variable}"),
            Self::Flag(flag) => write!(formatter, "from flag {flag}"),
        }
    }
}

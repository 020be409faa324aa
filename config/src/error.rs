//! What is wrong with a configuration: every mistake with its place, its reason and its remedy, all in one list.

use crate::Origin;
use std::fmt;
use thiserror::Error;

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// The dotted key it is about, if it is about one.
    pub key: Option<String>,
    /// Where the value came from, if it came from somewhere.
    pub origin: Option<Origin>,
    /// What is wrong.
    pub what: String,
    /// Why it is wrong.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.what)?;
        if let Some(origin) = &self.origin {
            write!(formatter, " ({origin})")?;
        }
        for (label, text) in [("why", &self.why), ("what to do", &self.hint)] {
            if !text.is_empty() {
                write!(formatter, "\n{label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// Every mistake found, never none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Err` with all of `errors`, or `Ok` when there are none.
    pub(crate) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The mistakes, in the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(formatter, "1 error in the configuration:")?,
            count => write!(formatter, "{count} errors in the configuration:")?,
        }
        for (index, error) in self.0.iter().enumerate() {
            let number = format!("{:>3}. ", index + 1);
            let indented = error.to_string().replace('\n', "\n     ");
            write!(formatter, "\n{number}{indented}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_a_numbered_list_with_reason_remedy_and_origin() {
        let error = ConfigError {
            key: Some("topk.k".into()),
            origin: Some(Origin::File { name: "topk.toml".into(), line: 3 }),
            what: "topk.k = 0 is out of range".into(),
            why: "it must be 1 to 1000".into(),
            hint: "set it to 1000".into(),
        };
        let other = ConfigError { origin: None, why: String::new(), ..error.clone() };
        let errors = ConfigErrors::check(vec![error, other]).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "2 errors in the configuration:\n  1. topk.k = 0 is out of range (from topk.toml:3)\n     why: it must be 1 to 1000\n     \
             what to do: set it to 1000\n  2. topk.k = 0 is out of range\n     what to do: set it to 1000"
        );
        assert_eq!(ConfigErrors::check(Vec::new()), Ok(()));
    }
}

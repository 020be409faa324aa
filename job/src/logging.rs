//! Logs: pretty on a terminal, JSON otherwise, always on stderr. Errors: what failed, why, what to do.

use std::io::IsTerminal;
use stream::Fault;
use tracing_subscriber::EnvFilter;

/// Start logging. `RUST_LOG` chooses what; the default is `info`.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (tests) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder
            .with_target(false)
            .with_ansi(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
            .try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// Say a fault on stderr.
pub fn complain(fault: &Fault) {
    eprintln!("{}", told(fault));
}

/// A list of reasons begins on a line of its own. Where each of them says what to do, nothing is left to say.
fn told(Fault { what, why, hint, .. }: &Fault) -> String {
    let before_why = if why.contains('\n') { "\n" } else { ": " };
    let to_do = if hint.is_empty() { String::new() } else { format!("\nwhat to do: {hint}") };
    format!("error: {what}{before_why}{why}{to_do}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_in_three_sentences_or_in_two() {
        assert_eq!(
            told(&Fault::failed("it failed", "so it is", "mend it")),
            "error: it failed: so it is\nwhat to do: mend it"
        );
        assert_eq!(told(&Fault::usage("it is wrong", "1. a\n2. b", "")), "error: it is wrong\n1. a\n2. b");
    }
}

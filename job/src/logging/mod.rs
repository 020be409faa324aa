//! Logs: pretty on a terminal, JSON otherwise, always on stderr. Errors: what failed, why, what to do.

mod limit;

use indicatif::{ProgressBar, ProgressStyle};
use limit::Limited;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use stream::Fault;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, format};

/// Start logging. `RUST_LOG` chooses what; the default is `info`.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| AboveTheBar);
    // A second start (tests) keeps the first.
    let _ = if io::stderr().is_terminal() {
        let ansi = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = Limited::new(format().with_target(false).with_ansi(ansi), false);
        builder.with_ansi(ansi).event_format(lines).try_init()
    } else {
        let lines = Limited::new(format().json().flatten_event(true), true);
        builder.event_format(lines).fmt_fields(JsonFields::new()).try_init()
    };
}

static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// The process's one progress bar, on a terminal's last line, looking like this from now on; not drawn elsewhere. Log
/// lines go above it.
pub fn bar(template: &str) -> &'static ProgressBar {
    let style = ProgressStyle::with_template(template).expect("a template of ours");
    let bar = BAR.get_or_init(|| ProgressBar::new(0));
    bar.set_style(style);
    bar
}

/// Where log lines go.
struct AboveTheBar;

impl Write for AboveTheBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match BAR.get() {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
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

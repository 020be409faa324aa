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
    let Fault { what, why, hint, .. } = fault;
    if why.contains('\n') {
        eprintln!("error: {what}\n{why}\nwhat to do: {hint}");
    } else {
        eprintln!("error: {what}: {why}\nwhat to do: {hint}");
    }
}

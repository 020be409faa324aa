//! One verb per file.

mod config;
mod demo;
mod doctor;
mod generate;
mod journal;
mod recover;
mod run;
mod serve;
mod top;
mod verify;

use crate::cli::{Cli, SettingsArguments, Verb};
use ::config::{Layers, Loaded};
use clap::CommandFactory;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use stream::Fault;

/// Do what was asked.
///
/// # Errors
/// A fault that nobody below could handle.
pub fn dispatch(cli: Cli) -> Result<ExitCode, Fault> {
    match cli.verb {
        Verb::Demo(arguments) => demo::demo(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Recover(arguments) => recover::recover(&arguments),
        Verb::Serve(arguments) => serve::serve(&arguments),
        Verb::Generate(arguments) => generate::generate(&arguments),
        Verb::Top(arguments) => top::top(&arguments),
        Verb::Doctor { settings } => doctor::doctor(&settings),
        Verb::Verify { settings } => verify::verify(&settings),
        Verb::Journal { what } => journal::journal(&what),
        Verb::Config { what } => config::config(&what),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "topk", &mut script);
            say(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// An answer, on standard output.
fn say(text: impl AsRef<[u8]>) -> Result<(), Fault> {
    match std::io::stdout().write_all(text.as_ref()) {
        // `| head` has had enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fault::failed("cannot write the answer", error, "check where standard output goes"))
        }
        _ => Ok(()),
    }
}

/// Defaults, file, environment and `--set`, in this order; a verb adds its own flags.
fn layers(arguments: &SettingsArguments) -> Result<Layers, Fault> {
    let mut layers = Layers::default().environment(std::env::vars_os());
    if let Some(path) = &arguments.config {
        layers = layers.file(path);
    }
    for set in &arguments.set {
        let (key, value) = set.split_once('=').ok_or_else(|| {
            Fault::usage(
                format!("--set {set} is not understood"),
                "there is no '=' in it",
                "write it like --set topk.k=100",
            )
        })?;
        layers = layers.flag(&format!("--set {key}"), key.trim(), value.trim());
    }
    Ok(layers)
}

fn loaded(arguments: &SettingsArguments) -> Result<Loaded, Fault> {
    Ok(layers(arguments)?.load())
}

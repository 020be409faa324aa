//! Parse, dispatch, end with the exit code that the contract gives to what happened.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic is our own bug. Other threads would wait for ever for one that is gone: end at once.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        std::process::exit(1);
    }));
    let cli = job::cli::Cli::parse();
    match job::commands::dispatch(cli) {
        Ok(code) => code,
        Err(fault) => {
            job::logging::complain(&fault);
            ExitCode::from(fault.exit.code())
        }
    }
}

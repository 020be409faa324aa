//! Parse, dispatch, end with the exit code that the contract gives to what happened.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    give_back_what_is_freed();
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

/// glibc raises the size from which it maps memory by itself, up to 32 MiB, with every large block that is freed; what lies
/// between is then kept for ever in the arena of the thread that made it. Here threads hand blocks to one another: with ten
/// million keys a restart held 3.1 GB that way, and 1.6 GB with the size fixed (`bench/run keys`).
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the allocator has no safe interface")]
fn give_back_what_is_freed() {
    const MAPPED_FROM: libc::c_int = 128 * 1024;
    // SAFETY: called before there is any other thread; it sets a number.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back_what_is_freed() {}

//! The small parent that holds no data: it starts the job as a child, restarts it with exponential back-off when it
//! fails, and passes signals on. The child ends when its parent does: it watches the other end of its standard input.
//! Exit codes 2, 3 and 4 are not retried, nor is a first start that fails: whoever started it should see it.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use stream::{Clock, Exit, Fault, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

/// Set for the child.
pub const SUPERVISED: &str = "TOPK_SUPERVISED";
/// Its value for the first child; later ones get another.
const FIRST: &str = "1";
/// With this the child tells its parent that its start failed, of which the contract's code is 1. Never seen outside.
pub const CANNOT_START: u8 = 70;
/// A child that ran this long was healthy: the back-off begins anew.
const HEALTHY: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whether this process is the child.
pub fn is_child() -> bool {
    std::env::var_os(SUPERVISED).is_some()
}

/// Whether this child follows on one that ended.
pub fn is_restarted() -> bool {
    std::env::var_os(SUPERVISED).is_some_and(|which| which != FIRST)
}

/// End this process when the parent is gone. Call in the child.
pub fn follow_parent() {
    std::thread::spawn(|| {
        // Nobody writes: reading ends when the parent's end closes.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        tracing::error!("the supervising parent is gone; ending");
        std::process::exit(1);
    });
}

/// Run this same command as a child until it ends for good, and end with its code. A job that has never got as far as
/// running ends for good with any fault: whoever started it should see it.
///
/// # Errors
/// The child cannot be started at all.
pub fn run() -> Result<ExitCode, Fault> {
    let wrong =
        |error: std::io::Error| Fault::failed("cannot supervise the job", error, "check the limits on processes");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
        let clock = SystemClock::default();
        // The first restart is at once; then 0.5 s, 1 s, 2 s, … up to the longest.
        let (mut pause, mut first) = (Duration::ZERO, true);
        loop {
            let started = clock.monotonic();
            let mut child = spawn(first).map_err(wrong)?;
            // Kept out of the child's handle, whose `wait` would close it.
            let alive = child.stdin.take();
            let mut signals = 0;
            let status = loop {
                tokio::select! {
                    _ = terminate.recv() => { signals += 1; pass_on(&child, libc::SIGTERM); }
                    _ = interrupt.recv() => { signals += 1; pass_on(&child, libc::SIGINT); }
                    status = child.wait() => break status.map_err(wrong)?,
                }
            };
            drop(alive);
            if let Some(code) = ends_with(Ended { code: status.code(), signal: status.signal() }, signals, first) {
                if code == 0 && status.signal().is_some() {
                    tracing::info!("stopped while starting: this start has read nothing");
                }
                return Ok(ExitCode::from(code));
            }
            first = false;
            if clock.monotonic() - started >= HEALTHY {
                pause = Duration::ZERO;
            }
            tracing::error!(
                code = status.code(),
                signal = status.signal(),
                after_seconds = pause.as_secs_f64(),
                "the job ended; it is started again from its journal"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Nothing runs, so nothing is left to drain.
                _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
                _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
            }
            pause = (pause * 2).clamp(Duration::from_millis(500), LONGEST_PAUSE);
        }
    })
}

/// How a child ended: with a code, or by a signal.
#[derive(Clone, Copy)]
struct Ended {
    code: Option<i32>,
    signal: Option<i32>,
}

/// The code to end with, or `None`: start the child again. `signals` were passed on to it.
fn ends_with(ended: Ended, signals: u32, first: bool) -> Option<u8> {
    let failed = Exit::Failed.code();
    let code = ended.code.map(|code| u8::try_from(code).unwrap_or(failed));
    match (code, ended.signal) {
        (Some(CANNOT_START), _) if first || signals > 0 => Some(failed),
        (Some(CANNOT_START), _) => None,
        (Some(code), _) if signals > 0 => Some(code),
        (Some(code), _) => {
            [0, Exit::Usage.code(), Exit::Refused.code(), Exit::Fenced.code()].contains(&code).then_some(code)
        }
        // Our own signal came before the child listened for it: it had not begun.
        (None, Some(libc::SIGTERM | libc::SIGINT)) if signals == 1 => Some(0),
        (None, Some(signal @ (libc::SIGTERM | libc::SIGINT))) if signals > 1 => {
            Some(if signal == libc::SIGINT { 130 } else { 143 })
        }
        (None, _) => (signals > 0).then_some(failed),
    }
}

fn spawn(first: bool) -> std::io::Result<tokio::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    // A process group of its own: a terminal's Ctrl-C reaches the parent alone, which passes it on once.
    command
        .args(std::env::args_os().skip(1))
        .env(SUPERVISED, if first { FIRST } else { "again" })
        .stdin(Stdio::piped())
        .process_group(0);
    tokio::process::Command::from(command).spawn()
}

#[allow(
    unsafe_code,
    reason = "a signal to a child of ours that is not waited for yet, so its id is still its own; an image may have no `kill` to run"
)]
fn pass_on(child: &tokio::process::Child, signal: libc::c_int) {
    if let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
        // SAFETY: kill(2) touches no memory of ours.
        unsafe { libc::kill(pid, signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: u8) -> Ended {
        Ended { code: Some(i32::from(code)), signal: None }
    }

    fn signal(signal: i32) -> Ended {
        Ended { code: None, signal: Some(signal) }
    }

    #[test]
    fn a_failure_is_retried_and_what_can_only_fail_again_is_not() {
        for first in [true, false] {
            for end in [0, 2, 3, 4] {
                assert_eq!(ends_with(code(end), 0, first), Some(end));
            }
            for end in [code(1), code(101), signal(libc::SIGKILL), signal(libc::SIGSEGV), signal(libc::SIGTERM)] {
                assert_eq!(ends_with(end, 0, first), None, "{:?} {:?}", end.code, end.signal);
            }
        }
        assert_eq!(ends_with(code(CANNOT_START), 0, true), Some(1));
        assert_eq!(ends_with(code(CANNOT_START), 0, false), None, "it could start before: the outside may recover");
    }

    #[test]
    fn after_a_signal_the_end_is_the_childs() {
        assert_eq!(ends_with(code(0), 1, true), Some(0), "drained");
        assert_eq!(ends_with(code(143), 2, true), Some(143));
        assert_eq!(ends_with(code(130), 1, false), Some(130), "drain_timeout");
        assert_eq!(ends_with(code(1), 1, false), Some(1), "a failure while draining is no reason to go on");
        assert_eq!(ends_with(code(CANNOT_START), 1, false), Some(1));
        assert_eq!(ends_with(signal(libc::SIGTERM), 1, true), Some(0), "it had not begun");
        assert_eq!(ends_with(signal(libc::SIGINT), 2, true), Some(130));
        assert_eq!(ends_with(signal(libc::SIGTERM), 2, true), Some(143));
        assert_eq!(ends_with(signal(libc::SIGKILL), 1, true), Some(1));
    }
}

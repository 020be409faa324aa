//! The small parent that holds no data: it starts the job as a child, restarts it with exponential back-off when it
//! fails, and passes signals on. The child ends when its parent does: it watches the other end of its standard input.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use stream::{Clock, Exit, Fault, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

/// Set for the child.
pub const SUPERVISED: &str = "TOPK_SUPERVISED";
/// A child that ran this long was healthy: the back-off begins anew.
const HEALTHY: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whether this process is the child.
pub fn is_child() -> bool {
    std::env::var_os(SUPERVISED).is_some()
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

/// Run this same command as a child until it ends for good, and end with its code.
///
/// # Errors
/// The child cannot be started at all.
pub fn run() -> Result<ExitCode, Fault> {
    let wrong = |error: std::io::Error| Fault::failed("cannot supervise the job", error, "check the limits on processes");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
        let clock = SystemClock::default();
        // The first restart is at once; then 0.5 s, 1 s, 2 s, … up to the longest.
        let mut pause = Duration::ZERO;
        loop {
            let started = clock.monotonic();
            let mut child = spawn().map_err(wrong)?;
            // Kept out of the child's handle, whose `wait` would close it.
            let alive = child.stdin.take();
            let mut stopping = false;
            let status = loop {
                tokio::select! {
                    _ = terminate.recv() => { stopping = true; pass_on(&child, "TERM"); }
                    _ = interrupt.recv() => { stopping = true; pass_on(&child, "INT"); }
                    status = child.wait() => break status.map_err(wrong)?,
                }
            };
            drop(alive);
            let code = status.code().map_or(Exit::Failed.code(), |code| code as u8);
            let for_good = [0, Exit::Usage.code(), Exit::Refused.code(), Exit::Fenced.code()].contains(&code);
            if stopping || (for_good && status.code().is_some()) {
                return Ok(ExitCode::from(code));
            }
            if clock.monotonic() - started >= HEALTHY {
                pause = Duration::ZERO;
            }
            tracing::error!(code = status.code(), signal = status.signal(), restart_in = ?pause, "the job ended; it is started again from its journal");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = terminate.recv() => return Ok(ExitCode::from(code)),
                _ = interrupt.recv() => return Ok(ExitCode::from(code)),
            }
            pause = (pause * 2).clamp(Duration::from_millis(500), LONGEST_PAUSE);
        }
    })
}

fn spawn() -> std::io::Result<tokio::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    // A process group of its own: a terminal's Ctrl-C reaches the parent alone, which passes it on once.
    command.args(std::env::args_os().skip(1)).env(SUPERVISED, "1").stdin(Stdio::piped()).process_group(0);
    tokio::process::Command::from(command).spawn()
}

fn pass_on(child: &tokio::process::Child, signal: &str) {
    if let Some(pid) = child.id() {
        // The child may be gone already; its status comes next.
        let _ = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    }
}

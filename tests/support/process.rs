//! The `topk` binary: running it to its end, and running it beside the test so that it can be killed.

use crate::wait::{LONG, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The binary that these tests test: the one built beside the test binary.
///
/// # Panics
/// It is not built.
pub fn topk() -> PathBuf {
    let test = std::env::current_exe().expect("the test binary knows where it is");
    // target/<profile>/deps/<test> or, for examples and binaries, target/<profile>/<name>.
    let folder = test.ancestors().skip(1).find(|folder| folder.file_name().is_some_and(|name| name != "deps"));
    let binary = folder.expect("the test binary lies in a folder").join("topk");
    assert!(
        binary.is_file(),
        "{} is not there: build it first with `cargo build -p job --features s3,fail-points` (./test and `cargo test --workspace` do)",
        binary.display()
    );
    binary
}

/// What a process did.
#[derive(Debug)]
pub struct Finished {
    /// The command, to name it in messages.
    pub command: String,
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// # Panics
    /// It ended otherwise; the message holds all that it said.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let Finished { command, stdout, stderr, .. } = &self;
        let tail: Vec<&str> = stderr.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        assert_eq!(self.code, Some(code), "{command}\nstdout:\n{stdout}\nstderr, its end:\n{}", tail.join("\n"));
        self
    }

    /// The number that stands behind `name` on a line of standard output, as in the summary of `--until-end`.
    ///
    /// # Panics
    /// There is no such line.
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        let line = self.stdout.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no figure `{name}` in\n{}", self.stdout))
    }
}

/// A process beside the test. Its output goes to files, so that it never waits for a reader. Dropping kills it and its child.
#[derive(Debug)]
pub struct Running {
    command: String,
    process: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Start `command`, with its output in files named after `label` in `folder`.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(mut command: Command, folder: &Path, label: &str) -> Self {
        let (stdout, stderr) = (folder.join(format!("{label}.out")), folder.join(format!("{label}.err")));
        let create = |path: &Path| fs::File::create(path).expect("the temporary folder can be written");
        command.stdin(Stdio::null()).stdout(create(&stdout)).stderr(create(&stderr)).current_dir(folder);
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { command: format!("{command:?}"), process, stdout, stderr }
    }

    /// Its process id; of `topk run`, the supervising parent's.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The job itself, which the parent supervises; `None` between two of them.
    pub fn child(&self) -> Option<u32> {
        children(self.pid()).into_iter().next()
    }

    /// All that it has said on standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// What follows these words in a line that it has said on standard error to its end: a line is written piece by piece.
    pub fn said_after(&self, words: &str) -> Option<String> {
        let said = self.stderr();
        let whole = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.map(str::trim).find_map(|line| line.strip_prefix(words)).map(|rest| rest.trim().to_owned())
    }

    /// `kill -9` to the supervised child, which the parent then starts again. `false`: there was none just now.
    pub fn kill_child(&self) -> bool {
        self.child().is_some_and(|child| signal("KILL", child))
    }

    /// `kill -9` to parent and child, as when the machine loses power; waits until both are gone.
    pub fn kill(mut self) -> Finished {
        self.kill_both();
        self.finished(None)
    }

    /// SIGTERM or SIGINT, as `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("a process of ours can be asked").is_none()
    }

    /// Wait for its end.
    ///
    /// # Panics
    /// It did not end within `deadline`.
    pub fn wait(mut self, deadline: Duration) -> Finished {
        let process = &mut self.process;
        let status = until(&format!("{} ends", self.command), deadline, || {
            process.try_wait().expect("a process of ours can be asked")
        });
        self.finished(Some(status))
    }

    fn finished(&self, status: Option<ExitStatus>) -> Finished {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Finished {
            command: self.command.clone(),
            code: status.and_then(|status| status.code()),
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }

    fn kill_both(&mut self) {
        let children = children(self.pid());
        // The parent first: it would start another child.
        let _ = self.process.kill();
        for child in &children {
            signal("KILL", *child);
        }
        let _ = self.process.wait();
        // A child that was started in between sees its parent's end of the pipe closed.
        until("a killed child is gone", LONG, || children.iter().all(|child| !is_alive(*child)).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill_both();
        }
    }
}

/// A signal by its name, as `KILL`, `STOP` or `CONT`, to a process. `false`: it is gone.
pub fn signal(name: &str, process: u32) -> bool {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).stderr(Stdio::null()).status();
    sent.is_ok_and(|status| status.success())
}

/// State and parent from `/proc/{pid}/stat`: the two words behind the command's name, which is in brackets.
fn state_and_parent(process: &str) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// Whether a process is there and has not ended.
pub fn is_alive(process: u32) -> bool {
    state_and_parent(&process.to_string()).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// The processes that this one started and that have not ended.
///
/// # Panics
/// There is no `/proc`.
pub fn children(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").expect("/proc is there").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours =
        processes.filter(|process| state_and_parent(process).is_some_and(|(state, of)| of == parent && state != "Z"));
    ours.filter_map(|process| process.parse().ok()).collect()
}

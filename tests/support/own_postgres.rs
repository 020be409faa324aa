//! A Postgres of one test's own, which it can stop and start again.

use crate::dump::postgres_answers;
use crate::{until, wait::LONG};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Stopped and removed when it is dropped.
#[derive(Debug)]
pub struct OwnPostgres {
    folder: tempfile::TempDir,
    url: String,
}

impl OwnPostgres {
    /// Start one on a free port.
    ///
    /// # Panics
    /// It does not start.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("topk-postgres-").tempdir().expect("a temporary folder");
        // What is given is not started: the others are those of all tests.
        let mut start = services();
        start.env_remove("TOPK_TEST_POSTGRES").arg("start").arg(folder.path());
        let output = start.output().expect("scripts/services can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let variables = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = variables.lines().find_map(|line| line.strip_prefix("export TOPK_TEST_POSTGRES="));
        OwnPostgres { url: line.expect("its URL is printed").to_owned(), folder }
    }

    /// `postgres://…` of its database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stop it at once; what it committed stays on its disk.
    pub fn down(&self) {
        self.run("down");
    }

    /// Start it again.
    pub fn up(&self) {
        self.run("up");
        until("Postgres takes connections again", LONG, || postgres_answers(&self.url).then_some(()));
    }

    fn run(&self, verb: &str) {
        let status = services().arg(verb).arg(self.folder.path()).arg("postgres").status().expect("a script runs");
        assert!(status.success(), "scripts/services {verb}: {status}");
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        // A test that failed has more to say than this.
        let _ = services().arg("stop").arg(self.folder.path()).status();
    }
}

fn services() -> Command {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(root.join("scripts/services"))
}

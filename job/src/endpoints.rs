//! Where a running job can be reached, left in its state for other commands and for people.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use stream::Fault;

/// Content of `endpoints.json` in the job's state.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Endpoints {
    /// URL of the reader, if it runs in the same process.
    pub reader: Option<String>,
    /// URL of the job's health and metrics.
    pub job: Option<String>,
    /// The job's process.
    pub pid: u32,
}

impl Endpoints {
    fn path(state: &Path) -> PathBuf {
        state.join("endpoints.json")
    }

    /// What the job in this state left; none if there is nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(state: &Path) -> Result<Option<Self>, Fault> {
        let path = Self::path(state);
        let fault = |why: String| {
            Fault::failed(
                format!("cannot read {}", path.display()),
                why,
                "start the job again: it writes the file anew",
            )
        };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| fault(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(error.to_string())),
        }
    }

    /// Write it in one go, so that nobody reads half a file.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn write(&self, state: &Path) -> Result<(), Fault> {
        let path = Self::path(state);
        let fault = |error: std::io::Error| {
            Fault::failed(
                format!("cannot write {}", path.display()),
                error,
                "point job.state (topk demo: --data) at a directory that this user can write to",
            )
        };
        // Of two that start at the same moment neither takes the other's half-written file away.
        let part = path.with_extension(format!("json.{}.part", self.pid));
        std::fs::create_dir_all(state).map_err(fault)?;
        std::fs::write(&part, serde_json::json!(self).to_string()).map_err(fault)?;
        std::fs::rename(&part, &path).map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_that_write_at_the_same_moment_do_not_disturb_each_other() {
        let state = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for pid in 0..4 {
                let state = state.path();
                scope.spawn(move || {
                    for _ in 0..200 {
                        Endpoints { pid, ..Endpoints::default() }.write(state).unwrap();
                    }
                });
            }
        });
        assert!(Endpoints::read(state.path()).unwrap().is_some());
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}

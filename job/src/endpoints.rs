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
        let part = path.with_extension("json.part");
        std::fs::create_dir_all(state).map_err(fault)?;
        std::fs::write(&part, serde_json::json!(self).to_string()).map_err(fault)?;
        std::fs::rename(&part, &path).map_err(fault)
    }
}

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

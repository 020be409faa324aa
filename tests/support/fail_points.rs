//! Fail points from outside: what a process is to do at which step, and what it has done.

use crate::Setup;
use std::fs;
use std::path::PathBuf;
use stream::FailPoint;

/// The folder in which a job's processes say what they reached.
#[derive(Debug)]
pub struct FailPoints {
    folder: PathBuf,
}

impl FailPoints {
    /// Processes that are started from now on do as `plan` says (see `stream/src/fail_point.rs`).
    ///
    /// # Panics
    /// The test's folder cannot be written.
    pub fn plan(setup: &mut Setup, plan: &str) -> Self {
        let folder = setup.path("fail-points");
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        setup.set_environment("TOPK_FAIL_POINTS", Some(plan));
        setup.set_environment("TOPK_FAIL_POINTS_IN", Some(&crate::setup::text(&folder)));
        FailPoints { folder }
    }

    /// Processes that are started from now on know of no fail points.
    pub fn end(&self, setup: &mut Setup) {
        ["TOPK_FAIL_POINTS", "TOPK_FAIL_POINTS_IN"].iter().for_each(|name| setup.set_environment(name, None));
    }

    /// How often all processes together came to a step.
    pub fn hits(&self, step: FailPoint) -> u64 {
        fs::metadata(self.folder.join(format!("{}.hits", step.name()))).map_or(0, |file| file.len())
    }

    /// The process that did this action at this hit, if one did.
    pub fn done(&self, step: FailPoint, hit: u64, action: &str) -> Option<u32> {
        fs::read_to_string(self.folder.join(format!("{}.{hit}.{action}", step.name()))).ok()?.parse().ok()
    }
}

//! A campaign: one line of JSON for each round, so that rounds add up over runs and commits, and one that was interrupted
//! goes on with the seeds that have no line yet.

use crate::checks::First;
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use tests::setup::bare_topk;

/// What was done in a round, and how long it took to recover.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Faults by kind.
    pub(crate) events: BTreeMap<String, u64>,
    /// By victim: milliseconds until it worked again.
    pub(crate) recoveries: BTreeMap<String, Vec<u64>>,
    /// How instances ended.
    pub(crate) exits: BTreeMap<String, u64>,
}

/// A round that is over.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) seed: u64,
    pub(crate) family: String,
    /// The length that was asked for, in seconds.
    pub(crate) seconds: u64,
    pub(crate) took_seconds: u64,
    pub(crate) revision: String,
    pub(crate) build: String,
    pub(crate) ok: bool,
    #[serde(flatten)]
    pub(crate) told: Told,
    /// Records in the log, as the broker acknowledged them.
    pub(crate) records: u64,
    pub(crate) counted: u64,
    /// Views of the log that the tables lack at the end, and those they have too much.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) checks: BTreeMap<String, u64>,
    pub(crate) violations: Vec<String>,
    #[serde(skip)]
    pub(crate) first: Option<First>,
    /// Answers of the reader, and how old they were: milliseconds, rounded up.
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) staleness: BTreeMap<u64, u64>,
    pub(crate) resident_mib: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

impl Round {
    /// Whether it is the round of this schedule.
    pub(crate) fn is_of(&self, schedule: &Schedule, seconds: u64) -> bool {
        (self.seed, self.family.as_str(), self.seconds) == (schedule.seed, schedule.family.name(), seconds)
    }
}

/// All rounds of a file; none if there is no file yet.
///
/// # Panics
/// A line is no round.
pub(crate) fn rounds(file: &Path) -> Vec<Round> {
    let content = std::fs::read_to_string(file).unwrap_or_default();
    // The last line of a campaign that was interrupted while it wrote has no end.
    let whole = content.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Add a round.
///
/// # Panics
/// The file cannot be written.
pub(crate) fn add(file: &Path, round: &Round) {
    let line = serde_json::to_string(round).expect("a round is texts and numbers") + "\n";
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all()));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// Which commit the job's binary was built from, as it says.
pub(crate) fn revision() -> String {
    let said = bare_topk(&["--version"]).output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let commit = said.ok().and_then(|said| Some(said.split_once("commit ")?.1.split(',').next()?.to_owned()));
    commit.unwrap_or_else(|| "unknown".to_owned())
}

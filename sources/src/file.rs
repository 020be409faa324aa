//! NDJSON files as a source. A file is one partition, a directory one per regular file; an offset is the byte where a
//! line starts. A file may grow while it is read; it must not shrink below what was read. A start checks that the record
//! before its position is the one that was read there.

mod refill;
mod tail;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{
    Fault, PartitionEnd, PartitionInfo, PartitionPosition, ReadState, RecordSink, Source, SourceIdentity, SourceReader,
};
use tail::Tail;

/// How long to leave files alone that had nothing new.
const PAUSE: Duration = Duration::from_millis(20);
/// Files at their end are looked at again after this many reads, even while others have more.
const LOOK_AGAIN: u32 = 16;

/// A file or a directory.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    until_end: bool,
    /// Under `until_end`: the lengths when first asked, which end the job's input.
    ends: Mutex<Option<BTreeMap<Arc<str>, u64>>>,
}

impl FileSource {
    /// Read `path`. `until_end`: up to the lengths that the files have when first asked; then an unterminated last line
    /// is a record, and of a line that crosses the length only if its end is written by then, the part beyond is too.
    pub fn new(path: impl Into<PathBuf>, until_end: bool) -> Self {
        FileSource { path: path.into(), until_end, ends: Mutex::new(None) }
    }

    fn fault(&self, why: impl std::fmt::Display) -> Fault {
        let hint =
            "give a readable file of one JSON object per line, or a directory of such files, as source.file.path";
        Fault::usage(format!("cannot read \"{}\"", self.path.display()), why, hint)
    }

    /// Names and paths of the partitions, and their lengths now.
    fn list(&self) -> Result<BTreeMap<Arc<str>, (PathBuf, u64)>, Fault> {
        let about = fs::metadata(&self.path).map_err(|error| self.fault(error))?;
        if about.is_file() {
            return Ok(BTreeMap::from([(self.name(&self.path)?, (self.path.clone(), about.len()))]));
        }
        if !about.is_dir() {
            return Err(self.fault("it is neither a regular file nor a directory"));
        }
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(|error| self.fault(error))? {
            let path = entry.map_err(|error| self.fault(error))?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            // A file that vanished since it was listed is not there; a link counts as what it points to.
            let Some(about) = fs::metadata(&path).ok().filter(|about| about.is_file() && !hidden) else { continue };
            found.insert(self.name(&path)?, (path, about.len()));
        }
        Ok(found)
    }

    fn name(&self, path: &Path) -> Result<Arc<str>, Fault> {
        let name = path.file_name().ok_or_else(|| self.fault("the path has no file name"))?;
        match name.to_str() {
            Some(name) => Ok(name.into()),
            None => Err(self.fault(format!("the name \"{}\" is not UTF-8, so it cannot be kept", name.display()))),
        }
    }

    fn frozen(&self, now: &BTreeMap<Arc<str>, (PathBuf, u64)>) -> Option<BTreeMap<Arc<str>, u64>> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let lengths = || now.iter().map(|(name, (_, length))| (name.clone(), *length)).collect();
        self.until_end.then(|| ends.get_or_insert_with(lengths).clone())
    }
}

impl Source for FileSource {
    fn identity(&self) -> Result<SourceIdentity, Fault> {
        let path = fs::canonicalize(&self.path).map_err(|error| self.fault(error))?;
        let (directory, pattern) = match (path.is_dir(), path.parent()) {
            (false, Some(parent)) => (parent.to_owned(), self.name(&path)?.to_string()),
            _ => (path, "*".to_owned()),
        };
        Ok(SourceIdentity {
            kind: "file".to_owned(),
            cluster: directory.display().to_string(),
            topic: pattern,
            topic_id: String::new(),
        })
    }

    fn partitions(&self) -> Result<Vec<PartitionInfo>, Fault> {
        let now = self.list()?;
        let ends =
            self.frozen(&now).unwrap_or_else(|| now.into_iter().map(|(name, (_, length))| (name, length)).collect());
        let info = |(name, end): (Arc<str>, u64)| PartitionInfo { name, earliest: 0, end: end as i64, start: 0 };
        Ok(ends.into_iter().map(info).collect())
    }

    fn replaced(&self, positions: &[PartitionPosition]) -> Result<Vec<Arc<str>>, Fault> {
        let now = self.list()?;
        let mut replaced = Vec::new();
        for position in positions {
            let Some((path, _)) = now.get(&position.name) else { continue };
            if refill::is_replaced(path, position)? {
                replaced.push(position.name.clone());
            }
        }
        Ok(replaced)
    }

    fn open(&self, assigned: &[PartitionPosition]) -> Result<Box<dyn SourceReader>, Fault> {
        let now = self.list()?;
        let ends = self.frozen(&now);
        let open = |position: &PartitionPosition| {
            let Some((path, _)) = now.get(&position.name) else {
                return Err(Fault::refused(
                    format!("cannot go on in file \"{}\" at byte {}", position.name, position.offset),
                    format!("\"{}\" has no such file any more", self.path.display()),
                    "put the file back; or start a new job (another job.name or job.state) without it",
                ));
            };
            let end = ends.as_ref().map(|ends| ends.get(&position.name).copied().unwrap_or(0));
            Tail::open(path, position.offset, end)
        };
        let tails = assigned.iter().map(open).collect::<Result<Vec<_>, Fault>>()?;
        Ok(Box::new(FileReader { tails, turn: 0, reads: 0, ends: Vec::new() }))
    }
}

/// Reads the files of one thread in turn.
struct FileReader {
    tails: Vec<Tail>,
    turn: usize,
    reads: u32,
    /// Ends asked for and not yet told.
    ends: Vec<(usize, Option<PartitionEnd>)>,
}

impl FileReader {
    /// One look at every file that may have more. Returns the lines taken.
    fn sweep(&mut self, everywhere: bool, limit: usize, into: &mut dyn RecordSink) -> Result<usize, Fault> {
        let mut taken = 0;
        for _ in 0..self.tails.len() {
            self.turn = (self.turn + 1) % self.tails.len();
            if taken < limit {
                taken += self.tails[self.turn].read(self.turn, everywhere, limit - taken, into)?;
            }
        }
        Ok(taken)
    }
}

impl SourceReader for FileReader {
    fn read(&mut self, wait: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault> {
        self.reads = self.reads.wrapping_add(1);
        let mut taken = self.sweep(self.reads.is_multiple_of(LOOK_AGAIN), limit, into)?;
        if taken == 0 {
            taken = self.sweep(true, limit, into)?;
        }
        if taken == 0 && !wait.is_zero() {
            std::thread::sleep(wait.min(PAUSE));
            taken = self.sweep(true, limit, into)?;
        }
        Ok(if taken == 0 { ReadState::Waiting } else { ReadState::More })
    }

    fn pause(&mut self, partition: usize, paused: bool) -> Result<(), Fault> {
        self.tails[partition].paused = paused;
        Ok(())
    }

    fn end(&self, partition: usize) -> Option<i64> {
        Some(self.tails[partition].end())
    }

    /// The file's length now. An unterminated last line is not silence: its end lies beyond our position.
    fn ask_end(&mut self, partition: usize) -> Result<(), Fault> {
        let end = self.tails[partition].ask_end()?;
        self.ends.push((partition, Some(end)));
        Ok(())
    }

    fn told_ends(&mut self) -> Vec<(usize, Option<PartitionEnd>)> {
        std::mem::take(&mut self.ends)
    }
}

#[cfg(test)]
mod tests;

//! Dead letters in a file, one JSON object a line, each exactly once.
//!
//! Beside the file stands `{file}.progress`: the last epoch that is complete in it and the file's length then. A claim
//! cuts the file back to that length, and the journal delivers the rest again. Both are on disk before a step is done.

mod rotate;

use crate::file_place;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;
use stream::{Claim, DeadLetter, Fault, Follower, Generation, Progress, Sequence, Step, Wants};

/// A step at most this often.
const EVERY: Duration = Duration::from_secs(1);

/// Writes dead letters to a file.
pub struct DeadLetterFile {
    path: PathBuf,
    source: String,
    /// At this length the file is put aside; none lets it grow.
    rotate_at: Option<u64>,
    held: Option<Held>,
    /// The last generation of an earlier life, whose epochs say nothing about ours.
    earlier: Option<Generation>,
}

/// What a claim has: the locked file, cut to what is recorded.
struct Held {
    file: File,
    marker: Marker,
}

/// The content of the progress file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Marker {
    job: String,
    generation: Generation,
    epoch: Option<Sequence>,
    length: u64,
}

/// A line of the file (contract, "Kafka event").
#[derive(Serialize)]
struct Line<'a> {
    error: &'a str,
    detail: &'a str,
    source: &'a str,
    partition: &'a str,
    offset: i64,
    epoch: Sequence,
    value_base64: Option<String>,
}

impl DeadLetterFile {
    /// Letters from `source` (a path or topic) go to `path`. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>, source: &str) -> Self {
        DeadLetterFile { path: path.into(), source: source.to_owned(), rotate_at: None, held: None, earlier: None }
    }

    /// Once the file is this long it is renamed to `{file}.1`, in place of the one before, and a new one begins. Letters
    /// older than both are gone.
    #[must_use]
    pub fn rotated_at(self, bytes: u64) -> Self {
        DeadLetterFile { rotate_at: Some(bytes), ..self }
    }

    fn marker_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".progress");
        name.into()
    }

    fn fault(&self, error: &std::io::Error) -> Fault {
        Fault::transient(
            format!("cannot write dead letters to {}", self.path.display()),
            error,
            "check sink.dead_letters.file, its folder's permissions and the disk",
        )
    }

    fn read_marker(&self) -> Result<Option<Marker>, Fault> {
        let text = match std::fs::read(self.marker_path()) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault(&error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Fault::failed(
                format!("cannot read {}", self.marker_path().display()),
                error,
                "move it and the dead letters away; letters that are still in the journal are written again",
            )
        })
    }

    /// Appears whole or not at all.
    fn write_marker(&self, marker: &Marker) -> std::io::Result<()> {
        let path = self.marker_path();
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let mut file = File::create(&partial)?;
        file.write_all(&serde_json::to_vec(marker)?)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        // The name itself must survive a power cut too.
        match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }

    /// Take the file for this process. The lock ends with the process.
    fn lock(&self) -> Result<File, Fault> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| self.fault(&error))?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path);
        let file = file.map_err(|error| self.fault(&error))?;
        match file.try_lock() {
            // Opened just before it was put aside, it is not the one to write to.
            Ok(()) if rotate::is_at(&self.path, &file).is_ok_and(|is_at| is_at) => Ok(file),
            Ok(()) => Err(self.fault(&std::io::Error::other("another instance has just put it aside"))),
            Err(TryLockError::WouldBlock) => Err(Fault::transient(
                format!("cannot write dead letters to {}", self.path.display()),
                "another instance holds it",
                "end the other instance, or give each job a file of its own",
            )),
            Err(TryLockError::Error(error)) => Err(self.fault(&error)),
        }
    }

    /// What a file without a progress file may keep: every epoch but the last, which may be torn.
    fn recover(&self, file: &mut File) -> Result<(Option<Sequence>, u64), Fault> {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text)).map_err(|error| self.fault(&error))?;
        complete(&text).map_err(|error| {
            Fault::failed(
                format!("cannot go on with the dead letters in {}", self.path.display()),
                error,
                "move the file away: it was not written by this program",
            )
        })
    }

    fn take(&self, claim: &Claim) -> Result<Held, Fault> {
        let mut file = self.lock()?;
        let stored = self.read_marker()?;
        if let Some(stored) = &stored {
            if stored.job != claim.job {
                return Err(Fault::usage(
                    format!("job \"{}\" cannot write dead letters to {}", claim.job, self.path.display()),
                    format!("the file belongs to job \"{}\"", stored.job),
                    "give each job a file of its own (sink.dead_letters.file)",
                ));
            }
            if stored.generation > claim.generation {
                return Err(Fault::fenced(
                    format!("may no longer write dead letters to {}", self.path.display()),
                    format!(
                        "generation {} has taken over from this one, generation {}",
                        stored.generation, claim.generation
                    ),
                ));
            }
        }
        let actual = file.metadata().map_err(|error| self.fault(&error))?.len();
        let (epoch, length) = match stored {
            // Shorter than recorded: somebody has moved letters away. That is theirs to do; go on after what is left.
            Some(stored) => {
                let is_ours = self.earlier.is_none_or(|earlier| stored.generation > earlier);
                (stored.epoch.filter(|_| is_ours), stored.length.min(actual))
            }
            None => self.recover(&mut file)?,
        };
        let marker = Marker { job: claim.job.clone(), generation: claim.generation, epoch, length };
        file.set_len(length)
            .and_then(|()| file.sync_all())
            .and_then(|()| self.write_marker(&marker))
            .map_err(|error| self.fault(&error))?;
        Ok(Held { file, marker })
    }

    fn lines(&self, letters: &[&(Sequence, std::sync::Arc<DeadLetter>)]) -> Vec<u8> {
        let mut lines = Vec::new();
        for (epoch, letter) in letters {
            let line = Line {
                error: letter.code.name(),
                detail: &letter.detail,
                source: &self.source,
                partition: &letter.partition,
                offset: letter.offset,
                epoch: *epoch,
                value_base64: letter.value.as_ref().map(|value| STANDARD.encode(value)),
            };
            serde_json::to_writer(&mut lines, &line).expect("texts and numbers are JSON, and memory can be written");
            lines.push(b'\n');
        }
        lines
    }

    /// Append a step after what is recorded, whatever a failed try left behind it.
    fn append(&self, held: &mut Held, step: &Step) -> std::io::Result<()> {
        let fresh: Vec<_> = step.dead_letters.iter().filter(|(epoch, _)| Some(*epoch) > held.marker.epoch).collect();
        let lines = self.lines(&fresh);
        if !lines.is_empty() && self.rotate_at.is_some_and(|most| held.marker.length >= most) {
            held.file = rotate::turn(&self.path, &held.file)?;
            held.marker.length = 0;
            // Before anything is in it: a claim must not keep what a crash tore.
            self.write_marker(&held.marker)?;
        }
        let mut marker = held.marker.clone();
        if !lines.is_empty() {
            // Somebody may have moved letters away while we ran: never leave a hole.
            let end = held.file.metadata()?.len().min(marker.length);
            held.file.set_len(end)?;
            held.file.seek(SeekFrom::Start(end))?;
            held.file.write_all(&lines)?;
            held.file.sync_all()?;
            marker.length = end + lines.len() as u64;
        }
        marker.epoch = marker.epoch.max(Some(step.commit.sequence));
        if marker != held.marker {
            self.write_marker(&marker)?;
            held.marker = marker;
        }
        metrics::counter!("topk_dead_letters_written_total", "sink" => "file").increment(fresh.len() as u64);
        Ok(())
    }
}

impl Follower for DeadLetterFile {
    fn name(&self) -> &'static str {
        "dead_letters"
    }

    fn wants(&self) -> Wants {
        Wants { dead_letters: true, every: EVERY, ..Wants::default() }
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        file_place::probe(&self.path).map_err(|error| self.fault(&error))?;
        Ok(self.read_marker()?.map(|marker| progress(&marker)))
    }

    /// Of a torn end nothing; of letters that were put aside those that are still there.
    fn letters(&mut self, see: &mut dyn FnMut(&str, i64, &str)) -> Result<(), Fault> {
        #[derive(Deserialize)]
        struct Said {
            error: String,
            partition: String,
            offset: i64,
        }
        let length = self.read_marker()?.map(|marker| usize::try_from(marker.length).unwrap_or(usize::MAX));
        for (path, length) in [(rotate::aside(&self.path), None), (self.path.clone(), length)] {
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(self.fault(&error)),
            };
            let end = length.unwrap_or(usize::MAX).min(text.len());
            for line in text[..end].split_inclusive(|byte| *byte == b'\n') {
                let said: Said = serde_json::from_slice(line).map_err(|error| {
                    let hint = "move the file away: it was not written by this program";
                    Fault::failed(format!("cannot read the dead letters in {}", path.display()), error, hint)
                })?;
                see(&said.partition, said.offset, &said.error);
            }
        }
        Ok(())
    }

    /// The generation that wrote last.
    fn mark(&mut self) -> Result<Option<i64>, Fault> {
        Ok(self.read_marker()?.and_then(|marker| i64::try_from(marker.generation.0).ok()))
    }

    fn begin_after(&mut self, mark: i64) {
        self.earlier = u64::try_from(mark).ok().map(Generation);
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        self.held = None;
        let held = self.take(claim)?;
        let progress = held.marker.epoch.map(|_| progress(&held.marker));
        self.held = Some(held);
        Ok(progress)
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        let mut held = self.held.take().expect("a step is written after a claim");
        let written = self.append(&mut held, step);
        self.held = Some(held);
        written.map_err(|error| self.fault(&error))
    }
}

fn progress(marker: &Marker) -> Progress {
    Progress { generation: marker.generation, sequence: marker.epoch.unwrap_or_default(), hash: None }
}

/// Of a file's text, the last epoch that is surely complete and where it ends: all but the lines of the last epoch.
fn complete(text: &[u8]) -> Result<(Option<Sequence>, u64), String> {
    #[derive(Deserialize)]
    struct Stamp {
        epoch: Sequence,
    }
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut starts: Vec<(Sequence, u64)> = Vec::new();
    let mut at = 0;
    for (index, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let stamp: Stamp = serde_json::from_slice(line).map_err(|error| format!("line {}: {error}", index + 1))?;
        if starts.last().is_none_or(|(epoch, _)| *epoch != stamp.epoch) {
            starts.push((stamp.epoch, at));
        }
        at += line.len() as u64;
    }
    let Some((last, start)) = starts.last() else { return Ok((None, 0)) };
    Ok((last.0.checked_sub(1).map(Sequence), *start))
}

#[cfg(test)]
mod tests;

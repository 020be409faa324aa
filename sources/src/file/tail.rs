//! One file read line by line from a byte offset, and again when it has grown.

use std::fs::{self, File, Metadata};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use stream::{Fault, PartitionEnd, RawRecord, RecordSink};

const BUFFER: usize = 256 << 10;
/// A line is kept whole whatever its length, up to here: more is no NDJSON file.
const LONGEST_LINE: u64 = 1 << 30;
/// So many bytes on either side of the position are compared before a file is read on.
const LOOK_BACK: u64 = 4096;

pub(super) struct Tail {
    path: PathBuf,
    reader: BufReader<File>,
    /// What was read of the line at `position`.
    line: Vec<u8>,
    /// Where that line starts.
    position: u64,
    /// Where reading stops under `--until-end`.
    stop: Option<u64>,
    /// The length as last seen.
    length: u64,
    at_end: bool,
    /// What stood around `position` when the end was reached.
    around: Vec<u8>,
    pub(super) paused: bool,
}

impl Tail {
    pub(super) fn open(path: &Path, offset: i64, stop: Option<u64>) -> Result<Self, Fault> {
        let position = u64::try_from(offset).map_err(|_| fault(path, format!("byte {offset} is not in a file")))?;
        let (reader, about) = open_at(path, position)?;
        let length = about.len();
        let tail = Tail {
            path: path.to_owned(),
            reader,
            line: Vec::new(),
            position,
            stop,
            length,
            at_end: false,
            around: Vec::new(),
            paused: false,
        };
        tail.must_reach(length)?;
        Ok(tail)
    }

    /// The end as last seen; where reading stops, if it does.
    pub(super) fn end(&self) -> i64 {
        self.stop.unwrap_or(self.length.max(self.position)) as i64
    }

    /// The length of the file at the path, asked now. Nobody is between us and what is in it: we stand where it can be read to.
    pub(super) fn ask_end(&self) -> Result<PartitionEnd, Fault> {
        let about = fs::metadata(&self.path).or_else(|_| self.reader.get_ref().metadata());
        let written = about.map(|about| about.len() as i64).map_err(|error| fault(&self.path, error))?;
        Ok(PartitionEnd { written, readable: self.position as i64 })
    }

    /// Hand over at most `limit` lines; how many were taken. A file at its end is looked at again only if asked.
    pub(super) fn read(
        &mut self,
        partition: usize,
        look_again: bool,
        limit: usize,
        into: &mut dyn RecordSink,
    ) -> Result<usize, Fault> {
        let finished = self.stop.is_some_and(|stop| self.position >= stop);
        if self.paused || finished || (self.at_end && !look_again) {
            return Ok(0);
        }
        if self.at_end {
            self.look_again()?;
        }
        let (mut taken, mut blank) = (0, false);
        while taken < limit && !into.is_full() && self.fill()? {
            blank = !self.hand_over(partition, into);
            taken += 1;
        }
        if blank {
            into.position(partition, self.position as i64);
        }
        Ok(taken)
    }

    /// Read on until the line is whole. False if it is not (yet).
    fn fill(&mut self) -> Result<bool, Fault> {
        if self.stop.is_some_and(|stop| self.position >= stop) {
            return Ok(false);
        }
        let room = LONGEST_LINE.saturating_sub(self.line.len() as u64);
        let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.line);
        read.map_err(|error| fault(&self.path, error))?;
        if self.line.last() == Some(&b'\n') {
            return Ok(true);
        }
        if self.line.len() as u64 >= LONGEST_LINE {
            let why = format!("the line at byte {} is longer than {LONGEST_LINE} bytes", self.position);
            return Err(fault(&self.path, why));
        }
        self.at_end = true;
        let Some(stop) = self.stop else {
            self.around = self.around(self.reader.get_ref(), self.reached())?;
            return Ok(false);
        };
        self.must_reach(self.reached())?;
        let before_stop = (stop - self.position) as usize;
        self.line.truncate(before_stop);
        Ok(true)
    }

    /// Hand the whole line over, unless it is blank. Whether it was a record.
    fn hand_over(&mut self, partition: usize, into: &mut dyn RecordSink) -> bool {
        let (offset, next) = (self.position, self.position + self.line.len() as u64);
        self.position = next;
        let value = match self.line.as_slice() {
            [value @ .., b'\r', b'\n'] | [value @ .., b'\n'] => value,
            value => value,
        };
        let is_record = !value.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        if is_record {
            into.record(&RawRecord {
                partition,
                offset: offset as i64,
                next_offset: next as i64,
                timestamp: None,
                append_time: false,
                key: None,
                value: Some(value),
                headers: &Vec::new,
            });
        }
        self.line.clear();
        self.line.shrink_to(BUFFER);
        is_record
    }

    /// The file at the path may have grown, been cut, or been replaced by another.
    fn look_again(&mut self) -> Result<(), Fault> {
        let open = self.reader.get_ref().metadata().map_err(|error| fault(&self.path, error))?;
        self.length = open.len();
        self.must_reach(open.len())?;
        self.must_go_on(self.reader.get_ref(), self.reached())?;
        self.at_end = false;
        // A file that is gone gets no more lines: what is open stays readable.
        let Ok(there) = fs::metadata(&self.path) else { return Ok(()) };
        if (there.dev(), there.ino()) == (open.dev(), open.ino()) || self.reached() < open.len() {
            return Ok(());
        }
        self.must_reach(there.len())?;
        let (reader, _) = open_at(&self.path, self.position)?;
        // A line that was not whole was not read.
        self.must_go_on(reader.get_ref(), self.position)?;
        self.reader = reader;
        self.line.clear();
        self.length = there.len();
        Ok(())
    }

    fn reached(&self) -> u64 {
        self.position + self.line.len() as u64
    }

    fn must_reach(&self, length: u64) -> Result<(), Fault> {
        let wanted = self.stop.unwrap_or(0).max(self.reached());
        if length >= wanted {
            return Ok(());
        }
        Err(Fault::refused(
            format!("cannot go on in \"{}\" at byte {}", self.path.display(), self.position),
            format!("the file has {length} bytes now: bytes {length} to {wanted} are missing"),
            HINT,
        ))
    }

    /// Another file in the place of this one, or other bytes in it, may be longer than it was. `end`: as far as it must be
    /// the same.
    fn must_go_on(&self, file: &File, end: u64) -> Result<(), Fault> {
        if self.stop.is_some() || self.around.starts_with(&self.around(file, end)?) {
            return Ok(());
        }
        Err(Fault::refused(
            format!("cannot go on in \"{}\" at byte {}", self.path.display(), self.position),
            "what stands before it is not what was read there: another file was put in its place, or it was written over",
            HINT,
        ))
    }

    /// Bytes before the position, and up to `end` after it.
    fn around(&self, file: &File, end: u64) -> Result<Vec<u8>, Fault> {
        let from = self.position.saturating_sub(LOOK_BACK);
        let mut bytes = vec![0; (end.min(self.position + LOOK_BACK) - from) as usize];
        file.read_exact_at(&mut bytes, from).map_err(|error| fault(&self.path, error))?;
        Ok(bytes)
    }
}

const HINT: &str =
    "put the file back as it was; or start again: the start names what is missing and the flag that goes on without it";

fn open_at(path: &Path, position: u64) -> Result<(BufReader<File>, Metadata), Fault> {
    let mut file = File::open(path).map_err(|error| fault(path, error))?;
    let about = file.metadata().map_err(|error| fault(path, error))?;
    file.seek(SeekFrom::Start(position)).map_err(|error| fault(path, error))?;
    Ok((BufReader::with_capacity(BUFFER, file), about))
}

pub(super) fn fault(path: &Path, why: impl std::fmt::Display) -> Fault {
    let hint = "check the file, its rights and the disk, then start again: the job goes on where it was";
    Fault::failed(format!("cannot read \"{}\"", path.display()), why, hint)
}

//! Whether the record before a position is still the one that was read there: a file that was cut and filled again, or
//! replaced, has another.

use super::tail::fault;
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;
use stream::{Fault, PartitionPosition, RecordIdentity};

/// Bytes read back at first; four times as many until the record is whole.
const FIRST_LOOK: u64 = 16 << 10;
/// No record is looked for further back than this.
const FURTHEST: u64 = 64 << 20;
/// In a line that was read in pieces, how far before its end the last piece may have begun.
const LONGEST_PIECE: usize = 64 << 10;
/// How many blanks may have come after a piece.
const MOST_BLANKS: usize = 16;

/// Whether a file holds another record before the position than the journal remembers.
pub(super) fn is_replaced(path: &Path, position: &PartitionPosition) -> std::result::Result<bool, Fault> {
    let end = match u64::try_from(position.offset) {
        Ok(end) if end > 0 && position.fingerprint != 0 => end,
        _ => return Ok(false),
    };
    let before = Before::read(path, end).map_err(|error| fault(path, error))?;
    Ok(before.is_some_and(|before| !before.holds(position.fingerprint)))
}

/// The last line before a position that is not blank, with everything up to the position.
struct Before {
    /// Where the line starts in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Before {
    /// None if it is too long to tell.
    fn read(path: &Path, end: u64) -> Result<Option<Self>> {
        let mut file = File::open(path)?;
        let mut look = FIRST_LOOK;
        loop {
            let from = end.saturating_sub(look);
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            (&mut file).take(end - from).read_to_end(&mut bytes)?;
            let content = bytes.len() - blanks(&bytes);
            let line = bytes[..content].iter().rposition(|byte| *byte == b'\n').map(|before| before + 1);
            match line {
                Some(line) => return Ok(Some(Before { start: from + line as u64, bytes: bytes.split_off(line) })),
                None if from == 0 => return Ok(Some(Before { start: 0, bytes })),
                None if look >= FURTHEST => return Ok(None),
                None => look *= 4,
            }
        }
    }

    /// Whether the last record that was read out of it may have had this fingerprint. That is the whole line, unless a run
    /// to the end took it for whole before it was: then the record is what came after, and what came after that was blank.
    fn holds(&self, fingerprint: u64) -> bool {
        let line = &self.bytes[..self.bytes.iter().position(|byte| *byte == b'\n').unwrap_or(self.bytes.len())];
        let content = self.bytes.len() - blanks(&self.bytes);
        let is_it = |start: usize, end: usize| {
            let offset = i64::try_from(self.start + start as u64).unwrap_or(i64::MAX);
            let value = Some(&self.bytes[start..end]);
            RecordIdentity { offset, timestamp: None, key: None, value }.fingerprint() == fingerprint
        };
        let whole = line.len() - usize::from(line.len() < self.bytes.len() && line.ends_with(b"\r"));
        if is_it(0, whole) {
            return true;
        }
        let ends = content..=line.len().min(content + MOST_BLANKS);
        (content.saturating_sub(LONGEST_PIECE)..content).any(|start| ends.clone().any(|end| is_it(start, end)))
    }
}

/// How many bytes at the end are blanks or line ends.
fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

#[cfg(test)]
mod tests {
    use super::super::FileSource;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;
    use stream::{Fault, PartitionPosition, RawRecord, ReadState, RecordSink, Source};

    /// Where a reader stands, as the journal remembers it.
    #[derive(Clone, Default)]
    struct Stand {
        offset: i64,
        fingerprint: u64,
        records: u32,
    }

    impl RecordSink for Stand {
        fn record(&mut self, record: &RawRecord<'_>) {
            (self.offset, self.fingerprint) = (record.next_offset, record.identity().fingerprint());
            self.records += 1;
        }

        fn position(&mut self, _: usize, next_offset: i64) {
            self.offset = next_offset;
        }
    }

    /// Go on from there to the end; none if the file was replaced.
    fn go_on(path: &Path, stand: &Stand, until_end: bool) -> Result<Option<Stand>, Fault> {
        let source = FileSource::new(path, until_end);
        let name = source.partitions()?.remove(0).name;
        let position = PartitionPosition { name, offset: stand.offset, fingerprint: stand.fingerprint };
        if !source.replaced(std::slice::from_ref(&position))?.is_empty() {
            return Ok(None);
        }
        let mut reader = source.open(&[position])?;
        let mut reached = stand.clone();
        while reader.read(Duration::ZERO, 7, &mut reached)? == ReadState::More {}
        Ok(Some(reached))
    }

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plays");
        (folder, path)
    }

    #[test]
    fn a_file_that_was_filled_again_is_refused_wherever_reading_stood() {
        let (_folder, path) = file();
        let long = "x".repeat(100_000);
        for content in ["one\ntwo\n", "one\r\ntwo\r\n", "one\ntwo\n\n \t\r\n", "one\ntwo", &format!("one\n{long}\n")] {
            fs::write(&path, content).unwrap();
            let stand = go_on(&path, &Stand::default(), true).unwrap().unwrap();
            assert_eq!((stand.records, stand.offset), (2, content.len() as i64));
            let again = go_on(&path, &stand, true).unwrap().unwrap();
            assert_eq!((again.records, again.offset), (2, stand.offset), "nothing has changed in {content:?}");
            fs::write(&path, format!("{content}\nmore\n")).unwrap();
            assert_eq!(go_on(&path, &stand, false).unwrap().unwrap().records, 3, "{content:?} has only grown");
            let last = content.trim_end().len() - 1;
            let other = [&content.as_bytes()[..last], b"!", &content.as_bytes()[last + 1..], b"\nmore\n"].concat();
            fs::write(&path, other).unwrap();
            for until_end in [true, false] {
                assert!(go_on(&path, &stand, until_end).unwrap().is_none(), "{content:?} was filled again");
            }
            fs::write(&path, " ".repeat(content.len() + 3)).unwrap();
            assert!(go_on(&path, &stand, false).unwrap().is_none());
        }
    }

    /// A run to the end takes an unterminated line for whole. Whatever is then added to it, nothing was filled again.
    #[test]
    fn a_line_that_was_read_in_pieces_is_no_other() {
        let pieces =
            ["on", "e\n", "tw", "o", " ", "\r", "\n", "three\r", "\n", "\n", "four", "  \n", "five\n", "\t", "six"];
        for first in 0..pieces.len() {
            let (_folder, path) = file();
            let mut content = pieces[..first].concat();
            let mut stand = Stand::default();
            for piece in &pieces[first..] {
                content.push_str(piece);
                fs::write(&path, &content).unwrap();
                stand = go_on(&path, &stand, true).unwrap().unwrap_or_else(|| panic!("{content:?} is the same"));
                assert_eq!(stand.offset, content.len() as i64);
            }
        }
    }

    #[test]
    fn without_a_fingerprint_there_is_nothing_to_compare() {
        let (_folder, path) = file();
        fs::write(&path, "one\ntwo\n").unwrap();
        let unknown = Stand { offset: 4, ..Stand::default() };
        assert_eq!(go_on(&path, &unknown, true).unwrap().unwrap().records, 1);
    }
}

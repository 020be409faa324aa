//! The journal's newest records, seen in its folder: what is committed, without asking the job.

use std::io::Read;
use std::path::PathBuf;

/// The kind of a record that commits an epoch, in the byte that says the kind (`runtime/src/journal/format.rs`).
const EPOCH: u8 = 3;
const KIND_AT: usize = 10;

/// So often nothing had come: the folder is looked through. It may hold thousands.
const LOOKS_IN_VAIN: u32 = 250;

/// Follows a chain's files by their numbers.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: PathBuf,
    /// The last record that was there.
    pub(crate) newest: u64,
    /// The last that committed an epoch.
    pub(crate) newest_epoch: u64,
    /// Epochs that were seen.
    pub(crate) epochs: u64,
    in_vain: u32,
}

impl Tail {
    pub(crate) fn of(folder: PathBuf) -> Self {
        Tail { folder, newest: 0, newest_epoch: 0, epochs: 0, in_vain: 0 }
    }

    /// Look what has come. Records come one after the other, so that a look at the next name tells; but who looks away for long
    /// finds that the next has been compacted away, and goes on with the first that is there.
    pub(crate) fn look(&mut self) {
        loop {
            while let Some(kind) = self.kind(self.newest + 1) {
                self.newest += 1;
                self.in_vain = 0;
                if kind == EPOCH {
                    self.newest_epoch = self.newest;
                    self.epochs += 1;
                }
            }
            self.in_vain += 1;
            if self.in_vain < LOOKS_IN_VAIN {
                return;
            }
            self.in_vain = 0;
            match self.first_above(self.newest + 1) {
                Some(first) => self.newest = first - 1,
                None => return,
            }
        }
    }

    fn first_above(&self, sequence: u64) -> Option<u64> {
        let names =
            std::fs::read_dir(&self.folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).filter(|number| *number > sequence).min()
    }

    fn kind(&self, sequence: u64) -> Option<u8> {
        let mut begin = [0; KIND_AT + 1];
        let mut file = std::fs::File::open(self.folder.join(format!("{sequence:020}"))).ok()?;
        file.read_exact(&mut begin).ok()?;
        Some(begin[KIND_AT])
    }
}

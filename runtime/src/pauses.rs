//! Which partitions the transport does not fetch now, and why: records of an idle or new one are held until it is let in
//! again, so more of them would only fill memory; one too far ahead of the others waits for them; all wait while the journal
//! or memory has no room.

use crate::drift::Alignment;
use stream::{Fault, Reader};

/// What one reader's transport was told.
#[derive(Default)]
pub(crate) struct Pauses {
    paused: Vec<usize>,
    /// The reader's partitions that are too far ahead.
    ahead: Vec<usize>,
    /// All are held: something has outgrown its bound.
    all: bool,
    /// Of which version of the alignment, and of how many partitions.
    seen: (u64, usize),
}

impl Pauses {
    /// Partitions that are paused.
    pub(crate) fn paused(&self) -> &[usize] {
        &self.paused
    }

    /// Pause and resume what has changed.
    pub(crate) fn apply(&mut self, reader: &mut Reader, alignment: &Alignment) -> Result<(), Fault> {
        let now = (alignment.version(), reader.partitions.len());
        if now != self.seen {
            self.seen = now;
            self.all = alignment.holds_all();
            let held = alignment.held().partitions;
            let is_ahead = |index: &usize| held.contains(&reader.partitions[*index].name);
            self.ahead = (0..reader.partitions.len()).filter(is_ahead).collect();
        }
        let mut wanted = match self.all {
            true => (0..reader.partitions.len()).collect(),
            false => reader.intake.held(),
        };
        wanted.extend(self.ahead.iter().filter(|index| !wanted.contains(index)).copied().collect::<Vec<_>>());
        for index in wanted.iter().filter(|index| !self.paused.contains(index)) {
            reader.source.pause(*index, true)?;
        }
        for index in self.paused.iter().filter(|index| !wanted.contains(index)) {
            reader.source.pause(*index, false)?;
        }
        self.paused = wanted;
        Ok(())
    }
}

//! The cuts: every epoch that tables, rankings and boards carry, and where the journal says that it stood.

use runtime::journal::Journal;
use std::collections::BTreeMap;
use stream::{Fault, Sequence, WindowState};
use verify::{Carried, Cut, Tables};

/// Cuts by number, and which of them something carries.
pub struct Cuts {
    /// The first is that of the tables; without tables, the journal's end.
    pub all: Vec<Cut>,
    /// By record; none where nobody knows any more where it stood.
    known: BTreeMap<Sequence, Option<usize>>,
    /// How far the boards' owner has published.
    published: Option<Sequence>,
}

impl Cuts {
    /// Only the main cut.
    pub fn new(main: Cut, published: Option<Sequence>) -> Self {
        let known = BTreeMap::from([(main.record, Some(0))]);
        Cuts { all: vec![main], known, published }
    }

    /// Ask the journal for a record's cut, once.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn learn(&mut self, journal: &Journal, record: Sequence) -> Result<Option<usize>, Fault> {
        if let Some(known) = self.known.get(&record) {
            return Ok(*known);
        }
        let stood = journal.stood(record)?;
        let cut = stood.map(|stood| {
            self.all.push(Cut { record, watermark: stood.watermark, offsets: stood.offsets });
            self.all.len() - 1
        });
        self.known.insert(record, cut);
        Ok(cut)
    }

    /// Whether a board must show what the main cut does: it was not written since, though everything up to there is
    /// published; or nothing of its window changed in between, by the status table.
    fn is_main(&self, carried: &Carried, tables: &Tables) -> bool {
        let main = self.all[0].record;
        carried.epoch <= main
            && (self.published >= Some(main)
                || carried.state == WindowState::Final
                || tables.is_unchanged_since(carried.window, carried.epoch))
    }

    /// Learn the cuts of boards that do not show the main one.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn learn_of(
        &mut self,
        journal: &Journal,
        carried: impl Iterator<Item = Carried>,
        tables: &Tables,
    ) -> Result<(), Fault> {
        for carried in carried {
            if !self.is_main(&carried, tables) {
                self.learn(journal, carried.epoch)?;
            }
        }
        Ok(())
    }

    /// A board's cut; none if nobody knows it.
    pub fn of(&self, carried: &Carried, tables: &Tables) -> Option<usize> {
        if self.is_main(carried, tables) {
            return Some(0);
        }
        self.known.get(&carried.epoch).copied().flatten()
    }
}

//! What an independent recount takes from the journal because no log can tell it again: where reading began, floors that
//! were granted, which records lay in the future, and where every partition stood at a record. Reads only, beside a
//! running job too.

use super::chain::{self, Record};
use super::format::Kind;
use super::record::{BaseBody, EpochBody};
use super::recover::{self, Origin};
use super::{Genesis, Journal, LoadFrom, Rebuilt, Recovered, slots};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{EventTime, Fault, LedgerLine, Loss, PartitionState, Sequence, SourceIdentity, WallTime};

/// Everything that was decided once and written down, as of the last record.
#[derive(Clone, PartialEq, Debug)]
pub struct Decisions {
    /// The first record.
    pub genesis: Genesis,
    /// When the first record was written: no clock of this job's was earlier.
    pub began_at: WallTime,
    /// When the last record was written.
    pub written_at: WallTime,
    /// The last record.
    pub sequence: Sequence,
    /// Every partition, with all floors it was ever granted.
    pub partitions: BTreeMap<Arc<str>, PartitionState>,
    /// Every partition's account.
    pub ledger: BTreeMap<Arc<str>, LedgerLine>,
    /// Partition and offset of every `time_future` dead letter since the journal began.
    pub future: BTreeSet<(Arc<str>, i64)>,
    /// Every loss that was accepted.
    pub losses: Vec<Loss>,
    /// Tables that were built up again without all of their rows.
    pub rebuilt: Vec<Rebuilt>,
    /// The source as of the last record.
    pub source: SourceIdentity,
}

/// Where everything stood after a record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stood {
    /// The job watermark.
    pub watermark: Option<EventTime>,
    /// The next offset of every partition known by then.
    pub offsets: BTreeMap<Arc<str>, i64>,
}

impl Journal {
    /// What was decided so far; none if the journal is empty.
    ///
    /// # Errors
    /// As [`Journal::look`].
    pub fn decisions(&self) -> Result<Option<Decisions>, Fault> {
        let Some(mut tail) = slots::tail(&self.objects)? else { return Ok(None) };
        let origin = Origin::read(&self.objects)?;
        let summary = loop {
            let fault = match recover::gather(&self.objects, &origin, tail.base(), tail.link.sequence) {
                Ok(gathered) => break gathered.summary,
                Err(fault) => fault,
            };
            match chain::tail(&self.objects)? {
                Some(newer) if newer.base() > tail.base() => tail = newer,
                _ => return Err(fault),
            }
        };
        Ok(Some(Decisions {
            source: summary.source.unwrap_or_else(|| origin.body.source.clone()),
            losses: summary.losses,
            rebuilt: summary.rebuilt,
            genesis: origin.body,
            began_at: origin.began_at,
            written_at: WallTime(tail.link.written_at),
            sequence: tail.link.sequence,
            partitions: summary.partitions,
            ledger: summary.ledger,
            future: summary.future,
        }))
    }

    /// Where everything stood after record `sequence`; none if the records that say so are gone or not there yet. An
    /// epoch's record names only what changed, so records are read backwards until all is known.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn stood(&self, sequence: Sequence) -> Result<Option<Stood>, Fault> {
        let genesis = Origin::read(&self.objects)?.body;
        let mut walk = Walk::default();
        let mut after: Option<Record> = None;
        let mut at = sequence;
        loop {
            // The record that a base covers may have been deleted.
            if walk.ends_with(at) {
                return Ok(Some(walk.stood));
            }
            let Some(record) = chain::read(&self.objects, at)? else { return Ok(None) };
            if let Some(after) = &after
                && chain::follows(&record, after).is_err()
            {
                // A deleted name was taken by an instance that slept.
                return Ok(None);
            }
            if walk.see(&record, &genesis)? {
                return Ok(Some(walk.stood));
            }
            after = Some(record);
            at = Sequence(at.0 - 1);
        }
    }

    /// State as of record `through`, as [`Journal::read`] gives that of the last one; none if that is not there any more.
    ///
    /// # Errors
    /// What is there cannot be read.
    pub fn read_at(&self, through: Sequence) -> Result<Option<Recovered>, Fault> {
        let Some(record) = chain::read(&self.objects, through)? else { return Ok(None) };
        let origin = Origin::read(&self.objects)?;
        let from = LoadFrom::default();
        let loaded = recover::gather(&self.objects, &origin, record.base(), through)
            .and_then(|gathered| recover::load(&self.objects, &self.settings, gathered, &record, &from));
        match loaded {
            Ok(loaded) => Ok(Some(loaded.recovered)),
            Err(fault) if fault.exit == stream::Exit::Refused => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// Goes backwards from a record.
#[derive(Default)]
struct Walk {
    stood: Stood,
    knows_watermark: bool,
    /// The newest base met, which says everything as of the record it covers.
    base: Option<BaseBody>,
}

impl Walk {
    /// Whether the base says everything from here on.
    fn ends_with(&mut self, sequence: Sequence) -> bool {
        let Some(BaseBody { summary, .. }) = self.base.take_if(|base| base.covered == sequence) else { return false };
        self.fill(summary.watermark, summary.partitions.iter().map(|(name, state)| (name, state.next_offset)));
        true
    }

    /// Take in one record; true once everything is known.
    fn see(&mut self, record: &Record, genesis: &Genesis) -> Result<bool, Fault> {
        match record.opened.kind {
            Kind::Genesis => {
                self.fill(None, genesis.partitions.iter().map(|(name, start)| (name, start.offset)));
                return Ok(true);
            }
            Kind::Base if self.base.is_none() => self.base = Some(record.opened.json(0)?),
            Kind::Epoch => {
                let body: EpochBody = record.opened.json(0)?;
                self.fill(body.watermark, body.partitions.iter().map(|(name, place)| (name, place.next_offset)));
            }
            Kind::Base | Kind::Fence | Kind::Part => {}
        }
        Ok(false)
    }

    /// What is older does not change what is known already.
    fn fill<'a>(&mut self, watermark: Option<EventTime>, offsets: impl Iterator<Item = (&'a Arc<str>, i64)>) {
        if !std::mem::replace(&mut self.knows_watermark, true) {
            self.stood.watermark = watermark;
        }
        for (name, offset) in offsets {
            self.stood.offsets.entry(name.clone()).or_insert(offset);
        }
    }
}

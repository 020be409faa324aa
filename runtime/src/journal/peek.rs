//! Records as the simulation's oracle sees them: decoded where they are stored, by nobody who decides anything.

use super::chain::{Record, sequence_of};
use super::format::Kind;
use super::record::{BaseBody, Genesis, Place};
use super::{Ack, format};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{DeadLetter, EventTime, Generation, Grant, LedgerLine, PartRow, RecordHash, Sequence, WindowId};

/// A record of the chain.
pub(crate) struct Peeked {
    pub(crate) sequence: Sequence,
    pub(crate) generation: Generation,
    pub(crate) previous: RecordHash,
    pub(crate) hash: RecordHash,
    pub(crate) says: Says,
}

/// What it says.
pub(crate) enum Says {
    Genesis(Box<Genesis>),
    Fence,
    Epoch(Box<PeekedEpoch>),
    Base { covered: Sequence },
}

/// An epoch record.
pub(crate) struct PeekedEpoch {
    pub(crate) watermark: Option<EventTime>,
    pub(crate) partitions: BTreeMap<Arc<str>, PeekedPlace>,
    pub(crate) ledger: BTreeMap<Arc<str>, LedgerLine>,
    pub(crate) late: Vec<(WindowId, u64)>,
    pub(crate) granted: Vec<Grant>,
    pub(crate) acks: BTreeMap<String, Ack>,
    /// Group and text of each new key, in the order of their numbers.
    pub(crate) new_keys: Vec<(u16, String)>,
    pub(crate) rows: Vec<PartRow>,
    pub(crate) dead_letters: Vec<DeadLetter>,
}

/// A partition in an epoch record.
#[derive(Debug)]
pub(crate) struct PeekedPlace {
    pub(crate) next_offset: i64,
    pub(crate) watermark: Option<EventTime>,
    pub(crate) active: bool,
    /// New ones only.
    pub(crate) floors: Vec<(i64, EventTime)>,
}

/// The record in an object; none if the object is none.
pub(crate) fn peek(name: &str, bytes: &Bytes) -> Option<Peeked> {
    let record = Record::open(sequence_of(name)?, bytes).expect("whole records are put");
    let json = "whole records are put";
    let says = match record.opened.kind {
        Kind::Genesis => Says::Genesis(record.opened.json(0).expect(json)),
        Kind::Fence => Says::Fence,
        Kind::Base => Says::Base { covered: record.opened.json::<BaseBody>(0).expect(json).covered },
        Kind::Epoch => Says::Epoch(Box::new(epoch(&record))),
        Kind::Part => unreachable!("a part is no record"),
    };
    let link = &record.link;
    let hash = record.opened.hash;
    Some(Peeked { sequence: link.sequence, generation: link.generation, previous: link.previous, hash, says })
}

fn epoch(record: &Record) -> PeekedEpoch {
    let epoch = record.epoch().expect("whole records are put").expect("it is an epoch");
    let place = |(name, place): (Arc<str>, Place)| {
        let Place { next_offset, watermark, active, floors, .. } = place;
        (name, PeekedPlace { next_offset, watermark, active, floors })
    };
    let delta = epoch.delta;
    PeekedEpoch {
        watermark: epoch.body.watermark,
        partitions: epoch.body.partitions.into_iter().map(place).collect(),
        ledger: epoch.body.ledger,
        late: epoch.body.late,
        granted: epoch.body.granted,
        acks: epoch.body.acks,
        new_keys: delta.new_key_groups.iter().copied().zip(delta.new_keys.iter().map(str::to_owned)).collect(),
        rows: delta.rows,
        dead_letters: epoch.dead_letters,
    }
}

/// The same record with another record before it: a piece of another journal.
pub(crate) fn relinked(name: &str, bytes: &Bytes) -> Option<Bytes> {
    let record = Record::open(sequence_of(name)?, bytes).expect("whole records are put");
    let mut link = record.link.clone();
    link.previous.0[0] ^= 1;
    let sections: Vec<Vec<u8>> = (0..).map_while(|index| record.opened.section(index).ok()).collect();
    Some(format::seal(record.opened.kind, &link, &sections).expect("it was sealed before").bytes)
}

//! Looking into a journal without touching it, beside a running job too: what is there, one record, where all stands.

use super::Journal;
use super::chain::{self, Record, in_parallel};
use super::compact::BASES;
use super::format::Kind;
use super::record::BaseBody;
use super::recover::{self, Origin};
use super::{Glance, slots};
use serde::Serialize;
use serde_json::{Value, json};
use stream::{Fault, Generation, Sequence, WallTime};

/// A record in a listing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    /// Its number.
    pub record: Sequence,
    /// `genesis`, `fence`, `epoch` or `base`; `unreadable` if it is damaged.
    pub kind: &'static str,
    /// Who wrote it.
    pub generation: Generation,
    /// When, by that machine's clock, milliseconds since 1970.
    pub written_at: WallTime,
    /// Its length.
    pub bytes: u64,
    /// What is in it, in a few words.
    pub says: String,
}

/// A journal at a glance.
#[derive(Clone, PartialEq, Debug)]
pub struct Contents {
    /// What [`Journal::look`] says.
    pub glance: Glance,
    /// How many records are kept, and their bytes.
    pub records: (usize, u64),
    /// How many base parts are there, and their bytes; those that wait for their deletion included.
    pub base_parts: (usize, u64),
    /// The newest records, oldest first.
    pub newest: Vec<Entry>,
}

impl Journal {
    /// What is there, with the newest `most` records; none if the journal is empty.
    ///
    /// # Errors
    /// As [`Journal::look`]. A record that is damaged is listed, not refused.
    pub fn list(&self, most: usize) -> Result<Option<Contents>, Fault> {
        let Some(glance) = self.look()? else { return Ok(None) };
        let objects = &self.objects;
        let mut listed: Vec<(Sequence, u64)> = objects
            .list(chain::COMMITS)?
            .iter()
            .filter_map(|object| Some((chain::sequence_of(&object.name)?, object.size)))
            .collect();
        listed.sort_unstable();
        let records = (listed.len(), listed.iter().map(|(_, size)| size).sum());
        let parts = objects.list(BASES)?;
        let base_parts = (parts.len(), parts.iter().map(|part| part.size).sum());
        let newest = &listed[listed.len().saturating_sub(most)..];
        let entries = in_parallel(newest.len(), |index| self.entry(newest[index]))?;
        Ok(Some(Contents { glance, records, base_parts, newest: entries.into_iter().flatten().collect() }))
    }

    /// None if compaction has deleted it meanwhile.
    fn entry(&self, (sequence, bytes): (Sequence, u64)) -> Result<Option<Entry>, Fault> {
        let described = chain::read(&self.objects, sequence)
            .and_then(|record| record.map(|record| Ok((describe(&record)?, record))).transpose());
        Ok(Some(match described {
            Ok(None) => return Ok(None),
            Ok(Some((says, Record { link, opened }))) => Entry {
                record: sequence,
                kind: opened.kind.name(),
                generation: link.generation,
                written_at: WallTime(link.written_at),
                bytes,
                says,
            },
            Err(fault) if fault.is_transient() => return Err(fault),
            Err(fault) => Entry {
                record: sequence,
                kind: "unreadable",
                generation: Generation(0),
                written_at: WallTime(0),
                bytes,
                says: fault.why,
            },
        }))
    }

    /// One record, whole but for keys, rows and the values of dead letters, which are counted; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn show(&self, sequence: Sequence) -> Result<Option<Value>, Fault> {
        let Some(record) = chain::read(&self.objects, sequence)? else { return Ok(None) };
        let mut shown =
            json!({ "kind": record.opened.kind.name(), "hash": record.opened.hash, "bytes": record.opened.length });
        merge(&mut shown, to_json(&record.link)?);
        match record.opened.kind {
            Kind::Genesis => merge(&mut shown, record.opened.json(0)?),
            Kind::Base => {
                let mut body: Value = record.opened.json(0)?;
                if let Some(future) = body.pointer_mut("/summary/future") {
                    *future = json!(future.as_array().map_or(0, Vec::len));
                }
                merge(&mut shown, body);
            }
            Kind::Epoch => {
                let epoch = record.epoch()?.expect("it is an epoch");
                merge(&mut shown, to_json(&epoch.body)?);
                let letters = epoch.dead_letters.iter().map(|letter| {
                    json!({ "partition": letter.partition, "offset": letter.offset, "error": letter.code.name(), "detail": letter.detail })
                });
                merge(
                    &mut shown,
                    json!({
                        "rows": epoch.delta.rows.len(),
                        "events": epoch.delta.rows.iter().map(|row| row.n).sum::<u64>(),
                        "new_keys": epoch.delta.new_key_groups.len(),
                        "dead_letters": letters.collect::<Vec<_>>(),
                    }),
                );
            }
            Kind::Fence | Kind::Part => {}
        }
        Ok(Some(shown))
    }

    /// Where everything stands after the last record: source and settings, positions, accounts, watermark, followers.
    /// None if the journal is empty.
    ///
    /// # Errors
    /// As [`Journal::look`].
    pub fn standing(&self) -> Result<Option<Value>, Fault> {
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
        Ok(Some(json!({
            "job": origin.body.job,
            "source": summary.source.as_ref().unwrap_or(&origin.body.source),
            "settings": origin.body.settings,
            "record": tail.link.sequence,
            "hash": tail.opened.hash,
            "generation": tail.link.generation,
            "written_at": tail.link.written_at,
            "base": tail.base(),
            "epoch": summary.last_epoch.0,
            "watermark": summary.watermark,
            "partitions": summary.partitions,
            "ledger": summary.ledger,
            "losses": summary.losses,
            "rebuilt": summary.rebuilt,
            "followers": summary.acks,
        })))
    }
}

fn describe(record: &Record) -> Result<String, Fault> {
    Ok(match record.opened.kind {
        Kind::Genesis => "the job's source, start and settings".to_owned(),
        Kind::Fence => format!("generation {} takes over", record.link.generation),
        Kind::Base => {
            let body: BaseBody = record.opened.json(0)?;
            let bytes: u64 = body.parts.iter().map(|part| part.length).sum();
            format!("all up to {}, in {} parts of {bytes} bytes", body.covered, body.parts.len())
        }
        Kind::Epoch => {
            let epoch = record.epoch()?.expect("it is an epoch");
            let events: u64 = epoch.delta.rows.iter().map(|row| row.n).sum();
            let (rows, keys) = (epoch.delta.rows.len(), epoch.delta.new_key_groups.len());
            let lost: Vec<String> = epoch.body.losses.iter().map(|loss| loss.to_string()).collect();
            if let Some(source) = &epoch.body.source {
                return Ok(format!("the source {source} is accepted, without {}", lost.join(", ")));
            }
            if let Some(rebuilt) = epoch.body.rebuilt.first() {
                return Ok(format!("the tables in {} are built up again", rebuilt.follower));
            }
            if !lost.is_empty() {
                return Ok(format!("accepted as lost: {}", lost.join(", ")));
            }
            format!("{events} events in {rows} rows, {keys} new keys, {} dead letters", epoch.dead_letters.len())
        }
        Kind::Part => "a part".to_owned(),
    })
}

fn to_json(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|error| Fault::failed("cannot show a record", error, "report this as a bug"))
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

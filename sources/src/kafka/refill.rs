//! Whether the record before a position is still the one that was read there: a log that was cut and filled again has
//! another. Offsets alone do not tell once it is longer than before.
//!
//! Only a record at exactly that offset says anything. It may be gone by retention, and where a transaction's marker or an
//! aborted record stands, there never was one.

use super::KafkaSettings;
use super::client::{self, DEADLINE, Watch};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stream::{Fault, PartitionPosition, RecordIdentity};

/// How long one look for an answer lasts.
const STEP: Duration = Duration::from_millis(100);

/// The partitions that hold another record before their position than the journal remembers. The positions lie in the
/// log.
///
/// # Errors
/// No answer in time.
pub(super) fn replaced(settings: &KafkaSettings, assigned: &[PartitionPosition]) -> Result<Vec<Arc<str>>, Fault> {
    let mut asked: BTreeMap<i32, (i64, u64)> = assigned
        .iter()
        .filter(|position| position.fingerprint != 0 && position.offset > 0)
        .filter_map(|position| Some((position.name.parse().ok()?, (position.offset - 1, position.fingerprint))))
        .collect();
    let mut replaced = Vec::new();
    if asked.is_empty() {
        return Ok(replaced);
    }
    let topic = &settings.topic;
    let what = || format!("cannot read the last known records of topic \"{topic}\"");
    let consumer = consumer(settings)?;
    let mut list = TopicPartitionList::with_capacity(asked.len());
    let added = asked
        .iter()
        .try_for_each(|(number, (offset, _))| list.add_partition_offset(topic, *number, Offset::Offset(*offset)));
    added.and_then(|()| consumer.assign(&list)).map_err(|error| client::fault(what(), &error))?;
    let mut quiet = Duration::ZERO;
    while !asked.is_empty() && quiet < DEADLINE {
        match consumer.poll(STEP) {
            None => quiet += STEP,
            Some(Ok(message)) => {
                let number = message.partition();
                let Some((offset, fingerprint)) = asked.get(&number).copied() else { continue };
                if message.offset() == offset && identity(&message).fingerprint() != fingerprint {
                    replaced.push(number.to_string().into());
                }
                if message.offset() >= offset {
                    asked.remove(&number);
                }
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                asked.remove(&number);
            }
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(client::passes) => quiet += STEP,
            Some(Err(error)) => return Err(client::fault(what(), &error)),
        }
    }
    if asked.is_empty() {
        return Ok(replaced);
    }
    let silent: Vec<String> = asked.keys().map(i32::to_string).collect();
    Err(Fault::transient(
        what(),
        format!("partitions {} did not answer within {DEADLINE:?}", silent.join(", ")),
        format!("check that the brokers {} can be reached and that each partition has a leader", settings.brokers),
    ))
}

fn consumer(settings: &KafkaSettings) -> Result<BaseConsumer<Watch>, Fault> {
    let mut config = client::config(&settings.brokers, &settings.properties)?;
    config
        .set("group.id", &settings.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A record that retention took is passed over, not asked for again.
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        // One record of each partition is all that is wanted.
        .set("queued.min.messages", "1")
        .set("fetch.wait.max.ms", "50");
    client::create(&config)
}

fn identity<'a>(message: &'a BorrowedMessage<'_>) -> RecordIdentity<'a> {
    RecordIdentity {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
    }
}

#[cfg(test)]
mod tests;

//! Whether the last record before a position is still the one that was read there: a log that was cut and filled again has
//! another. Offsets alone do not tell once it is longer than before.
//!
//! Before a position may stand transactions' markers and aborted records, which nobody reads: then the record that was read
//! last is looked for further back. Where retention took everything that is looked at, nothing is known.

use super::KafkaSettings;
use super::client::{self, DEADLINE, Watch};
use super::offsets;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stream::{Fault, PartitionPosition, RecordIdentity};

/// How long one look for an answer lasts.
const STEP: Duration = Duration::from_millis(100);
/// So many offsets before the position are looked at, and then more, as long as no record is among them.
const LOOK_BACK: [i64; 6] = [1, 8, 64, 512, 4096, 32_768];

/// One partition that is asked about.
struct Asked {
    position: i64,
    /// Of the last record that was read.
    fingerprint: u64,
    /// Of the last record that is there now, and its offset.
    found: Option<(i64, u64)>,
}

/// The partitions that hold another record before their position than the journal remembers. The positions lie in the
/// log.
///
/// # Errors
/// No answer in time.
pub(super) fn replaced(settings: &KafkaSettings, assigned: &[PartitionPosition]) -> Result<Vec<Arc<str>>, Fault> {
    let asked = |position: &PartitionPosition| {
        let (fingerprint, offset) = (position.fingerprint, position.offset);
        Some((position.name.parse().ok()?, Asked { position: offset, fingerprint, found: None }))
    };
    let known = assigned.iter().filter(|position| position.fingerprint != 0 && position.offset > 0);
    let mut asked: BTreeMap<i32, Asked> = known.filter_map(asked).collect();
    let mut replaced = Vec::new();
    if asked.is_empty() {
        return Ok(replaced);
    }
    for back in LOOK_BACK {
        look(settings, &mut asked, back)?;
        asked.retain(|number, one| {
            if one.found.is_some_and(|(_, fingerprint)| fingerprint != one.fingerprint) {
                replaced.push(number.to_string().into());
            }
            one.found.is_none() && one.position > back
        });
        if asked.is_empty() {
            break;
        }
    }
    Ok(replaced)
}

/// Find the last record among so many offsets before each position. With a consumer of its own: one that was assigned the
/// same partition again told its end no second time (librdkafka 2.12).
fn look(settings: &KafkaSettings, asked: &mut BTreeMap<i32, Asked>, back: i64) -> Result<(), Fault> {
    let topic = &settings.topic;
    let what = || format!("cannot read the last known records of topic \"{topic}\"");
    let consumer = consumer(settings)?;
    if back > LOOK_BACK[0] {
        let numbers: Vec<i32> = asked.keys().copied().collect();
        for number in numbers {
            let (earliest, _) = offsets::bounds(&consumer, topic, number)?;
            if earliest >= asked[&number].position {
                asked.remove(&number);
            }
        }
    }
    let mut list = TopicPartitionList::with_capacity(asked.len());
    let from = |one: &Asked| Offset::Offset((one.position - back).max(0));
    let added = asked.iter().try_for_each(|(number, one)| list.add_partition_offset(topic, *number, from(one)));
    added.and_then(|()| consumer.assign(&list)).map_err(|error| client::fault(what(), &error))?;
    let mut waiting: BTreeSet<i32> = asked.keys().copied().collect();
    let mut quiet = Duration::ZERO;
    while !waiting.is_empty() && quiet < DEADLINE {
        match consumer.poll(STEP) {
            None => quiet += STEP,
            Some(Ok(message)) => {
                let number = message.partition();
                let Some(one) = asked.get_mut(&number).filter(|_| waiting.contains(&number)) else { continue };
                if message.offset() < one.position {
                    one.found = Some((message.offset(), identity(&message).fingerprint())).max(one.found);
                }
                if message.offset() >= one.position - 1 {
                    waiting.remove(&number);
                    // What comes after it would be fetched for nobody.
                    let mut read = TopicPartitionList::with_capacity(1);
                    read.add_partition(topic, number);
                    consumer.pause(&read).map_err(|error| client::fault(what(), &error))?;
                }
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                waiting.remove(&number);
            }
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(client::passes) => quiet += STEP,
            Some(Err(error)) => return Err(client::fault(what(), &error)),
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let silent: Vec<String> = waiting.iter().map(i32::to_string).collect();
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

//! How far the dead letters in a topic go: the epoch of the last one that came from our source; and all of them.

use super::client::{self, Watch};
use super::offsets;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;
use stream::{Fault, Sequence};

/// The partition of all letters: one order, so that the last of them is the furthest.
pub(super) const PARTITION: i32 = 0;
/// How much to read from the end at first; more if there is no letter of ours in it.
const FIRST_LOOK: i64 = 1000;
/// How long somebody else's open transaction may hide what comes after it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The epoch of the last letter from `source`, read up to the high watermark; none if there is no letter.
/// What stands before `after` is of an earlier life.
pub(super) fn find(config: &ClientConfig, topic: &str, source: &str, after: i64) -> Result<Option<Sequence>, Fault> {
    let (earliest, end) = bounds(config, topic)?;
    let earliest = earliest.max(after);
    let config = reading(config);
    let (mut until, mut look) = (end, FIRST_LOOK);
    while until > earliest {
        let from = earliest.max(until.saturating_sub(look));
        let mut last = None;
        between(&config, topic, from, until, &mut |message| last = epoch(message, source).or(last))?;
        if last.is_some() {
            return Ok(last);
        }
        (until, look) = (from, look.saturating_mul(10));
    }
    Ok(None)
}

/// Every letter from `source` that is there: partition, offset, code. What stands before `after` is of an earlier life.
pub(super) fn all(
    config: &ClientConfig,
    topic: &str,
    source: &str,
    after: i64,
    see: &mut dyn FnMut(&str, i64, &str),
) -> Result<(), Fault> {
    let (earliest, end) = bounds(config, topic)?;
    between(&reading(config), topic, earliest.max(after), end, &mut |message| {
        if let Some((partition, offset, code)) = letter(message, source) {
            see(partition, offset, code);
        }
    })
}

fn reading(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config
        .set("group.id", "topk-last-letter")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50");
    config
}

/// Where the next letter will stand, or a later one.
pub(super) fn end(config: &ClientConfig, topic: &str) -> Result<i64, Fault> {
    Ok(bounds(config, topic)?.1)
}

/// Up to the high watermark, also beyond the last stable offset: a letter of ours may stand behind an open transaction.
fn bounds(config: &ClientConfig, topic: &str) -> Result<(i64, i64), Fault> {
    let prober: BaseConsumer<Watch> = client::create(config.clone().set("isolation.level", "read_uncommitted"))?;
    offsets::bounds(&prober, topic, PARTITION)
}

/// Everything in [from, until).
fn between(
    config: &ClientConfig,
    topic: &str,
    from: i64,
    until: i64,
    see: &mut dyn FnMut(&BorrowedMessage<'_>),
) -> Result<(), Fault> {
    if from >= until {
        return Ok(());
    }
    let what = || format!("cannot find the last dead letter in the topic \"{topic}\"");
    let consumer: BaseConsumer<Watch> = client::create(config)?;
    let mut assigned = TopicPartitionList::new();
    let added = assigned.add_partition_offset(topic, PARTITION, Offset::Offset(from));
    added.and_then(|()| consumer.assign(&assigned)).map_err(|error| client::fault(what(), &error))?;
    let mut quiet = Duration::ZERO;
    let step = Duration::from_millis(100);
    while quiet < PATIENCE {
        match consumer.poll(step) {
            None => quiet += step,
            Some(Ok(message)) => {
                if message.offset() < until {
                    see(&message);
                }
                if message.offset() + 1 >= until {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                // The stable end, in which markers and aborted letters count. Before `until` if a transaction is open.
                if offsets::bounds(&consumer, topic, PARTITION)?.1 >= until && position(&consumer, topic) >= until {
                    return Ok(());
                }
            }
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(client::passes) => quiet += step,
            Some(Err(error)) => return Err(client::fault(what(), &error)),
        }
    }
    Err(Fault::transient(
        what(),
        format!("offset {until} cannot be read: a transaction of another producer is open, or the broker is away"),
        "end that transaction (kafka-transactions.sh find-hanging), or use a topic of its own for dead letters",
    ))
}

fn position(consumer: &BaseConsumer<Watch>, topic: &str) -> i64 {
    let positions = consumer.position().ok();
    match positions.as_ref().and_then(|list| list.find_partition(topic, PARTITION)).map(|at| at.offset()) {
        Some(Offset::Offset(offset)) => offset,
        _ => 0,
    }
}

/// The epoch of a letter from `source`.
fn epoch(message: &BorrowedMessage<'_>, source: &str) -> Option<Sequence> {
    (added(message, "topk.topic")? == source).then_some(())?;
    added(message, "topk.epoch")?.parse().ok().map(Sequence)
}

/// Partition, offset and code of a letter from `source`.
fn letter<'a>(message: &'a BorrowedMessage<'_>, source: &str) -> Option<(&'a str, i64, &'a str)> {
    (added(message, "topk.topic")? == source).then_some(())?;
    Some((
        added(message, "topk.partition")?,
        added(message, "topk.offset")?.parse().ok()?,
        added(message, "topk.error")?,
    ))
}

/// The last header of that name: ours come after the record's own, which may have the same names.
fn added<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let named = (0..headers.count()).rev().map(|index| headers.get(index)).find(|header| header.key == name)?;
    std::str::from_utf8(named.value?).ok()
}

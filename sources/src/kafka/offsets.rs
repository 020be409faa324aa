//! Offsets as numbers: what a partition holds, where a start is, and whether a journaled offset is still there.

use super::client::{self, DEADLINE, Watch, fault};
use super::{KafkaSettings, KafkaStart};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::Duration;
use stream::{Fault, PartitionInfo, PartitionPosition};

/// The first offset, and the one after the last that a read_committed consumer can see: the last stable offset, as
/// librdkafka asks with the isolation level of its client. A broker may not know yet of a topic that was just made, or
/// that another broker has told: it is asked again for a while.
pub(super) fn bounds(prober: &BaseConsumer<Watch>, topic: &str, number: i32) -> Result<(i64, i64), Fault> {
    let mut unknown = 0;
    loop {
        match prober.fetch_watermarks(topic, number, DEADLINE) {
            Err(error) if error.rdkafka_error_code() == Some(Code::UnknownPartition) && unknown < UNKNOWN_AT_MOST => {
                unknown += 1;
                std::thread::sleep(AGAIN);
            }
            answer => {
                let what = || format!("cannot ask for the offsets of topic \"{topic}\" partition {number}");
                return answer.map_err(|error| fault(what(), &error));
            }
        }
    }
}

const AGAIN: Duration = Duration::from_millis(100);
const UNKNOWN_AT_MOST: u32 = 50;

/// What each partition holds, and where the configured start is in it.
pub(super) fn partitions(
    prober: &BaseConsumer<Watch>,
    topic: &str,
    numbers: &[i32],
    start: KafkaStart,
) -> Result<Vec<PartitionInfo>, Fault> {
    let at = match start {
        KafkaStart::Instant(at) => at_or_after(prober, topic, numbers, at.millis())?,
        KafkaStart::Earliest | KafkaStart::Latest => HashMap::new(),
    };
    let info = |number: &i32| {
        let (earliest, end) = bounds(prober, topic, *number)?;
        let start = match start {
            KafkaStart::Earliest => earliest,
            KafkaStart::Latest => end,
            KafkaStart::Instant(_) => at.get(number).map_or(end, |offset| (*offset).clamp(earliest, end)),
        };
        Ok(PartitionInfo { name: number.to_string().into(), earliest, end, start })
    };
    numbers.iter().map(info).collect()
}

/// By partition, the first offset whose record is not older; partitions without one are absent.
fn at_or_after(
    prober: &BaseConsumer<Watch>,
    topic: &str,
    numbers: &[i32],
    millis: i64,
) -> Result<HashMap<i32, i64>, Fault> {
    let what = || format!("cannot find source.kafka.start in topic \"{topic}\"");
    let mut asked = TopicPartitionList::new();
    for number in numbers {
        let added = asked.add_partition_offset(topic, *number, Offset::Offset(millis));
        added.map_err(|error| fault(what(), &error))?;
    }
    let found = prober.offsets_for_times(asked, DEADLINE).map_err(|error| fault(what(), &error))?;
    let mut offsets = HashMap::new();
    for element in found.elements() {
        element.error().map_err(|error| fault(what(), &error))?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(element.partition(), offset);
        }
    }
    Ok(offsets)
}

/// Number, offset and end of each partition; the log still holds the offset, or writes it next.
pub(super) fn checked(
    prober: &BaseConsumer<Watch>,
    topic: &str,
    assigned: &[PartitionPosition],
) -> Result<Vec<(i32, i64, i64)>, Fault> {
    let check = |position: &PartitionPosition| {
        let number = number(topic, position)?;
        let (earliest, end) = bounds(prober, topic, number)?;
        match gone(topic, number, position.offset, earliest, end) {
            Some(fault) => Err(fault),
            None => Ok((number, position.offset, end)),
        }
    };
    assigned.iter().map(check).collect()
}

/// A seeded bug: number, offset and end of each partition, with the consumer group's offsets where it has some.
pub(super) fn of_group(
    settings: &KafkaSettings,
    positions: Vec<(i32, i64, i64)>,
) -> Result<Vec<(i32, i64, i64)>, Fault> {
    let what = || format!("cannot ask for the offsets of group \"{}\"", settings.group);
    let mut config = client::config(&settings.brokers, &settings.properties)?;
    config.set("group.id", &settings.group);
    let consumer: BaseConsumer<Watch> = client::create(&config)?;
    let mut asked = TopicPartitionList::new();
    for (number, ..) in &positions {
        asked.add_partition(&settings.topic, *number);
    }
    let told = consumer.committed_offsets(asked, DEADLINE).map_err(|error| fault(what(), &error))?;
    let told = told.elements_for_topic(&settings.topic).into_iter();
    let told: HashMap<i32, Offset> = told.map(|element| (element.partition(), element.offset())).collect();
    let of_group = |(number, offset, end)| match told.get(&number) {
        Some(Offset::Offset(committed)) => (number, *committed, end),
        _ => (number, offset, end),
    };
    Ok(positions.into_iter().map(of_group).collect())
}

/// A partition's number, which is its name.
pub(super) fn number(topic: &str, position: &PartitionPosition) -> Result<i32, Fault> {
    position.name.parse().map_err(|error| {
        let what = format!("cannot go on in partition \"{}\" of topic \"{topic}\"", position.name);
        Fault::refused(what, error, "the journal is of another source: start a new job")
    })
}

/// The refusal of an offset outside the log.
pub(super) fn gone(topic: &str, number: i32, offset: i64, earliest: i64, end: i64) -> Option<Fault> {
    let missing = if offset < earliest {
        format!("offsets {offset} to {} have been deleted", earliest - 1)
    } else if offset > end {
        format!("offsets {end} to {} were read before and are no longer there", offset - 1)
    } else {
        return None;
    };
    Some(Fault::refused(
        format!("cannot go on in topic \"{topic}\" partition {number} at offset {offset}"),
        format!("the log holds offsets [{earliest}, {end}): {missing}"),
        "restore the log; or start again: the start names all that is missing and the flag that goes on without it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_outside_the_log_names_what_is_missing() {
        assert!((10..=20).all(|offset| gone("t", 3, offset, 10, 20).is_none()));
        let fault = gone("t", 3, 5, 10, 20).unwrap();
        assert_eq!(fault.exit, stream::Exit::Refused);
        assert_eq!(fault.what, "cannot go on in topic \"t\" partition 3 at offset 5");
        assert_eq!(fault.why, "the log holds offsets [10, 20): offsets 5 to 9 have been deleted");
        assert!(gone("t", 3, 22, 10, 20).unwrap().why.contains("offsets 20 to 21 were read before"));
    }
}

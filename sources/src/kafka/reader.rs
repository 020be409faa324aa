//! One thread's consumer and the partitions assigned to it.

use super::KafkaSettings;
use super::client::{self, Watch};
use super::ends::{Ends, Told};
use super::offsets;
use super::queue::{FetchQueue, Fetched};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use stream::{Bug, Fault, PartitionEnd, PartitionPosition, RawRecord, ReadState, RecordSink, SourceReader, seeded};

pub(super) struct KafkaReader {
    settings: KafkaSettings,
    /// None while nothing is assigned.
    link: Option<Link>,
    lanes: Vec<Lane>,
    /// Lane by partition number.
    lane_of: Vec<Option<usize>>,
    ends: Arc<Ends>,
    told: (Sender<Told>, Receiver<Told>),
}

/// A consumer and the queue that its messages come by.
struct Link {
    /// Dropped first.
    queue: FetchQueue,
    consumer: BaseConsumer<Watch>,
}

/// A partition being read.
pub(super) struct Lane {
    number: i32,
    next: i64,
    /// Where reading stops under `until_end`.
    stop: Option<i64>,
    /// The end as last seen.
    end: i64,
    /// Where librdkafka was going to fetch on when the end was last told.
    fetching: Option<i64>,
}

impl KafkaReader {
    /// Read these partitions; their offsets have been checked.
    pub(super) fn open(settings: &KafkaSettings, lanes: Vec<Lane>, ends: &Arc<Ends>) -> Result<Self, Fault> {
        let mut reader = KafkaReader {
            settings: settings.clone(),
            link: None,
            lanes: Vec::new(),
            lane_of: Vec::new(),
            ends: ends.clone(),
            told: channel(),
        };
        reader.assign(lanes)?;
        Ok(reader)
    }

    /// Read these too.
    fn assign(&mut self, lanes: Vec<Lane>) -> Result<(), Fault> {
        if lanes.is_empty() {
            return Ok(());
        }
        let offsets: Vec<(i32, i64)> = lanes.iter().map(|lane| (lane.number, lane.next)).collect();
        for lane in lanes {
            let number = lane.number as usize;
            self.lane_of.resize(self.lane_of.len().max(number + 1), None);
            self.lane_of[number] = Some(self.lanes.len());
            self.lanes.push(lane);
        }
        let list = self.list(&offsets).map_err(|error| client::fault("cannot assign Kafka partitions", &error))?;
        let first = self.link.is_none();
        if first {
            let consumer = consumer(&self.settings)?;
            self.link = Some(Link { queue: FetchQueue::new(&consumer)?, consumer });
        }
        let Some(Link { queue, consumer }) = &self.link else { return Ok(()) };
        // Before anything is fetched, so that no message goes another way.
        offsets.iter().try_for_each(|(number, _)| queue.forward(&self.settings.topic, *number))?;
        let assigned = if first {
            consumer.assign(&list)
        } else {
            // It learns of a new partition with its next look at the metadata: better now than in ten seconds.
            let looked = consumer.fetch_metadata(Some(&self.settings.topic), LOOK);
            looked.inspect_err(|error| tracing::debug!("looking at added partitions: {error}")).ok();
            consumer.incremental_assign(&list)
        };
        assigned.map_err(|error| client::fault("cannot assign Kafka partitions", &error))
    }

    fn list(&self, offsets: &[(i32, i64)]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (number, offset) in offsets {
            list.add_partition_offset(&self.settings.topic, *number, Offset::Offset(*offset))?;
        }
        Ok(list)
    }

    /// What the client as a whole has to say: errors, statistics. Messages come by the queue alone.
    fn listen(&self, consumer: &BaseConsumer<Watch>) -> Result<(), Fault> {
        while let Some(said) = consumer.poll(Duration::ZERO) {
            match said {
                Ok(message) => panic!("bug: partition {} is not forwarded to its reader", message.partition()),
                Err(error) => self.trouble(&error, "")?,
            }
        }
        Ok(())
    }

    /// Trouble that passes is waited out: librdkafka reconnects by itself. The rest ends the process.
    fn trouble(&self, error: &KafkaError, why: &str) -> Result<(), Fault> {
        use RDKafkaErrorCode as Code;
        let what = format!("cannot read the topic \"{}\"", self.settings.topic);
        let Some(code) = error.rdkafka_error_code() else { return Err(client::fault(what, error)) };
        match code {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(client::fault(what, error)),
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Err(self.gone(error, why)),
            // A broker may say so in passing; the next start finds out.
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Err(Fault::failed(
                what,
                format!("the topic, or a partition of it, is gone ({error})"),
                "restore it; or start a new job (another job.name or job.state)",
            )),
            Code::BadMessage | Code::InvalidMessage | Code::BadCompression | Code::Underflow => Err(Fault::refused(
                what,
                format!("a batch in the log is damaged ({error}); going on would skip its records"),
                "check the broker's disks; restore the partition from a healthy replica",
            )),
            code if client::passes(code) => {
                tracing::debug!("reading topic \"{}\": {error} {why}", self.settings.topic);
                Ok(())
            }
            _ => Err(client::fault(what, error)),
        }
    }

    /// As librdkafka may by itself, saying nothing.
    #[cfg(test)]
    pub(super) fn lose_sight_of(&self, partition: usize) {
        let Some(Link { consumer, .. }) = &self.link else { return };
        let list = self.list(&[(self.lanes[partition].number, self.lanes[partition].next)]).expect("an offset");
        consumer.pause(&list).expect("it is assigned");
    }

    /// librdkafka says that an offset is not there, but not of which partition.
    fn gone(&self, error: &KafkaError, why: &str) -> Fault {
        for lane in &self.lanes {
            let bounds =
                self.link.as_ref().map(|link| offsets::bounds(&link.consumer, &self.settings.topic, lane.number));
            if let Some(Ok((earliest, end))) = bounds
                && let Some(fault) = offsets::gone(&self.settings.topic, lane.number, lane.next, earliest, end)
            {
                return fault;
            }
        }
        let offsets: Vec<String> = self.lanes.iter().map(|lane| format!("{}: {}", lane.number, lane.next)).collect();
        Fault::refused(
            format!("cannot go on in topic \"{}\"", self.settings.topic),
            format!("{error} {why}; our offsets by partition are {}", offsets.join(", ")),
            format!(
                "compare with: kafka-get-offsets.sh --bootstrap-server {} --topic {}",
                self.settings.brokers, self.settings.topic
            ),
        )
    }
}

/// How long a look at the metadata may delay reading.
const LOOK: Duration = Duration::from_secs(1);

fn consumer(settings: &KafkaSettings) -> Result<BaseConsumer<Watch>, Fault> {
    let mut config = client::config(&settings.brokers, &settings.properties)?;
    // Defaults that the user's properties may change.
    let tuned = [
        ("queued.max.messages.kbytes", "32768"),
        ("fetch.queue.backoff.ms", "20"),
        // Twenty answers a second, not one for each batch that somebody produces: a third of the broker's work and of ours.
        ("fetch.min.bytes", "65536"),
        ("fetch.wait.max.ms", "50"),
        ("statistics.interval.ms", "1000"),
    ];
    for (name, value) in tuned {
        if !settings.properties.contains_key(name) {
            config.set(name, value);
        }
    }
    config
        .set("group.id", &settings.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", if_gone())
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true");
    client::create(&config)
}

/// What the client does about an offset that is gone: it says so. Anything else would skip records, or count them twice.
fn if_gone() -> &'static str {
    match (seeded(Bug::ResetLatest), seeded(Bug::ResetEarliest)) {
        (true, _) => "latest",
        (_, true) => "earliest",
        (false, false) => "error",
    }
}

impl Lane {
    /// Read on from `next`; the log ends at `end` now.
    pub(super) fn new(number: i32, next: i64, end: i64, stop: Option<i64>) -> Self {
        Lane { number, next, stop, end, fetching: None }
    }

    /// Hand over a message, unless it is beyond where reading stops. False if it is.
    fn hand_over(&mut self, index: usize, message: &Fetched<'_>, into: &mut dyn RecordSink) -> bool {
        let offset = message.offset();
        if let Some(stop) = self.stop.filter(|stop| offset >= *stop) {
            if self.next < stop {
                self.next = stop;
                into.position(index, stop);
            }
            return false;
        }
        if offset < self.next {
            // Fetched before a pause and again after it.
            return true;
        }
        self.next = offset + 1;
        let (timestamp, append_time) = message.timestamp();
        into.record(&RawRecord {
            partition: index,
            offset,
            next_offset: offset + 1,
            timestamp,
            append_time,
            key: message.key(),
            value: message.payload(),
            headers: &|| message.headers(),
        });
        true
    }

    /// What was told of the end, of which nothing can be read that librdkafka is still on its way to: it may have gigabytes of aborted
    /// records to skip, and does not say so. Without its statistics nobody knows.
    pub(super) fn told(&mut self, end: PartitionEnd, fetching: Option<i64>) -> PartitionEnd {
        // Lag is told by it too: what librdkafka has lost sight of it knows no end of.
        self.end = self.end.max(end.readable);
        let stands_still = fetching.is_some() && std::mem::replace(&mut self.fetching, fetching) == fetching;
        PartitionEnd { readable: if stands_still { end.readable } else { self.next }, ..end }
    }

    /// The end of the partition was reached at this offset: everything visible before it has been handed over, and what
    /// is left before it are transaction markers and aborted records.
    fn at_end(&mut self, index: usize, end: i64, into: &mut dyn RecordSink) {
        let position = self.stop.map_or(end, |stop| end.min(stop));
        if position > self.next {
            self.next = position;
            into.position(index, position);
        }
        self.end = self.end.max(self.next);
    }
}

impl SourceReader for KafkaReader {
    fn read(&mut self, wait: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault> {
        if let Some(Link { consumer, .. }) = &self.link {
            self.listen(consumer)?;
        }
        let Some(Link { queue, consumer }) = &mut self.link else {
            std::thread::sleep(wait);
            return Ok(ReadState::Waiting);
        };
        let (lanes, lane_of) = (&mut self.lanes, &self.lane_of);
        let (mut beyond, mut errors) = (Vec::new(), Vec::new());
        let taken = queue.take(wait, limit, &mut |fetched| {
            let Some(index) = lane_of.get(fetched.partition() as usize).copied().flatten() else { return true };
            match fetched.error() {
                None if lanes[index].hand_over(index, fetched, into) => {}
                None => beyond.push(index),
                Some(RDKafkaErrorCode::PartitionEOF) => lanes[index].at_end(index, fetched.offset(), into),
                Some(code) => errors.push((KafkaError::MessageConsumption(code), fetched.why())),
            }
            !into.is_full()
        });
        if taken > errors.len() {
            consumer.context().here();
        }
        errors.iter().try_for_each(|(error, why)| self.trouble(error, why))?;
        beyond.sort_unstable();
        beyond.dedup();
        beyond.into_iter().try_for_each(|index| self.pause(index, true))?;
        Ok(if taken == 0 { ReadState::Waiting } else { ReadState::More })
    }

    fn pause(&mut self, partition: usize, paused: bool) -> Result<(), Fault> {
        let Some(Link { consumer, .. }) = &self.link else { return Ok(()) };
        let Lane { number, next, .. } = self.lanes[partition];
        let resume = |list: TopicPartitionList| {
            // Where to go on is ours to say: taking arrays, librdkafka (below 2.13) counts the end of a partition as a message,
            // would go on behind the next one and lose it (https://github.com/confluentinc/librdkafka/pull/5213).
            consumer.seek_partitions(list, Duration::ZERO).and_then(|list| consumer.resume(&list))
        };
        let list = self.list(&[(number, next)]);
        let done = list.and_then(|list| if paused { consumer.pause(&list) } else { resume(list) });
        done.map_err(|error| client::fault("cannot pause or resume a Kafka partition", &error))
    }

    fn end(&self, partition: usize) -> Option<i64> {
        let lane = &self.lanes[partition];
        let told = self.link.as_ref().and_then(|link| link.consumer.context().end(lane.number));
        lane.stop.or(Some(told.unwrap_or(0).max(lane.end).max(lane.next)))
    }

    fn ask_end(&mut self, partition: usize) -> Result<(), Fault> {
        let Lane { number, next, .. } = self.lanes[partition];
        self.ends.ask(number, next, partition, &self.told.0)
    }

    fn told_ends(&mut self) -> Vec<Told> {
        let (lanes, link) = (&mut self.lanes, &self.link);
        let fetching = |number| link.as_ref().and_then(|link| link.consumer.context().fetching(number));
        let told = self.told.1.try_iter();
        told.map(|(index, end)| {
            let lane = &mut lanes[index];
            let fetching = fetching(lane.number);
            (index, end.map(|end| lane.told(end, fetching)))
        })
        .collect()
    }

    fn add(&mut self, added: &[PartitionPosition]) -> Result<(), Fault> {
        let lane = |position: &PartitionPosition| {
            let number = offsets::number(&self.settings.topic, position)?;
            Ok(Lane::new(number, position.offset, position.offset, None))
        };
        let lanes = added.iter().map(lane).collect::<Result<_, Fault>>()?;
        self.assign(lanes)
    }

    fn publish_progress(&mut self, next_offsets: &[(usize, i64)]) -> Result<(), Fault> {
        let Some(Link { consumer, .. }) = &self.link else { return Ok(()) };
        let offsets: Vec<(i32, i64)> =
            next_offsets.iter().map(|(index, offset)| (self.lanes[*index].number, *offset)).collect();
        let committed = self.list(&offsets).and_then(|list| consumer.commit(&list, CommitMode::Async));
        committed.map_err(|error| client::fault("cannot publish progress to the consumer group", &error))
    }
}

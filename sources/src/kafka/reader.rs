//! One thread's consumer and the partitions assigned to it.

use super::KafkaSettings;
use super::client::{self, Watch};
use super::offsets;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use stream::{Fault, Header, RawRecord, ReadState, RecordSink, SourceReader};

pub(super) struct KafkaReader {
    /// None when nothing is assigned.
    consumer: Option<BaseConsumer<Watch>>,
    topic: String,
    brokers: String,
    lanes: Vec<Lane>,
    /// Lane by partition number.
    lane_of: Vec<Option<usize>>,
}

/// A partition being read.
pub(super) struct Lane {
    number: i32,
    next: i64,
    /// Where reading stops under `until_end`.
    stop: Option<i64>,
    /// The end as last seen.
    end: i64,
}

impl KafkaReader {
    /// Read these partitions; their offsets have been checked.
    pub(super) fn open(settings: &KafkaSettings, lanes: Vec<Lane>) -> Result<Self, Fault> {
        let highest = lanes.iter().map(|lane| lane.number as usize + 1).max().unwrap_or(0);
        let mut lane_of = vec![None; highest];
        lanes.iter().enumerate().for_each(|(index, lane)| lane_of[lane.number as usize] = Some(index));
        let consumer = if lanes.is_empty() { None } else { Some(consumer(settings)?) };
        let reader =
            KafkaReader { consumer, topic: settings.topic.clone(), brokers: settings.brokers.clone(), lanes, lane_of };
        if let Some(consumer) = &reader.consumer {
            let offsets: Vec<(i32, i64)> = reader.lanes.iter().map(|lane| (lane.number, lane.next)).collect();
            let assigned = reader.list(&offsets).and_then(|list| consumer.assign(&list));
            assigned.map_err(|error| client::fault("cannot assign Kafka partitions", &error))?;
        }
        Ok(reader)
    }

    fn list(&self, offsets: &[(i32, i64)]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (number, offset) in offsets {
            list.add_partition_offset(&self.topic, *number, Offset::Offset(*offset))?;
        }
        Ok(list)
    }

    /// The end of a partition was reached: everything visible before its position has been handed over, and what is
    /// left before it are transaction markers and aborted records.
    fn at_end(&mut self, number: i32, into: &mut dyn RecordSink) -> Result<(), Fault> {
        let index = self.lane_of.get(number as usize).copied().flatten();
        let Some((index, consumer)) = index.zip(self.consumer.as_ref()) else { return Ok(()) };
        let positions = consumer.position().map_err(|error| client::fault("cannot ask for Kafka positions", &error))?;
        let lane = &mut self.lanes[index];
        if let Some(Offset::Offset(position)) = positions.find_partition(&self.topic, number).map(|at| at.offset()) {
            let position = lane.stop.map_or(position, |stop| position.min(stop));
            if position > lane.next {
                lane.next = position;
                into.position(index, position);
            }
        }
        lane.end = lane.end.max(lane.next);
        Ok(())
    }

    /// Trouble that passes is waited out: librdkafka reconnects by itself. The rest ends the process.
    fn trouble(&self, error: &KafkaError) -> Result<(), Fault> {
        use RDKafkaErrorCode as Code;
        let what = format!("cannot read the topic \"{}\"", self.topic);
        let Some(code) = error.rdkafka_error_code() else { return Err(client::fault(what, error)) };
        match code {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(client::fault(what, error)),
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Err(self.gone(error)),
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
                tracing::debug!("reading topic \"{}\": {error}", self.topic);
                Ok(())
            }
            _ => Err(client::fault(what, error)),
        }
    }

    /// librdkafka says that an offset is not there, but not of which partition.
    fn gone(&self, error: &KafkaError) -> Fault {
        for lane in &self.lanes {
            let bounds = self.consumer.as_ref().map(|consumer| offsets::bounds(consumer, &self.topic, lane.number));
            if let Some(Ok((earliest, end))) = bounds
                && let Some(fault) = offsets::gone(&self.topic, lane.number, lane.next, earliest, end)
            {
                return fault;
            }
        }
        let offsets: Vec<String> = self.lanes.iter().map(|lane| format!("{}: {}", lane.number, lane.next)).collect();
        Fault::refused(
            format!("cannot go on in topic \"{}\"", self.topic),
            format!("{error}; our offsets by partition are {}", offsets.join(", ")),
            format!("compare with: kafka-get-offsets.sh --bootstrap-server {} --topic {}", self.brokers, self.topic),
        )
    }
}

fn consumer(settings: &KafkaSettings) -> Result<BaseConsumer<Watch>, Fault> {
    let mut config = client::config(&settings.brokers, &settings.properties)?;
    // Defaults that the user's properties may change.
    let tuned = [
        ("queued.min.messages", "200000"),
        ("queued.max.messages.kbytes", "32768"),
        ("fetch.queue.backoff.ms", "20"),
        ("fetch.message.max.bytes", "4194304"),
        ("fetch.wait.max.ms", "100"),
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
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true");
    client::create(&config)
}

impl Lane {
    /// Read on from `next`; the log ends at `end` now.
    pub(super) fn new(number: i32, next: i64, end: i64, stop: Option<i64>) -> Self {
        Lane { number, next, stop, end }
    }

    /// Hand over a message, unless it is beyond where reading stops. False if it is.
    fn hand_over(&mut self, index: usize, message: &BorrowedMessage<'_>, into: &mut dyn RecordSink) -> bool {
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
        let timestamp = message.timestamp();
        into.record(&RawRecord {
            partition: index,
            offset,
            next_offset: offset + 1,
            timestamp: timestamp.to_millis(),
            append_time: matches!(timestamp, Timestamp::LogAppendTime(_)),
            key: message.key(),
            value: message.payload(),
            headers: &|| headers(message),
        });
        true
    }
}

fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let owned = |header: rdkafka::message::Header<'_, &[u8]>| Header {
        name: header.key.to_owned(),
        value: header.value.map(<[u8]>::to_vec),
    };
    headers.iter().map(owned).collect()
}

impl SourceReader for KafkaReader {
    fn read(&mut self, wait: Duration, limit: usize, into: &mut dyn RecordSink) -> Result<ReadState, Fault> {
        let (mut taken, mut timeout) = (0, wait);
        while taken < limit {
            let Some(consumer) = &self.consumer else {
                std::thread::sleep(wait);
                return Ok(ReadState::Waiting);
            };
            let beyond = match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    consumer.context().here();
                    let number = message.partition();
                    let Some(index) = self.lane_of.get(number as usize).copied().flatten() else { continue };
                    taken += 1;
                    (!self.lanes[index].hand_over(index, &message, into)).then_some(index)
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    consumer.context().here();
                    self.at_end(number, into)?;
                    None
                }
                Some(Err(error)) => {
                    self.trouble(&error)?;
                    None
                }
            };
            timeout = Duration::ZERO;
            if let Some(index) = beyond {
                self.pause(index, true)?;
            }
        }
        Ok(if taken == 0 { ReadState::Waiting } else { ReadState::More })
    }

    fn pause(&mut self, partition: usize, paused: bool) -> Result<(), Fault> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.lanes[partition].number);
        let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        done.map_err(|error| client::fault("cannot pause or resume a Kafka partition", &error))
    }

    fn end(&self, partition: usize) -> Option<i64> {
        let lane = &self.lanes[partition];
        let told = self.consumer.as_ref().and_then(|consumer| consumer.context().end(lane.number));
        lane.stop.or(Some(told.unwrap_or(0).max(lane.end).max(lane.next)))
    }

    fn publish_progress(&mut self, next_offsets: &[(usize, i64)]) -> Result<(), Fault> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let offsets: Vec<(i32, i64)> =
            next_offsets.iter().map(|(index, offset)| (self.lanes[*index].number, *offset)).collect();
        let committed = self.list(&offsets).and_then(|list| consumer.commit(&list, CommitMode::Async));
        committed.map_err(|error| client::fault("cannot publish progress to the consumer group", &error))
    }
}

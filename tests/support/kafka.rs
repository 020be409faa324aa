//! Topics of a test: creating, filling, reading the dead letters of one, deleting.

use crate::services;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// A record to produce.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its key, if any.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a record without one.
    pub value: Option<Vec<u8>>,
    /// Its timestamp in epoch milliseconds; `None`: the producer's clock.
    pub timestamp: Option<i64>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A record with this value and nothing else.
    pub fn new(partition: i32, value: impl Into<Vec<u8>>) -> Self {
        Record { partition, value: Some(value.into()), ..Record::default() }
    }

    /// A view of a video at an event time in epoch milliseconds.
    pub fn view(partition: i32, video: &str, time: i64) -> Self {
        Self::new(partition, json!({ "video_id": video, "view_timestamp": time }).to_string())
    }
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", services::kafka());
    config
}

/// A producer with librdkafka properties of one's own, such as a compression or a `transactional.id`.
///
/// # Panics
/// librdkafka refuses the properties.
pub fn producer(properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = config();
    config.set("linger.ms", "20").set("message.max.bytes", "10000000");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().expect("a producer")
}

/// Send through a producer; returns when the broker has acknowledged all.
///
/// # Panics
/// The broker refuses one.
pub fn send(producer: &BaseProducer, topic: &str, records: &[Record]) {
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition).headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.timestamp = record.timestamp;
        while let Err((error, back)) = producer.send(message) {
            assert_eq!(
                error,
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                "{topic}: a record was refused"
            );
            producer.poll(Duration::from_millis(50));
            message = back;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(WAIT).expect("the broker acknowledges");
}

/// Send with a plain producer.
pub fn produce(topic: &str, records: &[Record]) {
    send(&producer(&[]), topic, records);
}

/// Create a topic.
///
/// # Panics
/// The broker refuses.
pub fn create_topic(topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    new.config = settings.to_vec();
    let results =
        block_on(async { admin().create_topics([&new], &AdminOptions::new().operation_timeout(Some(WAIT))).await });
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(topic, code)| panic!("{topic} was not created: {code}"));
    }
}

/// Give a topic these settings, and no others.
///
/// # Panics
/// The broker refuses.
pub fn alter_topic(topic: &str, settings: &[(&str, &str)]) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let change = settings.iter().fold(change, |change, (name, value)| change.set(name, value));
    let results = block_on(async { admin().alter_configs([&change], &AdminOptions::new()).await });
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(_, code)| panic!("{topic} was not changed: {code}"));
    }
}

/// Let a topic have this many partitions in all.
///
/// # Panics
/// The broker refuses.
pub fn add_partitions(topic: &str, in_all: usize) {
    let new = NewPartitions::new(topic, in_all);
    let results = block_on(async { admin().create_partitions([&new], &AdminOptions::new()).await });
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(topic, code)| panic!("{topic} has no more partitions: {code}"));
    }
    // Known to the controller is not yet known to everyone who asks.
    let consumer: BaseConsumer = config().create().expect("a consumer");
    crate::until("the partitions are told to all", WAIT, || {
        let metadata = consumer.fetch_metadata(Some(topic), WAIT).expect("the broker answers");
        let partitions = metadata.topics()[0].partitions();
        (partitions.len() == in_all && partitions.iter().all(|partition| partition.error().is_none())).then_some(())
    });
}

/// Delete a partition's records below `offset`, as retention does.
///
/// # Panics
/// The broker refuses.
pub fn delete_records_below(topic: &str, partition: i32, offset: i64) {
    let mut below = TopicPartitionList::new();
    below.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
    let deleted = block_on(async { admin().delete_records(&below, &AdminOptions::new()).await });
    deleted.expect("the broker answers").elements().iter().for_each(|element| element.error().expect("deleted"));
}

/// What a consumer group has committed, by partition; none where it has not.
///
/// # Panics
/// The broker does not answer.
pub fn committed(group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = config().set("group.id", group).create().expect("a consumer");
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let told = consumer.committed_offsets(asked, WAIT).expect("the broker answers");
    told.elements().iter().map(|element| element.offset().to_raw().filter(|offset| *offset >= 0)).collect()
}

/// Where a topic's partitions end, for a reader of everything and for one of what is committed; or why that is not told.
pub fn ends(topic: &str, partitions: i32) -> Vec<String> {
    let wait = Duration::from_secs(10);
    let readers = ["read_uncommitted", "read_committed"]
        .map(|level| config().set("isolation.level", level).create::<BaseConsumer>().expect("a consumer"));
    let end = |reader: &BaseConsumer, partition| match reader.fetch_watermarks(topic, partition, wait) {
        Ok((_, end)) => end.to_string(),
        Err(error) => error.to_string(),
    };
    let of = |partition| {
        format!("{partition}: {}", readers.each_ref().map(|reader| end(reader, partition)).join(", committed "))
    };
    (0..partitions).map(of).collect()
}

/// Let a consumer group claim these offsets, by partition.
///
/// # Panics
/// The broker refuses.
pub fn commit(group: &str, topic: &str, offsets: &[i64]) {
    let consumer: BaseConsumer = config().set("group.id", group).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        list.add_partition_offset(topic, partition, Offset::Offset(*offset)).expect("an offset");
    }
    consumer.commit(&list, CommitMode::Sync).expect("the broker commits");
}

/// Delete topics; one that is not there is fine.
pub fn delete_topics(topics: &[String]) {
    if !topics.is_empty() {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        // A leftover in a service that is thrown away spoils nothing.
        let _ = block_on(async { admin().delete_topics(&names, &AdminOptions::new()).await });
    }
}

fn admin() -> AdminClient<DefaultClientContext> {
    config().create().expect("an admin client")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// What a read_committed consumer sees of a topic from its beginning to its end. A topic that is not there holds nothing.
///
/// # Panics
/// The broker does not answer.
pub fn read<T>(topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>) -> T) -> Vec<T> {
    let mut config = config();
    config.set("group.id", "topk-tests").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "error");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), WAIT).expect("the broker answers");
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let partition = i32::try_from(partition).expect("few partitions");
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let (mut found, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        match consumer.poll(WAIT) {
            Some(Ok(message)) => found.push(each(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{topic}: {error}"),
            None => panic!("{topic}: nothing came for {WAIT:?}"),
        }
    }
    found
}

/// The dead letters of a topic as an NDJSON line of a dead-letter file would say them.
pub(crate) fn dead_letters(topic: &str) -> Vec<Value> {
    read(topic, |message| {
        let headers = message.headers().expect("a dead letter has headers");
        let added = |name: &str| {
            let header = headers.iter().filter(|header| header.key == name).last();
            String::from_utf8_lossy(header.and_then(|header| header.value).unwrap_or_default()).into_owned()
        };
        let own: Vec<_> = headers.iter().filter(|header| !header.key.starts_with("topk.")).collect();
        json!({
            "error": added("topk.error"), "detail": added("topk.detail"), "source": added("topk.topic"),
            "partition": added("topk.partition"), "offset": added("topk.offset"), "epoch": added("topk.epoch"),
            "key": message.key(), "value": message.payload(),
            "headers": own.iter().map(|header| json!([header.key, header.value])).collect::<Vec<_>>(),
        })
    })
}

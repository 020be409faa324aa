//! Against a real broker: what is read, what is refused, where positions end.

mod ahead;
mod growing;
mod pauses;

use super::client::{Watch, admin, config};
use super::topic::{block_on, ensure};
use super::*;
use crate::Carrier;
use crate::{Synthetic, synthetic::tests::settings as synthetic_settings};
use rdkafka::admin::AdminOptions;
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicU32, Ordering};
use stream::{Clock, Exit, Header, RawRecord, ReadState, RecordSink, SystemClock};

pub(super) const WAIT: Duration = Duration::from_secs(20);

pub(super) fn brokers() -> String {
    std::env::var("TOPK_TEST_KAFKA")
        .expect("TOPK_TEST_KAFKA (host:port of a Kafka broker) is not set: run ./test, or source the services")
}

pub(super) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("sources-{name}-{process}-{count}-{}", SystemClock::default().now().0)
}

fn topic_with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let topic = unique(name);
    ensure(&admin(&brokers(), &BTreeMap::new()).unwrap(), &topic, partitions, settings).unwrap();
    topic
}

pub(super) fn topic(name: &str) -> String {
    topic_with(name, 1, &[])
}

fn settings(topic: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: brokers(),
        topic: topic.to_owned(),
        group: format!("group-{topic}"),
        start: KafkaStart::Earliest,
        properties: BTreeMap::new(),
        until_end: false,
    }
}

pub(super) fn source(topic: &str) -> KafkaSource {
    KafkaSource::new(settings(topic)).unwrap()
}

pub(super) fn producer(properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers()).set("linger.ms", "5");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

pub(super) fn send(producer: &BaseProducer, topic: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
    for value in values {
        let record = BaseRecord::<[u8], str>::to(topic).payload(value.as_ref()).partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(WAIT).unwrap();
}

pub(super) fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

/// What a reader handed over: (partition, offset, value), and where it stands.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) records: Vec<Record>,
    next: BTreeMap<usize, i64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    partition: usize,
    offset: i64,
    timestamp: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
}

impl RecordSink for Seen {
    fn record(&mut self, record: &RawRecord<'_>) {
        let next = self.next.entry(record.partition).or_default();
        assert!(record.offset >= *next, "offset {} after position {next}", record.offset);
        *next = record.next_offset;
        self.records.push(Record {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: (record.headers)(),
        });
    }

    fn position(&mut self, partition: usize, next_offset: i64) {
        let next = self.next.entry(partition).or_default();
        assert!(next_offset > *next, "position {next_offset} after {next}");
        *next = next_offset;
    }
}

impl Seen {
    fn values(&self) -> Vec<String> {
        let text = |record: &Record| String::from_utf8(record.value.clone().unwrap()).unwrap();
        self.records.iter().map(text).collect()
    }
}

pub(super) fn positions(source: &KafkaSource) -> Vec<PartitionPosition> {
    let at = |info: PartitionInfo| PartitionPosition { name: info.name, offset: info.start, fingerprint: 0 };
    source.partitions().unwrap().into_iter().map(at).collect()
}

/// Read until every partition's position is at least that of `until`; the deadline only ends a test that fails.
pub(super) fn read_until(reader: &mut dyn SourceReader, seen: &mut Seen, until: &[i64]) {
    for _ in 0..400 {
        reader.read(Duration::from_millis(50), 1000, seen).unwrap();
        let reached = |(partition, end): (usize, &i64)| seen.next.get(&partition).copied().unwrap_or(0) >= *end;
        if until.iter().enumerate().all(reached) {
            return;
        }
    }
    panic!("positions {:?} never reached {until:?}", seen.next);
}

/// Nothing more comes within half a second.
fn nothing_more(reader: &mut dyn SourceReader, seen: &mut Seen) {
    let before = (seen.records.len(), seen.next.clone());
    for _ in 0..10 {
        reader.read(Duration::from_millis(50), 1000, seen).unwrap();
    }
    assert_eq!((seen.records.len(), seen.next.clone()), before);
}

#[test]
fn every_codec_is_read_and_so_is_every_kind_of_record() {
    let topic = topic("codecs");
    let mut expected = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let values = numbered(&format!("{codec} {codec} {codec} "), 200);
        send(&producer(&[("compression.type", codec)]), &topic, &values);
        expected.extend(values);
    }
    let plain = producer(&[]);
    let headers = OwnedHeaders::new()
        .insert(KafkaHeader { key: "twice", value: Some("one") })
        .insert(KafkaHeader { key: "none", value: None::<&str> })
        .insert(KafkaHeader { key: "twice", value: Some("") });
    let record = BaseRecord::to(&topic).key("a key").timestamp(1234).headers(headers);
    plain.send::<str, str>(record).map_err(|(error, _)| error).unwrap();
    plain.send(BaseRecord::<[u8], str>::to(&topic).payload("")).map_err(|(error, _)| error).unwrap();
    plain.flush(WAIT).unwrap();

    let source = source(&topic);
    let info = source.partitions().unwrap().remove(0);
    assert_eq!((&*info.name, info.earliest, info.end, info.start), ("0", 0, 1002, 0));
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *reader, &mut seen, &[1002]);
    let rest = seen.records.split_off(1000);
    assert_eq!(seen.values(), expected);
    assert_eq!((rest[0].key.as_deref(), rest[0].value.as_deref()), (Some(&b"a key"[..]), None));
    assert_eq!(rest[0].timestamp, Some(1234));
    let header = |name: &str, value: Option<&str>| Header { name: name.into(), value: value.map(|text| text.into()) };
    assert_eq!(rest[0].headers, [header("twice", Some("one")), header("none", None), header("twice", Some(""))]);
    assert_eq!((rest[1].key.as_deref(), rest[1].value.as_deref()), (None, Some(&b""[..])));
    assert_eq!(reader.end(0), Some(1002));
}

#[test]
fn transactions_are_read_when_committed_and_markers_are_passed() {
    let topic = topic("transactions");
    let id = unique("id");
    let transactional = producer(&[("transactional.id", &id)]);
    transactional.init_transactions(WAIT).unwrap();
    let transact = |values: Vec<String>, commit: bool| {
        transactional.begin_transaction().unwrap();
        send(&transactional, &topic, values);
        if commit { transactional.commit_transaction(WAIT) } else { transactional.abort_transaction(WAIT) }.unwrap();
    };
    transact(numbered("a", 3), true);
    transact(numbered("aborted", 4), false);
    transact(numbered("b", 2), true);
    transact(numbered("aborted", 2), false);
    // 3 + 4 + 2 + 2 records and 4 markers.
    let source = source(&topic);
    assert_eq!(source.partitions().unwrap()[0].end, 15);
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *reader, &mut seen, &[15]);
    assert_eq!(seen.values(), ["a0", "a1", "a2", "b0", "b1"]);

    transactional.begin_transaction().unwrap();
    send(&transactional, &topic, ["open"]);
    let plain = producer(&[]);
    send(&plain, &topic, ["behind it"]);
    assert_eq!(source.partitions().unwrap()[0].end, 15, "the last stable offset is before the open transaction");
    nothing_more(&mut *reader, &mut seen);
    transactional.commit_transaction(WAIT).unwrap();
    read_until(&mut *reader, &mut seen, &[18]);
    assert_eq!(seen.values()[5..], ["open", "behind it"]);
    assert_eq!(source.partitions().unwrap()[0].end, 18);
}

#[test]
fn until_end_is_what_was_visible_when_first_asked() {
    let topic = topic("until-end");
    let plain = producer(&[]);
    send(&plain, &topic, numbered("a", 5));
    let id = unique("id");
    let transactional = producer(&[("transactional.id", &id)]);
    transactional.init_transactions(WAIT).unwrap();
    transactional.begin_transaction().unwrap();
    send(&transactional, &topic, ["aborted"]);
    transactional.abort_transaction(WAIT).unwrap();
    let source = KafkaSource::new(KafkaSettings { until_end: true, ..settings(&topic) }).unwrap();
    let assigned = positions(&source);
    assert_eq!(source.partitions().unwrap()[0].end, 7);
    send(&plain, &topic, numbered("later", 5));
    assert_eq!(source.partitions().unwrap()[0].end, 7);
    let mut reader = source.open(&assigned).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *reader, &mut seen, &[7]);
    nothing_more(&mut *reader, &mut seen);
    assert_eq!((seen.values(), seen.next[&0], reader.end(0)), (numbered("a", 5), 7, Some(7)));
}

#[test]
fn starts_are_resolved_to_offsets() {
    let topic = topic_with("starts", 2, &[]);
    let plain = producer(&[]);
    for timestamp in [1000, 2000, 3000] {
        let record = BaseRecord::<[u8], str>::to(&topic).payload("x").partition(0).timestamp(timestamp);
        plain.send(record).map_err(|(error, _)| error).unwrap();
    }
    plain.flush(WAIT).unwrap();
    let starts = |start: KafkaStart| {
        let source = KafkaSource::new(KafkaSettings { start, ..settings(&topic) }).unwrap();
        source.partitions().unwrap().iter().map(|info| info.start).collect::<Vec<_>>()
    };
    let instant = |millis: i64| KafkaStart::Instant(EventTime::from_millis(millis));
    assert_eq!(starts(KafkaStart::Earliest), [0, 0]);
    assert_eq!(starts(KafkaStart::Latest), [3, 0]);
    assert_eq!(starts(instant(0)), [0, 0]);
    assert_eq!(starts(instant(1001)), [1, 0]);
    assert_eq!(starts(instant(3000)), [2, 0]);
    assert_eq!(starts(instant(3001)), [3, 0]);
}

#[test]
fn offsets_that_are_gone_are_refused() {
    let topic = topic("gone");
    send(&producer(&[]), &topic, numbered("a", 10));
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(4)).unwrap();
    let asking = admin(&brokers(), &BTreeMap::new()).unwrap();
    block_on(asking.delete_records(&before, &AdminOptions::new().operation_timeout(Some(WAIT)))).unwrap();
    let source = source(&topic);
    let info = source.partitions().unwrap().remove(0);
    assert_eq!((info.earliest, info.start, info.end), (4, 4, 10));
    let open = |offset: i64| source.open(&[PartitionPosition { name: "0".into(), offset, fingerprint: 0 }]);
    for (offset, missing) in [(2, "offsets 2 to 3 have been deleted"), (12, "offsets 10 to 11 were read before")] {
        let fault = open(offset).err().unwrap();
        assert_eq!(fault.exit, Exit::Refused);
        assert!(fault.why.contains("[4, 10)") && fault.why.contains(missing), "{fault}");
        // The same when the log loses them after the check: librdkafka's error is the only sign, and it comes once.
        let mut reader =
            KafkaReader::open(&settings(&topic), vec![Lane::new(0, offset, 10, None)], &source.ends).unwrap();
        let mut seen = Seen::default();
        let fault = (0..200).find_map(|_| reader.read(Duration::from_millis(100), 10, &mut seen).err()).unwrap();
        assert_eq!((fault.exit, seen.records.len()), (Exit::Refused, 0));
        assert!(fault.what.contains("partition 0") && fault.why.contains(missing), "{fault}");
    }
    let mut reader = open(4).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *reader, &mut seen, &[10]);
    assert_eq!(seen.values(), numbered("a", 10)[4..]);
    assert_eq!(open(10).unwrap().read(Duration::ZERO, 10, &mut seen), Ok(ReadState::Waiting));
}

#[test]
fn progress_is_published_to_the_group() {
    let topic = topic("progress");
    send(&producer(&[]), &topic, numbered("a", 5));
    let source = source(&topic);
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *reader, &mut seen, &[5]);
    reader.publish_progress(&[(0, 5)]).unwrap();
    let mut config = config(&brokers(), &BTreeMap::new()).unwrap();
    config.set("group.id", format!("group-{topic}"));
    let other: BaseConsumer<Watch> = client::create(&config).unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&topic, 0);
    let committed = (0..200).find_map(|_| {
        reader.read(Duration::from_millis(50), 10, &mut seen).unwrap();
        let answer = other.committed_offsets(asked.clone(), WAIT).ok()?;
        let offset = answer.find_partition(&topic, 0)?.offset();
        (offset != Offset::Invalid).then_some(offset)
    });
    assert_eq!(committed, Some(Offset::Offset(5)));
}

#[test]
fn the_topic_is_identified_and_must_be_there_and_not_compacted() {
    let there = topic_with("identity", 12, &[]);
    let source = source(&there);
    let identity = source.identity().unwrap();
    assert_eq!((identity.kind.as_str(), identity.topic.as_str()), ("kafka", there.as_str()));
    assert!(!identity.cluster.is_empty());
    assert_eq!(identity.topic_id.len(), 22, "{:?} is a topic id in base64", identity.topic_id);
    assert_eq!(source.identity().unwrap(), identity);
    let names: Vec<String> = source.partitions().unwrap().iter().map(|info| info.name.to_string()).collect();
    assert_eq!(names, ["0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"]);

    let absent = unique("absent");
    // Not "none", as where a broker has no ids: that would be another topic than the one of the journal.
    let fault = topic_id::describe(source.prober.client(), &absent).unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    let fault = self::source(&absent).partitions().unwrap_err();
    assert!(fault.hint.contains(&format!("--create --topic {absent}")), "{fault}");
    assert_eq!(self::source(&absent).identity().unwrap_err(), fault);

    for policy in ["compact", "compact,delete"] {
        let compacted = topic_with("compacted", 1, &[("cleanup.policy", policy)]);
        let fault = self::source(&compacted).identity().unwrap_err();
        assert!(fault.exit == Exit::Refused && fault.why.contains("compacted"), "{fault}");
    }
}

#[test]
fn brokers_that_are_away_are_waited_for() {
    let away = KafkaSettings { brokers: "127.0.0.1:1".into(), ..settings("any") };
    let ends = Arc::new(Ends::new(away.clone()));
    let mut reader = KafkaReader::open(&away, vec![Lane::new(0, 0, 0, None)], &ends).unwrap();
    let mut seen = Seen::default();
    for _ in 0..10 {
        assert_eq!(reader.read(Duration::from_millis(100), 10, &mut seen), Ok(ReadState::Waiting));
    }
    let mut nothing = KafkaReader::open(&away, Vec::new(), &ends).unwrap();
    assert_eq!(nothing.read(Duration::ZERO, 10, &mut seen), Ok(ReadState::Waiting));
}

#[test]
fn properties_that_guard_exactness_are_refused() {
    let with = |name: &str, value: &str| {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        KafkaSource::new(KafkaSettings { brokers: "127.0.0.1:1".into(), properties, ..settings("any") }).err()
    };
    for name in ["auto.offset.reset", "isolation.level", "enable.auto.commit", "check.crcs", "transactional.id"] {
        let fault = with(name, "anything").unwrap();
        assert!(fault.exit == Exit::Usage && fault.what.contains(name), "{fault}");
    }
    for name in ["no.such.property", "fetch.wait.max.ms"] {
        let fault = with(name, "not a number").unwrap();
        assert!(fault.exit == Exit::Usage && fault.what.contains(name), "{fault}");
    }
    assert!(with("fetch.wait.max.ms", "50").is_none());
    assert!(with("security.protocol", "plaintext").is_none());
    if !cfg!(feature = "kafka-tls") {
        for (name, value) in [("security.protocol", "ssl"), ("sasl.username", "me"), ("ssl.ca.location", "/ca")] {
            assert!(with(name, value).unwrap().hint.contains("kafka-tls"));
        }
    }
}

#[test]
fn synthetic_events_arrive_as_they_were_made() {
    let topic = topic_with("synthetic", 3, &[]);
    let mut made: Vec<_> =
        Synthetic::new(crate::SyntheticSettings { carrier: Carrier::StampedLog, ..synthetic_settings() })
            .take(20_000)
            .map(|record| (record.key, record.value))
            .collect();
    let compression = "zstd".to_owned();
    let mut writer = KafkaWriter::new(KafkaWriterSettings {
        brokers: brokers(),
        topic: topic.clone(),
        compression,
        properties: BTreeMap::new(),
    })
    .unwrap();
    writer.ensure_topic(3).unwrap();
    made.iter().for_each(|(key, value)| writer.send(key.as_deref(), value.as_deref(), 1_760_882_400_000).unwrap());
    writer.flush().unwrap();
    let source = source(&topic);
    let ends: Vec<i64> = source.partitions().unwrap().iter().map(|info| info.end).collect();
    let mut seen = Seen::default();
    read_until(&mut *source.open(&positions(&source)).unwrap(), &mut seen, &ends);
    let mut arrived: Vec<_> = seen.records.into_iter().map(|record| (record.key, record.value)).collect();
    arrived.sort();
    made.sort();
    assert!(arrived == made);
}

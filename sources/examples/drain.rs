//! How fast a topic is drained by the three ways that librdkafka has of handing messages over, side by side, and by the
//! source itself. Nothing is decoded: this is the ceiling of whatever reads from Kafka with one consumer.
//!
//! ```text
//! cargo run --release -p sources --example drain -- HOST:PORT TOPIC [rounds [ways]]
//! ```
//!
//! It reads the whole topic by each way in turn, so that they meet the same broker and the same noise. CPU is that of this
//! whole process, librdkafka's own threads (decompression, checksums) included.
//!
//! Ten million views (101 bytes, lz4, 8 partitions) in the release profile on two cores that others kept busy, five rounds of
//! `callback` and `batch` in turn, each a process of its own:
//!
//! ```text
//! callback  0.67 to 0.76 CPU-s per million, 1.8 to 2.2 M/s
//! batch     0.59 to 0.66 CPU-s per million, 2.0 to 2.4 M/s
//! ```
//!
//! `poll` costs twice as much (0.77 to 0.96 where these cost 0.43 to 0.60). The callback also takes everything that is
//! queued away while it runs, so that the fetcher's bounds do not hold for a reader that does more than to look. Batch, asked
//! with a time, waits until its array is full; asked without one it gives what lies ready, which is how the source asks.
#![allow(unsafe_code, reason = "two of the three ways are not in rdkafka's safe interface")]

use rdkafka::bindings::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sources::{KafkaSettings, KafkaSource, KafkaStart};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::time::Duration;
use stream::{Clock, PartitionPosition, RawRecord, RecordSink, Source, SystemClock};

/// What was seen of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Seen {
    records: u64,
    bytes: u64,
}

/// One way of taking messages. Returns how many partitions ended.
trait Way {
    fn take(&mut self, consumer: &BaseConsumer, seen: &mut Seen) -> usize;
}

const WAIT_MILLIS: i32 = 5;
const BATCH: usize = 4096;

/// One message at a time, by the safe interface.
struct Poll;

impl Way for Poll {
    fn take(&mut self, consumer: &BaseConsumer, seen: &mut Seen) -> usize {
        match consumer.poll(Duration::from_millis(WAIT_MILLIS as u64)) {
            Some(Ok(message)) => {
                seen.records += 1;
                seen.bytes += message.payload().map_or(0, <[u8]>::len) as u64;
                0
            }
            Some(Err(KafkaError::PartitionEOF(_))) => 1,
            Some(Err(error)) => panic!("{error}"),
            None => 0,
        }
    }
}

/// An array of messages at a time.
struct Batch(*mut rd_kafka_queue_t, Vec<*mut rd_kafka_message_t>);

/// A callback for each message that lies ready.
struct Callback(*mut rd_kafka_queue_t);

/// See whether it is a message or the end of a partition.
unsafe fn look(message: *const rd_kafka_message_t, seen: &mut Seen) -> usize {
    // SAFETY: the caller has a live message.
    let message = unsafe { &*message };
    match message.err {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
            seen.records += 1;
            seen.bytes += message.len as u64;
            0
        }
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => 1,
        other => panic!("{other:?}"),
    }
}

impl Way for Batch {
    fn take(&mut self, _: &BaseConsumer, seen: &mut Seen) -> usize {
        // SAFETY: the array has as many places as are told, and each message is given back once.
        unsafe {
            let taken = rd_kafka_consume_batch_queue(self.0, WAIT_MILLIS, self.1.as_mut_ptr(), self.1.len());
            let taken = usize::try_from(taken).expect("the queue is read");
            let mut ended = 0;
            for message in &self.1[..taken] {
                ended += look(*message, seen);
                rd_kafka_message_destroy(*message);
            }
            ended
        }
    }
}

unsafe extern "C" fn called(message: *mut rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: librdkafka gives a live message and the pointer that it was given.
    unsafe {
        let (seen, ended) = &mut *opaque.cast::<(Seen, usize)>();
        *ended += look(message, seen);
    }
}

impl Way for Callback {
    fn take(&mut self, _: &BaseConsumer, seen: &mut Seen) -> usize {
        let mut found = (*seen, 0);
        // SAFETY: `found` outlives the call.
        unsafe { rd_kafka_consume_callback_queue(self.0, WAIT_MILLIS, Some(called), (&raw mut found).cast()) };
        *seen = found.0;
        found.1
    }
}

/// Drain the topic by one way with a new consumer.
fn drain(brokers: &str, topic: &str, way: &str) -> Seen {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "drain").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed").set("check.crcs", "true");
    // As the source has them.
    config
        .set("queued.max.messages.kbytes", "32768")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.min.bytes", "65536")
        .set("fetch.wait.max.ms", "50");
    config.set("enable.auto.offset.store", "false").set("statistics.interval.ms", "1000");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).expect("the broker answers");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let client = consumer.client().native_ptr();
    let name = CString::new(topic).expect("a name");
    let queue = || {
        // SAFETY: the client outlives the queue, to which each partition's own is forwarded.
        unsafe {
            let queue = rd_kafka_queue_new(client);
            for partition in &partitions {
                let of_partition = rd_kafka_queue_get_partition(client, name.as_ptr(), *partition);
                rd_kafka_queue_forward(of_partition, queue);
                rd_kafka_queue_destroy(of_partition);
            }
            queue
        }
    };
    let (mut way, queue): (Box<dyn Way>, *mut rd_kafka_queue_t) = match way {
        "poll" => (Box::new(Poll), std::ptr::null_mut()),
        "batch" => {
            let queue = queue();
            (Box::new(Batch(queue, vec![std::ptr::null_mut(); BATCH])), queue)
        }
        _ => {
            let queue = queue();
            (Box::new(Callback(queue)), queue)
        }
    };
    let (mut seen, mut ended) = (Seen::default(), 0);
    while ended < partitions.len() {
        ended += way.take(&consumer, &mut seen);
        if !queue.is_null() {
            drop(consumer.poll(Duration::ZERO));
        }
    }
    if !queue.is_null() {
        // SAFETY: ours, and given back once, before its client.
        unsafe { rd_kafka_queue_destroy(queue) };
    }
    seen
}

struct Counted(Seen, Vec<i64>);

impl RecordSink for Counted {
    fn record(&mut self, record: &RawRecord<'_>) {
        self.0.records += 1;
        self.0.bytes += record.value.map_or(0, <[u8]>::len) as u64;
        self.1[record.partition] = record.next_offset;
    }

    fn position(&mut self, partition: usize, next_offset: i64) {
        self.1[partition] = next_offset;
    }
}

/// Drain it as the job does.
fn by_the_source(brokers: &str, topic: &str) -> Seen {
    let settings = KafkaSettings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        group: "drain".to_owned(),
        start: KafkaStart::Earliest,
        properties: BTreeMap::new(),
        until_end: true,
    };
    let source = KafkaSource::new(settings).expect("a source");
    let partitions = source.partitions().expect("the broker answers");
    let at = |info: &stream::PartitionInfo| PartitionPosition {
        name: info.name.clone(),
        offset: info.start,
        fingerprint: 0,
    };
    let mut reader = source.open(&partitions.iter().map(at).collect::<Vec<_>>()).expect("a reader");
    let mut counted = Counted(Seen::default(), vec![0; partitions.len()]);
    while counted.1.iter().zip(&partitions).any(|(next, info)| *next < info.end) {
        reader.read(Duration::from_millis(WAIT_MILLIS as u64), BATCH, &mut counted).expect("it reads on");
    }
    counted.0
}

/// Processor time of this process so far.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let words: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    // User and system time, in hundredths of a second.
    words[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, rest @ ..] = &words[..] else {
        eprintln!("drain HOST:PORT TOPIC [rounds [poll batch callback source]]");
        std::process::exit(2);
    };
    let rounds: usize = rest.first().map_or(3, |rounds| rounds.parse().expect("rounds is a number"));
    let ways: Vec<&str> = match rest.get(1..) {
        None | Some([]) => vec!["poll", "batch", "callback", "source"],
        Some(ways) => ways.iter().map(String::as_str).collect(),
    };
    let clock = SystemClock::default();
    let mut all = None;
    for _ in 0..rounds {
        for way in &ways {
            let way = *way;
            let (began, busy) = (clock.monotonic(), processor_seconds());
            let seen = if way == "source" { by_the_source(brokers, topic) } else { drain(brokers, topic, way) };
            let seconds = (clock.monotonic() - began).as_secs_f64();
            let busy = processor_seconds() - busy;
            assert_eq!(*all.get_or_insert(seen), seen, "every way sees the same");
            let millions = seen.records as f64 / 1e6;
            println!(
                "{way:<9} {:>6.2} M/s  {:>6.0} MB/s  {:>5.2} CPU-s per million  ({} records)",
                millions / seconds,
                seen.bytes as f64 / 1e6 / seconds,
                busy / millions,
                seen.records
            );
        }
    }
}

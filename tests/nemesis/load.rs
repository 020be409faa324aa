//! The load: views that a seed decides, with disorder, late ones, some of the future and some that are no views, sent as
//! fast as event time is to run, for as long as the round goes on. It does not pass the links: faults there are the job's.

use crate::oracle::{Fate, Oracle, video};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use stream::{Clock, EventTime, SystemClock};
use tests::{Moments, services};

/// 2025-10-31T22:40:00Z: the end of an hour, a day and a month are near.
const START: i64 = 1_761_950_400_000;
/// 2100-01-01: ahead of every clock.
const FUTURE: i64 = 4_102_444_800_000;
const EVERY: Duration = Duration::from_millis(100);

/// What the load is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) seed: u64,
    /// Records in a second.
    pub(crate) rate: u64,
    /// Seconds of event time in a second.
    pub(crate) speed: u64,
    pub(crate) videos: u64,
}

/// One record, and what is to become of it.
pub(crate) struct View {
    partition: i32,
    value: Option<Vec<u8>>,
    fate: Fate,
    /// Its event time, if it counts.
    time: Option<i64>,
}

impl Mix {
    /// The record of this number, in one of so many partitions.
    pub(crate) fn view(&self, number: u64, partitions: i32) -> View {
        let mut moments = Moments::of(self.seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let partition = i32::try_from(moments.below(partitions.unsigned_abs().into())).expect("few partitions");
        let now = START + i64::try_from(number * self.speed * 1000 / self.rate).expect("event time fits");
        let behind = |millis: u64| now - i64::try_from(millis).expect("some minutes");
        let share = moments.below(1000);
        let time = match share {
            0..20 => behind(moments.between(65_000, 400_000)),
            20..25 => FUTURE,
            _ => behind(moments.below(5000)),
        };
        // Few videos have most views.
        let bound = moments.below(self.videos) + 1;
        let number = u32::try_from(moments.below(bound)).expect("few videos");
        let name = video(number);
        let value = match share {
            25..30 => None,
            30..35 => Some(String::new()),
            35..40 => Some(format!("{{\"video_id\":\"{name}\"")),
            40..45 => Some(format!("{{\"video_id\":\"\",\"view_timestamp\":{time}}}")),
            45..50 => Some(format!("{{\"video_id\":\"{name}\",\"view_timestamp\":\"{time}\"}}")),
            50..250 => {
                let time = EventTime::from_millis(time);
                Some(format!("{{\"videoId\":\"{name}\",\"timestamp\":\"{time}\",\"region\":\"NA\"}}"))
            }
            _ => Some(format!("{{\"video_id\":\"{name}\",\"view_timestamp\":{time},\"user_id\":\"u{number}\"}}")),
        };
        let is_dead = (20..50).contains(&share);
        let fate = if is_dead { Fate::Dead } else { Fate::Counted(number) };
        View { partition, value: value.map(String::into_bytes), fate, time: (!is_dead).then_some(time) }
    }
}

/// Where each record came to lie, by its place in the batch.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Mutex<Vec<(usize, i64)>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        match result {
            Ok(message) => self.0.lock().expect("a list").push((place, message.offset())),
            // A round whose load is not known proves nothing.
            Err((error, _)) => panic!("the load was refused: {error}"),
        }
    }
}

/// Sends batches, each until the broker has acknowledged all of it, however long that takes.
pub(crate) struct Sender {
    producer: BaseProducer<Acknowledged>,
    topic: String,
}

impl Sender {
    pub(crate) fn new(topic: &str, transactional: Option<&str>) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", services::kafka()).set("enable.idempotence", "true").set("linger.ms", "2");
        config.set("reconnect.backoff.max.ms", "500").set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        match transactional {
            Some(id) => config.set("transactional.id", id).set("transaction.timeout.ms", "300000"),
            None => config.set("message.timeout.ms", "0"),
        };
        let producer = config.create_with_context(Acknowledged::default()).expect("a producer");
        Sender { producer, topic: topic.to_owned() }
    }

    pub(crate) fn producer(&self) -> &BaseProducer<Acknowledged> {
        &self.producer
    }

    /// Where each came to lie: partition, offset, fate.
    pub(crate) fn send(&self, views: &[View]) -> Vec<(i32, i64, Fate)> {
        for (place, view) in views.iter().enumerate() {
            let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, place);
            record.partition = Some(view.partition);
            record.payload = view.value.as_deref();
            while let Err((error, back)) = self.producer.send(record) {
                // One that was added is known to this client after a look.
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownPartition), "the load is refused");
                let _ = self.producer.client().fetch_metadata(Some(&self.topic), Duration::from_secs(5));
                record = back;
            }
        }
        let acknowledged = &self.producer.context().0;
        while acknowledged.lock().expect("a list").len() < views.len() {
            self.producer.poll(Duration::from_millis(20));
        }
        let places = std::mem::take(&mut *acknowledged.lock().expect("a list"));
        places.into_iter().map(|(place, offset)| (views[place].partition, offset, views[place].fate)).collect()
    }
}

/// The greatest event time among views that count.
pub(crate) fn newest(views: &[View]) -> Option<i64> {
    views.iter().filter_map(|view| view.time).max()
}

/// A load that runs until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    partitions: Arc<AtomicI32>,
    number: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(mix: Mix, topic: &str, partitions: i32, oracle: Arc<Oracle>, clock: SystemClock) -> Self {
        let sender = Sender::new(topic, None);
        let stop = Arc::new(AtomicBool::new(false));
        let (partitions, number) = (Arc::new(AtomicI32::new(partitions)), Arc::new(AtomicU64::new(0)));
        let (is_over, spread, reached) = (stop.clone(), partitions.clone(), number.clone());
        let thread = std::thread::spawn(move || {
            let (mut number, mut due) = (0, clock.monotonic());
            while !is_over.load(Ordering::Acquire) {
                let batch = mix.rate * u64::try_from(EVERY.as_millis()).expect("short") / 1000;
                let spread = spread.load(Ordering::Acquire);
                let views: Vec<View> = (number..number + batch).map(|number| mix.view(number, spread)).collect();
                number += batch;
                reached.store(number, Ordering::Release);
                let ticket = oracle.begin();
                let records = sender.send(&views);
                oracle.end(ticket, &records, newest(&views), clock.monotonic());
                // What a broker that was away has cost is not made up for.
                due = (due + EVERY).max(clock.monotonic().saturating_sub(EVERY));
                std::thread::sleep(due.saturating_sub(clock.monotonic()));
            }
        });
        Load { stop, partitions, number, thread }
    }

    /// Views go to this many partitions from now on.
    pub(crate) fn spread(&self, partitions: i32) {
        self.partitions.store(partitions, Ordering::Release);
    }

    /// The number of the view that comes next.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Whether it ended by itself: what the log holds is not known then.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stop; all that was sent is acknowledged.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the load was sent");
    }
}

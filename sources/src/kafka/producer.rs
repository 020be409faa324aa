//! A plain producer, fast and in order, for synthetic events.

use super::client::{self, Watch};
use super::{topic, unreachable};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;
use stream::Fault;

/// Where to write and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaWriterSettings {
    /// `host:port`, several by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// More librdkafka properties.
    pub properties: BTreeMap<String, String>,
}

/// Writes records.
pub struct KafkaWriter {
    producer: BaseProducer<Watch>,
    settings: KafkaWriterSettings,
    unpolled: u32,
}

/// Sends between two looks at what was delivered.
const POLL_EVERY: u32 = 256;
/// How long a delivery may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl KafkaWriter {
    /// A writer. Nothing is contacted yet.
    ///
    /// # Errors
    /// Properties that are unknown, refused, or need the feature `kafka-tls`.
    pub fn new(settings: KafkaWriterSettings) -> Result<Self, Fault> {
        let mut config = client::config(&settings.brokers, &settings.properties)?;
        config
            .set("enable.idempotence", "true")
            .set("compression.type", &settings.compression)
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "500000")
            .set("message.max.bytes", "100000000")
            // The partition that Java's producer chooses for the same key.
            .set("partitioner", "murmur2_random");
        Ok(KafkaWriter { producer: client::create(&config)?, settings, unpolled: 0 })
    }

    /// Create the topic with so many partitions unless it is there.
    ///
    /// # Errors
    /// The brokers cannot be reached, or refuse.
    pub fn ensure_topic(&self, partitions: i32) -> Result<(), Fault> {
        let admin = client::admin(&self.settings.brokers, &self.settings.properties)?;
        let ensured = topic::ensure(&admin, &self.settings.topic, partitions, &[]);
        ensured.map_err(|fault| unreachable::named(fault, &self.settings.brokers))
    }

    /// Queue a record; waits while the queue is full. `timestamp` in milliseconds since 1970.
    ///
    /// # Errors
    /// This record, or one sent before, cannot be delivered.
    pub fn send(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) -> Result<(), Fault> {
        self.unpolled += 1;
        if self.unpolled >= POLL_EVERY {
            self.unpolled = 0;
            self.poll(Duration::ZERO)?;
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.settings.topic).timestamp(timestamp);
        record.key = key;
        record.payload = value;
        loop {
            record = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => again,
                Err((error, _)) => return Err(self.fault(&error)),
            };
            self.poll(Duration::from_millis(10))?;
        }
    }

    /// Wait until everything sent is written.
    ///
    /// # Errors
    /// Some record could not be delivered.
    pub fn flush(&mut self) -> Result<(), Fault> {
        self.producer.flush(PATIENCE).map_err(|error| self.fault(&error))?;
        self.poll(Duration::ZERO)
    }

    fn poll(&self, wait: Duration) -> Result<(), Fault> {
        self.producer.poll(wait);
        match self.producer.context().take_undelivered() {
            Some(error) => Err(self.fault(&error)),
            None => Ok(()),
        }
    }

    fn fault(&self, error: &KafkaError) -> Fault {
        let fault = client::fault(format!("cannot write to the topic \"{}\"", self.settings.topic), error);
        unreachable::named(fault, &self.settings.brokers)
    }
}

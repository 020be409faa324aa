//! A Kafka topic as a source: partitions are assigned, never subscribed to; offsets are the journal's, and librdkafka
//! never chooses one.

mod client;
mod dead_letters;
mod ends;
mod last_letter;
mod offsets;
mod producer;
mod queue;
mod reader;
mod refill;
mod topic;
mod topic_id;
mod unreachable;

use client::{DEADLINE, Watch};
pub use dead_letters::{DeadLetterProducer, DeadLetterSettings};
use ends::Ends;
pub use producer::{KafkaWriter, KafkaWriterSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use reader::{KafkaReader, Lane};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{Bug, EventTime, Fault, PartitionInfo, PartitionPosition, Source, SourceIdentity, SourceReader, seeded};

/// Added partitions are found within this and the time of a question, which the contract wants below 10 s.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// Where reading begins when nothing is journaled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KafkaStart {
    /// The first offset that can still be read.
    Earliest,
    /// After the last visible record.
    Latest,
    /// The first record whose Kafka timestamp is not before this instant.
    Instant(EventTime),
}

/// A topic and how to reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaSettings {
    /// `host:port`, several by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group under which progress is published for lag tools.
    pub group: String,
    /// Where to begin.
    pub start: KafkaStart,
    /// More librdkafka properties. Those that guard exactness are refused.
    pub properties: BTreeMap<String, String>,
    /// Read no further than what was visible when first asked.
    pub until_end: bool,
}

/// The source.
pub struct KafkaSource {
    settings: KafkaSettings,
    /// Asks about the topic; reads nothing.
    prober: BaseConsumer<Watch>,
    /// Asks where silent partitions end.
    ends: Arc<Ends>,
    /// Under `until_end`: the partitions when first asked.
    frozen: Mutex<Option<Vec<PartitionInfo>>>,
    /// The topic's id when last asked for, which a start compares with the journal's.
    topic_id: Mutex<Option<String>>,
}

impl KafkaSource {
    /// A source. Nothing is contacted yet.
    ///
    /// # Errors
    /// Properties that are unknown, refused, or need the feature `kafka-tls`.
    pub fn new(settings: KafkaSettings) -> Result<Self, Fault> {
        let config = client::config(&settings.brokers, &settings.properties)?;
        let prober = client::create(&config)?;
        let ends = Arc::new(Ends::new(settings.clone()));
        Ok(KafkaSource { settings, prober, ends, frozen: Mutex::new(None), topic_id: Mutex::new(None) })
    }

    /// Errors and log lines of the prober, which nobody else takes.
    fn drain(&self) {
        client::hear(&self.prober, Duration::from_millis(1));
    }

    /// The partitions that this job sees.
    fn visible(&self) -> Result<Vec<PartitionInfo>, Fault> {
        self.drain();
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(partitions) = &*frozen {
            return Ok(partitions.clone());
        }
        let KafkaSettings { brokers, topic, start, .. } = &self.settings;
        let numbers = topic::partitions(&self.prober, topic, brokers)?;
        let mut partitions = offsets::partitions(&self.prober, topic, &numbers, *start)?;
        partitions.sort_by(|one, other| one.name.cmp(&other.name));
        if self.settings.until_end {
            *frozen = Some(partitions.clone());
        }
        Ok(partitions)
    }

    fn topic_id(&self) -> Result<Option<String>, Fault> {
        if seeded(Bug::NoTopicId) {
            return Ok(None);
        }
        let KafkaSettings { brokers, topic, .. } = &self.settings;
        topic_id::describe(self.prober.client(), topic).map_err(|fault| unreachable::named(fault, brokers))
    }

    /// A topic that is made anew while a job runs is another log: librdkafka goes on in it at the old offset, if it reaches
    /// that far.
    fn refuse_another(&self) -> Result<(), Fault> {
        let begun = self.topic_id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (Some(begun), Some(found)) = (begun, self.topic_id()?) else { return Ok(()) };
        if begun == found {
            return Ok(());
        }
        Err(Fault::refused(
            format!("topic \"{}\" was deleted and made anew while this job read it", self.settings.topic),
            format!(
                "its id was {begun} and is {found}, so offsets mean something else; what was read within the last {LOOK_EVERY:?} may be of either"
            ),
            "start again: the start names the new source and the flag that goes on with it",
        ))
    }
}

impl Source for KafkaSource {
    fn identity(&self) -> Result<SourceIdentity, Fault> {
        self.drain();
        let KafkaSettings { brokers, topic, .. } = &self.settings;
        topic::partitions(&self.prober, topic, brokers)?;
        let admin = client::admin(brokers, &self.settings.properties)?;
        topic::refuse_compacted(&admin, topic)?;
        let Some(cluster) = self.prober.client().fetch_cluster_id(DEADLINE) else {
            let hint = format!("check that the brokers {brokers} can be reached");
            return Err(Fault::transient("cannot learn the Kafka cluster's id", "no broker told it in time", hint));
        };
        let topic_id = self.topic_id()?;
        self.topic_id.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&topic_id);
        Ok(SourceIdentity {
            kind: "kafka".to_owned(),
            cluster,
            topic: topic.clone(),
            topic_id: topic_id.unwrap_or_default(),
        })
    }

    fn partitions(&self) -> Result<Vec<PartitionInfo>, Fault> {
        self.visible()
    }

    fn replaced(&self, positions: &[PartitionPosition]) -> Result<Vec<Arc<str>>, Fault> {
        if seeded(Bug::NoFingerprint) {
            return Ok(Vec::new());
        }
        refill::replaced(&self.settings, positions)
    }

    fn open(&self, assigned: &[PartitionPosition]) -> Result<Box<dyn SourceReader>, Fault> {
        let frozen = if self.settings.until_end { Some(self.visible()?) } else { None };
        let stop = |name: &Arc<str>| {
            let infos = frozen.as_ref()?;
            Some(infos.iter().find(|info| info.name == *name).map_or(0, |info| info.end))
        };
        let positions = offsets::checked(&self.prober, &self.settings.topic, assigned)?;
        let positions = match seeded(Bug::OffsetsOfGroup) {
            false => positions,
            true => offsets::of_group(&self.settings, positions)?,
        };
        let lanes = positions.into_iter().zip(assigned);
        let lane = |((number, offset, end), position): (_, &PartitionPosition)| {
            Lane::new(number, offset, end, stop(&position.name))
        };
        Ok(Box::new(KafkaReader::open(&self.settings, lanes.map(lane).collect(), &self.ends)?))
    }

    fn look_every(&self) -> Option<Duration> {
        (!self.settings.until_end).then_some(LOOK_EVERY)
    }

    fn added(&self, known: &BTreeSet<Arc<str>>) -> Result<Vec<PartitionInfo>, Fault> {
        self.drain();
        let KafkaSettings { brokers, topic, .. } = &self.settings;
        self.refuse_another()?;
        let mut numbers = topic::partitions(&self.prober, topic, brokers)?;
        numbers.retain(|number| !known.contains(number.to_string().as_str()));
        // Whatever `start` says: of a partition that was not there then, everything came after.
        offsets::partitions(&self.prober, topic, &numbers, KafkaStart::Earliest)
    }
}

#[cfg(test)]
mod tests;

//! What every Kafka client here has in common: its settings, what it logs, and how its errors become faults.

use super::unreachable;
use rdkafka::admin::AdminClient;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stream::Fault;

/// How long to wait for an answer from the cluster.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Properties that counts depend on, and those that have a setting of their own.
const GUARDED: [&str; 20] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "metadata.broker.list",
    "request.required.acks",
    "transactional.id",
];

/// The settings of every client: the user's properties below what the job needs.
pub(super) fn config(brokers: &str, properties: &BTreeMap<String, String>) -> Result<ClientConfig, Fault> {
    let mut config = ClientConfig::new();
    config
        .set("metadata.recovery.strategy", "rebootstrap")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("metadata.max.age.ms", "30000")
        .set("reconnect.backoff.max.ms", "2000");
    for (name, value) in properties {
        refuse(name, value)?;
        config.set(name, value);
    }
    config.set("bootstrap.servers", brokers).set("client.id", "topk").set("allow.auto.create.topics", "false");
    config.set_log_level(RDKafkaLogLevel::Info);
    Ok(config)
}

fn refuse(name: &str, value: &str) -> Result<(), Fault> {
    let what = format!("source.kafka.properties: \"{name}\" is refused");
    if GUARDED.contains(&name) {
        let why = "the job sets it: exact counts depend on it, or a setting of its own has it";
        return Err(Fault::usage(what, why, "remove it; brokers, topic, group and start have settings of their own"));
    }
    let encrypts = ["ssl.", "sasl.", "https.", "enable.ssl", "enable.sasl"].iter().any(|start| name.starts_with(start))
        || (name == "security.protocol" && !value.eq_ignore_ascii_case("plaintext"));
    if encrypts && !cfg!(feature = "kafka-tls") {
        let why = "this build has no TLS and SASL for Kafka: the cargo feature kafka-tls is off";
        return Err(Fault::usage(what, why, "build with --features kafka-tls"));
    }
    Ok(())
}

/// A client of these settings.
pub(super) fn create<T: FromClientConfigAndContext<Watch>>(config: &ClientConfig) -> Result<T, Fault> {
    config.create_with_context(Watch::default()).map_err(|error| match error {
        KafkaError::ClientConfig(_, why, name, value) => Fault::usage(
            format!("source.kafka.properties: \"{name}\" = \"{value}\" is wrong"),
            why,
            "see librdkafka's CONFIGURATION.md for its properties and their values",
        ),
        error => Fault::usage("cannot make a Kafka client", error, "check source.kafka and its properties"),
    })
}

/// A client that asks and creates.
pub(super) fn admin(brokers: &str, properties: &BTreeMap<String, String>) -> Result<AdminClient<Watch>, Fault> {
    create(&config(brokers, properties)?)
}

/// Take what a client that only asks has to say: errors and log lines, which nobody else takes. Without any time rdkafka's poll would
/// return after the first of them, as it does when there is none.
pub(super) fn hear(prober: &BaseConsumer<Watch>, within: Duration) {
    for _ in 0..1000 {
        if prober.poll(within).is_none() {
            break;
        }
    }
}

/// Whether librdkafka goes on by itself, or the same call may succeed later.
pub(super) fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::NodeUpdate
            | Code::Retry
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::QueueFull
            | Code::UnknownBroker
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ConcurrentTransactions
            | Code::KafkaStorageError
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::ListenerNotFound
            | Code::ReassignmentInProgress
            | Code::GroupAuthorizationFailed
    )
}

/// The fault of a call that failed.
pub(super) fn fault(what: impl Into<String>, error: &KafkaError) -> Fault {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    match code {
        Some(code) if passes(code) => Fault::transient(what, error, unreachable::HINT),
        _ => Fault::failed(what, error, "check the topic, the rights of this client, and the broker's log"),
    }
}

/// Listens to a client: one log line when its brokers go away and one when they are back; ends of partitions; the first
/// record that could not be delivered.
#[derive(Debug, Default)]
pub(super) struct Watch {
    away: AtomicBool,
    ends: Mutex<HashMap<i32, i64>>,
    fetching: Mutex<HashMap<i32, i64>>,
    undelivered: Mutex<Option<KafkaError>>,
    complaint: Mutex<Option<Complaint>>,
}

/// Why a client cannot talk to its brokers, in librdkafka's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Complaint {
    /// It will not heal: credentials or certificates are wrong.
    pub(super) refused: bool,
    pub(super) reason: String,
}

impl Watch {
    /// Something arrived.
    pub(super) fn here(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("Kafka is back");
        }
    }

    /// The end of a partition for a read_committed consumer, as the last statistics told.
    pub(super) fn end(&self, partition: i32) -> Option<i64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }

    /// Where a partition is going to be fetched on, as the last statistics told.
    pub(super) fn fetching(&self, partition: i32) -> Option<i64> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }

    /// The last complaint since the last call; that something was refused is not forgotten over what follows from it.
    pub(super) fn take_complaint(&self) -> Option<Complaint> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn complain(&self, refused: bool, reason: &str) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if refused || !complaint.as_ref().is_some_and(|before| before.refused) {
            *complaint = Some(Complaint { refused, reason: reason.to_owned() });
        }
    }

    /// The first failed delivery since the last call.
    pub(super) fn take_undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // librdkafka logs every attempt to connect as an error; what matters comes as an error of its own.
        tracing::debug!(target: "librdkafka", ?level, "{facility}: {line}");
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, told) in statistics.topics.into_values().flat_map(|topic| topic.partitions) {
            if told.ls_offset >= 0 {
                ends.insert(number, told.ls_offset);
            }
            fetching.insert(number, told.next_offset);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Kafka is away ({reason}); waiting for it");
                }
            }
            Some(code) if passes(code) => {
                self.complain(false, reason);
                tracing::debug!(target: "librdkafka", "{error}: {reason}");
            }
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => {
                self.complain(true, reason);
                tracing::warn!(target: "librdkafka", "{error}: {reason}");
            }
            _ => tracing::warn!(target: "librdkafka", "{error}: {reason}"),
        }
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.here(),
            Err((error, _)) => {
                let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
                undelivered.get_or_insert_with(|| error.clone());
            }
        }
    }
}

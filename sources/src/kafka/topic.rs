//! Questions about a topic, and its creation.

use super::client::{Complaint, DEADLINE, Watch, fault, hear};
use super::unreachable;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;
use stream::Fault;

/// Numbers of a topic's partitions; none if there is no such topic.
pub(super) fn find(prober: &BaseConsumer<Watch>, topic: &str) -> Result<Option<Vec<i32>>, Fault> {
    let what = || format!("cannot look up the topic \"{topic}\"");
    let metadata = prober.fetch_metadata(Some(topic), DEADLINE).map_err(|error| unanswered(prober, what(), &error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
        Some(code) => return Err(fault(what(), &KafkaError::MetadataFetch(code))),
    }
    Ok(Some(found.partitions().iter().map(|partition| partition.id()).collect()))
}

/// Nobody answered: because of what librdkafka has said meanwhile, if it has.
fn unanswered(prober: &BaseConsumer<Watch>, what: String, error: &KafkaError) -> Fault {
    hear(prober, Duration::from_millis(50));
    match prober.context().take_complaint() {
        Some(Complaint { refused: true, reason }) => {
            Fault::failed(what, reason, "check security.protocol, ssl.… and sasl.… in source.kafka.properties")
        }
        Some(Complaint { reason, .. }) => Fault::transient(what, format!("{error}; {reason}"), unreachable::HINT),
        None => fault(what, error),
    }
}

/// Numbers of the partitions of a topic that must be there.
pub(super) fn partitions(prober: &BaseConsumer<Watch>, topic: &str, brokers: &str) -> Result<Vec<i32>, Fault> {
    let found = find(prober, topic).map_err(|fault| unreachable::named(fault, brokers))?;
    found.ok_or_else(|| {
        Fault::transient(
            format!("cannot read the topic \"{topic}\""),
            format!("there is no such topic at {brokers}"),
            format!("create it: kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 8"),
        )
    })
}

/// A compacted topic forgets records, so nothing counted from it could be counted again.
pub(super) fn refuse_compacted(admin: &AdminClient<Watch>, topic: &str) -> Result<(), Fault> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let answer = block_on(admin.describe_configs(&asked, &options()));
    let what = || format!("cannot learn whether the topic \"{topic}\" is compacted");
    let configs = answer.map_err(|error| fault(what(), &error))?;
    let config = match configs.into_iter().next() {
        Some(Ok(config)) => config,
        // Who may read a topic need not have the right to ask about its settings.
        Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)) | None => {
            tracing::warn!("{}: no right to ask; make sure that it is not", what());
            return Ok(());
        }
        Some(Err(code)) => return Err(fault(what(), &KafkaError::AdminOp(code))),
    };
    let policy = config.get("cleanup.policy").and_then(|entry| entry.value.clone()).unwrap_or_default();
    if !policy.contains("compact") {
        return Ok(());
    }
    Err(Fault::refused(
        format!("cannot read the topic \"{topic}\""),
        format!(
            "it is compacted (cleanup.policy={policy}): records of equal key are removed, so counts would be wrong"
        ),
        "use a topic with cleanup.policy=delete",
    ))
}

/// Create a topic unless it is there; used as it is if it is.
pub(super) fn ensure(
    admin: &AdminClient<Watch>,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), Fault> {
    // The broker's default replication.
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let what = || format!("cannot create the topic \"{topic}\"");
    let answers = block_on(admin.create_topics([&new], &options())).map_err(|error| fault(what(), &error))?;
    match answers.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
        Some(Err((_, code))) => Err(fault(what(), &KafkaError::AdminOp(code))),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

/// Wait for an answer that a thread of the admin client completes, at its own deadline.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

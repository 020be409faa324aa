//! A topic's id, which a topic of the same name created later does not share. rdkafka has no safe call for it.

use super::client::{DEADLINE, passes};
use super::unreachable;
use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;
use std::ffi::{CStr, CString};
use std::ptr::null;
use stream::Fault;

/// The id in base64; none if the broker has no ids (before Kafka 2.8) or this client no right to ask. That nobody knew
/// just now is a transient fault: without its id a topic would be taken for another one.
#[allow(unsafe_code, reason = "librdkafka's DescribeTopics has no safe binding")]
pub(super) fn describe<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<String>, Fault> {
    let Ok(name) = CString::new(topic) else { return Ok(None) };
    let mut names = [name.as_ptr()];
    // SAFETY: every object is created here, used only while it lives, and destroyed once, in reverse order; `name`
    // outlives the call that copies it; what the event holds is copied before the event is destroyed.
    let answer = unsafe {
        let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let queue = rd_kafka_queue_new(client.native_ptr());
        rd_kafka_DescribeTopics(client.native_ptr(), topics, null(), queue);
        let event = rd_kafka_queue_poll(queue, i32::try_from(DEADLINE.as_millis()).unwrap_or(i32::MAX));
        let answer = if event.is_null() { Err(RDKafkaErrorCode::OperationTimedOut) } else { id_of(event) };
        if !event.is_null() {
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        rd_kafka_TopicCollection_destroy(topics);
        answer
    };
    use RDKafkaErrorCode as Code;
    let what = format!("cannot learn the id of the topic \"{topic}\"");
    match answer {
        Ok(id) => Ok(id),
        Err(Code::UnsupportedFeature | Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => Ok(None),
        // It was there a moment ago: a broker that has just started does not know it yet.
        Err(code @ (Code::UnknownTopicOrPartition | Code::UnknownTopic)) => Err(Fault::transient(
            what,
            code,
            "nothing, if a broker has just started; else look whether the topic is there",
        )),
        Err(code) if passes(code) => Err(Fault::transient(what, code, unreachable::HINT)),
        Err(code) => Err(Fault::failed(what, code, "check the rights of this client, and the broker's log")),
    }
}

/// # Safety
/// `event` is a live event.
#[allow(unsafe_code, reason = "librdkafka's DescribeTopics has no safe binding")]
unsafe fn id_of(event: *mut rd_kafka_event_t) -> Result<Option<String>, RDKafkaErrorCode> {
    // SAFETY: pointers read here belong to the event, which outlives this function; nulls are checked.
    unsafe {
        let failed = |code: rd_kafka_resp_err_t| match RDKafkaErrorCode::from(code) {
            RDKafkaErrorCode::NoError => Ok(()),
            code => Err(code),
        };
        failed(rd_kafka_event_error(event))?;
        let result = rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = if result.is_null() { null() } else { rd_kafka_DescribeTopics_result_topics(result, &mut count) };
        if topics.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        }
        let error = rd_kafka_TopicDescription_error(*topics);
        if !error.is_null() {
            failed(rd_kafka_error_code(error))?;
        }
        let id = rd_kafka_TopicDescription_topic_id(*topics);
        let text = if id.is_null() { null() } else { rd_kafka_Uuid_base64str(id) };
        let text = if text.is_null() { None } else { CStr::from_ptr(text).to_str().ok().map(str::to_owned) };
        // A broker that has no ids answers with zeros.
        Ok(text.filter(|text| !text.is_empty() && text.bytes().any(|byte| byte != b'A')))
    }
}

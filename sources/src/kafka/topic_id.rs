//! A topic's id, which a topic of the same name created later does not share. rdkafka has no safe call for it.

use super::client::DEADLINE;
use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use std::ffi::{CStr, CString};
use std::ptr::null;

/// The id in base64; none if the broker does not tell (before Kafka 2.8, or no right to ask).
#[allow(unsafe_code, reason = "librdkafka's DescribeTopics has no safe binding")]
pub(super) fn describe<C: ClientContext>(client: &Client<C>, topic: &str) -> Option<String> {
    let name = CString::new(topic).ok()?;
    let mut names = [name.as_ptr()];
    // SAFETY: every object is created here, used only while it lives, and destroyed once, in reverse order; `name`
    // outlives the call that copies it; what the event holds is copied before the event is destroyed.
    unsafe {
        let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let queue = rd_kafka_queue_new(client.native_ptr());
        rd_kafka_DescribeTopics(client.native_ptr(), topics, null(), queue);
        let event = rd_kafka_queue_poll(queue, i32::try_from(DEADLINE.as_millis()).unwrap_or(i32::MAX));
        let id = if event.is_null() { None } else { id_of(event) };
        if !event.is_null() {
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

/// # Safety
/// `event` is a live event.
#[allow(unsafe_code, reason = "librdkafka's DescribeTopics has no safe binding")]
unsafe fn id_of(event: *mut rd_kafka_event_t) -> Option<String> {
    // SAFETY: pointers read here belong to the event, which outlives this function; nulls are checked.
    unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return None;
        }
        let id = rd_kafka_TopicDescription_topic_id(*topics);
        let text = if id.is_null() { null() } else { rd_kafka_Uuid_base64str(id) };
        let text = if text.is_null() { None } else { CStr::from_ptr(text).to_str().ok().map(str::to_owned) };
        // A broker that has no ids answers with zeros.
        text.filter(|text| !text.is_empty() && text.bytes().any(|byte| byte != b'A'))
    }
}

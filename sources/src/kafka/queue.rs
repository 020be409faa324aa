//! Taking fetched messages from librdkafka by its callback: one call of `rd_kafka_consume_callback_queue` hands over all that
//! lies ready, where `poll` takes a lock, an event and an allocation for each message. rdkafka has no safe call for it, so
//! this file alone has the unsafe ones. `sources/examples/drain.rs` measures the ways side by side; its head has figures.
//!
//! Errors of the client as a whole (brokers away, credentials) and statistics stay on the consumer's main queue, which
//! must go on being polled.

use rdkafka::bindings::*;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;
use std::ffi::{CStr, CString, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::slice;
use std::time::Duration;
use stream::{Fault, Header};

/// A queue of one's own for the messages of some partitions. Must be dropped before its consumer.
pub(super) struct FetchQueue {
    client: *mut rd_kafka_t,
    queue: NonNull<rd_kafka_queue_t>,
}

#[allow(unsafe_code, reason = "librdkafka's handles may be used from any thread")]
// SAFETY: librdkafka's clients and queues are synchronised inside; ours is used by one thread at a time.
unsafe impl Send for FetchQueue {}

/// A message, or the error that stands in its place, while its callback lasts.
pub(super) struct Fetched<'a> {
    message: &'a rd_kafka_message_t,
    lifetime: PhantomData<&'a [u8]>,
}

struct Taking<'a> {
    client: *mut rd_kafka_t,
    left: usize,
    each: &'a mut dyn FnMut(&Fetched<'_>) -> bool,
}

impl FetchQueue {
    #[allow(unsafe_code, reason = "rdkafka has no safe queue of this kind")]
    pub(super) fn new<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Result<Self, Fault> {
        let client = rdkafka::consumer::Consumer::client(consumer).native_ptr();
        // SAFETY: the client lives; the queue is destroyed once, in drop.
        let queue = NonNull::new(unsafe { rd_kafka_queue_new(client) });
        let queue = queue.ok_or_else(|| Fault::failed("cannot make a Kafka queue", "no memory", "free memory"))?;
        Ok(FetchQueue { client, queue })
    }

    /// Messages of this partition, which must be assigned, come here from now on.
    #[allow(unsafe_code, reason = "rdkafka forwards queues only to its own kind")]
    pub(super) fn forward(&self, topic: &str, partition: i32) -> Result<(), Fault> {
        let what = || format!("cannot read partition {partition} of the topic \"{topic}\"");
        let name = CString::new(topic).map_err(|error| Fault::usage(what(), error, "mend source.kafka.topic"))?;
        // SAFETY: both queues live during the call; our reference to the partition's is given back at once.
        unsafe {
            let of_partition = rd_kafka_queue_get_partition(self.client, name.as_ptr(), partition);
            if of_partition.is_null() {
                return Err(Fault::failed(what(), "it is not assigned", "this is a bug: report it"));
            }
            rd_kafka_queue_forward(of_partition, self.queue.as_ptr());
            rd_kafka_queue_destroy(of_partition);
        }
        Ok(())
    }

    /// Hand over at most `limit` messages, waiting at most `wait` for the first, until one is enough. How many.
    #[allow(unsafe_code, reason = "rdkafka has no safe call for this")]
    pub(super) fn take(&self, wait: Duration, limit: usize, each: &mut dyn FnMut(&Fetched<'_>) -> bool) -> usize {
        if limit == 0 {
            return 0;
        }
        let mut taking = Taking { client: self.client, left: limit, each };
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        let opaque = (&raw mut taking).cast::<c_void>();
        // SAFETY: `taking` outlives the call, which is the only one to use it, on this thread.
        unsafe { rd_kafka_consume_callback_queue(self.queue.as_ptr(), wait, Some(take_one), opaque) };
        limit - taking.left
    }
}

impl Drop for FetchQueue {
    #[allow(unsafe_code, reason = "gives the handle back")]
    fn drop(&mut self) {
        // SAFETY: ours, and given back once.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

#[allow(unsafe_code, reason = "called by librdkafka")]
unsafe extern "C" fn take_one(message: *mut rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: librdkafka gives a live message and the pointer that `take` gave it, both for this call alone. A panic
    // ends the process here, as it does in every reader.
    unsafe {
        let taking = &mut *opaque.cast::<Taking<'_>>();
        let goes_on = (taking.each)(&Fetched { message: &*message, lifetime: PhantomData });
        taking.left -= 1;
        if taking.left == 0 || !goes_on {
            // What is left goes back to the head of the queue.
            rd_kafka_yield(taking.client);
        }
    }
}

impl<'a> Fetched<'a> {
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = RDKafkaErrorCode::from(self.message.err);
        (code != RDKafkaErrorCode::NoError).then_some(code)
    }

    pub(super) fn partition(&self) -> i32 {
        self.message.partition
    }

    /// Of a message: its own. Of the end of a partition: where it ends.
    pub(super) fn offset(&self) -> i64 {
        self.message.offset
    }

    pub(super) fn key(&self) -> Option<&'a [u8]> {
        bytes(self.message.key, self.message.key_len)
    }

    pub(super) fn payload(&self) -> Option<&'a [u8]> {
        bytes(self.message.payload, self.message.len)
    }

    /// Milliseconds, and whether the broker set it on append.
    #[allow(unsafe_code, reason = "not in the message's own fields")]
    pub(super) fn timestamp(&self) -> (Option<i64>, bool) {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives.
        let millis = unsafe { rd_kafka_message_timestamp(self.message, &mut kind) };
        match kind {
            rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (None, false),
            rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (Some(millis), true),
            rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => (Some(millis), false),
        }
    }

    #[allow(unsafe_code, reason = "librdkafka parses headers when asked")]
    pub(super) fn headers(&self) -> Vec<Header> {
        let mut found = Vec::new();
        let mut headers = null_mut();
        // SAFETY: the message owns its headers, and both outlive this call; names end with a zero, values have a length.
        unsafe {
            if rd_kafka_message_headers(self.message, &mut headers) != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return found;
            }
            loop {
                let (mut name, mut value, mut size) = (null(), null(), 0);
                let got = rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size);
                if got != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return found;
                }
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push(Header { name, value: bytes(value, size).map(<[u8]>::to_vec) });
            }
        }
    }
}

#[allow(unsafe_code, reason = "a pointer and a length from librdkafka")]
fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: null means none; else so many bytes lie there as long as the message lives, to which callers bind them.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

//! Taking fetched messages from librdkafka by arrays: one call of `rd_kafka_consume_batch_queue` gives what lies ready, where
//! `poll` takes an event and an allocation for each message. Its callback costs as little, but takes all that is queued away
//! for as long as it runs: the fetcher sees an empty queue and fetches on without bound (2 GB in ten seconds). rdkafka has no
//! safe call for either, so this file alone has the unsafe ones. `sources/examples/drain.rs` measures the ways side by side.
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
    /// Taken from the queue, the next one last.
    taken: Vec<Taken>,
    /// What the next array is written to; empty in between.
    array: Vec<*mut rd_kafka_message_t>,
}

/// Messages in an array: few enough that they are still in the cache when they are looked at.
const ARRAY: usize = 512;

/// A message that is ours, and given back once.
struct Taken(NonNull<rd_kafka_message_t>);

impl Drop for Taken {
    #[allow(unsafe_code, reason = "gives the message back")]
    fn drop(&mut self) {
        // SAFETY: librdkafka gave it to us, and it is destroyed here alone.
        unsafe { rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

#[allow(unsafe_code, reason = "librdkafka's handles may be used from any thread")]
// SAFETY: librdkafka's clients and queues are synchronised inside; ours is used by one thread at a time.
unsafe impl Send for FetchQueue {}

/// A message, or the error that stands in its place.
pub(super) struct Fetched<'a> {
    message: &'a rd_kafka_message_t,
    lifetime: PhantomData<&'a [u8]>,
}

impl FetchQueue {
    #[allow(unsafe_code, reason = "rdkafka has no safe queue of this kind")]
    pub(super) fn new<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Result<Self, Fault> {
        let client = rdkafka::consumer::Consumer::client(consumer).native_ptr();
        // SAFETY: the client lives; the queue is destroyed once, in drop.
        let queue = NonNull::new(unsafe { rd_kafka_queue_new(client) });
        let queue = queue.ok_or_else(|| Fault::failed("cannot make a Kafka queue", "no memory", "free memory"))?;
        Ok(FetchQueue { client, queue, taken: Vec::new(), array: Vec::with_capacity(ARRAY) })
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
    #[allow(unsafe_code, reason = "looks at a message of librdkafka's")]
    pub(super) fn take(&mut self, wait: Duration, limit: usize, each: &mut dyn FnMut(&Fetched<'_>) -> bool) -> usize {
        let mut given = 0;
        let mut goes_on = true;
        while goes_on && given < limit {
            if self.taken.is_empty() {
                self.fill(Duration::ZERO, ARRAY);
                // Only the first is waited for.
                if self.taken.is_empty() && given == 0 {
                    self.fill(wait, 1);
                }
            }
            let Some(message) = self.taken.pop() else { break };
            // SAFETY: the message lives until it is dropped, below.
            goes_on = each(&Fetched { message: unsafe { message.0.as_ref() }, lifetime: PhantomData });
            given += 1;
        }
        given
    }

    /// Take what lies ready, at most so many, waiting for the last of them at most so long.
    #[allow(unsafe_code, reason = "rdkafka has no safe call for this")]
    fn fill(&mut self, wait: Duration, most: usize) {
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        self.array.reserve(most);
        // SAFETY: there is room for so many, of which librdkafka says how many it wrote; each is ours from then on.
        unsafe {
            let got = rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, self.array.as_mut_ptr(), most);
            // Below 0 means that the queue is none of its kind.
            self.array.set_len(usize::try_from(got).expect("bug: Kafka's queue cannot be read"));
        }
        self.taken.extend(self.array.drain(..).rev().filter_map(NonNull::new).map(Taken));
    }
}

impl Drop for FetchQueue {
    #[allow(unsafe_code, reason = "gives the handle back")]
    fn drop(&mut self) {
        // Before their queue.
        self.taken.clear();
        // SAFETY: ours, and given back once.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

impl<'a> Fetched<'a> {
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = RDKafkaErrorCode::from(self.message.err);
        (code != RDKafkaErrorCode::NoError).then_some(code)
    }

    /// What librdkafka says of an error in its own words, which stand in the payload's place.
    pub(super) fn why(&self) -> String {
        String::from_utf8_lossy(self.payload().unwrap_or_default()).trim_end_matches('\0').to_owned()
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

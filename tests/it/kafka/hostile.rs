//! A topic that is used against the job, on a real broker: a record of fifty megabytes, transactions that are aborted or whose
//! producer died, a producer whose clock jumps, a topic that is compacted or has nothing in it.

use super::{all_time, at, wait_until_consumed};
use crate::exactness::assert_recounted;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use std::collections::BTreeMap;
use stream::{Clock, SystemClock};
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

const YEAR: i64 = 365 * 86_400_000;

fn dead_by_code(setup: &Setup) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for letter in setup.dead_letters() {
        *codes.entry(letter["error"].as_str().expect("a code").to_owned()).or_default() += 1;
    }
    codes
}

/// It becomes a dead letter, whole, and nothing behind it waits for anybody.
#[test]
fn a_record_of_fifty_megabytes_is_oversized_and_kept_whole() {
    const BYTES: usize = 50_000_000;
    let setup = Setup::on_services("giant").with("job.workers", 1);
    let topic = setup.name();
    kafka::create_topic(topic, 2, &[("max.message.bytes", "60000000")]);
    let producer = kafka::producer(&[("message.max.bytes", "60000000")]);
    let giant = Record::new(0, vec![b'x'; BYTES]);
    kafka::send(
        &producer,
        topic,
        &[Record::view(0, "before", at("12:00:00")), giant, Record::view(0, "after", at("12:00:01"))],
    );
    kafka::send(&producer, topic, &[Record::view(1, "beside", at("12:00:00"))]);
    let job = setup.start(&["run"]);
    wait_until_consumed(&setup, "0", 3);
    wait_until_consumed(&setup, "1", 1);
    assert_eq!(setup.metric("topk_dead_letters_total{code=\"oversized\"}"), 1.0);
    let dead = setup.setting("sink.dead_letters.topic");
    let lengths = || kafka::read(dead, |letter| letter.payload().map(<[u8]>::len));
    let lengths = until("it is a dead letter", LONG, || Some(lengths()).filter(|lengths| !lengths.is_empty()));
    assert_eq!(lengths, [Some(BYTES)]);
    job.signal("TERM");
    let ended = job.wait(LONG).expect_code(0);
    assert!(!ended.stderr.contains("started again"), "{}", ended.stderr);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_eq!(all_time(&setup).keys().collect::<Vec<_>>(), ["after", "before", "beside"]);
}

/// A topic of dead letters that somebody made with the broker's own limit: one large record must not end the job again and
/// again. Counting goes on, the log says what to do, and then the letter is there.
#[test]
fn a_letter_that_its_topic_does_not_take_waits_and_stops_nothing() {
    let setup = Setup::on_services("narrow").with("job.workers", 1);
    let (topic, dead) = (setup.name(), setup.setting("sink.dead_letters.topic").to_owned());
    kafka::create_topic(topic, 1, &[("max.message.bytes", "3000000")]);
    kafka::create_topic(&dead, 1, &[("max.message.bytes", "1000000")]);
    kafka::produce(topic, &[Record::new(0, vec![b'x'; 2_000_000]), Record::view(0, "after", at("12:00:00"))]);
    let job = setup.start(&["run"]);
    wait_until_consumed(&setup, "0", 2);
    until("the log says what to do", LONG, || {
        job.stderr().contains("raise max.message.bytes of the topic").then_some(())
    });
    kafka::produce(topic, &[Record::view(0, "later", at("12:00:01"))]);
    wait_until_consumed(&setup, "0", 3);
    kafka::alter_topic(&dead, &[("max.message.bytes", "3000000")]);
    until("the letter is there", LONG, || (setup.dead_letters().len() == 1).then_some(()));
    job.signal("TERM");
    let ended = job.wait(LONG).expect_code(0);
    assert!(!ended.stderr.contains("started again"), "{}", ended.stderr);
    assert_eq!(dead_by_code(&setup), BTreeMap::from([("oversized".to_owned(), 1)]));
    assert_recounted(&setup, &[]);
}

/// What was aborted is never counted; what lies behind a transaction whose producer died is, once the broker has aborted that.
#[test]
fn aborted_and_hanging_transactions_are_passed() {
    let setup = Setup::on_services("aborted").with("epoch.interval", "50ms");
    let topic = setup.name();
    kafka::create_topic(topic, 1, &[]);
    let begin = |name: &str, timeout: &str| {
        let id = format!("{topic}-{name}");
        let producer = kafka::producer(&[("transactional.id", &id), ("transaction.timeout.ms", timeout)]);
        producer.init_transactions(LONG).expect("the broker answers");
        producer.begin_transaction().expect("a transaction");
        producer
    };
    let aborted = begin("aborted", "60000");
    kafka::send(&aborted, topic, &[Record::view(0, "never", at("12:00:00")), Record::new(0, "{}")]);
    aborted.abort_transaction(LONG).expect("the broker aborts");
    let committed = begin("committed", "60000");
    kafka::send(&committed, topic, &[Record::view(0, "counted", at("12:00:00"))]);
    committed.commit_transaction(LONG).expect("the broker commits");
    let died = begin("died", "1000");
    kafka::send(&died, topic, &[Record::view(0, "never", at("12:00:01"))]);
    drop(died);
    kafka::produce(topic, &[Record::view(0, "behind", at("12:00:02")), Record::new(0, "{}")]);

    let job = setup.start(&["run"]);
    // The broker looks for transactions that took too long every ten seconds.
    wait_until_consumed(&setup, "0", 3);
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_eq!(all_time(&setup), BTreeMap::from([("behind".to_owned(), 1), ("counted".to_owned(), 1)]));
    assert_eq!(dead_by_code(&setup).values().sum::<usize>(), 1, "the one that was not aborted");
    assert_recounted(&setup, &[]);
}

/// Times of the record and of the transport, years ahead and years back. Those ahead are dead letters and move no watermark;
/// those back are late, and count in all time.
#[test]
fn a_producer_whose_clock_jumps_moves_nothing_for_the_others() {
    let setup = Setup::on_services("clock");
    let topic = setup.name();
    kafka::create_topic(topic, 2, &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    let now = SystemClock::default().now().0;
    let by_transport = |time: i64| Record { timestamp: Some(time), ..Record::new(0, r#"{"video_id":"bare"}"#) };
    let records = [
        Record::view(0, "a", now - 60_000),
        Record::view(0, "ahead", now + 10 * YEAR),
        Record::view(0, "back", now - 10 * YEAR),
        Record::view(0, "first", 0),
        Record::view(0, "last", 253_402_300_799_999),
        Record::view(0, "before", -1),
        Record::view(0, "beyond", i64::MAX),
        Record::new(0, r#"{"video_id":"more","view_timestamp":99999999999999999999999999}"#),
        by_transport(now + 10 * YEAR),
        by_transport(1),
        Record::view(0, "b", now - 59_000),
        Record::view(1, "c", now - 61_000),
    ];
    kafka::produce(topic, &records);
    let finished = setup.run_until_end();
    assert_eq!((finished.figure("read"), finished.figure("counted")), (12, 6));
    let expected = [("time_future", 3), ("time_invalid", 3)].map(|(code, count)| (code.to_owned(), count));
    assert_eq!(dead_by_code(&setup), BTreeMap::from(expected));
    let names = ["a", "b", "back", "bare", "c", "first"];
    assert_eq!(all_time(&setup).into_keys().collect::<Vec<_>>(), names, "what is late counts in all time");
    assert_recounted(&setup, &[]);
}

#[test]
fn a_compacted_topic_is_refused_by_name_before_anything_is_read() {
    let setup = Setup::on_services("compacted");
    kafka::create_topic(setup.name(), 1, &[("cleanup.policy", "compact")]);
    let record = Record { key: Some(b"k".to_vec()), ..Record::view(0, "a", at("12:00:00")) };
    kafka::produce(setup.name(), &[record]);
    let told = setup.topk(&["run"]).stderr;
    assert!(told.contains("compact") && told.contains(setup.name()), "{told}");
    assert!(!told.contains("the job runs") && !told.contains("started again"), "{told}");
}

/// Nothing at all to read, with more workers than partitions: a run to the end ends, and the first record later is counted.
#[test]
fn a_topic_with_nothing_in_it_is_read_to_its_end() {
    let setup = Setup::on_services("nothing").with("job.workers", 5);
    kafka::create_topic(setup.name(), 3, &[]);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    kafka::produce(setup.name(), &[Record::view(1, "a", at("12:00:00"))]);
    assert_eq!(setup.run_until_end().figure("counted"), 1);
    assert_eq!(all_time(&setup), BTreeMap::from([("a".to_owned(), 1)]));
}

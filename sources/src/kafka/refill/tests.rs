//! Against a real broker: another record is told, and what says nothing is let pass.

use crate::kafka::client::admin;
use crate::kafka::tests::{Seen, WAIT, brokers, numbered, producer, read_until, send, source, topic, unique};
use crate::kafka::topic::block_on;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;
use stream::{PartitionPosition, RawRecord, RecordSink, Source, SourceReader};

/// What a job that has read up to `end` would journal.
fn stand(topic: &str, end: i64) -> PartitionPosition {
    #[derive(Default)]
    struct Last(i64, u64);
    impl RecordSink for Last {
        fn record(&mut self, record: &RawRecord<'_>) {
            *self = Last(record.next_offset, record.identity().fingerprint());
        }

        fn position(&mut self, _: usize, next_offset: i64) {
            self.0 = next_offset;
        }
    }
    let position = PartitionPosition { name: "0".into(), offset: 0, fingerprint: 0 };
    let mut reader = source(topic).open(&[position]).unwrap();
    let mut last = Last::default();
    for _ in 0..400 {
        reader.read(Duration::from_millis(50), 1, &mut last).unwrap();
        if last.0 >= end {
            break;
        }
    }
    let Last(offset, fingerprint) = last;
    assert_eq!(offset, end);
    PartitionPosition { name: "0".into(), offset, fingerprint }
}

fn is_replaced(topic: &str, position: &PartitionPosition) -> bool {
    let replaced = source(topic).replaced(std::slice::from_ref(position)).unwrap();
    assert!(replaced.iter().all(|name| *name == position.name));
    !replaced.is_empty()
}

fn open(topic: &str, position: &PartitionPosition) -> Box<dyn SourceReader> {
    assert!(!is_replaced(topic, position), "{topic} at {position:?}");
    source(topic).open(std::slice::from_ref(position)).unwrap()
}

#[test]
fn a_log_that_was_filled_again_is_told_and_the_same_one_is_not() {
    let (read, refilled) = (topic("read"), topic("refilled"));
    send(&producer(&[]), &read, numbered("a", 5));
    let stood = stand(&read, 5);
    send(&producer(&[]), &read, numbered("b", 5));
    let mut seen = Seen::default();
    read_until(&mut *open(&read, &stood), &mut seen, &[10]);
    assert_eq!(seen.records.len(), 5);

    // As long as ours, and longer: offsets alone do not tell. One record differs, or only its time.
    for more in [0, 7] {
        let values = [numbered("a", 4), vec!["other".to_owned()], numbered("b", more)].concat();
        let topic = topic("refilled");
        send(&producer(&[]), &topic, values);
        assert!(is_replaced(&topic, &stood), "it was filled again");
    }
    send(&producer(&[]), &refilled, numbered("a", 9));
    assert!(is_replaced(&refilled, &stood), "written at another time");
}

#[test]
fn behind_a_marker_or_an_aborted_record_the_one_that_was_read_last_is_looked_for() {
    let topic = topic("markers");
    let id = unique("id");
    let transactional = producer(&[("transactional.id", &id)]);
    transactional.init_transactions(WAIT).unwrap();
    let transact = |commit: bool| {
        transactional.begin_transaction().unwrap();
        send(&transactional, &topic, ["x"]);
        if commit { transactional.commit_transaction(WAIT) } else { transactional.abort_transaction(WAIT) }.unwrap();
    };
    // A record and its marker; then an aborted record and its marker.
    transact(true);
    let behind_the_marker = stand(&topic, 2);
    open(&topic, &behind_the_marker);
    transact(false);
    let behind_both = stand(&topic, 4);
    assert_eq!(behind_both.fingerprint, behind_the_marker.fingerprint);
    for offset in [2, 3, 4] {
        open(&topic, &PartitionPosition { offset, ..behind_both.clone() });
        assert!(is_replaced(&topic, &PartitionPosition { offset, fingerprint: 1, ..behind_both.clone() }));
    }
    // With more behind it, and with an open transaction behind it.
    send(&producer(&[]), &topic, ["y"]);
    open(&topic, &behind_both);
    transactional.begin_transaction().unwrap();
    send(&transactional, &topic, ["open"]);
    let behind_the_last = stand(&topic, 5);
    open(&topic, &behind_the_last);
    let wrong = PartitionPosition { fingerprint: 1, ..behind_the_last };
    assert!(is_replaced(&topic, &wrong));
    transactional.abort_transaction(WAIT).unwrap();
}

/// A producer with transactions leaves a marker before most positions of a job.
#[test]
fn a_log_of_transactions_that_was_filled_again_is_told() {
    let id = unique("id");
    let transactional = producer(&[("transactional.id", &id)]);
    transactional.init_transactions(WAIT).unwrap();
    let transact = |topic: &str, prefix: &str, records: usize, commit: bool| {
        transactional.begin_transaction().unwrap();
        send(&transactional, topic, numbered(prefix, records));
        if commit { transactional.commit_transaction(WAIT) } else { transactional.abort_transaction(WAIT) }.unwrap();
    };
    let (read, refilled) = (topic("read"), topic("refilled"));
    for round in ["a", "b"] {
        transact(&read, round, 10, true);
    }
    // Further back than is looked at first: a large transaction that was aborted.
    transact(&read, "gone", 700, false);
    let stood = stand(&read, 22 + 701);
    open(&read, &stood);
    for _ in 0..80 {
        transact(&refilled, "other", 10, true);
    }
    for offset in [22, stood.offset] {
        assert!(is_replaced(&refilled, &PartitionPosition { offset, ..stood.clone() }), "at {offset}");
    }
}

#[test]
fn a_record_that_retention_took_says_nothing() {
    let topic = topic("expired");
    send(&producer(&[]), &topic, numbered("a", 10));
    let stood = stand(&topic, 6);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(6)).unwrap();
    let asking = admin(&brokers(), &BTreeMap::new()).unwrap();
    block_on(asking.delete_records(&before, &AdminOptions::new().operation_timeout(Some(WAIT)))).unwrap();
    let wrong = PartitionPosition { fingerprint: 1, ..stood.clone() };
    for position in [stood, wrong] {
        let mut seen = Seen::default();
        read_until(&mut *open(&topic, &position), &mut seen, &[10]);
        assert_eq!(seen.records.len(), 4);
    }
}

//! Against a real broker: ends asked for beside the reading, and partitions that are added.

use super::*;
use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication};
use stream::PartitionEnd;

/// The answer to a question; reading goes on meanwhile.
fn told(reader: &mut dyn SourceReader, seen: &mut Seen) -> (usize, Option<PartitionEnd>) {
    for _ in 0..600 {
        reader.read(Duration::from_millis(50), 100, seen).unwrap();
        if let [told] = reader.told_ends()[..] {
            return told;
        }
    }
    panic!("no answer came");
}

fn end(written: i64, readable: i64) -> Option<PartitionEnd> {
    Some(PartitionEnd { written, readable })
}

#[test]
fn the_end_asked_for_counts_what_is_not_visible_yet() {
    let topic = topic("ends");
    send(&producer(&[]), &topic, numbered("a", 3));
    let source = source(&topic);
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *reader, &mut seen, &[3]);
    reader.ask_end(0).unwrap();
    assert_eq!(told(&mut *reader, &mut seen), (0, end(3, 3)));
    let id = unique("id");
    let transactional = producer(&[("transactional.id", &id)]);
    transactional.init_transactions(WAIT).unwrap();
    transactional.begin_transaction().unwrap();
    send(&transactional, &topic, ["open"]);
    assert_eq!(source.partitions().unwrap()[0].end, 3, "nobody can see it");
    reader.ask_end(0).unwrap();
    assert_eq!(told(&mut *reader, &mut seen), (0, end(4, 3)), "nobody can read it yet");
    transactional.commit_transaction(WAIT).unwrap();
    read_until(&mut *reader, &mut seen, &[5]);
    reader.ask_end(0).unwrap();
    assert_eq!(told(&mut *reader, &mut seen), (0, end(5, 5)));
    assert!(reader.told_ends().is_empty(), "each question has one answer");
}

#[test]
fn what_is_on_its_way_is_not_told_to_be_readable() {
    let mut lane = Lane::new(0, 5, 5, None);
    let there = PartitionEnd { written: 9, readable: 8 };
    let mut readable = |fetching| lane.told(there, fetching).readable;
    // Unknown; first told; skipping what was aborted; no further.
    assert_eq!([None, Some(5), Some(7), Some(7), Some(8), None].map(&mut readable), [5, 5, 5, 8, 5, 5]);
}

#[test]
fn a_partition_that_the_consumer_has_lost_sight_of_is_told_to_be_readable() {
    let topic = topic("lost");
    let producer = producer(&[]);
    let source = source(&topic);
    let mut reader = KafkaReader::open(&settings(&topic), vec![Lane::new(0, 0, 0, None)], &source.ends).unwrap();
    let mut seen = Seen::default();
    send(&producer, &topic, numbered("a", 3));
    read_until(&mut reader, &mut seen, &[3]);
    // What the reader does not know of: its consumer stops fetching for good.
    reader.lose_sight_of(0);
    nothing_more(&mut reader, &mut seen);
    send(&producer, &topic, numbered("b", 3));
    let ask = |reader: &mut KafkaReader, seen: &mut Seen| {
        // Longer than from one of the client's statistics to the next.
        (0..3).for_each(|_| nothing_more(reader, seen));
        reader.ask_end(0).unwrap();
        told(reader, seen)
    };
    assert_eq!(ask(&mut reader, &mut seen), (0, end(6, 3)), "it may be on its way");
    assert_eq!(ask(&mut reader, &mut seen), (0, end(6, 6)), "it is not");
    assert_eq!(ask(&mut reader, &mut seen), (0, end(6, 6)));
    assert_eq!(reader.end(0), Some(6), "it lags");
}

#[test]
fn a_leader_that_does_not_answer_leaves_the_end_unknown() {
    let away = KafkaSettings { brokers: "127.0.0.1:1".into(), ..settings("any") };
    let ends = Arc::new(Ends::new(away.clone()));
    let mut reader = KafkaReader::open(&away, vec![Lane::new(7, 0, 0, None)], &ends).unwrap();
    reader.ask_end(0).unwrap();
    assert_eq!(told(&mut reader, &mut Seen::default()), (0, None));
}

/// librdkafka goes on in the new topic at the old offset, if it reaches that far.
#[test]
fn a_topic_that_is_made_anew_while_it_is_read_is_refused() {
    let topic = topic("anew");
    let source = source(&topic);
    let begun = source.identity().unwrap();
    let known: BTreeSet<Arc<str>> = positions(&source).iter().map(|position| position.name.clone()).collect();
    assert_eq!(source.added(&known), Ok(Vec::new()));
    let asking = admin(&brokers(), &BTreeMap::new()).unwrap();
    block_on(asking.delete_topics(&[&topic], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    let create = || {
        let anew = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
        block_on(asking.create_topics([&anew], &AdminOptions::new())).unwrap()[0].is_ok()
    };
    assert!(
        (0..200).any(|_| create() || {
            std::thread::sleep(Duration::from_millis(50));
            false
        }),
        "it is deleted first"
    );
    let fault = (0..200).find_map(|_| match source.added(&known) {
        Err(fault) if !fault.is_transient() => Some(fault),
        // A broker may not know it yet, or still the old one.
        _ => {
            std::thread::sleep(Duration::from_millis(50));
            None
        }
    });
    let fault = fault.expect("it has another id");
    assert!(
        fault.exit == Exit::Refused && fault.what.contains("made anew") && fault.why.contains(&begun.topic_id),
        "{fault}"
    );
    assert_ne!(source.identity().unwrap(), begun);
    assert_eq!(source.added(&known), Ok(Vec::new()), "whoever starts again has compared it with the journal");
}

#[test]
fn added_partitions_are_found_and_read_beside_the_others() {
    let topic = topic("growing");
    send(&producer(&[]), &topic, numbered("a", 3));
    let source = source(&topic);
    let assigned = positions(&source);
    let mut reader = source.open(&assigned).unwrap();
    let mut other = source.open(&[]).unwrap();
    let mut seen = [Seen::default(), Seen::default()];
    read_until(&mut *reader, &mut seen[0], &[3]);
    let mut known: BTreeSet<Arc<str>> = assigned.iter().map(|position| position.name.clone()).collect();
    assert_eq!(source.added(&known), Ok(Vec::new()));

    let asking = admin(&brokers(), &BTreeMap::new()).unwrap();
    let four = NewPartitions::new(&topic, 4);
    block_on(asking.create_partitions([&four], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    let mut found = Vec::new();
    for _ in 0..200 {
        // A broker that has just heard of a partition may not know its leader yet, which passes.
        match source.added(&known) {
            Ok(more) => found.extend(more),
            Err(fault) => assert!(fault.is_transient(), "{fault}"),
        }
        known.extend(found.iter().map(|info| info.name.clone()));
        if found.len() == 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let names: Vec<&str> = found.iter().map(|info| &*info.name).collect();
    assert_eq!(names, ["1", "2", "3"]);
    assert!(found.iter().all(|info| (info.earliest, info.end, info.start) == (0, 0, 0)));

    let position = |name: &str| PartitionPosition { name: name.into(), offset: 0, fingerprint: 0 };
    reader.add(&[position("1"), position("2")]).unwrap();
    other.add(&[position("3")]).unwrap();
    let plain = producer(&[]);
    for (partition, value) in [(0, "more"), (1, "one"), (2, "two"), (2, "two too"), (3, "three")] {
        let record = BaseRecord::<[u8], str>::to(&topic).payload(value).partition(partition);
        plain.send(record).map_err(|(error, _)| error).unwrap();
    }
    plain.flush(WAIT).unwrap();
    read_until(&mut *reader, &mut seen[0], &[4, 1, 2]);
    read_until(&mut *other, &mut seen[1], &[1]);
    let mut values = seen[0].values();
    values.sort();
    assert_eq!(values, ["a0", "a1", "a2", "more", "one", "two", "two too"]);
    assert_eq!(seen[1].values(), ["three"]);
    // Whatever was added is paused, asked about and published like the rest.
    reader.pause(2, true).unwrap();
    reader.ask_end(2).unwrap();
    assert_eq!(told(&mut *reader, &mut seen[0]), (2, end(2, 2)));
    assert_eq!(reader.end(2), Some(2));
    reader.publish_progress(&[(0, 4), (2, 2)]).unwrap();
}

#[test]
fn a_bounded_run_looks_for_no_more_partitions() {
    let topic = topic("bounded");
    assert_eq!(source(&topic).look_every(), Some(LOOK_EVERY));
    let bounded = KafkaSource::new(KafkaSettings { until_end: true, ..settings(&topic) }).unwrap();
    assert_eq!(bounded.look_every(), None);
}

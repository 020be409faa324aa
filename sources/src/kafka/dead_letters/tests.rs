//! Against a real broker: exactly once across a crash, older incarnations fenced, the last letter found.

use super::*;
use crate::kafka::tests::{Seen, WAIT, brokers, numbered, positions, producer, read_until, send, source, unique};
use std::sync::Arc;
use stream::{Commit, DeadCode, Exit, Header as OwnHeader, Source};

fn letters(topic: &str, source_topic: &str) -> DeadLetterProducer {
    DeadLetterProducer::new(DeadLetterSettings {
        brokers: brokers(),
        topic: topic.to_owned(),
        source_topic: source_topic.to_owned(),
        properties: BTreeMap::new(),
        every: Duration::ZERO,
    })
    .unwrap()
}

fn letter(offset: i64) -> DeadLetter {
    DeadLetter {
        code: DeadCode::NotJson,
        detail: format!("letter {offset}"),
        partition: "3".into(),
        offset,
        timestamp: Some(1),
        key: (offset % 2 == 0).then(|| b"key".to_vec()),
        value: (offset % 3 != 0).then(|| format!("value {offset}").into_bytes()),
        headers: vec![OwnHeader { name: "topk.epoch".into(), value: Some(b"own".to_vec()) }],
    }
}

/// A step that ends with epoch `sequence`, which has the last letter.
fn step(sequence: u64, offsets: &[i64]) -> Step {
    let epochs = (0..offsets.len() as u64).rev().map(|before| Sequence(sequence - before));
    Step {
        dead_letters: epochs.zip(offsets.iter().map(|offset| Arc::new(letter(*offset)))).collect(),
        ..Step::empty(Commit::empty(Generation(1), Sequence(sequence)))
    }
}

/// As after a broker that confirmed a commit and lost it: see `settle`.
#[test]
fn what_was_confirmed_is_looked_for_once_the_coordinator_has_failed() {
    let (topic, claim) = (unique("dead"), Claim { job: unique("job"), generation: Generation(1) });
    let mut letters = letters(&topic, "views");
    letters.claim(&claim).unwrap();
    letters.write(&step(4, &[0, 1])).unwrap();
    letters.in_doubt = true;
    letters.write(&step(5, &[2])).unwrap();
    assert!(!letters.in_doubt, "everything was there");
    letters.confirmed = Some(Sequence(6));
    letters.write(&step(7, &[3])).unwrap();
    (letters.confirmed, letters.in_doubt) = (Some(Sequence(8)), true);
    let fault = letters.write(&step(9, &[4])).unwrap_err();
    assert_eq!(fault.exit, Exit::Failed, "it is started again: {fault}");
    assert!(fault.why.contains("up to epoch 8 were confirmed, and the last one there is of 7"), "{fault}");
    assert_eq!(letters.claim(&claim).unwrap().unwrap().sequence, Sequence(7));
    letters.write(&step(9, &[4])).unwrap();
}

/// As after a broker was killed in the middle of a transaction: it used to be aborted in vain, over and over.
#[test]
fn letters_that_were_not_delivered_are_given_up_and_written_again() {
    let (topic, claim) = (unique("dead"), Claim { job: unique("job"), generation: Generation(1) });
    let mut letters = letters(&topic, "views");
    letters.claim(&claim).unwrap();
    let producer = letters.producer.take().unwrap();
    producer.begin_transaction().unwrap();
    (0..500).for_each(|offset| letters.send(&producer, Sequence(4), &letter(offset)).unwrap());
    let fault = letters.give_up(&producer, &KafkaError::Canceled);
    assert!(!fault.why.contains("outstanding"), "it was not aborted: {fault}");
    letters.producer = Some(producer);
    letters.write(&step(4, &[0, 1])).unwrap();
    assert_eq!(letters.look().unwrap().unwrap().sequence, Sequence(4));
}

#[test]
fn dead_letters_are_written_exactly_once_across_a_crash() {
    let (topic, job) = (unique("dead"), unique("job"));
    let claim = |generation: u64| Claim { job: job.clone(), generation: Generation(generation) };
    let reached = |progress: Option<stream::Progress>| progress.map(|progress| progress.sequence.0);
    let mut first = letters(&topic, "views");
    assert!(first.look().unwrap().is_none(), "the topic is not there yet");
    assert!(first.write(&step(1, &[1])).is_err(), "never claimed");
    assert_eq!(reached(first.claim(&claim(1)).unwrap()), None);
    first.write(&step(4, &[0, 1, 2])).unwrap();
    first.write(&step(5, &[])).unwrap();
    let progress = Progress { generation: Generation(0), sequence: Sequence(4), hash: None };
    assert_eq!(first.look().unwrap(), Some(progress));

    // A crash in the middle of a transaction: sent, and neither committed nor aborted.
    let half = first.producer.take().unwrap();
    half.begin_transaction().unwrap();
    first.send(&half, Sequence(7), &letter(3)).unwrap();
    half.flush(WAIT).unwrap();
    first.producer = Some(half);

    let mut second = letters(&topic, "views");
    assert_eq!(reached(second.claim(&claim(2)).unwrap()), Some(4));
    second.write(&step(7, &[3])).unwrap();
    let fault = first.write(&step(7, &[3])).unwrap_err();
    assert_eq!(fault.exit, Exit::Fenced, "{fault}");

    let mut other = letters(&topic, "other");
    let other_claim = Claim { job: unique("job"), generation: Generation(1) };
    assert_eq!(reached(other.claim(&other_claim).unwrap()), None, "letters of another source are not ours");
    other.write(&step(900, &[9])).unwrap();
    let mut third = letters(&topic, "views");
    assert_eq!(reached(third.claim(&claim(3)).unwrap()), Some(7));

    let source = source(&topic);
    let info = source.partitions().unwrap();
    assert_eq!(info.len(), 1);
    let mut seen = Seen::default();
    read_until(&mut *source.open(&positions(&source)).unwrap(), &mut seen, &[info[0].end]);
    let expected = [(2, 0, "views"), (3, 1, "views"), (4, 2, "views"), (7, 3, "views"), (900, 9, "other")];
    assert_eq!(seen.records.len(), expected.len());
    for (record, (epoch, offset, source_topic)) in seen.records.iter().zip(expected) {
        let letter = letter(offset);
        assert_eq!((&record.key, &record.value), (&letter.key, &letter.value));
        let texts = record
            .headers
            .iter()
            .map(|header| (header.name.as_str(), String::from_utf8(header.value.clone().unwrap_or_default()).unwrap()));
        let expected = [
            ("topk.epoch", "own".to_owned()),
            ("topk.error", "not_json".to_owned()),
            ("topk.detail", format!("letter {offset}")),
            ("topk.topic", source_topic.to_owned()),
            ("topk.partition", "3".to_owned()),
            ("topk.offset", offset.to_string()),
            ("topk.epoch", epoch.to_string()),
        ];
        assert_eq!(texts.collect::<Vec<_>>(), expected);
    }
}

/// A letter of ours may stand behind somebody else's open transaction: it must be found, not written again.
#[test]
fn the_last_letter_is_found_behind_an_open_transaction() {
    let (topic, job) = (unique("dead"), unique("job"));
    let claim = Claim { job, generation: Generation(1) };
    let mut ours = letters(&topic, "views");
    ours.claim(&claim).unwrap();
    let id = unique("id");
    let foreign = producer(&[("transactional.id", &id)]);
    foreign.init_transactions(WAIT).unwrap();
    foreign.begin_transaction().unwrap();
    send(&foreign, &topic, numbered("foreign", 3));
    ours.write(&step(5, &[1])).unwrap();
    let looking = std::thread::spawn(move || ours.look());
    std::thread::sleep(Duration::from_millis(300));
    foreign.abort_transaction(WAIT).unwrap();
    assert_eq!(looking.join().unwrap().unwrap().unwrap().sequence, Sequence(5));
}

#[test]
fn letters_of_an_earlier_life_are_told_by_the_mark() {
    let (topic, job) = (unique("dead"), unique("job"));
    let claim = |generation: u64| Claim { job: job.clone(), generation: Generation(generation) };
    let mut earlier = letters(&topic, "views");
    assert_eq!(earlier.mark().unwrap(), None, "the topic is not there yet");
    earlier.claim(&claim(1)).unwrap();
    earlier.write(&step(500, &[1, 2])).unwrap();
    let mark = earlier.mark().unwrap().unwrap();

    let mut fresh = letters(&topic, "views");
    fresh.begin_after(mark);
    assert_eq!(fresh.look().unwrap(), None);
    assert_eq!(fresh.claim(&claim(2)).unwrap(), None);
    fresh.write(&step(3, &[1])).unwrap();
    let mut restarted = letters(&topic, "views");
    restarted.begin_after(mark);
    assert_eq!(restarted.claim(&claim(3)).unwrap().unwrap().sequence, Sequence(3));
}

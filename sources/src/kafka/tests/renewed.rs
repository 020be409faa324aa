//! Against a real broker: a reader whose consumer has lost sight of a partition is connected anew.

use super::growing::{end, told};
use super::*;

#[test]
fn a_consumer_that_has_lost_sight_of_a_partition_is_given_up_and_nothing_is_lost_or_repeated() {
    let topic = topic_with("renewed", 2, &[]);
    let plain = producer(&[]);
    let send_to = |partition: i32, values: Vec<String>| {
        for value in values {
            let record = BaseRecord::<[u8], str>::to(&topic).payload(&value).partition(partition);
            plain.send(record).map_err(|(error, _)| error).unwrap();
        }
        plain.flush(WAIT).unwrap();
    };
    let source = source(&topic);
    let lanes = vec![Lane::new(0, 0, 0, None), Lane::new(1, 0, 0, None)];
    let mut reader = KafkaReader::open(&settings(&topic), lanes, &source.ends).unwrap();
    let mut seen = Seen::default();
    send_to(0, numbered("a", 3));
    send_to(1, numbered("b", 3));
    read_until(&mut reader, &mut seen, &[3, 3]);
    reader.pause(1, true).unwrap();
    // What the reader does not know of: its consumer stops fetching for good.
    reader.lose_sight_of(0);
    nothing_more(&mut reader, &mut seen);
    send_to(0, numbered("c", 3));
    send_to(1, numbered("d", 3));
    nothing_more(&mut reader, &mut seen);
    reader.ask_end(0).unwrap();
    assert_eq!(told(&mut reader, &mut seen), (0, end(6, 6)), "there is more, and it does not come");

    reader.renew().unwrap();
    read_until(&mut reader, &mut seen, &[6, 3]);
    nothing_more(&mut reader, &mut seen);
    let mut values = seen.values();
    values.sort();
    assert_eq!(values, [numbered("a", 3), numbered("b", 3), numbered("c", 3)].concat(), "1 is paused still");
    reader.pause(1, false).unwrap();
    read_until(&mut reader, &mut seen, &[6, 6]);
    reader.publish_progress(&[(0, 6), (1, 6)]).unwrap();
}

#[test]
fn a_reader_without_partitions_and_one_whose_broker_is_away_can_be_connected_anew() {
    let away = KafkaSettings { brokers: "127.0.0.1:1".into(), ..settings("any") };
    let ends = Arc::new(Ends::new(away.clone()));
    for lanes in [vec![], vec![Lane::new(0, 0, 0, None)]] {
        KafkaReader::open(&away, lanes, &ends).unwrap().renew().unwrap();
    }
}

//! Partitions that are paused and go on.

use super::*;

#[test]
fn a_paused_partition_waits_and_then_goes_on_without_a_gap() {
    let topic = topic_with("pause", 2, &[]);
    let plain = producer(&[]);
    let send_to = |partition: i32, values: Vec<String>| {
        for value in values {
            let record = BaseRecord::<[u8], str>::to(&topic).payload(&value).partition(partition);
            plain.send(record).map_err(|(error, _)| error).unwrap();
        }
        plain.flush(WAIT).unwrap();
    };
    send_to(0, numbered("a", 3000));
    send_to(1, numbered("b", 3000));
    let source = source(&topic);
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut seen = Seen::default();
    for _ in 0..400 {
        reader.read(Duration::from_millis(50), 100, &mut seen).unwrap();
        if seen.next.get(&0).is_some_and(|next| *next > 0) {
            break;
        }
    }
    reader.pause(0, true).unwrap();
    read_until(&mut *reader, &mut seen, &[0, 3000]);
    reader.pause(0, false).unwrap();
    read_until(&mut *reader, &mut seen, &[3000, 3000]);
    for partition in 0..2 {
        let offsets = seen.records.iter().filter(|record| record.partition == partition).map(|record| record.offset);
        assert!(offsets.eq(0..3000), "partition {partition} has a gap or a repetition");
    }
}

#[test]
fn what_comes_while_a_partition_is_paused_at_its_end_is_read_afterwards() {
    let topic = topic("pause-end");
    let producer = producer(&[]);
    let source = source(&topic);
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut seen = Seen::default();
    for round in 1..4 {
        send(&producer, &topic, numbered("a", 3));
        read_until(&mut *reader, &mut seen, &[round * 5 - 2]);
        // Until the end is told.
        nothing_more(&mut *reader, &mut seen);
        reader.pause(0, true).unwrap();
        send(&producer, &topic, numbered("b", 2));
        nothing_more(&mut *reader, &mut seen);
        reader.pause(0, false).unwrap();
        read_until(&mut *reader, &mut seen, &[round * 5]);
    }
    let expected = [numbered("a", 3), numbered("b", 2)].concat();
    assert_eq!(seen.values(), [&expected[..]; 3].concat());
}

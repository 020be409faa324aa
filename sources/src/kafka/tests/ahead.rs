//! How far the fetcher runs ahead of a reader that is slower than the broker.

use super::*;

/// Needs its time for each record.
#[derive(Default)]
struct Slow {
    records: usize,
}

/// MiB of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096 / 1024 / 1024
}

impl RecordSink for Slow {
    fn record(&mut self, _: &RawRecord<'_>) {
        self.records += 1;
        std::thread::sleep(Duration::from_millis(2));
    }

    fn position(&mut self, _: usize, _: i64) {}
}

/// librdkafka holds each message in half a kilobyte of its own: three hundred thousand in well over a hundred MiB.
#[test]
fn what_is_fetched_ahead_does_not_grow_while_records_take_their_time() {
    let topic = topic("ahead");
    let producer = producer(&[("compression.type", "lz4")]);
    for _ in 0..4 {
        send(&producer, &topic, numbered("a", 80_000));
    }
    let bounds = [("queued.min.messages", "5000"), ("fetch.message.max.bytes", "65536")];
    let properties = bounds.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let source = KafkaSource::new(KafkaSettings { properties, ..settings(&topic) }).unwrap();
    let mut reader = source.open(&positions(&source)).unwrap();
    let mut slow = Slow::default();
    let mut read = |records| {
        for _ in 0..400 {
            reader.read(Duration::from_millis(50), 10, &mut slow).unwrap();
            if slow.records >= records {
                return resident();
            }
        }
        panic!("{} records came", slow.records);
    };
    // Few enough at a time that the fetcher could run ahead a hundred times.
    let (before, after) = (read(10), read(1000));
    println!("{before} MiB before, {after} MiB after");
    assert!(after < before + 40, "{before} MiB became {after} MiB while a thousand records were looked at");
}

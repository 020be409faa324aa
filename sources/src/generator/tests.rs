//! Events by offset whatever the clock did; the clock says how many.

use super::*;
use crate::synthetic::{Carrier, Shares, SyntheticWords};
use stream::{EventTime, ManualClock};

const BASE: i64 = 1_760_882_400_000;
const DAY: i64 = 86_400_000;

fn settings() -> GeneratorSettings {
    GeneratorSettings {
        events: SyntheticSettings {
            seed: 9,
            start: EventTime::from_millis(BASE - DAY),
            events_per_1000_s: 10_000,
            keys: 100,
            exponent_per_1000: 1000,
            trend: Some(Duration::from_secs(3600)),
            shares: Shares { malformed: 200_000, late: 100_000, ..Shares::default() },
            disorder: Duration::from_secs(5),
            late_by: Duration::from_secs(125),
            max_bytes: 1000,
            max_key_bytes: 20,
            carrier: Carrier::Direct,
            words: SyntheticWords { key: "song".into(), time: "at".into(), prefix: "s".into() },
        },
        partitions: 3,
        base: BASE,
        speed: 61,
    }
}

fn clock(seconds: u64) -> Arc<ManualClock> {
    let clock = ManualClock::at(WallTime(BASE));
    clock.advance(Duration::from_secs(seconds));
    Arc::new(clock)
}

type Record = (usize, i64, Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Default)]
struct Seen(Vec<Record>);

impl RecordSink for Seen {
    fn record(&mut self, record: &RawRecord<'_>) {
        assert_eq!(record.next_offset, record.offset + 1);
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        self.0.push((record.partition, record.offset, owned(record.key), owned(record.value)));
    }

    fn position(&mut self, _partition: usize, _next_offset: i64) {
        panic!("a generator has no holes");
    }
}

fn read(source: &GeneratorSource, offset: i64, limit: usize) -> Vec<Record> {
    let at = |info: PartitionInfo| PartitionPosition { name: info.name, offset, fingerprint: 0 };
    let assigned: Vec<_> = source.partitions().unwrap().into_iter().map(at).collect();
    let mut reader = source.open(&assigned).unwrap();
    let mut seen = Seen::default();
    while reader.read(Duration::ZERO, limit, &mut seen).unwrap() == ReadState::More {}
    seen.0.sort();
    seen.0
}

#[test]
fn a_restart_goes_on_with_the_same_events() {
    let early = GeneratorSource::new(settings(), clock(2), false);
    let first = read(&early, 0, 10);
    assert_eq!(first.len(), 1221, "2 s at 61 times the speed and 10 events a second");
    let late = GeneratorSource::resume(&early.identity().unwrap(), clock(4), false).unwrap();
    assert_eq!(late.settings(), early.settings());
    let all = read(&late, 0, 7);
    assert!(first.iter().all(|record| all.binary_search(record).is_ok()));
    let rest = read(&late, 300, 1000);
    assert_eq!(rest, all.into_iter().filter(|record| record.1 >= 300).collect::<Vec<_>>());
}

#[test]
fn event_time_runs_fast_until_it_has_caught_up() {
    let settings = settings();
    let behind = |seconds: i64| seconds * 1000 + BASE - settings.event_time(WallTime(BASE + seconds * 1000));
    assert_eq!(behind(-5), DAY - 5000);
    assert_eq!(behind(0), DAY);
    assert_eq!(behind(60), DAY - 3_600_000);
    assert_eq!(behind(24 * 60), 0);
    assert_eq!(behind(24 * 60 + 1), 0);
    assert_eq!(behind(7 * 86_400), 0);
}

#[test]
fn until_end_stops_at_the_first_look() {
    let clock = clock(1);
    let source = GeneratorSource::new(settings(), clock.clone(), true);
    let ends: i64 = source.partitions().unwrap().iter().map(|info| info.end).sum();
    clock.advance(Duration::from_secs(60));
    assert_eq!(read(&source, 0, 50).len() as i64, ends);
    assert_eq!(source.shared.ends().iter().sum::<i64>(), 61 * 610 + 1);
}

#[test]
fn a_paused_partition_waits() {
    let source = GeneratorSource::new(settings(), clock(1), false);
    let one = PartitionPosition { name: "2".into(), offset: 0, fingerprint: 0 };
    let mut reader = source.open(&[one]).unwrap();
    let mut seen = Seen::default();
    reader.pause(0, true).unwrap();
    assert_eq!(reader.read(Duration::ZERO, 10, &mut seen), Ok(ReadState::Waiting));
    reader.pause(0, false).unwrap();
    assert_eq!(reader.read(Duration::ZERO, 10, &mut seen), Ok(ReadState::More));
    assert_eq!((seen.0.len(), reader.end(0)), (10, Some(203)));
}

#[test]
fn what_is_not_a_generator_is_refused() {
    let source = GeneratorSource::new(settings(), clock(1), false);
    let mut identity = source.identity().unwrap();
    let wrong = PartitionPosition { name: "3".into(), offset: 0, fingerprint: 0 };
    assert_eq!(source.open(&[wrong]).err().unwrap().exit, stream::Exit::Refused);
    identity.kind = "file".to_owned();
    assert!(GeneratorSource::resume(&identity, clock(1), false).is_err());
}

//! Same settings, same bytes; and what the shares promise, judged by the decoder.

use super::*;
use crate::{JsonDecoder, JsonMapping};
use std::collections::BTreeMap;
use stream::Decode;

pub(crate) fn settings() -> SyntheticSettings {
    SyntheticSettings {
        seed: 42,
        start: EventTime::from_millis(1_760_882_400_000),
        events_per_1000_s: 1_000_000,
        keys: 10_000,
        exponent_per_1000: 1100,
        trend: None,
        shares: Shares { disordered: 100_000, late: 10_000, duplicate: 20_000, malformed: 10_000, future: 1000 },
        disorder: Duration::from_secs(5),
        late_by: Duration::from_secs(125),
        max_bytes: 65_536,
        max_key_bytes: 256,
        carrier: Carrier::Direct,
        words: SyntheticWords { key: "song".into(), time: "played\"at".into(), prefix: "s-é".into() },
    }
}

fn decoder() -> JsonDecoder {
    JsonDecoder::new(JsonMapping {
        key: vec!["song".into()],
        time: vec!["played\"at".into()],
        max_bytes: 65_536,
        max_key_bytes: 256,
    })
}

#[test]
fn an_event_is_a_function_of_settings_and_index() {
    let events = Synthetic::new(settings());
    let mut record = SyntheticRecord::default();
    let all: Vec<SyntheticRecord> = events.clone().take(5000).collect();
    for index in (0..5000).rev() {
        events.write(index, &mut record);
        assert_eq!(record, all[index as usize]);
    }
    assert_eq!(Synthetic::new(settings()).take(5000).collect::<Vec<_>>(), all);
    let other = Synthetic::new(SyntheticSettings { seed: 43, ..settings() });
    assert_ne!(other.take(5).collect::<Vec<_>>(), all[..5]);
}

/// A golden value: what `--seed 42` gives must not change from version to version.
#[test]
fn bytes_are_pinned() {
    let mut hash = 0u64;
    for record in Synthetic::new(settings()).take(20_000) {
        for byte in record.value.iter().chain(&record.key).flatten() {
            hash = mix(hash ^ u64::from(*byte));
        }
    }
    assert_eq!(hash, PINNED, "synthetic events changed");
}

const PINNED: u64 = 7_806_806_907_257_799_257;

#[test]
fn shares_are_kept_and_every_code_occurs() {
    const COUNT: u64 = 400_000;
    for carrier in [Carrier::Direct, Carrier::Lines, Carrier::StampedLog] {
        let mut codes: BTreeMap<DeadCode, u64> = BTreeMap::new();
        let (mut behind, mut late, mut ahead) = (0u64, 0u64, 0u64);
        let mut decoder = decoder();
        for record in Synthetic::new(SyntheticSettings { carrier, ..settings() }).take(COUNT as usize) {
            match decoder.decode(record.value.as_deref()).map(|event| (event.time, event.key)) {
                Ok((Some(time), key)) => {
                    assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
                    let lag = record.at - time.millis();
                    behind += u64::from(lag > 0 && lag <= 5000);
                    late += u64::from(lag >= 125_000);
                    ahead += u64::from(lag < 0);
                    assert!(lag < 125_000 * 129 + 2000);
                }
                Ok((None, _)) => *codes.entry(DeadCode::TimeMissing).or_default() += 1,
                Err(rejection) => *codes.entry(rejection.code).or_default() += 1,
            }
            let in_lines = record.value.is_some_and(|value| !value.is_empty() && !value.contains(&b'\n'));
            assert!(in_lines || carrier != Carrier::Lines);
        }
        let near = |count: u64, share: f64| {
            let expected = COUNT as f64 * share;
            assert!((count as f64 - expected).abs() < expected * 0.1, "{carrier:?}: {count}, not {expected}");
        };
        near(behind, 0.12);
        near(late, 0.0102);
        near(ahead, 0.00102);
        near(codes.values().sum(), 0.0102);
        let absent: &[DeadCode] = match carrier {
            Carrier::Lines => &[DeadCode::Null, DeadCode::Empty],
            Carrier::StampedLog => &[DeadCode::TimeMissing],
            Carrier::Direct => &[],
        };
        for code in DeadCode::ALL {
            let expected = code != DeadCode::TimeFuture && !absent.contains(&code);
            assert_eq!(codes.contains_key(&code), expected, "{carrier:?} {code}");
        }
    }
}

#[test]
fn popularity_follows_zipf_and_a_trend_moves_it() {
    let top = |trend: Option<Duration>, skip: usize| {
        let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let events = Synthetic::new(SyntheticSettings { trend, shares: Shares::default(), ..settings() });
        events.skip(skip).take(20_000).for_each(|record| *counts.entry(record.key.unwrap()).or_default() += 1);
        counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
    };
    assert_eq!(top(None, 0), "s-é1".as_bytes());
    let trend = Some(Duration::from_secs(60));
    assert_ne!(top(trend, 0), top(trend, 200_000));
}

#[test]
fn counting_events_until_a_time_inverts_their_times() {
    for events_per_1000_s in [1, 7, 1000, 333_333, 1_000_000, 700_000_000] {
        let events = Synthetic::new(SyntheticSettings { events_per_1000_s, ..settings() });
        assert_eq!(events.count_until(events.at(0) - 1), 0);
        for index in [0, 1, 2, 999, 1000, 123_457] {
            let at = events.at(index);
            let count = events.count_until(at);
            assert!(events.at(count - 1) <= at && events.at(count) > at, "{events_per_1000_s} {index}");
        }
    }
}

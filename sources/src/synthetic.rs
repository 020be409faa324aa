//! Synthetic events: each a pure function of the settings and its index, so that the same arguments give the same bytes.
//! Settings hold whole numbers only; they are written into identities and must read back exactly.

mod flaw;

use crate::seed::{Random, mix};
use crate::zipf::Zipf;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::Duration;
use stream::{DeadCode, EventTime};

/// What to make.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SyntheticSettings {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Nominal time of the first event.
    pub start: EventTime,
    /// Events in a thousand seconds of event time, evenly spaced; at least 1.
    pub events_per_1000_s: u64,
    /// How many keys; at least 1.
    pub keys: u64,
    /// Zipf's exponent in thousandths: 1000 is the web's, 0 is uniform.
    pub exponent_per_1000: u32,
    /// If set, a key stays about this long in its place among the popular; else the first keys are the most frequent.
    pub trend: Option<Duration>,
    /// How many events are out of the ordinary.
    pub shares: Shares,
    /// A disordered event is at most this much behind its nominal time.
    pub disorder: Duration,
    /// A late event is behind by this much at least, and by up to 129 times as much.
    pub late_by: Duration,
    /// An oversized value has a byte more.
    pub max_bytes: u64,
    /// A key that is too long has a byte more.
    pub max_key_bytes: u64,
    /// What carries the records, which decides the malformed ones it can carry.
    pub carrier: Carrier,
    /// The words of the records.
    pub words: SyntheticWords,
}

/// Parts in a million that are out of the ordinary. Kinds exclude each other, so the sum is at most a million; a
/// duplicate repeats an event of any other kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shares {
    /// Behind their nominal time, by no more than `disorder`.
    pub disordered: u32,
    /// Behind it by more than `late_by`.
    pub late: u32,
    /// The same bytes as one of the thousand events before.
    pub duplicate: u32,
    /// Dead letters of the decoder, every code in turn; of 128 one is oversized.
    pub malformed: u32,
    /// A hundred years ahead.
    pub future: u32,
}

/// What carries the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Lines of text: no record without a value, none of 0 bytes.
    Lines,
    /// A log that stamps every record with a time: a time is never missing.
    StampedLog,
    /// Anything goes.
    Direct,
}

/// Names of members, and how keys begin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SyntheticWords {
    /// The key's member.
    pub key: String,
    /// The time's member.
    pub time: String,
    /// Before the number in each key.
    pub prefix: String,
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SyntheticRecord {
    /// The transport's key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Nominal event time in milliseconds since 1970, before disorder: what to pace by.
    pub at: i64,
}

/// All events of some settings, in order and by index. Endless as an iterator: use `take`.
#[derive(Clone, Debug)]
pub struct Synthetic {
    settings: SyntheticSettings,
    zipf: Zipf,
    interval_nanos: u64,
    /// The words as JSON text.
    words: SyntheticWords,
    next: u64,
}

/// How an event differs from the ordinary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ordinary,
    Disordered,
    Late,
    Duplicate,
    Future,
    Malformed(DeadCode),
}

const CENTURY: i64 = 36_525 * 86_400_000;
const REGIONS: [&str; 5] = ["NA", "EU", "AP", "LA", "AF"];
const DEVICES: [&str; 4] = ["ios", "android", "web", "tv"];

impl Synthetic {
    /// The events of these settings.
    pub fn new(settings: SyntheticSettings) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let prefix = quoted(&settings.words.prefix);
        let words = SyntheticWords {
            key: quoted(&settings.words.key),
            time: quoted(&settings.words.time),
            prefix: prefix[1..prefix.len() - 1].to_owned(),
        };
        let zipf = Zipf::new(settings.keys, f64::from(settings.exponent_per_1000) / 1000.0);
        let interval_nanos = (1_000_000_000_000 / settings.events_per_1000_s.max(1)).max(1);
        Synthetic { settings, zipf, interval_nanos, words, next: 0 }
    }

    /// What was asked for.
    pub fn settings(&self) -> &SyntheticSettings {
        &self.settings
    }

    /// Nominal time of an event in milliseconds since 1970.
    pub fn at(&self, index: u64) -> i64 {
        let millis = u128::from(index) * u128::from(self.interval_nanos) / 1_000_000;
        self.settings.start.millis().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// How many events have a nominal time of at most `at`.
    pub fn count_until(&self, at: i64) -> u64 {
        let Ok(millis) = u64::try_from(at.saturating_sub(self.settings.start.millis())) else { return 0 };
        let last = ((u128::from(millis) + 1) * 1_000_000 - 1) / u128::from(self.interval_nanos);
        u64::try_from(last).unwrap_or(u64::MAX - 1) + 1
    }

    /// Write an event over `record`.
    pub fn write(&self, index: u64, record: &mut SyntheticRecord) {
        let mut random = Random::of(self.settings.seed, index);
        let mut kind = self.kind(&mut random);
        let mut original = index;
        if kind == Kind::Duplicate {
            original = index.saturating_sub(1 + random.below(index.clamp(1, 1000)));
            random = Random::of(self.settings.seed, original);
            kind = match self.kind(&mut random) {
                Kind::Duplicate => Kind::Ordinary,
                kind => kind,
            };
        }
        self.content(original, kind, random, record);
        record.at = self.at(index);
    }

    fn kind(&self, random: &mut Random) -> Kind {
        let point = random.below(1_000_000) as u32;
        let shares = self.settings.shares;
        let mut upper = 0;
        let mut falls_within = |share: u32| {
            upper = share.saturating_add(upper);
            point < upper
        };
        if falls_within(shares.disordered) {
            Kind::Disordered
        } else if falls_within(shares.late) {
            Kind::Late
        } else if falls_within(shares.duplicate) {
            Kind::Duplicate
        } else if falls_within(shares.future) {
            Kind::Future
        } else if falls_within(shares.malformed) {
            Kind::Malformed(flaw::choose(self.settings.carrier, random))
        } else {
            Kind::Ordinary
        }
    }

    fn content(&self, index: u64, kind: Kind, mut random: Random, record: &mut SyntheticRecord) {
        let nominal = self.at(index);
        let key = self.key_at(self.zipf.draw(&mut random), nominal);
        let time = match kind {
            Kind::Disordered => nominal - random.below(millis(self.settings.disorder) + 1) as i64,
            Kind::Late => {
                let least = millis(self.settings.late_by).max(1);
                let doublings = random.below(8);
                nominal - (least + random.below(least << doublings)) as i64
            }
            Kind::Future => nominal + CENTURY,
            _ => nominal,
        };
        let time = time.clamp(0, EventTime::LAST_VALID.millis());
        let key_text = record.key.get_or_insert_default();
        key_text.clear();
        let _ = write!(key_text, "{}{key}", self.settings.words.prefix);
        let value = record.value.get_or_insert_default();
        value.clear();
        if let Kind::Malformed(code) = kind {
            flaw::write(code, self, key, time, &mut random, record);
        } else {
            self.value(index, key, time, &mut random, value);
        }
    }

    /// The key that has a place among the popular at some time.
    fn key_at(&self, place: u64, at: i64) -> u64 {
        let Some(trend) = self.settings.trend else { return place };
        let (seed, period) = (self.settings.seed, millis(trend).max(1));
        let turn = (at.unsigned_abs() + mix(seed ^ place) % period) / period;
        1 + mix(seed ^ mix(place ^ mix(turn))) % self.settings.keys
    }

    fn value(&self, index: u64, key: u64, time: i64, random: &mut Random, value: &mut Vec<u8>) {
        let SyntheticWords { key: key_word, time: time_word, prefix } = &self.words;
        let _ = write!(value, "{{{key_word}:\"{prefix}{key}\",{time_word}:");
        let instant = EventTime::from_millis(time);
        let _ = match random.below(16) {
            0 if time < EventTime::LAST_VALID.millis() - 2 * 86_400_000 => write!(value, "\"{instant}\""),
            _ => write!(value, "{time}"),
        };
        let user = 1 + random.below(1_000_000);
        let region = REGIONS[random.below(REGIONS.len() as u64) as usize];
        let device = DEVICES[random.below(DEVICES.len() as u64) as usize];
        let id = mix(self.settings.seed ^ mix(index));
        let _ = write!(
            value,
            ",\"user_id\":\"u{user}\",\"region\":\"{region}\",\"device\":\"{device}\",\"event_id\":\"{id:016x}\"}}"
        );
    }
}

impl Iterator for Synthetic {
    type Item = SyntheticRecord;

    fn next(&mut self) -> Option<SyntheticRecord> {
        let mut record = SyntheticRecord::default();
        self.write(self.next, &mut record);
        self.next += 1;
        Some(record)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(1 << 50)
}

#[cfg(test)]
pub(crate) mod tests;

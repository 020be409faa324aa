//! Records that are dead letters, of every code that a carrier can carry.

use super::{Carrier, Synthetic, SyntheticRecord, SyntheticWords};
use crate::seed::Random;
use std::io::Write;
use stream::DeadCode;

/// The codes that take turns; `oversized` comes apart, as its records are large.
const CODES: [DeadCode; 9] = [
    DeadCode::NotUtf8,
    DeadCode::NotJson,
    DeadCode::NotObject,
    DeadCode::KeyMissing,
    DeadCode::KeyInvalid,
    DeadCode::TimeInvalid,
    DeadCode::TimeMissing,
    DeadCode::Null,
    DeadCode::Empty,
];

/// A code for a malformed record.
pub(super) fn choose(carrier: Carrier, random: &mut Random) -> DeadCode {
    if random.below(128) == 0 {
        return DeadCode::Oversized;
    }
    let fits = |code: &DeadCode| match code {
        DeadCode::Null | DeadCode::Empty => carrier != Carrier::Lines,
        DeadCode::TimeMissing => carrier != Carrier::StampedLog,
        _ => true,
    };
    let count = CODES.iter().filter(|code| fits(code)).count();
    let chosen = random.below(count as u64) as usize;
    *CODES.iter().filter(|code| fits(code)).nth(chosen).expect("chosen below their count")
}

/// Write a record of this code; its value is empty so far.
pub(super) fn write(
    code: DeadCode,
    events: &Synthetic,
    key: u64,
    time: i64,
    random: &mut Random,
    record: &mut SyntheticRecord,
) {
    let SyntheticWords { key: key_word, time: time_word, prefix } = &events.words;
    let settings = &events.settings;
    let Some(value) = &mut record.value else { return };
    let mut choose = |texts: &[&str]| {
        let text = texts[random.below(texts.len() as u64) as usize];
        value.extend_from_slice(text.as_bytes());
    };
    let good_key = format!("{key_word}:\"{prefix}{key}\"");
    let good_time = format!("{time_word}:{time}");
    match code {
        DeadCode::Null => record.value = None,
        DeadCode::Empty => {}
        DeadCode::Oversized => {
            let _ = write!(value, "{{{good_key},{good_time},\"padding\":\"");
            value.resize((settings.max_bytes as usize).saturating_sub(1).max(value.len()), b'x');
            value.extend_from_slice(b"\"}");
        }
        DeadCode::NotUtf8 => {
            let _ = write!(value, "{{{key_word}:\"{prefix}");
            value.extend_from_slice(b"\xff\"}");
        }
        DeadCode::NotJson => choose(&[
            &format!("{{{good_key},{good_time}}} and more"),
            &format!("{{{good_key},{time_word}:"),
            &format!("{{{good_key},{time_word}:NaN}}"),
            &format!("{{{key_word}:\"\\ud800\",{good_time}}}"),
            &format!("{{{good_key},\"deep\":{}{}}}", "[".repeat(200), "]".repeat(200)),
        ]),
        DeadCode::NotObject => choose(&["null", "7", "\"text\"", &format!("[{{{good_key},{good_time}}}]")]),
        DeadCode::KeyMissing => {
            record.key = None;
            choose(&[&format!("{{{good_time}}}"), &format!("{{{key_word}:null,{good_time}}}")]);
        }
        DeadCode::KeyInvalid => {
            let long = "x".repeat(settings.max_key_bytes as usize + 1);
            choose(&[
                &format!("{{{key_word}:\"\",{good_time}}}"),
                &format!("{{{key_word}:{key},{good_time}}}"),
                &format!("{{{key_word}:\"{long}\",{good_time}}}"),
                &format!("{{{key_word}:\"a\\u0000b\",{good_time}}}"),
            ]);
        }
        DeadCode::TimeMissing => choose(&[&format!("{{{good_key}}}"), &format!("{{{good_key},{time_word}:null}}")]),
        DeadCode::TimeInvalid | DeadCode::TimeFuture => choose(&[
            &format!("{{{good_key},{time_word}:\"{time}\"}}"),
            &format!("{{{good_key},{time_word}:{time}.0}}"),
            &format!("{{{good_key},{time_word}:-1}}"),
            &format!("{{{good_key},{time_word}:253402300800000}}"),
            &format!("{{{good_key},{time_word}:\"2025-10-19T14:00:00\"}}"),
        ]),
    }
}

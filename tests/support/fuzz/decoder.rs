//! The decoder of events against a slow one, built on a tree of values.

use serde_json::Value;
use sources::{JsonDecoder, JsonMapping};
use stream::{DeadCode, Decode, EventTime};

pub(super) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "null",
    "true",
    "\"video_id\"",
    "\"videoId\"",
    "\"view_timestamp\"",
    "\"timestamp\"",
    "\"video_id\":\"v\"",
    "2025-10-19T14:00:00Z",
    "2025-10-19T14:00:00.123456789+05:30",
    "\u{0}",
    "\u{feff}",
    "é",
    "{\"a\":",
    "[[",
    "-0",
    "1e3",
    "NaN",
];

pub(super) fn corpus() -> Vec<Vec<u8>> {
    super::owned(&[
        r#"{"video_id":"v1","view_timestamp":1760882400000,"user_id":"u1"}"#,
        r#"{"videoId":"v1","timestamp":"2025-10-19T16:00:00.2509+02:00"}"#,
        r#" {"video_id" : "é\u00e9\"" , "view_timestamp" : null, "other": [{"a":[1,-0.5e-3,true,null]}] } "#,
        r#"{"video_id":"a","video_id":null,"videoId":"b","view_timestamp":"no","view_timestamp":-0}"#,
        r#"["not","an","object"]"#,
        "",
    ])
}

fn mapping() -> JsonMapping {
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    JsonMapping {
        key: names(["video_id", "videoId"]),
        time: names(["view_timestamp", "timestamp"]),
        max_bytes: 65_536,
        max_key_bytes: 256,
    }
}

pub(super) fn decode(value: &[u8]) {
    let found = JsonDecoder::new(mapping()).decode(Some(value)).map_err(|rejection| {
        assert!(!rejection.detail.is_empty(), "a dead letter says why");
        rejection.code
    });
    let found = found.map(|event| {
        assert_eq!(event.n, 1);
        (event.key.into_owned(), event.time)
    });
    if let Some(expected) = by_tree(value) {
        assert_eq!(found, expected);
    }
}

type Decoded = Result<(String, Option<EventTime>), DeadCode>;

/// None where the contract leaves it open, or a tree cannot tell.
fn by_tree(value: &[u8]) -> Option<Decoded> {
    let mapping = mapping();
    if value.is_empty() {
        return Some(Err(DeadCode::Empty));
    }
    if value.len() > mapping.max_bytes {
        return Some(Err(DeadCode::Oversized));
    }
    let Ok(text) = std::str::from_utf8(value) else { return Some(Err(DeadCode::NotUtf8)) };
    let tree: Value = match serde_json::from_str(text) {
        Ok(tree) => tree,
        Err(error) => {
            // A lone surrogate outside the key, and a number that no double holds, are JSON by its grammar.
            let open = ["surrogate", "hex escape", "out of range"];
            let is_open = open.iter().any(|why| error.to_string().contains(why));
            return (!is_open).then_some(Err(DeadCode::NotJson));
        }
    };
    let Value::Object(members) = tree else { return Some(Err(DeadCode::NotObject)) };
    let first = |names: &[String]| names.iter().filter_map(|name| members.get(name)).find(|value| !value.is_null());
    let key = match first(&mapping.key) {
        None => return Some(Err(DeadCode::KeyMissing)),
        Some(Value::String(key)) if (1..=mapping.max_key_bytes).contains(&key.len()) && !key.contains('\0') => key,
        Some(_) => return Some(Err(DeadCode::KeyInvalid)),
    };
    let time = match first(&mapping.time) {
        None => return Some(Ok((key.clone(), None))),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(millis) => EventTime::valid(millis),
            // "-0" is an integer, "-0.0" is not; the tree has one for both.
            None if number.as_f64() == Some(0.0) => return None,
            None => None,
        },
        // Which texts are instants is for a test of their grammar; but an instant is never another one.
        Some(Value::String(text)) => {
            let same = |found: EventTime| EventTime::parse(text).is_none_or(|expected| expected == found);
            let found = JsonDecoder::new(self::mapping()).decode(Some(value));
            assert!(found.is_ok_and(|event| event.time.is_some_and(same)) || is_time_invalid(value));
            return None;
        }
        Some(_) => None,
    };
    Some(time.map(|time| (key.clone(), Some(time))).ok_or(DeadCode::TimeInvalid))
}

fn is_time_invalid(value: &[u8]) -> bool {
    JsonDecoder::new(mapping()).decode(Some(value)).is_err_and(|rejection| rejection.code == DeadCode::TimeInvalid)
}

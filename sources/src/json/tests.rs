//! The contract's "Kafka event" section as tables, and the decoder against a slow one built on `serde_json::Value`.

use super::*;
use crate::seed::Random;
use proptest::prelude::*;
use serde_json::Value;

fn mapping() -> JsonMapping {
    JsonMapping {
        key: vec!["song".into(), "songId".into()],
        time: vec!["played_at".into(), "at".into()],
        max_bytes: 2000,
        max_key_bytes: 8,
    }
}

fn decode(value: &[u8]) -> Result<(String, Option<i64>), DeadCode> {
    let mut decoder = JsonDecoder::new(mapping());
    let event = decoder.decode(Some(value)).map_err(|rejection| {
        assert!(!rejection.detail.is_empty());
        rejection.code
    })?;
    assert_eq!(event.n, 1);
    Ok((event.key.into_owned(), event.time.map(EventTime::millis)))
}

#[track_caller]
fn good(text: &str, key: &str, time: Option<i64>) {
    assert_eq!(decode(text.as_bytes()), Ok((key.to_owned(), time)), "{text}");
}

#[track_caller]
fn dead(text: impl AsRef<[u8]>, code: DeadCode) {
    let text = text.as_ref();
    assert_eq!(decode(text), Err(code), "{}", String::from_utf8_lossy(&text[..text.len().min(200)]));
}

#[test]
fn events() {
    good(r#"{"song":"v1","played_at":1760882400000,"user_id":"u1"}"#, "v1", Some(1_760_882_400_000));
    good(r#"{"song":"v1","played_at":"2025-10-19T16:00:00.2509+02:00"}"#, "v1", Some(1_760_882_400_250));
    good(r#"{"song":"v1"}"#, "v1", None);
    good(r#"{"song":"v1","played_at":null}"#, "v1", None);
    good(" \t\r\n{ \"song\" : \"v1\" , \"at\" : 0 } \n", "v1", Some(0));
    good(r#"{"song":" v ","at":-0}"#, " v ", Some(0));
    good(r#"{"song":"\u0061\n\"","at":253402300799999}"#, "a\n\"", Some(253_402_300_799_999));
    good(r#"{"song":"\ud83d\ude00","at":1}"#, "😀", Some(1));
    good(r#"{"s\u006fng":"escaped","\u0061t":2}"#, "escaped", Some(2));
    good(r#"{"song":"12345678"}"#, "12345678", None);
    good(r#"{"song":"v1","at":"2025\u002d10-19T14:00:00Z"}"#, "v1", Some(1_760_882_400_000));
}

#[test]
fn the_first_name_that_is_present_and_not_null_decides() {
    good(r#"{"songId":"b","song":"a"}"#, "a", None);
    good(r#"{"songId":"b","song":null}"#, "b", None);
    good(r#"{"songId":"b","at":2,"played_at":1}"#, "b", Some(1));
    good(r#"{"songId":"b","at":2,"played_at":null}"#, "b", Some(2));
    dead(r#"{"songId":"b","song":7}"#, DeadCode::KeyInvalid);
    dead(r#"{"songId":"b","song":""}"#, DeadCode::KeyInvalid);
    dead(r#"{"song":"b","at":2,"played_at":"soon"}"#, DeadCode::TimeInvalid);
}

#[test]
fn of_repeated_members_the_last_counts() {
    good(r#"{"song":"a","song":"b","at":1,"at":2}"#, "b", Some(2));
    good(r#"{"song":7,"song":"b","at":"x","at":null}"#, "b", None);
    good(r#"{"song":"a","song":null,"songId":"c"}"#, "c", None);
    good(r#"{"song":"\ud800","song":"b"}"#, "b", None);
    dead(r#"{"song":"a","song":null}"#, DeadCode::KeyMissing);
    dead(r#"{"song":"a","song":[]}"#, DeadCode::KeyInvalid);
}

#[test]
fn dead_letters_before_the_object() {
    let mut decoder = JsonDecoder::new(mapping());
    assert_eq!(decoder.decode(None).unwrap_err().code, DeadCode::Null);
    dead("", DeadCode::Empty);
    let padded = |length: usize| format!("{:<length$}", r#"{"song":"v1"}"#);
    good(&padded(2000), "v1", None);
    dead(padded(2001), DeadCode::Oversized);
    dead([0xff; 2001], DeadCode::Oversized);
    dead(b"{\"song\":\"v\xff\"}", DeadCode::NotUtf8);
    dead(b"\xff", DeadCode::NotUtf8);
    dead(b"{\"song\":\"\xed\xa0\x80\"}", DeadCode::NotUtf8);
}

#[test]
fn what_is_not_json() {
    let cases = [
        " ",
        "{",
        "}",
        "nul",
        "{\"song\":\"v1\"",
        "{\"song\":\"v1\",}",
        "{song:\"v1\"}",
        "{'song':'v1'}",
        "{\"song\":\"v1\"} x",
        "{\"song\":\"v1\"}{\"song\":\"v1\"}",
        "{\"song\":\"v1\"}\0",
        "{\"song\":\"v1\",\"at\":NaN}",
        "{\"song\":\"v1\",\"at\":Infinity}",
        "{\"song\":\"v1\",\"at\":01}",
        "{\"song\":\"v1\",\"at\":+1}",
        "{\"song\":\"v1\",\"at\":1.}",
        "{\"song\":\"v\n1\"}",
        "{\"song\":\"v\\x1\"}",
        "{\"song\":\"\\ud800\"}",
        "{\"song\":\"\\udc00x\"}",
        "{\"song\":\"\\ud800\\u0041\"}",
        "{\"song\":\"v1\",\"other\":[1,}",
        "{1:\"v1\"}",
        "[1,2",
        "\u{feff}{\"song\":\"v1\"}",
        "// a remark",
    ];
    for text in cases {
        dead(text, DeadCode::NotJson);
    }
}

#[test]
fn what_is_json_but_no_object() {
    for text in ["null", "true", "7", "-1.5e3", "\"text\"", "[]", "[{\"song\":\"v1\"}]", " null\n"] {
        dead(text, DeadCode::NotObject);
    }
}

#[test]
fn nesting_ends_at_127() {
    let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    good(&format!(r#"{{"song":"v1","other":{}}}"#, arrays(126)), "v1", None);
    dead(format!(r#"{{"song":"v1","other":{}}}"#, arrays(127)), DeadCode::NotJson);
    dead(format!(r#"{{"song":{}}}"#, arrays(126)), DeadCode::KeyInvalid);
    dead(format!(r#"{{"song":{}}}"#, arrays(900)), DeadCode::NotJson);
    dead(arrays(127), DeadCode::NotObject);
    dead(arrays(128), DeadCode::NotJson);
    good(r#"{"song":"v1","other":["[[[[\"[[[\\",{}]}"#, "v1", None);
    let quoted = format!(r#"{{"song":"v1","other":["{}"]}}"#, "[".repeat(500));
    good(&quoted, "v1", None);
}

#[test]
fn keys() {
    for text in [r#"{}"#, r#"{"song":null}"#, r#"{"Song":"v1"}"#, r#"{"song ":"v1"}"#, r#"{"at":1}"#] {
        dead(text, DeadCode::KeyMissing);
    }
    let invalid = [
        r#"{"song":""}"#,
        r#"{"song":1}"#,
        r#"{"song":true}"#,
        r#"{"song":["v1"]}"#,
        r#"{"song":{"id":"v1"}}"#,
        r#"{"song":"123456789"}"#,
        r#"{"song":"ééééé"}"#,
        r#"{"song":"a\u0000b"}"#,
        r#"{"song":"","at":"also wrong"}"#,
    ];
    for text in invalid {
        dead(text, DeadCode::KeyInvalid);
    }
}

#[test]
fn times() {
    let invalid = [
        "1.0",
        "1e3",
        "1760882400000.0",
        "-1",
        "253402300800000",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e999",
        "\"1760882400000\"",
        "\"\"",
        "\"2025-10-19T14:00:00\"",
        "\"2025-10-19t14:00:00Z\"",
        "\"2025-10-19T14:00:60Z\"",
        "\"1970-01-01T00:00:00+00:01\"",
        "\"9999-12-31T23:59:59-00:01\"",
        "\"\\ud800\"",
        "true",
        "false",
        "{}",
        "[1]",
    ];
    for time in invalid {
        dead(format!(r#"{{"song":"v1","at":{time}}}"#), DeadCode::TimeInvalid);
    }
    good(r#"{"song":"v1","at":"1969-12-31T23:59:59-00:01"}"#, "v1", Some(59_000));
    good(r#"{"song":"v1","at":"9999-12-31T23:59:59.9999Z"}"#, "v1", Some(253_402_300_799_999));
}

/// The contract rejects a lone surrogate in the key; elsewhere it is ignored like the member that holds it.
#[test]
fn a_lone_surrogate_outside_the_key_is_ignored() {
    good(r#"{"song":"v1","other":"\ud800"}"#, "v1", None);
    good(r#"{"song":"v1","\ud800":1}"#, "v1", None);
    good(r#"{"song":"v1","songId":"\udc00"}"#, "v1", None);
    good(r#"{"song":"v1","other":1e999}"#, "v1", None);
}

#[test]
fn many_names_work_too() {
    let key = (0..9).map(|name| format!("k{name}")).collect();
    let mut decoder = JsonDecoder::new(JsonMapping { key, ..mapping() });
    assert_eq!(decoder.decode(Some(br#"{"k8":"b","k7":"a","k0":null}"#)).unwrap().key, "a");
}

#[test]
fn a_plain_key_is_borrowed() {
    let mut decoder = JsonDecoder::new(mapping());
    let event = decoder.decode(Some(br#"{"song":"v1"}"#)).unwrap();
    assert!(matches!(event.key, Cow::Borrowed("v1")));
}

/// The same rules over a tree, and none where the tree is stricter than the decoder on purpose: it rejects numbers
/// beyond f64 and lone surrogates (two of serde_json's messages) in any member.
fn reference(value: &[u8]) -> Option<Result<(String, Option<i64>), DeadCode>> {
    let error = std::str::from_utf8(value).ok().and_then(|text| serde_json::from_str::<Value>(text).err());
    let stricter = ["number out of range", "lone leading surrogate", "unexpected end of hex escape"];
    let message = error.map(|error| error.to_string()).unwrap_or_default();
    (!stricter.iter().any(|part| message.contains(part))).then(|| by_tree(value))
}

fn by_tree(value: &[u8]) -> Result<(String, Option<i64>), DeadCode> {
    let mapping = mapping();
    if value.is_empty() {
        return Err(DeadCode::Empty);
    }
    if value.len() > mapping.max_bytes {
        return Err(DeadCode::Oversized);
    }
    let text = String::from_utf8(value.to_vec()).map_err(|_| DeadCode::NotUtf8)?;
    let tree: Value = serde_json::from_str(&text).map_err(|_| DeadCode::NotJson)?;
    let object = tree.as_object().ok_or(DeadCode::NotObject)?;
    let find = |names: &[String]| names.iter().filter_map(|name| object.get(name)).find(|value| !value.is_null());
    let key = find(&mapping.key).ok_or(DeadCode::KeyMissing)?.as_str().ok_or(DeadCode::KeyInvalid)?;
    if key.is_empty() || key.len() > mapping.max_key_bytes || key.contains('\0') {
        return Err(DeadCode::KeyInvalid);
    }
    let millis = match find(&mapping.time) {
        None => return Ok((key.to_owned(), None)),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => instant::parse(text).ok(),
        Some(_) => None,
    };
    match millis.filter(|millis| (0..=253_402_300_799_999).contains(millis)) {
        Some(millis) => Ok((key.to_owned(), Some(millis))),
        None => Err(DeadCode::TimeInvalid),
    }
}

#[track_caller]
fn agrees(value: &[u8]) {
    let decoded = decode(value);
    if let Some(expected) = reference(value) {
        assert_eq!(decoded, expected, "{}", String::from_utf8_lossy(value));
    }
}

const PIECES: [&str; 38] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"song\"",
    "\"songId\"",
    "\"played_at\"",
    "\"at\"",
    "\"other\"",
    "null",
    "true",
    "\"v1\"",
    "\"\"",
    "\"v\\u0041\"",
    "\"a\\u0000\"",
    "\"123456789\"",
    "1",
    "-1",
    "1760882400000",
    "1.5",
    "1e3",
    "9223372036854775808",
    "\"2025-10-19T14:00:00Z\"",
    "\"2025-10-19T14:00:00\"",
    "[1,[2]]",
    "{\"song\":1}",
    " ",
    "\n",
    "\\",
    "\"",
    "x",
    "\u{1}",
    "é",
    "{\"song\":\"v1\",",
    "\"at\":5}",
    "\"song\":",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_tree_on_pieces(pieces in prop::collection::vec(0..PIECES.len(), 0..14)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        agrees(text.as_bytes());
    }

    #[test]
    fn agrees_with_the_tree_on_objects(members in prop::collection::vec((6..11usize, 11..30usize), 0..6)) {
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| format!("{}:{}", PIECES[name], PIECES[value]))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        agrees(text.as_bytes());
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees(&bytes);
    }
}

/// Good events with a few bytes changed, where most of the decoder's branches are.
#[test]
fn agrees_with_the_tree_on_damaged_events() {
    let good: [&[u8]; 2] = [
        br#"{"song":"v\u00e91","played_at":1760882400000,"at":"2025-10-19T14:00:00.5Z","other":[{"a":"\n"},-1.5e3]}"#,
        br#"{"song":"v1","played_at": 1760882400000,"other":"NA","flag":true, "nothing":null}"#,
    ];
    let mut random = Random::of(7, 0);
    for step in 0..100_000 {
        let mut bytes = good[step % 2].to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:\\0en"[random.below(11) as usize]),
            }
        }
        agrees(&bytes);
    }
}

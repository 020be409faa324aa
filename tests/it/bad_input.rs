//! Bad input of every kind in one stream: no crash, no stall, each record under its code, and every good one counted.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tests::Setup;

mod in_a_file;
mod in_kafka;

/// What `tests/recount/bad_input.py` prints with these words, line by line.
fn cases(words: &[&str]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("recount/bad_input.py");
    let output = Command::new("python3").arg(script).args(words).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(found.len() > 200, "only {} cases", found.len());
    found
}

/// The dead letters as `(partition, offset) → code`.
fn letters(setup: &Setup) -> BTreeMap<(String, u64), String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let letters = setup.dead_letters();
    let found: BTreeMap<_, _> = letters
        .iter()
        .map(|letter| {
            ((text(&letter["partition"]), text(&letter["offset"]).parse().expect("an offset")), text(&letter["error"]))
        })
        .collect();
    assert_eq!(found.len(), letters.len(), "a record has two letters");
    found
}

/// Every record is either counted or under its code, and the independent recount agrees.
#[track_caller]
fn assert_each_under_its_code(setup: &Setup, expected: &BTreeMap<(String, u64), (String, Option<String>)>) {
    let letters = letters(setup);
    let mut wrong = Vec::new();
    for (place, (name, code)) in expected {
        if letters.get(place) != code.as_ref() {
            wrong.push(format!("{place:?} {name}: expected {code:?}, found {:?}", letters.get(place)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} records are wrong:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
    let dead = expected.values().filter(|(_, code)| code.is_some()).count();
    assert_eq!(letters.len(), dead, "letters of records that nobody sent");
    let counted: u64 = setup.tables().0["video_views_all_time"]
        .iter()
        .map(|row| row["views"].as_deref().expect("views").parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(counted, (expected.len() - dead) as u64, "good records are not all counted");
    setup.assert_right();
}

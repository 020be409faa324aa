//! `topk generate`: the same arguments give the same bytes.

use super::{finish, folder, topk_in};
use std::fs;
use tests::setup::bare_topk;

const WORDS: [&str; 9] = ["generate", "--count", "5000", "--duplicate", "2", "--future", "1", "--malformed", "5"];

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let folder = folder();
    for (name, seed) in [("one", "7"), ("two", "7"), ("other", "8")] {
        topk_in(folder.path(), &[&WORDS[..], &["--seed", seed, "--file", name]].concat()).expect_code(0);
    }
    let read = |name: &str| fs::read(folder.path().join(name)).expect("generated");
    let one = read("one");
    assert_eq!(one.iter().filter(|byte| **byte == b'\n').count(), 5000, "one line for each record");
    assert!(one == read("two"), "the same seed gave other bytes");
    assert!(one != read("other"), "another seed gave the same bytes");

    // To standard output they are the same bytes again.
    let sh = |words: &str| {
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(words).env("TOPK", tests::process::topk());
        finish(command, folder.path()).expect_code(0)
    };
    sh(&format!("\"$TOPK\" {} --seed 7 > piped", WORDS.join(" ")));
    assert!(one == read("piped"), "standard output got other bytes");
    // Enough for `head` is enough: no error, no message.
    let head = sh(&format!(
        "\"$TOPK\" {} --seed 7 --count 1000000 2> said | head -n 1",
        WORDS.join(" ").replace("--count 5000 ", "")
    ));
    assert_eq!(head.stdout.as_bytes(), &one[..=one.iter().position(|byte| *byte == b'\n').expect("a line")]);
    assert_eq!(fs::read_to_string(folder.path().join("said")).expect("written"), "");
}

#[test]
fn a_file_that_cannot_be_written_exits_1() {
    let folder = folder();
    for path in ["absent/views.ndjson", "/dev/full"] {
        let finished = finish(bare_topk(&["generate", "--count", "10", "--file", path]), folder.path()).expect_code(1);
        assert!(finished.stderr.contains(&format!("cannot write to {path}")), "{}", finished.stderr);
        assert!(finished.stderr.contains("what to do: "), "{}", finished.stderr);
    }
}

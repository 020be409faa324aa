//! Dead letters arrive exactly once, whatever tears the file.

use super::*;
use std::sync::Arc;
use stream::{Commit, DeadCode};

fn claim(generation: u64) -> Claim {
    Claim { job: "songs".into(), generation: Generation(generation) }
}

fn letter(offset: i64, value: Option<&[u8]>) -> Arc<DeadLetter> {
    Arc::new(DeadLetter {
        code: DeadCode::NotJson,
        detail: "expected \"value\" at 1".into(),
        partition: "plays.ndjson".into(),
        offset,
        timestamp: None,
        key: None,
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
    })
}

fn step(sequence: u64, letters: &[(u64, i64)]) -> Step {
    Step {
        dead_letters: letters.iter().map(|(epoch, at)| (Sequence(*epoch), letter(*at, Some(b"{\xff")))).collect(),
        ..Step::empty(Commit::empty(Generation(1), Sequence(sequence)))
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Bench { path: folder.path().join("data").join("dead.ndjson"), _folder: folder }
    }

    fn open(&self) -> DeadLetterFile {
        DeadLetterFile::new(&self.path, "data/plays")
    }

    fn claimed(&self, generation: u64) -> (DeadLetterFile, Option<u64>) {
        let mut file = self.open();
        let progress = file.claim(&claim(generation)).unwrap();
        (file, progress.map(|progress| progress.sequence.0))
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn offsets(&self) -> Vec<i64> {
        self.lines().iter().map(|line| line["offset"].as_i64().unwrap()).collect()
    }

    fn append(&self, text: &str) {
        OpenOptions::new().append(true).open(&self.path).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn lines_are_those_of_the_contract() {
    let bench = Bench::new();
    let (mut file, progress) = bench.claimed(1);
    assert_eq!(progress, None);
    let mut step = step(4, &[(3, 20)]);
    step.dead_letters.push((Sequence(4), letter(30, None)));
    file.write(&step).unwrap();
    let expected = serde_json::json!({
        "error": "not_json", "detail": "expected \"value\" at 1", "source": "data/plays", "partition": "plays.ndjson",
        "offset": 20, "epoch": 3, "value_base64": "e/8=",
    });
    let lines = bench.lines();
    assert_eq!(lines[0], expected);
    assert!(lines[1]["value_base64"].is_null() && lines.len() == 2);
}

/// A job that has not begun waits for such a place and ends, as for any sink that is away.
#[test]
fn a_place_that_cannot_be_written_is_told_at_the_first_look() {
    let bench = Bench::new();
    assert_eq!(bench.open().look(), Ok(None));
    assert!(!bench.path.parent().unwrap().exists(), "a look leaves nothing behind");
    std::fs::write(bench.path.parent().unwrap(), "no folder").unwrap();
    let fault = bench.open().look().unwrap_err();
    assert!(fault.is_transient() && fault.what.contains("dead.ndjson"), "{fault}");
    assert!(fault.hint.contains("sink.dead_letters.file"), "{fault}");
}

#[test]
fn a_restart_goes_on_after_the_last_whole_step() {
    let bench = Bench::new();
    let (mut file, _) = bench.claimed(1);
    file.write(&step(4, &[(3, 1), (4, 2)])).unwrap();
    file.write(&step(9, &[])).unwrap();
    drop(file);
    let looked = bench.open().look().unwrap().unwrap();
    assert_eq!((looked.sequence, looked.generation), (Sequence(9), Generation(1)));
    // A step was cut off by a crash: two whole lines and a torn one.
    let whole = r#"{"offset":77,"epoch":10}"#;
    bench.append(&format!("{whole}\n{whole}\n{{\"offset\":78,"));
    let (mut file, progress) = bench.claimed(2);
    assert_eq!((progress, bench.offsets()), (Some(9), vec![1, 2]));
    file.write(&step(11, &[(10, 3), (11, 4)])).unwrap();
    assert_eq!(bench.offsets(), [1, 2, 3, 4]);
}

#[test]
fn replays_change_nothing() {
    let bench = Bench::new();
    let (mut file, _) = bench.claimed(1);
    for _ in 0..3 {
        file.write(&step(4, &[(3, 1), (4, 2)])).unwrap();
    }
    file.write(&step(5, &[(4, 2), (5, 3)])).unwrap();
    assert_eq!(bench.offsets(), [1, 2, 3]);
}

#[test]
fn without_a_progress_file_the_last_epoch_is_written_again() {
    let bench = Bench::new();
    let (mut file, _) = bench.claimed(1);
    file.write(&step(6, &[(3, 1), (6, 2), (6, 3)])).unwrap();
    drop(file);
    std::fs::remove_file(bench.path.with_extension("ndjson.progress")).unwrap();
    bench.append("{\"torn");
    let (mut file, progress) = bench.claimed(2);
    assert_eq!((progress, bench.offsets()), (Some(5), vec![1]));
    file.write(&step(6, &[(6, 2), (6, 3)])).unwrap();
    assert_eq!(bench.offsets(), [1, 2, 3]);
}

#[test]
fn a_file_of_something_else_is_not_touched() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path.parent().unwrap()).unwrap();
    std::fs::write(&bench.path, "Dear diary\n").unwrap();
    let fault = bench.open().claim(&claim(1)).unwrap_err();
    assert!(!fault.is_transient() && fault.why.contains("line 1"), "{fault}");
    assert_eq!(std::fs::read_to_string(&bench.path).unwrap(), "Dear diary\n");
}

#[test]
fn letters_may_be_moved_away() {
    let bench = Bench::new();
    let (mut file, _) = bench.claimed(1);
    file.write(&step(4, &[(4, 1)])).unwrap();
    File::create(&bench.path).unwrap();
    file.write(&step(5, &[(5, 2)])).unwrap();
    assert_eq!(bench.offsets(), [2]);
}

#[test]
fn one_writer_at_a_time() {
    let bench = Bench::new();
    let (file, _) = bench.claimed(1);
    let fault = bench.open().claim(&claim(2)).unwrap_err();
    assert!(fault.is_transient() && fault.why.contains("another instance holds it"), "{fault}");
    drop(file);
    drop(bench.claimed(2));
    assert_eq!(bench.open().claim(&claim(1)).unwrap_err().exit.code(), 4);
    let other = Claim { job: "posts".into(), generation: Generation(9) };
    let fault = bench.open().claim(&other).unwrap_err();
    assert!(fault.exit.code() == 2 && fault.why.contains("\"songs\""), "{fault}");
}

/// Offsets in the file that was put aside.
fn aside(bench: &Bench) -> Vec<i64> {
    let text = std::fs::read_to_string(rotate::aside(&bench.path)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["offset"].as_i64().unwrap())
        .collect()
}

#[test]
fn a_full_file_is_put_aside_and_each_letter_is_in_one_of_the_two() {
    let bench = Bench::new();
    let mut file = bench.open().rotated_at(300);
    file.claim(&claim(1)).unwrap();
    let mut most = 0;
    for at in 1..=40 {
        file.write(&step(at, &[(at, at as i64)])).unwrap();
        // Without letters nothing turns.
        file.write(&step(at, &[])).unwrap();
        let both = [aside(&bench), bench.offsets()].concat();
        let last: Vec<i64> = (1..=at as i64).collect();
        assert!(!both.is_empty() && last.ends_with(&both), "{both:?} after {at}");
        most = most.max(std::fs::metadata(&bench.path).unwrap().len());
    }
    assert!(aside(&bench).len() > 1 && most < 300 + 200, "{most}");
    drop(file);
    let (_, progress) = bench.claimed(2);
    assert_eq!(progress, Some(40));
}

/// Whatever the moment of a crash, the next claim goes on after the same epoch, without a gap or a repetition.
#[test]
fn a_crash_while_the_file_is_put_aside_loses_and_repeats_nothing() {
    for moment in 0..3 {
        let bench = Bench::new();
        let mut file = bench.open().rotated_at(1);
        file.claim(&claim(1)).unwrap();
        file.write(&step(3, &[(3, 1), (3, 2)])).unwrap();
        drop(file);
        std::fs::rename(&bench.path, rotate::aside(&bench.path)).unwrap();
        if moment > 0 {
            File::create(&bench.path).unwrap();
        }
        if moment > 1 {
            let marker = bench.open().read_marker().unwrap().unwrap();
            bench.open().write_marker(&Marker { length: 0, ..marker }).unwrap();
            bench.append("{\"offset\":3,\"epoch\":4}\n{\"torn");
        }
        let mut file = bench.open().rotated_at(1);
        let progress = file.claim(&claim(2)).unwrap().unwrap();
        assert_eq!(progress.sequence, Sequence(3), "moment {moment}");
        file.write(&step(4, &[(4, 3)])).unwrap();
        assert_eq!((aside(&bench), bench.offsets()), (vec![1, 2], vec![3]), "moment {moment}");
        file.write(&step(5, &[(5, 4)])).unwrap();
        assert_eq!((aside(&bench), bench.offsets()), (vec![3], vec![4]), "moment {moment}");
    }
}

/// A try that fails half way is tried again with the same step.
#[test]
fn a_turn_that_fails_half_way_is_made_good() {
    let bench = Bench::new();
    let mut file = bench.open().rotated_at(1);
    file.claim(&claim(1)).unwrap();
    file.write(&step(3, &[(3, 1)])).unwrap();
    // Renamed, and then no new file could be made.
    std::fs::rename(&bench.path, rotate::aside(&bench.path)).unwrap();
    file.write(&step(4, &[(4, 2)])).unwrap();
    assert_eq!((aside(&bench), bench.offsets()), (vec![1], vec![2]));
    // Somebody else's file in its place is left alone.
    std::fs::remove_file(&bench.path).unwrap();
    std::fs::write(&bench.path, "theirs").unwrap();
    assert!(file.write(&step(5, &[(5, 3)])).unwrap_err().is_transient());
    assert_eq!(std::fs::read_to_string(&bench.path).unwrap(), "theirs");
    assert_eq!(aside(&bench), [1]);
}

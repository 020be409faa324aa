//! Dead letters arrive exactly once, whatever tears the file.

use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{Commit, DeadCode, RecordHash};

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
    let commit = Commit {
        epoch: sequence,
        generation: Generation(1),
        sequence: Sequence(sequence),
        hash: RecordHash::default(),
        changed: true,
        watermark: None,
        partitions: Arc::new(BTreeMap::new()),
        ledger: Arc::new(BTreeMap::new()),
        late: Vec::new(),
        dead_letters: Arc::default(),
        granted: Vec::new(),
        evictable: None,
        last: false,
    };
    Step {
        commit: Arc::new(commit),
        rows: Vec::new(),
        statuses: Vec::new(),
        with_rankings: false,
        rankings: Vec::new(),
        pointers: Vec::new(),
        dead_letters: letters.iter().map(|(epoch, at)| (Sequence(*epoch), letter(*at, Some(b"{\xff")))).collect(),
        lost: None,
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

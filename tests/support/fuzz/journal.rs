//! Reading a journal: the real files of `runtime/src/journal/golden`, one of which is changed. As it is, whatever is accepted
//! must be what was there. Sealed again, with hashes that fit all along the chain, nothing needs to be right any more; but
//! nothing may panic, or allocate what its bytes do not justify.

use runtime::Place;
use runtime::journal::{Genesis, Journal, JournalSettings, LoadFrom, Patience, Recovered};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::{ManualClock, Sequence, TimeRules, WallTime, WindowKind, Windows, Zone};

const HASH: usize = 32;

struct Bench {
    folder: tempfile::TempDir,
    /// In order of their names: the parts of the base, then the records.
    files: Vec<(PathBuf, Vec<u8>)>,
    journal: Journal,
    honest: (Genesis, Recovered),
}

fn golden() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/src/journal/golden/1");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the golden files are there").map(|entry| entry.expect("it lists")) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("it can be read");
                files.push((path.strip_prefix(&root).expect("it is below").to_owned(), bytes));
            }
        }
    }
    files.sort();
    files
}

fn from() -> LoadFrom {
    LoadFrom { tables: Some(Sequence(2)), dead_letters: Some(("letters".to_owned(), Sequence(0))) }
}

impl Bench {
    fn new() -> Self {
        let (folder, files) = (tempfile::tempdir().expect("a temporary folder"), golden());
        for (path, bytes) in &files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("it can be made");
            fs::write(path, bytes).expect("it can be written");
        }
        let kinds = ["minute", "hour", "day", "all_time"].map(|name| WindowKind::named(name).expect("a kind"));
        let windows = Windows::new(kinds.into(), Zone::named("Europe/Zurich").expect("a zone")).expect("windows");
        let rules = TimeRules {
            out_of_orderness: Duration::from_secs(5),
            allowed_lateness: Duration::from_secs(60),
            max_future_skew: Duration::from_secs(60),
        };
        let patience = Patience { attempts: 2, first: Duration::ZERO, most: Duration::ZERO, ..Patience::default() };
        let settings = JournalSettings { patience, ..JournalSettings::new("songs", windows, rules) };
        let store = Place::Directory(folder.path().to_owned()).open(&[]).expect("a directory");
        let journal =
            Journal::open(store, settings, Arc::new(ManualClock::at(WallTime(1_760_875_200_000)))).expect("it opens");
        let honest = journal.read(&from()).expect("it is whole").expect("and not empty");
        Bench { folder, files, journal, honest }
    }

    fn put(&self, changed: &[(usize, Vec<u8>)]) {
        for (index, bytes) in changed {
            fs::write(self.folder.path().join(&self.files[*index].0), bytes).expect("it can be written");
        }
    }

    /// Records after this one name its hash: give them the new one, and theirs to those that follow.
    fn reseal(&self, index: usize, mut bytes: Vec<u8>) -> Vec<(usize, Vec<u8>)> {
        let mut hashes = vec![(hash_of(&self.files[index].1), seal(&mut bytes))];
        let mut changed = vec![(index, bytes)];
        let is_record = |index: usize| self.files[index].0.starts_with("commit");
        for next in (index + 1..self.files.len()).filter(|_| is_record(index)) {
            let mut bytes = self.files[next].1.clone();
            hashes.iter().for_each(|(old, new)| replace(&mut bytes, old, new));
            hashes.push((hash_of(&self.files[next].1), seal(&mut bytes)));
            changed.push((next, bytes));
        }
        changed
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_of(sealed: &[u8]) -> String {
    hex(&sealed[sealed.len() - HASH..])
}

/// Give bytes the hash that fits, in the place of the one they have, and say it.
fn seal(bytes: &mut Vec<u8>) -> String {
    bytes.truncate(bytes.len().saturating_sub(HASH));
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    hex(&hash)
}

fn replace(bytes: &mut [u8], old: &str, new: &str) {
    let found = bytes.windows(old.len()).position(|window| window == old.as_bytes());
    if let Some(at) = found {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
}

fn bench() -> MutexGuard<'static, Bench> {
    static BENCH: LazyLock<Mutex<Bench>> = LazyLock::new(|| Mutex::new(Bench::new()));
    BENCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which file, whether it is sealed again, its bytes.
pub(super) fn read(input: &[u8]) {
    let [index, sealed, bytes @ ..] = input else { return };
    let bench = bench();
    let (index, sealed) = (usize::from(*index) % bench.files.len(), sealed & 1 == 1);
    let changed = if sealed { bench.reseal(index, bytes.to_vec()) } else { vec![(index, bytes.to_vec())] };
    bench.put(&changed);
    match bench.journal.read(&from()) {
        Ok(found) => assert!(sealed || found.as_ref() == Some(&bench.honest), "it was read as something else"),
        Err(fault) => assert!(!fault.why.is_empty() && !fault.what.is_empty(), "it says what is wrong"),
    }
    // What is for people reads the same bytes. Their outcome may be anything but a panic.
    let _ = (bench.journal.check(&|_, _| ()), bench.journal.list(10), bench.journal.standing());
    for sequence in 1..=5 {
        let _ = bench.journal.show(Sequence(sequence));
    }
    let honest: Vec<_> = changed.iter().map(|(index, _)| (*index, bench.files[*index].1.clone())).collect();
    bench.put(&honest);
}

pub(super) fn corpus() -> Vec<Vec<u8>> {
    let files = golden();
    let with = |index: usize, sealed: u8| [&[index as u8, sealed], files[index].1.as_slice()].concat();
    (0..files.len()).flat_map(|index| [with(index, 0), with(index, 1)]).collect()
}

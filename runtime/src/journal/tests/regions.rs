//! Regions of every object zeroed, overwritten, cut off, doubled, and objects that are gone: the same state or a refusal that
//! names the object, for whoever reads and for whoever takes over. (Single bits are in `damage`.)

use super::damage::{journal, overwrite, remove};
use super::recovery::block;
use super::*;
use bytes::Bytes;
use object_store::memory::InMemory;
use stream::{Exit, Sequence};

/// Every region is of one of these lengths, from a number to a block of a disk.
const LENGTHS: [usize; 3] = [8, 32, 512];

fn from() -> LoadFrom {
    LoadFrom { tables: Some(Sequence(7)), dead_letters: Some(("letters".into(), Sequence(7))) }
}

/// What damage does to one object: its bytes afterwards, and what to call it.
fn damages(bytes: &Bytes) -> Vec<(Bytes, String)> {
    let mut found = Vec::new();
    for length in LENGTHS {
        for at in (0..bytes.len()).step_by(length) {
            let end = (at + length).min(bytes.len());
            for (fill, what) in [(0x00, "zeroed"), (0xff, "overwritten")] {
                let mut damaged = bytes.to_vec();
                damaged[at..end].fill(fill);
                found.push((damaged.into(), format!("{what} from {at} to {end}")));
            }
        }
    }
    for length in (0..bytes.len()).step_by(3) {
        found.push((bytes.slice(..length), format!("cut to {length}")));
    }
    // What a file system gives that knew the length and lost the rest.
    found.push((vec![0; bytes.len()].into(), "all zeroes".to_owned()));
    found.push(([&bytes[..], &bytes[..]].concat().into(), "there twice".to_owned()));
    found.push(([&bytes[..], &[0; 64][..]].concat().into(), "with zeroes behind it".to_owned()));
    found.retain(|(damaged, _)| damaged != bytes);
    found
}

#[test]
fn every_region_of_every_object_damaged_is_refused_by_name_or_harmless() {
    let (store, journal) = journal();
    let honest = journal.read(&from()).unwrap().unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for name in block(&store) {
        let bytes = bytes_of(&store, &name).unwrap();
        for (damaged, what) in damages(&bytes) {
            overwrite(&store, &name, damaged);
            match journal.read(&from()) {
                Ok(found) => {
                    assert_eq!(found.as_ref(), Some(&honest), "{name}, {what}");
                    harmless += 1;
                }
                Err(fault) => {
                    assert!(fault.what.contains(name.as_str()), "{name}, {what}: {fault}");
                    assert!([Exit::Failed, Exit::Refused].contains(&fault.exit) && !fault.is_transient(), "{fault}");
                    refused += 1;
                }
            }
        }
        overwrite(&store, &name, bytes);
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 1000, "{refused}");
    assert_eq!(journal.read(&from()).unwrap().unwrap(), honest);
}

fn copy_of(store: &Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    let copy: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for name in block(store) {
        overwrite(&copy, &name, bytes_of(store, &name).unwrap());
    }
    copy
}

/// Who takes over writes its fence before it reads, and nothing else if it cannot read: what is left can still be mended.
#[test]
fn a_start_over_a_damaged_object_goes_on_right_or_leaves_everything_else_alone() {
    let (store, journal) = journal();
    let (_, honest) = journal.read(&from()).unwrap().unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for name in block(&store) {
        let bytes = bytes_of(&store, &name).unwrap();
        let mut damaged = bytes.to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        let changes: [(Option<Bytes>, &str); 4] = [
            (Some(damaged.into()), "a bit flipped"),
            (Some(bytes.slice(..middle)), "cut in half"),
            (Some(vec![0; bytes.len()].into()), "all zeroes"),
            (None, "gone"),
        ];
        for (changed, what) in changes {
            let copy = copy_of(&store);
            match changed {
                Some(bytes) => overwrite(&copy, &name, bytes),
                None => remove(&copy, &name),
            }
            let before = block(&copy);
            let started = open(&copy).start(Generation(0), || panic!("there is a journal"));
            match started.and_then(|started| started.load(&from())) {
                Ok((found, _)) => {
                    let lost_last = what == "gone" && is_last_epoch(&name, &before, &honest);
                    if !lost_last {
                        assert_eq!(
                            (found.watermark, &found.partitions),
                            (honest.watermark, &honest.partitions),
                            "{name} {what}"
                        );
                        assert_eq!((&found.groups, &found.totals), (&honest.groups, &honest.totals), "{name} {what}");
                    }
                    harmless += 1;
                }
                Err(fault) => {
                    assert!(
                        fault.what.contains(name.as_str()) || fault.why.contains("record"),
                        "{name} {what}: {fault}"
                    );
                    let written: Vec<_> = block(&copy).into_iter().filter(|name| !before.contains(name)).collect();
                    let expected = |name: &String| name.starts_with("commit/") || name.starts_with("generation/");
                    assert!(written.len() <= 2 && written.iter().all(expected), "{name} {what}: wrote {written:?}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 10 && harmless > 5, "{refused} refused, {harmless} harmless");
}

/// That a chain has lost its last record nobody can tell from the chain; tables know the record's hash.
fn is_last_epoch(name: &str, left: &[String], honest: &Recovered) -> bool {
    let newer = |other: &String| other.starts_with("commit/") && other.as_str() > name;
    name == chain::name_of(honest.last_epoch.0) && !left.iter().any(newer)
}

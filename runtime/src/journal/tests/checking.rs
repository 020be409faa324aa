//! A check finds every damaged and every missing object that the state or somebody behind may still need, by name.

use super::damage::{journal, overwrite, remove};
use super::recovery::block;
use super::*;
use stream::Sequence;

fn check(journal: &Journal) -> Findings {
    journal.check(&|done, total| assert!(done <= total)).unwrap().unwrap()
}

#[test]
fn a_whole_journal_adds_up() {
    let (store, journal) = journal();
    let found = check(&journal);
    assert_eq!(found.wrong, Vec::<String>::new());
    let (oldest, last, records) = found.records;
    assert_eq!(records, last.0 + 1 - oldest.0);
    assert!(found.base_parts > 0 && found.keys > 0 && found.counts > found.keys, "{found:?}");
    let names = block(&store);
    let kept = names.iter().filter(|name| name.starts_with("commit/")).count() as u64;
    assert!(kept >= records && found.bytes > 0);
    assert_eq!(open(&memory()).check(&|_, _| ()).unwrap(), None, "there is no journal");
}

#[test]
fn damaged_and_missing_objects_are_found_by_name() {
    let (store, journal) = journal();
    let contents = journal.list(usize::MAX).unwrap().unwrap();
    let last = contents.glance.sequence;
    let whole = check(&journal);
    let mut found_missing = 0;
    for name in block(&store) {
        let bytes = bytes_of(&store, &name).unwrap();
        let is_last = name == chain::name_of(last);
        let is_slot = name.starts_with("generation/");
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 1;
        overwrite(&store, &name, flipped.into());
        if is_last {
            // Nobody knows what the last record says: as at a start.
            assert!(journal.check(&|_, _| ()).unwrap_err().what.contains(&name));
        } else if !is_slot && !left_over(&whole, &name) {
            let wrong = check(&journal).wrong;
            assert!(wrong.iter().any(|wrong| wrong.contains(&name)), "{name} is flipped: {wrong:?}");
            match journal.list(usize::MAX) {
                Ok(listed) => {
                    let newest = listed.unwrap().newest;
                    let unreadable = newest.iter().filter(|entry| entry.kind == "unreadable").count();
                    assert_eq!(unreadable, usize::from(name.starts_with("commit/")), "{name}");
                }
                // Without genesis nobody knows whose records these are.
                Err(fault) => assert!(name == chain::name_of(FIRST) && fault.what.contains(&name), "{name}: {fault}"),
            }
        }
        remove(&store, &name);
        match journal.check(&|_, _| ()) {
            Ok(found) => found_missing += usize::from(found.is_none_or(|found| !found.wrong.is_empty())),
            Err(fault) => {
                assert_eq!(fault.exit, stream::Exit::Refused, "{name}: {fault}");
                found_missing += 1;
            }
        }
        overwrite(&store, &name, bytes);
        assert_eq!(check(&journal), whole, "{name} is back");
    }
    let last_base = contents.newest.iter().rfind(|entry| entry.kind == "base").unwrap().record;
    let needed = (last.0 - last_base.0) as usize + whole.base_parts as usize;
    assert!(found_missing > needed, "{found_missing} of the {needed} that are needed at least");
}

fn left_over(found: &Findings, name: &str) -> bool {
    match chain::sequence_of(name) {
        Some(_) => false,
        None => name.starts_with("base/") && found.left_over.0 > 0,
    }
}

#[test]
fn records_are_listed_and_shown() {
    let (_, journal) = journal();
    let contents = journal.list(3).unwrap().unwrap();
    assert_eq!(contents.newest.len(), 3);
    assert_eq!(contents.newest[2].record, contents.glance.sequence);
    assert!(contents.records.0 > 3 && contents.base_parts.0 > 0);
    for entry in journal.list(usize::MAX).unwrap().unwrap().newest {
        let shown = journal.show(entry.record).unwrap().unwrap();
        assert_eq!(shown["kind"], entry.kind);
        assert_eq!(shown["sequence"], entry.record.0);
        assert_eq!(shown["bytes"], entry.bytes);
        if entry.kind == "epoch" {
            assert!(entry.says.starts_with(&format!("{} events", shown["events"])), "{} {shown}", entry.says);
        }
    }
    assert_eq!(journal.show(Sequence(1 << 40)).unwrap(), None);
    let standing = journal.standing().unwrap().unwrap();
    assert_eq!(standing["record"], contents.glance.sequence.0);
    assert!(standing["ledger"]["plays-0"]["consumed"].as_u64() > Some(0), "{standing}");
}

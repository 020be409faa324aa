//! Every byte of every object flipped, every object cut short or gone: refused with the object's name, or harmless.

use super::history::Model;
use super::recovery::block;
use super::*;
use crate::journal::testing::Random;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use stream::Sequence;

/// A journal with every kind of record, kept and deleted ones, and slots.
pub(super) fn journal() -> (Arc<dyn ObjectStore>, Journal) {
    let (store, clock) = (memory(), clock());
    let mut settings = settings();
    settings.followers.clear();
    let journal = open_with(&store, settings, &clock);
    let mut model = Model::new(false);
    let mut random = Random::new(4);
    for _ in 0..2 {
        let (_, mut writer) = start(&journal).unwrap();
        for step in 0..4 {
            let next = model.next(&mut random);
            let written = writer.append(&next.content).unwrap();
            model.commit(next, written);
            if step == 1 {
                writer.compact().unwrap();
                clock.advance(Duration::from_secs(4000));
            }
        }
    }
    (store, journal)
}

pub(super) fn overwrite(store: &Arc<dyn ObjectStore>, name: &str, bytes: Bytes) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.put(&Path::from(name), PutPayload::from(bytes))).unwrap();
}

pub(super) fn remove(store: &Arc<dyn ObjectStore>, name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.delete(&Path::from(name))).unwrap();
}

#[test]
fn damage_is_refused_by_name_or_harmless() {
    let (store, journal) = journal();
    let from = LoadFrom { tables: Some(Sequence(7)), dead_letters: Some(("letters".into(), Sequence(7))) };
    let honest = journal.read(&from).unwrap().unwrap();
    let names = block(&store);
    assert!(names.len() > 10, "{names:?}");
    let mut refused = 0;
    for name in &names {
        let bytes = bytes_of(&store, name).unwrap();
        let mut attempt = |damaged: Bytes, what: String| {
            overwrite(&store, name, damaged);
            match journal.read(&from) {
                Ok(found) => assert_eq!(found.as_ref(), Some(&honest), "{name}, {what}"),
                Err(fault) => {
                    assert!(fault.what.contains(name.as_str()), "{name}, {what}: {fault}");
                    refused += 1;
                }
            }
        };
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << (at % 8);
            attempt(damaged.into(), format!("byte {at} flipped"));
        }
        for length in (0..bytes.len()).step_by(17) {
            attempt(bytes.slice(..length), format!("cut to {length}"));
        }
        overwrite(&store, name, bytes);
    }
    assert!(refused > 3000, "{refused}");
    assert_eq!(journal.read(&from).unwrap().unwrap(), honest);
}

/// Two objects that are sound in themselves, in each other's place.
#[test]
fn swapped_objects_are_refused_by_name() {
    let (store, journal) = journal();
    let names: Vec<String> = block(&store).into_iter().filter(|name| !name.starts_with("generation")).collect();
    for pair in names.windows(2) {
        let bytes = [0, 1].map(|index: usize| bytes_of(&store, &pair[index]).unwrap());
        overwrite(&store, &pair[0], bytes[1].clone());
        overwrite(&store, &pair[1], bytes[0].clone());
        let from = LoadFrom { tables: Some(FIRST), dead_letters: None };
        if let Err(fault) = journal.read(&from) {
            assert!(pair.iter().any(|name| fault.what.contains(name.as_str())), "{pair:?}: {fault}");
        } else {
            let covered = |name: &String| name.starts_with("commit/") && *name < format!("commit/{:020}", 9);
            assert!(pair.iter().all(covered), "{pair:?} were taken for each other");
        }
        let [first, second] = bytes;
        overwrite(&store, &pair[0], first);
        overwrite(&store, &pair[1], second);
    }
}

/// Slots outlive records: a chain that ends before the last take-over has lost commits, also when nothing is left of it.
/// It is refused each time and left alone: a fence written there would let the next start through.
#[test]
fn a_chain_that_lost_its_tail_is_refused_and_left_alone() {
    let store = memory();
    let journal = open(&store);
    let mut model = Model::new(false);
    let mut random = Random::new(6);
    for _ in 0..2 {
        let (_, mut writer) = start(&journal).unwrap();
        for _ in 0..3 {
            let next = model.next(&mut random);
            let written = writer.append(&next.content).unwrap();
            model.commit(next, written);
        }
    }
    let objects = crate::journal::store::Objects::new(store.clone(), Patience::default()).unwrap();
    let fence = 5;
    let expected = [
        (fence, "generation 2 took over at record 5, and the journal ends with record 4 of generation 1: record 5 and"),
        (2, "generation 2 took over at record 5, and the journal ends with record 1 of generation 1: records 2 to 5"),
        (1, "generation 2 took over at record 5, and the journal has no record at all: records 1 to 5"),
    ];
    for (first, why) in expected {
        (first..=fence + 3).for_each(|lost| objects.delete(&[format!("commit/{lost:020}")]).unwrap());
        let before = block(&store);
        let refusals = [
            start(&journal).err(),
            start(&journal).err(),
            journal.look().err(),
            journal.read(&LoadFrom::default()).err(),
        ];
        for fault in refusals {
            let fault = fault.expect("it is refused");
            assert_eq!(fault.exit, stream::Exit::Refused, "{fault}");
            assert_eq!(fault.what, "the journal lost commits");
            assert!(fault.why.starts_with(why) && fault.hint.contains("commit/"), "{fault}");
        }
        assert_eq!(block(&store), before, "a refused start wrote something");
    }
    // A slot that cannot be read says less, and as much as is needed.
    overwrite(&store, "generation/00000000000000000002", "no JSON".into());
    let fault = start(&journal).err().unwrap();
    assert_eq!((fault.exit, fault.what.as_str()), (stream::Exit::Refused, "the journal lost commits"));
}

/// A record that is sound in itself, with the right number and generation and content that would fit, but of another
/// chain: only the hash of the record before tells.
#[test]
fn a_record_of_another_chain_is_refused_by_name() {
    let chain = |epochs| {
        let store = memory();
        let journal = open(&store);
        let (_, mut writer) = start(&journal).unwrap();
        let (mut model, mut random) = (Model::new(false), Random::new(8));
        for _ in 0..epochs {
            let next = model.next(&mut random);
            let written = writer.append(&next.content).unwrap();
            model.commit(next, written);
        }
        (store, journal)
    };
    for (epochs, sequence) in [(1, 2), (5, 2), (5, 3), (5, 5), (5, 6)] {
        let ((ours, journal), (theirs, _)) = (chain(epochs), chain(epochs));
        let honest = journal.read(&LoadFrom::default()).unwrap().unwrap();
        let name = format!("commit/{sequence:020}");
        let [own, foreign] = [&ours, &theirs].map(|store| bytes_of(store, &name).unwrap());
        assert_ne!(own, foreign, "the two chains must differ, or this proves nothing");
        overwrite(&ours, &name, foreign);
        let fault = journal.read(&LoadFrom::default()).expect_err("a record of another chain was taken for ours");
        // Either it does not follow the one before, or the one after does not follow it.
        let names = [name.clone(), format!("commit/{:020}", sequence + 1)];
        assert!(names.iter().any(|name| fault.what.contains(name)), "{fault}");
        assert!(fault.why.contains("it names another record before it"), "{fault}");
        overwrite(&ours, &name, own);
        assert_eq!(journal.read(&LoadFrom::default()).unwrap().unwrap(), honest);
    }
}

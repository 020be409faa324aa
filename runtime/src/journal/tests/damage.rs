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
fn journal() -> (Arc<dyn ObjectStore>, Journal) {
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

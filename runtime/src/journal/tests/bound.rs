//! `journal.max_bytes` over a whole journal: full while followers or time hold records, and not a moment longer.

use super::history::Model;
use super::recovery::block;
use super::*;
use crate::journal::testing::Random;

#[test]
fn a_full_journal_makes_room_by_acknowledgements_and_time_alone() {
    let (store, clock, max_bytes) = (memory(), clock(), 40_000);
    let journal = open_with(&store, JournalSettings { max_bytes, ..settings() }, &clock);
    let (mut model, mut random) = (Model::new(false), Random::new(8));
    let (_, mut writer) = start(&journal).unwrap();
    let tend = |writer: &mut Writer| {
        for _ in 0..3 {
            writer.tend().unwrap();
            writer.settle().unwrap();
        }
    };
    while writer.full().is_none() {
        let mut next = model.next(&mut random);
        next.content.acks.clear();
        if writer.changes(&next.content) {
            let written = writer.append(&next.content).unwrap();
            model.commit(next, written);
        }
        tend(&mut writer);
    }
    let full = writer.full().unwrap();
    assert_eq!((full.held_by.as_deref(), full.max), (Some("letters"), max_bytes));
    assert!(full.stored > max_bytes && writer.status().base_bytes == 0, "a base would have made it larger: {full:?}");

    // Nothing is written any more; what followers say is heard all the same.
    let (sequence, hash, watermark) = *model.epochs.last().unwrap();
    let ack = Ack { sequence, hash, watermark };
    writer.hear(["tables", "letters"].map(|name| (name.to_owned(), ack)).into());
    tend(&mut writer);
    assert_eq!(writer.full().unwrap().held_by, None, "only journal.retain holds it");
    assert!(writer.status().base_bytes > 0 && block(&store).contains(&"commit/00000000000000000002".to_owned()));
    clock.advance(Duration::from_secs(3700));
    tend(&mut writer);
    assert_eq!(writer.full(), None);
    assert!(writer.status().stored_bytes <= max_bytes);
    assert!(!block(&store).contains(&"commit/00000000000000000002".to_owned()));

    // What was heard is known to the next start, and state is what it was.
    drop(writer);
    let started = journal.start(Generation(0), || panic!("there is a genesis")).unwrap();
    assert_eq!(started.ack("tables").unwrap(), Some(ack));
    let (recovered, _) = started.load(&LoadFrom::default()).unwrap();
    assert_eq!((recovered.watermark, recovered.ledger), (model.watermark, model.ledger));
}

//! Where everything stood at a record, told from records alone, equals the model at that record or is not told at all.

use super::history::Model;
use super::*;
use crate::journal::testing::Random;
use stream::Sequence;

#[test]
fn every_record_that_is_kept_tells_where_everything_stood() {
    let (mut told, mut gone, mut states) = (0, 0, 0);
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let (store, clock) = (memory(), clock());
        let journal = open_with(&store, JournalSettings { compact_records: 7, ..settings() }, &clock);
        let mut model = Model::new(false);
        let (_, mut writer) = start(&journal).unwrap();
        let mut then: Vec<(Sequence, Model)> = Vec::new();
        for _ in 0..40 {
            match random.below(8) {
                0 => writer.compact().unwrap(),
                1 => clock.advance(Duration::from_secs(random.below(3000))),
                2 => {
                    drop(writer);
                    writer = start(&journal).unwrap().1;
                    then.push((writer.status().sequence, model.clone()));
                }
                _ => {
                    let next = model.next(&mut random);
                    if writer.changes(&next.content) {
                        let written = writer.append(&next.content).unwrap();
                        model.commit(next, written);
                        then.push((written.0, model.clone()));
                    }
                }
            }
        }
        for (sequence, model) in &then {
            let Some(stood) = journal.stood(*sequence).unwrap() else {
                gone += 1;
                continue;
            };
            told += 1;
            let offsets = model.partitions.iter().map(|(name, state)| (name.clone(), state.next_offset)).collect();
            assert_eq!(stood, Stood { watermark: model.watermark, offsets }, "seed {seed}, record {sequence}");
            if let Some(recovered) = journal.read_at(*sequence).unwrap() {
                states += 1;
                model.check(&recovered, &LoadFrom::default(), &format!("seed {seed}, record {sequence}"));
            }
        }
        let (last, _) = then.last().unwrap();
        assert!(journal.stood(*last).unwrap().is_some(), "seed {seed}: the last record is kept");
        assert_eq!(journal.stood(Sequence(last.0 + 1000)).unwrap(), None);
        let decisions = journal.decisions().unwrap().unwrap();
        assert_eq!((&decisions.partitions, &decisions.ledger), (&model.partitions, &model.ledger), "seed {seed}");
        assert_eq!(decisions.genesis, genesis());
    }
    assert!(told > 300 && gone > 20 && states > 100, "{told} {gone} {states}");
}

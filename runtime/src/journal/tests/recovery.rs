//! State read back equals the model, however epochs, compactions, deletions and restarts are mixed.

use super::history::Model;
use super::*;
use crate::journal::testing::Random;
use stream::{RecordHash, Sequence};

#[test]
fn an_empty_journal_begins_with_genesis_and_goes_on() {
    let store = memory();
    let journal = open(&store);
    assert_eq!(journal.look().unwrap(), None);
    assert_eq!(journal.read(&LoadFrom::default()).unwrap(), None);
    let started = journal.start(Generation(6), || Ok(genesis())).unwrap();
    assert_eq!((started.generation, started.created, started.sequence()), (Generation(7), true, FIRST));
    assert_eq!(started.genesis(), &genesis());
    let (recovered, writer) = started.load(&LoadFrom::default()).unwrap();
    assert_eq!(recovered.last_epoch, (FIRST, recovered.hash));
    assert!(recovered.partitions["plays-0"].active && !recovered.partitions["plays-1"].active);
    assert_eq!(recovered.partitions["plays-1"].next_offset, 70);
    assert!(!writer.changes(&EpochContent::default()));
    drop(writer);

    let glance = journal.look().unwrap().unwrap();
    assert_eq!((glance.generation, glance.sequence), (Generation(7), FIRST));
    let started = journal.start(Generation(99), || panic!("there is a genesis")).unwrap();
    assert_eq!((started.generation, started.created, started.sequence()), (Generation(8), false, Sequence(2)));
    assert_eq!(started.first_generation().unwrap(), Generation(7));
}

#[test]
fn another_job_is_refused_and_not_fenced() {
    let store = memory();
    start(&open(&store)).unwrap();
    let others = JournalSettings { job: "books".into(), ..settings() };
    let fault = open_with(&store, others, &clock()).start(Generation(0), || Ok(genesis())).err().unwrap();
    assert_eq!(fault.exit, stream::Exit::Usage);
    assert!(fault.why.contains("songs") && fault.why.contains("books"), "{fault}");
    assert_eq!(open(&store).look().unwrap().unwrap().sequence, FIRST);
}

/// The seeds mix: epochs of any size, compaction at random points (tended in the background, or at once), restarts
/// with followers that know more or less, time that passes or does not.
#[test]
fn recovered_state_equals_the_model() {
    let (mut exact, mut gaps, mut bases, mut deleted, mut anew) = (0, 0, 0, 0, 0);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let (store, clock) = (memory(), clock());
        let mut settings = settings();
        settings.compact_records = 3 + random.below(12) as usize;
        let journal = open_with(&store, settings, &clock);
        let mut model = Model::new(false);
        let (_, mut writer) = start(&journal).unwrap();
        for step in 0..60 {
            match random.below(14) {
                0 => writer.compact().unwrap(),
                1 => {
                    let tables = model.epochs.get(random.below(1 + model.epochs.len() as u64) as usize);
                    let tables = tables.map_or(Sequence(0), |(sequence, ..)| *sequence);
                    // What is found may be behind what was acknowledged: then it was lost, and comes again.
                    let found = Sequence(tables.0 * (step % 2));
                    let from = LoadFrom { tables: Some(tables), dead_letters: Some(("letters".into(), found)) };
                    // Dropping it leaves whatever was under way undone, as a crash does.
                    drop(writer);
                    let started = journal.start(Generation(0), || panic!("there is a genesis")).unwrap();
                    assert_eq!(started.ack("tables").unwrap(), model.acks.get("tables").copied());
                    let (recovered, again) = started.load(&from).unwrap();
                    model.check(&recovered, &from, &format!("seed {seed} step {step}"));
                    match recovered.tables {
                        Coverage::Exact => exact += 1,
                        Coverage::Everything => {}
                        Coverage::Gap(_) => {
                            gaps += 1;
                            let acked = model.acks["tables"].sequence;
                            assert!(tables < acked, "seed {seed}: a gap, though the tables have {tables} of {acked}");
                        }
                    }
                    let acknowledged = model.acks.get("letters").map_or(Sequence(0), |ack| ack.sequence);
                    anew += recovered.dead_letters.iter().filter(|(sequence, _)| *sequence <= acknowledged).count();
                    let delivered = model.acks.contains_key("letters");
                    assert!(!delivered || recovered.dead_letters_coverage == Coverage::Exact, "seed {seed}");
                    writer = again;
                }
                2 => clock.advance(Duration::from_secs(random.below(5000))),
                _ => {
                    let next = model.next(&mut random);
                    if writer.changes(&next.content) {
                        let written = writer.append(&next.content).unwrap();
                        model.commit(next, written);
                    }
                }
            }
            if random.below(2) == 0 {
                writer.tend().unwrap();
            }
        }
        writer.settle().unwrap();
        bases += usize::from(writer.status().base_bytes > 0);
        let names = block(&store);
        deleted += usize::from(!names.contains(&"commit/00000000000000000002".to_owned()));
        assert!(names.contains(&"commit/00000000000000000001".to_owned()), "genesis stays");
    }
    // The mix must reach every case, or it proves nothing.
    assert!(exact > 20 && gaps > 20 && bases > 30 && deleted > 20, "{exact} {gaps} {bases} {deleted}");
    assert!(anew > 20, "{anew} letters that were acknowledged came again");
}

/// What is deleted is known: names in the store.
pub(super) fn block(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let objects = crate::journal::store::Objects::new(store.clone(), Patience::default()).unwrap();
    ["commit", "base", "generation"]
        .iter()
        .flat_map(|folder| objects.list(folder).unwrap())
        .map(|object| object.name)
        .collect()
}

#[test]
fn dirty_is_what_the_tables_lack() {
    let (store, clock) = (memory(), clock());
    let journal = open_with(&store, settings(), &clock);
    let mut model = Model::new(false);
    let mut random = Random::new(5);
    let (_, mut writer) = start(&journal).unwrap();
    for step in 0..30 {
        let next = model.next(&mut random);
        let written = writer.append(&next.content).unwrap();
        model.commit(next, written);
        if step == 20 {
            writer.compact().unwrap();
        }
    }
    for (sequence, ..) in model.epochs.clone() {
        let from = LoadFrom { tables: Some(sequence), dead_letters: None };
        let (_, recovered) = journal.read(&from).unwrap().unwrap();
        assert!(recovered.dead_letters.is_empty());
        model.check(&recovered, &from, &format!("tables at {sequence}"));
    }
    let (_, recovered) = journal.read(&LoadFrom::default()).unwrap().unwrap();
    assert!(recovered.groups.iter().cloned().flat_map(|group| group.unpack().panes).all(|pane| !pane.dirty));
}

/// No window is final while the watermark is undefined, so nothing has left the journal; only which panes changed
/// since is forgotten with the records.
#[test]
fn tables_that_are_behind_deleted_records_get_every_pane() {
    let (store, clock) = (memory(), clock());
    let mut settings = settings();
    settings.followers.clear();
    let journal = open_with(&store, settings, &clock);
    let (_, mut writer) = start(&journal).unwrap();
    let row = stream::PartRow {
        group: 3,
        local: 0,
        dimension: 0,
        minute: at(NOON).minute(),
        mask: stream::LateMask::NONE,
        n: 1,
    };
    let mut part = stream::Part { rows: vec![row], ..stream::Part::default() };
    part.new_keys.push("song");
    part.new_key_groups.push(3);
    let content = |part: &stream::Part| EpochContent { parts: vec![part.clone()], ..EpochContent::default() };
    writer.append(&content(&part)).unwrap();
    (part.new_keys, part.new_key_groups) = Default::default();
    for _ in 0..3 {
        writer.append(&content(&part)).unwrap();
    }
    writer.compact().unwrap();
    let load = |tables| {
        let from = LoadFrom { tables: Some(Sequence(tables)), dead_letters: Some(("letters".into(), Sequence(2))) };
        let (_, recovered) = journal.read(&from).unwrap().unwrap();
        assert_eq!(recovered.dead_letters_coverage, Coverage::Exact, "there never was one");
        let panes = recovered.groups[0].clone().unpack().panes;
        assert!(panes.len() == 4 && panes.iter().all(|pane| pane.count == 4));
        let dirty = panes.iter().filter(|pane| pane.dirty).count();
        (recovered.tables, dirty)
    };
    assert_eq!([load(2), load(5)], [(Coverage::Exact, 4), (Coverage::Exact, 0)]);
    clock.advance(Duration::from_secs(3601));
    writer.compact().unwrap();
    assert_eq!([load(2), load(5), load(6)], [(Coverage::Everything, 4), (Coverage::Exact, 0), (Coverage::Exact, 0)]);
}

#[test]
fn a_follower_is_told_whether_its_record_is_ours() {
    let journal = open(&memory());
    let (_, mut writer) = start(&journal).unwrap();
    let mut random = Random::new(1);
    let (sequence, hash) = writer.append(&Model::new(false).next(&mut random).content).unwrap();
    let started = journal.start(Generation(0), || panic!("there is a genesis")).unwrap();
    let standing = |sequence, hash| started.standing(sequence, hash).unwrap();
    assert_eq!(standing(sequence, hash), Standing::InChain);
    assert_eq!(standing(sequence, RecordHash([1; 32])), Standing::NotInChain);
    assert_eq!(standing(Sequence(99), hash), Standing::NotInChain);
    assert_eq!(standing(started.sequence(), started.hash()), Standing::InChain);
}

#[test]
fn our_own_mistakes_are_refused_before_they_are_durable() {
    let journal = open(&memory());
    let (_, mut writer) = start(&journal).unwrap();
    let mut model = Model::new(false);
    let mut random = Random::new(3);
    for _ in 0..5 {
        let next = model.next(&mut random);
        let written = writer.append(&next.content).unwrap();
        model.commit(next, written);
    }
    let good = model.next(&mut random).content;
    let spoil = |change: &dyn Fn(&mut EpochContent)| {
        let mut content = good.clone();
        change(&mut content);
        content
    };
    let name: Arc<str> = "plays-0".into();
    for content in [
        spoil(&|content| content.watermark = None),
        spoil(&|content| content.partitions.get_mut(&name).unwrap().next_offset = 0),
        spoil(&|content| content.partitions.get_mut(&name).unwrap().watermark = None),
        spoil(&|content| {
            content.parts.iter_mut().for_each(|part| part.rows.iter_mut().for_each(|row| row.local = 9999))
        }),
        spoil(&|content| content.parts.iter_mut().for_each(|part| part.rows.reverse())),
        spoil(&|content| content.parts.iter_mut().for_each(|part| part.new_key_groups.clear())),
    ] {
        let fault = writer.append(&content).unwrap_err();
        assert!(fault.hint.contains("bug"), "{fault}");
    }
    let written = writer.append(&good).unwrap();
    assert_eq!(written.0, Sequence(model.last_epoch.0.0 + 1));
}

#[test]
fn a_hole_in_the_chain_is_refused_and_named() {
    let store = memory();
    let journal = open(&store);
    let (_, mut writer) = start(&journal).unwrap();
    let mut model = Model::new(false);
    let mut random = Random::new(3);
    for _ in 0..5 {
        let next = model.next(&mut random);
        let written = writer.append(&next.content).unwrap();
        model.commit(next, written);
    }
    let objects = crate::journal::store::Objects::new(store.clone(), Patience::default()).unwrap();
    objects.delete(&["commit/00000000000000000004".into()]).unwrap();
    let fault = start(&journal).err().unwrap();
    assert!(fault.what.contains("commit/00000000000000000004"), "{fault}");
    assert_eq!(fault.exit, stream::Exit::Refused);
}

//! What a person accepted: a loss is kept through compaction, and a journal that was built again recovers what tables showed.

use super::history::Model;
use super::*;
use crate::journal::testing::Random;
use stream::{Key, Loss, LossKind, Sequence};

fn loss() -> Loss {
    let (kind, record) = (LossKind::Cut, Sequence(0));
    Loss { partition: "plays-0".into(), first: 0, last: Some(4), kind, next_offset: 0, at: WallTime(NOON), record }
}

#[test]
fn a_loss_lets_its_partition_go_back_and_is_in_every_later_base() {
    let (store, clock) = (memory(), clock());
    let journal = open_with(&store, settings(), &clock);
    let (recovered, mut writer) = start(&journal).unwrap();
    let mut content = EpochContent { partitions: recovered.partitions, ..EpochContent::default() };
    let state = content.partitions.get_mut("plays-0").unwrap();
    (state.next_offset, state.fingerprint) = (5, 9);
    writer.append(&content).unwrap();
    let state = content.partitions.get_mut("plays-0").unwrap();
    (state.next_offset, state.fingerprint) = (0, 0);
    assert!(writer.append(&content).unwrap_err().hint.contains("bug"), "nothing goes back by itself");
    content.losses = vec![loss()];
    content.ledger.entry("plays-0".into()).or_default().lost = 5;
    assert!(writer.changes(&content));
    let (record, _) = writer.append(&content).unwrap();
    let source = SourceIdentity { topic_id: "t2".into(), ..genesis().source };
    content.losses.clear();
    content.source = Some(source.clone());
    let rebuilt =
        Rebuilt { follower: "tables".into(), after: None, until: at(NOON), at: WallTime(NOON), record: Sequence(0) };
    content.rebuilt = vec![rebuilt.clone()];
    let (later, _) = writer.append(&content).unwrap();
    for compact in [false, true, true] {
        if compact {
            writer.compact().unwrap();
        }
        let (_, recovered) = journal.read(&LoadFrom::default()).unwrap().unwrap();
        assert_eq!(recovered.losses, [Loss { record, ..loss() }], "with the record that says so");
        assert_eq!(recovered.rebuilt, [Rebuilt { record: later, ..rebuilt.clone() }]);
        assert_eq!((recovered.source.as_ref(), recovered.partitions["plays-0"].next_offset), (Some(&source), 0));
        assert_eq!(recovered.ledger["plays-0"].lost, 5);
        let decisions = journal.decisions().unwrap().unwrap();
        assert_eq!((&decisions.losses, &decisions.source), (&recovered.losses, &source));
        let standing = journal.standing().unwrap().unwrap();
        assert_eq!(standing["losses"][0]["kind"], "cut");
        assert_eq!(standing["source"]["topic_id"], "t2");
        assert_eq!(journal.check(&|_, _| ()).unwrap().unwrap().wrong, Vec::<String>::new());
    }
    drop(writer);
    let started = journal.start(Generation(0), || panic!("there is a genesis")).unwrap();
    assert_eq!(started.source().unwrap(), source);
    let remembered: Remembered = serde_json::from_str(&started.remembered().unwrap()).unwrap();
    assert_eq!((remembered.genesis, remembered.losses.len(), remembered.source), (genesis(), 1, Some(source)));
}

/// Every count by its name.
fn by_name(recovered: &Recovered) -> BTreeMap<(Key, u8, EventTime), u64> {
    let of_group = |group: stream::GroupState| -> Vec<_> {
        let name = |pane: &stream::PaneCell| (Key::new(group.keys.get(pane.local)), pane.kind, pane.start);
        group.panes.iter().map(|pane| (name(pane), pane.count)).collect()
    };
    recovered.groups.iter().cloned().map(PackedGroup::unpack).flat_map(of_group).collect()
}

#[test]
fn a_journal_that_is_built_again_recovers_what_tables_showed() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let journal = open(&memory());
        let (_, mut writer) = start(&journal).unwrap();
        let mut model = Model::new(false);
        for _ in 0..30 {
            let next = model.next(&mut random);
            if writer.changes(&next.content) {
                let written = writer.append(&next.content).unwrap();
                model.commit(next, written);
            }
        }
        let (_, shown) = journal.read(&LoadFrom::default()).unwrap().unwrap();
        let again = open(&memory());
        let counts = || {
            let mut counts = Rebuild::new(&again, shown.watermark);
            for ((key, kind, start), count) in by_name(&shown) {
                counts.count(kind, start, key.as_str(), count);
            }
            counts
        };
        let (sequence, hash) = shown.last_epoch;
        let told = Shown {
            remembered: Remembered {
                genesis: genesis(),
                began_at: WallTime(NOON - 5),
                losses: Vec::new(),
                rebuilt: Vec::new(),
                source: None,
            },
            tables: ("tables".to_owned(), Ack { sequence, hash, watermark: shown.watermark }),
            partitions: shown.partitions.clone(),
            ledger: shown.ledger.clone(),
            totals: shown.totals.clone(),
            future: shown.future.clone(),
            delivered: BTreeMap::from([("plays-0".into(), 3)]),
            above: (Generation(7), Sequence(sequence.0 + 4)),
        };
        let mut damaged = told.clone();
        damaged.totals.values_mut().for_each(|totals| totals.keys += 1);
        assert_eq!(again.rebuild(damaged, counts()).unwrap_err().exit, stream::Exit::Refused);
        again.rebuild(told.clone(), counts()).unwrap();
        assert_eq!(again.rebuild(told, counts()).unwrap_err().exit, stream::Exit::Refused, "there is one already");
        assert_eq!(again.check(&|_, _| ()).unwrap().unwrap().wrong, Vec::<String>::new(), "seed {seed}");

        let started = again.start(Generation(0), || panic!("there is a genesis")).unwrap();
        assert_eq!((started.generation, started.first_generation().unwrap()), (Generation(9), Generation(8)));
        assert_eq!(started.standing(sequence, hash).unwrap(), Standing::Gone);
        let ack = started.ack("tables").unwrap().unwrap();
        assert_eq!((ack.sequence, ack.hash), (sequence, hash), "which vouches for it");
        assert_eq!(started.gap(sequence).unwrap(), None);
        let from = LoadFrom { tables: Some(sequence), dead_letters: None };
        let (loaded, writer) = started.load(&from).unwrap();
        assert!(writer.status().sequence > Sequence(sequence.0 + 4), "nothing shown is numbered again");
        assert_eq!((loaded.watermark, loaded.last_epoch), (shown.watermark, shown.last_epoch));
        assert_eq!((&loaded.partitions, &loaded.ledger), (&shown.partitions, &shown.ledger));
        assert_eq!((&loaded.future, loaded.delivered.len()), (&shown.future, 1));
        let lives = |(_, kind, start): &(Key, u8, EventTime)| {
            let window = windows().find(stream::WindowId { kind: *kind, start: *start });
            window.state(shown.watermark, rules().allowed_lateness) != stream::WindowState::Final
        };
        let mut expected = by_name(&shown);
        expected.retain(|name, _| lives(name));
        assert_eq!(by_name(&loaded), expected, "seed {seed}");
        let decisions = again.decisions().unwrap().unwrap();
        assert_eq!(decisions.began_at, WallTime(NOON - 5));
    }
}

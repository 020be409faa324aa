//! Format 1, byte for byte as it was first written: `golden/` holds a small chain made by hand, and every later program
//! must read it as this one does. The files are never written again; a new format gets a folder of its own.
//!
//! zstd may pack the same content differently one day, so what is written anew is compared unpacked, and what is stored
//! by its hash.

use super::damage::overwrite;
use super::*;
use crate::journal::format::{self, Kind, Sealed};
use crate::journal::record::{BaseBody, EpochBody, Link, Mark, PartObject, Place, Summary};
use crate::journal::{base_part, columns, letters};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use stream::{
    DeadCode, DeadLetter, Grant, GroupState, Header, KeyArena, KeyGroup, LateMask, LedgerLine, Minute, PaneCell, Part,
    PartRow, PartitionState, RecordHash, Sequence, WindowId, WindowTotals,
};

const FOLDER: &str = "base/00000000000000000003-00000000000000000008-00000000000000ab";
const MINUTE: u32 = 29_347_920;
const A: &str = "dQw4w9WgXcQ";
/// In the same key group.
const B: &str = "é724";

fn golden_genesis() -> Genesis {
    Genesis { marks: BTreeMap::from([("letters".to_owned(), 12)]), ..genesis() }
}

fn link(sequence: u64, generation: u64, previous: RecordHash, base: u64) -> Link {
    Link {
        sequence: Sequence(sequence),
        generation: Generation(generation),
        previous,
        base: Sequence(base),
        written_at: NOON + sequence as i64,
        nonce: 0xab,
    }
}

fn arena(keys: &[&str]) -> KeyArena {
    let mut arena = KeyArena::default();
    keys.iter().for_each(|key| _ = arena.push(key));
    arena
}

fn row(group: u16, local: u32, minute: u32, mask: u8, n: u64) -> PartRow {
    PartRow { group, local, dimension: 0, minute: Minute(minute), mask: LateMask(mask), n }
}

fn pane(local: u32, kind: u8, start: EventTime, count: u64) -> PaneCell {
    PaneCell { local, kind, start, count, dirty: false }
}

fn minute(minute: u32) -> EventTime {
    Minute(minute).start()
}

fn place(next_offset: i64, watermark: i64, floors: Vec<(i64, EventTime)>) -> Place {
    let watermark = Some(at(watermark));
    Place { next_offset, fingerprint: u64::MAX, watermark, active: true, floors }
}

fn ledger(consumed: u64, dead_lettered: u64) -> LedgerLine {
    LedgerLine { consumed, counted: consumed - dead_lettered, dead_lettered, lost: 0 }
}

fn first_epoch() -> (EpochBody, Vec<u8>, Vec<u8>) {
    let floor = at(NOON - 5000);
    let body = EpochBody {
        watermark: Some(floor),
        partitions: BTreeMap::from([
            ("plays-0".into(), place(7, NOON - 5000, vec![])),
            ("plays-1".into(), place(71, NOON - 5000, vec![(70, floor)])),
        ]),
        ledger: BTreeMap::from([("plays-0".into(), ledger(7, 2)), ("plays-1".into(), ledger(1, 0))]),
        late: vec![(WindowId { kind: 0, start: minute(MINUTE - 9) }, 1)],
        granted: vec![Grant { partition: "plays-1".into(), floor: Some(floor) }],
        acks: BTreeMap::new(),
        ..EpochBody::default()
    };
    let part = Part {
        new_keys: arena(&[A, B, "d"]),
        new_key_groups: vec![636, 636, 970],
        rows: vec![row(636, 0, MINUTE, 0, 300), row(636, 1, MINUTE - 9, 1, 1), row(970, 0, MINUTE, 0, 2)],
        ..Part::default()
    };
    let letter = |code, offset, value: Option<&[u8]>| DeadLetter {
        code,
        detail: "why".into(),
        partition: "plays-0".into(),
        offset,
        timestamp: Some(NOON),
        key: Some(b"k".to_vec()),
        value: value.map(<[u8]>::to_vec),
        headers: vec![Header { name: "h".into(), value: None }, Header { name: "h".into(), value: Some(vec![0]) }],
    };
    let dead = [letter(DeadCode::Null, 3, None), letter(DeadCode::TimeFuture, 5, Some(b"{}"))];
    (body, columns::encode(&[part]).unwrap(), letters::encode(&dead))
}

fn last_epoch(first: RecordHash) -> (EpochBody, Vec<u8>, Vec<u8>) {
    let ack = Ack { sequence: Sequence(2), hash: first, watermark: Some(at(NOON - 5000)) };
    let body = EpochBody {
        watermark: Some(at(NOON + 1000)),
        partitions: BTreeMap::from([("plays-0".into(), place(8, NOON + 1000, vec![]))]),
        ledger: BTreeMap::from([("plays-0".into(), ledger(8, 2))]),
        acks: BTreeMap::from([("tables".to_owned(), ack)]),
        ..EpochBody::default()
    };
    let part = Part {
        new_keys: arena(&["c"]),
        new_key_groups: vec![27],
        rows: vec![row(27, 0, MINUTE + 1, 0, 1), row(970, 0, MINUTE, 0, 5)],
        ..Part::default()
    };
    (body, columns::encode(&[part]).unwrap(), letters::encode(&[]))
}

fn hour() -> EventTime {
    at(NOON)
}

fn day() -> EventTime {
    // Midnight in Zurich.
    at(NOON - 14 * 3_600_000)
}

/// Groups as of record 3. The minute of the late event never counted; its day and all time did.
fn base_groups() -> Vec<GroupState> {
    let earlier = at(NOON - 3_600_000);
    let group = |group, keys: &[&str], panes| GroupState { group: KeyGroup(group), keys: arena(keys), panes };
    vec![
        group(
            636,
            &[A, B],
            vec![
                pane(0, 0, minute(MINUTE), 300),
                pane(0, 1, hour(), 300),
                pane(0, 2, day(), 300),
                pane(0, 3, EventTime::MIN, 300),
                pane(1, 1, earlier, 1),
                pane(1, 2, day(), 1),
                pane(1, 3, EventTime::MIN, 1),
            ],
        ),
        group(
            970,
            &["d"],
            vec![
                pane(0, 0, minute(MINUTE), 2),
                pane(0, 1, hour(), 2),
                pane(0, 2, day(), 2),
                pane(0, 3, EventTime::MIN, 2),
            ],
        ),
    ]
}

fn totals(of: &[(u8, EventTime, u64, u64, u64)]) -> BTreeMap<WindowId, WindowTotals> {
    of.iter()
        .map(|(kind, start, events, keys, late)| {
            let (events, keys, late) = (*events, *keys, *late);
            (WindowId { kind: *kind, start: *start }, WindowTotals { events, keys, late })
        })
        .collect()
}

fn partition(next_offset: i64, watermark: i64, floors: Vec<(i64, EventTime)>) -> PartitionState {
    let watermark = Some(at(watermark));
    PartitionState { next_offset, fingerprint: u64::MAX, watermark, active: true, floors }
}

/// The objects of the chain: genesis, epoch, fence, base, epoch; and the base's part.
const OBJECTS: [(&str, &str); 6] = [
    ("commit/00000000000000000001", "54019fdde09c5b8b576cf95358ac166d001bc0f25dcccb91696060fde9267f64"),
    ("commit/00000000000000000002", "c91a1529770477047059462e8a24c2c9adac54b781c2d76f265a23e568ab9e8e"),
    ("commit/00000000000000000003", "21b54e4a0f9cc0174f0df7fb19e02d5348dc3cc2d57239e22fffced7637d299f"),
    (
        "base/00000000000000000003-00000000000000000008-00000000000000ab/0000",
        "d5102fbd50267c7cecfbabac79b60ab162f4734d9ba91821266e77673e481142",
    ),
    ("commit/00000000000000000004", "5636519c567c2a648085d31dd58513095567e2cabd7acbe765fb07147e4e29c0"),
    ("commit/00000000000000000005", "7abb084e4b4f7f71c72a2bfc7d5a80b9372887a4d38ba8aab9355881206ce50d"),
];

fn stored(name: &str) -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/journal/golden/1/");
    std::fs::read(format!("{folder}{name}")).unwrap().into()
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap()
}

/// The same objects made anew, linked by the hashes of the stored ones.
fn made_anew(hashes: &[RecordHash; 6], part_length: u64) -> [Sealed; 6] {
    let [genesis_hash, first_hash, fence_hash, part_hash, base_hash, _] = *hashes;
    let (body, delta, dead) = first_epoch();
    let floor = at(NOON - 5000);
    let base = BaseBody {
        covered: Sequence(3),
        summary: Summary {
            watermark: Some(floor),
            partitions: BTreeMap::from([
                ("plays-0".into(), partition(7, NOON - 5000, vec![])),
                ("plays-1".into(), partition(71, NOON - 5000, vec![(70, floor)])),
            ]),
            ledger: BTreeMap::from([("plays-0".into(), ledger(7, 2)), ("plays-1".into(), ledger(1, 0))]),
            totals: totals(&[
                (0, minute(MINUTE - 9), 0, 0, 1),
                (0, minute(MINUTE), 302, 2, 0),
                (1, at(NOON - 3_600_000), 1, 1, 0),
                (1, hour(), 302, 2, 0),
                (2, day(), 303, 3, 0),
                (3, EventTime::MIN, 303, 3, 0),
            ]),
            acks: BTreeMap::new(),
            future: BTreeSet::from([("plays-0".into(), 5)]),
            last_epoch: (Sequence(2), first_hash),
            last_dead_letter: Sequence(2),
            ..Summary::default()
        },
        dropped: None,
        dropped_at: Sequence(0),
        parts: vec![PartObject {
            name: format!("{FOLDER}/0000"),
            length: part_length,
            hash: part_hash,
            groups: (0, 1023),
        }],
        marks: vec![Mark { covered: Sequence(3), at: NOON }],
        delete_records: vec![(Sequence(2), Sequence(2))],
        delete_bases: vec!["base/of an older life".into()],
    };
    let (last_body, last_delta, last_dead) = last_epoch(first_hash);
    let seal = |kind, link: &dyn Fn() -> Link, sections: &[Vec<u8>]| format::seal(kind, &link(), sections).unwrap();
    let part_header = serde_json::json!({"covered": 3, "generation": 8, "groups": [0, 1023]});
    [
        seal(Kind::Genesis, &|| link(1, 7, RecordHash::default(), 0), &[json(&golden_genesis())]),
        seal(Kind::Epoch, &|| link(2, 7, genesis_hash, 0), &[json(&body), delta, dead]),
        seal(Kind::Fence, &|| link(3, 8, first_hash, 0), &[]),
        format::seal(Kind::Part, &part_header, &[base_part::encode(&base_groups())]).unwrap(),
        seal(Kind::Base, &|| link(4, 8, fence_hash, 0), &[json(&base)]),
        seal(Kind::Epoch, &|| link(5, 8, base_hash, 4), &[json(&last_body), last_delta, last_dead]),
    ]
}

#[test]
fn what_is_stored_is_what_was_stored() {
    for (name, hash) in OBJECTS {
        let opened = format::open(name, &stored(name)).unwrap();
        assert_eq!(opened.hash.to_string(), hash, "{name}");
    }
}

#[test]
fn the_same_content_is_written_the_same_way() {
    let opened = OBJECTS.map(|(name, _)| format::open(name, &stored(name)).unwrap());
    let hashes = opened.each_ref().map(|object| object.hash);
    for (anew, stored) in made_anew(&hashes, opened[3].length).iter().zip(&opened) {
        let anew = format::open("anew", &anew.bytes).unwrap();
        assert_eq!(anew.kind, stored.kind, "{}", stored.name);
        assert_eq!(anew.header::<Value>().unwrap(), stored.header::<Value>().unwrap(), "{}", stored.name);
        for section in 0..3 {
            assert_eq!(anew.section(section).ok(), stored.section(section).ok(), "{} {section}", stored.name);
        }
    }
}

#[test]
fn it_is_understood_as_it_was_meant() {
    let store = memory();
    OBJECTS.iter().for_each(|(name, _)| overwrite(&store, name, stored(name)));
    let from = LoadFrom { tables: Some(Sequence(3)), dead_letters: Some(("letters".into(), FIRST)) };
    let (found_genesis, found) = open(&store).read(&from).unwrap().unwrap();
    assert_eq!(found_genesis, golden_genesis());
    assert_eq!((found.sequence, found.last_epoch), (Sequence(5), (Sequence(5), found.hash)));
    assert_eq!(found.watermark, Some(at(NOON + 1000)));
    let floor = at(NOON - 5000);
    let partitions = BTreeMap::from([
        ("plays-0".into(), partition(8, NOON + 1000, vec![])),
        ("plays-1".into(), partition(71, NOON - 5000, vec![(70, floor)])),
    ]);
    assert_eq!(found.partitions, partitions);
    assert_eq!(found.ledger, BTreeMap::from([("plays-0".into(), ledger(8, 2)), ("plays-1".into(), ledger(1, 0))]));
    assert_eq!(found.acks["tables"].sequence, Sequence(2));
    let expected = totals(&[
        (0, minute(MINUTE - 9), 0, 0, 1),
        (0, minute(MINUTE), 307, 2, 0),
        (0, minute(MINUTE + 1), 1, 1, 0),
        (1, at(NOON - 3_600_000), 1, 1, 0),
        (1, hour(), 308, 3, 0),
        (2, day(), 309, 4, 0),
        (3, EventTime::MIN, 309, 4, 0),
    ]);
    assert_eq!(found.totals, expected);
    assert_eq!(found.newest(0), Some(WindowId { kind: 0, start: minute(MINUTE + 1) }));
    assert_eq!(found.future, BTreeSet::from([("plays-0".into(), 5)]));
    let dead: Vec<_> =
        found.dead_letters.iter().map(|(sequence, letter)| (sequence.0, letter.code, letter.offset)).collect();
    assert_eq!(dead, [(2, DeadCode::Null, 3), (2, DeadCode::TimeFuture, 5)]);
    assert_eq!((found.tables, found.dead_letters_coverage), (Coverage::Exact, Coverage::Exact));

    // Group 27 is new, 636 is untouched, and in 970 five more have come, which the tables lack.
    let dirty = |cell: PaneCell| PaneCell { dirty: true, ..cell };
    let mut groups = base_groups();
    groups[1].panes.iter_mut().for_each(|cell| *cell = dirty(PaneCell { count: 7, ..*cell }));
    let starts = [minute(MINUTE + 1), hour(), day(), EventTime::MIN];
    let panes = (0..).zip(starts).map(|(kind, start)| dirty(pane(0, kind, start, 1))).collect();
    groups.insert(0, GroupState { group: KeyGroup(27), keys: arena(&["c"]), panes });
    assert_eq!(found.groups.iter().cloned().map(PackedGroup::unpack).collect::<Vec<_>>(), groups);
    let placed = found.groups.iter().flat_map(|group| group.keys.iter().map(|key| (key, group.group)));
    placed.for_each(|(key, group)| assert_eq!(KeyGroup::of(key), group, "{key}"));
}

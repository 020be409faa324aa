//! Every row of the start-up decision table.

use super::*;
use crate::journal::StartOffset;
use serde_json::json;
use stream::{EventTime, Exit, RecordHash, Sequence};

fn identity(topic_id: &str) -> SourceIdentity {
    SourceIdentity { kind: "kafka".into(), cluster: "c".into(), topic: "plays".into(), topic_id: topic_id.into() }
}

fn settings(zone: &str, lateness: u64) -> BTreeMap<String, Value> {
    BTreeMap::from([("time.zone".to_owned(), json!(zone)), ("time.allowed_lateness".to_owned(), json!(lateness))])
}

fn genesis() -> Genesis {
    Genesis {
        job: "songs".into(),
        source: identity("t1"),
        partitions: BTreeMap::from([("0".into(), StartOffset { offset: 0, empty: false })]),
        settings: settings("UTC", 60),
        marks: BTreeMap::new(),
    }
}

fn progress(generation: u64, sequence: u64, hash: Option<u8>) -> Progress {
    let hash = hash.map(|byte| RecordHash([byte; 32]));
    Progress { generation: Generation(generation), sequence: Sequence(sequence), hash }
}

#[test]
fn changed_settings_are_refused_with_the_list_of_differences() {
    assert_eq!(check_settings(&genesis(), &settings("UTC", 60)), Ok(()));
    let fault = check_settings(&genesis(), &settings("Europe/Zurich", 90)).unwrap_err();
    assert_eq!(fault.exit, Exit::Usage);
    let told = fault.to_string();
    assert!(told.contains("time.zone was \"UTC\" and is now \"Europe/Zurich\""), "{told}");
    assert!(told.contains("time.allowed_lateness was 60 and is now 90"), "{told}");
}

#[test]
fn a_setting_that_came_or_went_is_a_difference() {
    let mut more = settings("UTC", 60);
    more.insert("event.key".to_owned(), json!("song"));
    assert!(check_settings(&genesis(), &more).unwrap_err().why.contains("event.key was null and is now \"song\""));
    let mut less = settings("UTC", 60);
    less.remove("time.zone");
    assert!(check_settings(&genesis(), &less).unwrap_err().why.contains("time.zone was \"UTC\" and is now null"));
}

#[test]
fn another_source_is_refused_also_a_topic_that_was_made_anew() {
    assert_eq!(check_source(&genesis(), &identity("t1")), Ok(()));
    let fault = check_source(&genesis(), &identity("t2")).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.why.contains("journaled: kafka c plays t1; found: kafka c plays t2"), "{}", fault.why);
}

#[test]
fn an_empty_journal_beside_nothing_begins_at_the_first_generation() {
    assert_eq!(check_empty_journal(&[]), Ok(Generation(0)));
    let found = [("postgres", true, None), ("redis", false, None), ("letters", false, None)];
    assert_eq!(check_empty_journal(&found), Ok(Generation(0)));
}

#[test]
fn an_empty_journal_beside_tables_with_progress_is_refused() {
    let found = [("redis", false, None), ("postgres", true, Some(progress(3, 41, Some(7))))];
    let fault = check_empty_journal(&found).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.what.contains("postgres") && fault.why.contains("epoch 41 of generation 3"), "{fault}");
}

/// Hole 22 of the protocol: a genesis starts above what boards show.
#[test]
fn boards_dead_letters_and_tables_never_written_only_raise_the_generation() {
    let boards = ("redis", false, Some(progress(7, 90, None)));
    let letters = ("letters", false, Some(progress(9, 12, None)));
    let claimed = ("postgres", true, Some(progress(4, 0, None)));
    assert_eq!(check_empty_journal(std::slice::from_ref(&boards)), Ok(Generation(7)));
    assert_eq!(check_empty_journal(std::slice::from_ref(&letters)), Ok(Generation(9)));
    assert_eq!(check_empty_journal(std::slice::from_ref(&claimed)), Ok(Generation(4)));
    assert_eq!(check_empty_journal(&[boards, letters, claimed]), Ok(Generation(9)));
}

#[test]
fn tables_follow_the_chain_or_are_refused() {
    let progress = progress(3, 41, Some(0xab));
    assert_eq!(check_chain("sqlite", &progress, Standing::InChain, false), Ok(()));
    for acknowledged in [false, true] {
        let fault = check_chain("sqlite", &progress, Standing::NotInChain, acknowledged).unwrap_err();
        assert_eq!(fault.exit, Exit::Refused);
        assert!(fault.what.contains("sqlite") && fault.why.contains("epoch 41"), "{fault}");
        assert!(fault.why.contains(&"ab".repeat(32)) && fault.why.contains("lost commits"), "{fault}");
    }
}

#[test]
fn a_compacted_record_is_vouched_for_by_its_acknowledgement() {
    let progress = progress(3, 41, Some(1));
    assert_eq!(check_chain("sqlite", &progress, Standing::Gone, true), Ok(()));
    let fault = check_chain("sqlite", &progress, Standing::Gone, false).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.why.contains("compacted away"), "{fault}");
}

#[test]
fn what_a_follower_lacks_must_still_be_in_the_journal() {
    for coverage in [Coverage::Exact, Coverage::Everything] {
        assert_eq!(check_coverage("the tables", coverage), Ok(()));
    }
    let fault = check_coverage("the tables", Coverage::Gap(Sequence(23))).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.what.starts_with("the tables lack") && fault.why.contains("records up to 23"), "{fault}");
}

#[test]
fn progress_of_an_earlier_life_is_none() {
    let first = Generation(5);
    assert_eq!(own_progress(None, first), None);
    assert_eq!(own_progress(Some(progress(4, 99, None)), first), None);
    for generation in [5, 6] {
        let own = Some(progress(generation, 3, None));
        assert_eq!(own_progress(own.clone(), first), own);
    }
    let untold = Some(progress(0, 3, None));
    assert_eq!(own_progress(untold.clone(), first), untold, "it began after its mark, so it is ours");
}

fn partition(name: &str, earliest: i64, end: i64) -> PartitionInfo {
    PartitionInfo { name: name.into(), earliest, end, start: earliest }
}

fn journaled(name: &str, next_offset: i64) -> BTreeMap<Arc<str>, PartitionState> {
    let watermark = Some(EventTime::from_millis(5));
    BTreeMap::from([(
        name.into(),
        PartitionState { next_offset, fingerprint: 8, watermark, active: true, floors: Vec::new() },
    )])
}

#[test]
fn an_offset_from_the_logs_start_to_its_end_goes_on_unchanged() {
    for (earliest, end) in [(0, 100), (40, 100), (0, 40), (40, 40)] {
        let found = [partition("0", earliest, end)];
        assert_eq!(check_offsets(&journaled("0", 40), &found), Ok(journaled("0", 40)), "{earliest} to {end}");
    }
}

#[test]
fn an_offset_that_is_gone_at_the_start_is_refused_with_the_range() {
    let fault = check_offsets(&journaled("0", 40), &[partition("0", 57, 100)]).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.why.contains("records 40 to 56 of partition 0") && fault.why.contains("starts at 57"), "{fault}");
}

#[test]
fn an_offset_beyond_the_end_is_refused_with_the_range() {
    let fault = check_offsets(&journaled("0", 40), &[partition("0", 0, 33)]).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.why.contains("ends at 33") && fault.why.contains("records 33 to 39"), "{fault}");
}

#[test]
fn a_new_partition_waits_at_0_for_its_grant() {
    let found = [partition("0", 0, 100), partition("1", 0, 3), partition("2", 0, 0)];
    let partitions = check_offsets(&journaled("0", 40), &found).unwrap();
    let new = PartitionState { next_offset: 0, fingerprint: 0, watermark: None, active: false, floors: Vec::new() };
    assert_eq!(partitions.keys().map(|name| &**name).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!((&partitions["1"], &partitions["2"]), (&new, &new));
    assert_eq!(partitions["0"], journaled("0", 40)["0"]);
}

#[test]
fn a_new_partition_whose_beginning_is_gone_is_refused() {
    let found = [partition("0", 0, 100), partition("1", 12, 30)];
    let fault = check_offsets(&journaled("0", 40), &found).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.what.contains("partition 1") && fault.why.contains("records 0 to 11"), "{fault}");
}

#[test]
fn a_partition_that_is_gone_is_refused() {
    let fault = check_offsets(&journaled("0", 40), &[partition("1", 0, 10)]).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.what.contains("partition 0 is gone") && fault.why.contains("offset 40"), "{fault}");
}

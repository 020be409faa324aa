//! Every row of the start-up decision table.

use super::*;
use crate::journal::StartOffset;
use serde_json::json;
use stream::{Exit, RecordHash, Sequence, SourceIdentity};

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
        delivered: BTreeMap::new(),
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

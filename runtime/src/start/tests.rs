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

/// Refused, or what `--rebuild-sink` makes of it.
fn verdict(standing: Standing, acknowledged: bool, gap: Option<u64>, rebuild: Option<&str>) -> Result<Rows, Fault> {
    let accepted = Accepted { rebuild: rebuild.map(str::to_owned), ..Accepted::default() };
    check_tables("sqlite", Some(&progress(3, 41, Some(0xab))), standing, acknowledged, gap.map(Sequence), &accepted)
}

#[test]
fn tables_that_follow_the_chain_stay_and_a_flag_changes_nothing() {
    for rebuild in [None, Some("sqlite")] {
        assert_eq!(verdict(Standing::InChain, false, None, rebuild), Ok(Rows::Stay));
        assert_eq!(verdict(Standing::Gone, true, None, rebuild), Ok(Rows::Stay), "its acknowledgement vouches for it");
    }
}

#[test]
fn tables_that_do_not_are_refused_with_the_flag_that_builds_them_up_again() {
    let cases = [
        (Standing::NotInChain, false, None, "from another life", Rows::Go),
        (Standing::NotInChain, true, None, "lost commits", Rows::Go),
        (Standing::NotInChain, false, Some(50), "lost commits", Rows::Go),
        (Standing::Gone, false, None, "compacted away", Rows::AreOld),
        (Standing::Gone, false, Some(50), "does not remember", Rows::AreOld),
        (Standing::Gone, true, Some(50), "records up to 50", Rows::AreOld),
        (Standing::InChain, false, Some(50), "records up to 50", Rows::AreOld),
    ];
    for (standing, acknowledged, gap, why, rows) in cases {
        for other in [None, Some("postgres")] {
            let fault = verdict(standing, acknowledged, gap, other).unwrap_err();
            assert_eq!(fault.exit, Exit::Refused);
            assert!(
                fault.what.contains("sqlite") && fault.why.contains("epoch 41") && fault.why.contains(why),
                "{fault}"
            );
            assert!(fault.why.contains(&"ab".repeat(32)) && fault.hint.contains("--rebuild-sink sqlite ("), "{fault}");
        }
        assert_eq!(verdict(standing, acknowledged, gap, Some("sqlite")), Ok(rows));
    }
}

#[test]
fn empty_tables_beside_a_journal_that_forgot_are_refused() {
    let fault = check_tables("postgres", None, Standing::InChain, false, Some(Sequence(9)), &Accepted::default());
    let fault = fault.unwrap_err();
    assert!(fault.why.contains("they have nothing yet") && fault.why.contains("records up to 9"), "{fault}");
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

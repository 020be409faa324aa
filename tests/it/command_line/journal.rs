//! `topk journal`: what is listed, shown and found wrong, with a job that runs and one that is stopped.

use super::{folder, topk_in, with_one_view};
use serde_json::Value;
use tests::{Setup, until, wait::LONG};

/// The journal's folder of records.
fn records(setup: &Setup) -> std::path::PathBuf {
    setup.path("data").join("journal").join(setup.name()).join("commit")
}

#[test]
fn a_journal_is_listed_shown_and_checked_beside_a_running_job() {
    let setup = with_one_view("journal");
    let running = setup.start(&["run"]);
    until("the view is committed", LONG, || {
        let listed = setup.topk(&["journal", "ls", "--json"]);
        listed.stdout.contains("\"kind\":\"epoch\"").then_some(())
    });
    let listed = setup.topk(&["journal", "ls"]).expect_code(0).stdout;
    assert!(listed.starts_with(&format!("journal of {} in ", setup.name())), "{listed}");
    assert!(listed.contains("1 events in 1 rows, 1 new keys, 0 dead letters"), "{listed}");
    assert_eq!(setup.topk(&["journal", "ls", "--last", "1"]).expect_code(0).stdout.lines().count(), 3);

    let standing: Value = serde_json::from_str(&setup.topk(&["journal", "show"]).expect_code(0).stdout).unwrap();
    assert_eq!(standing["ledger"]["one.ndjson"]["counted"], 1, "{standing:#}");
    let first: Value = serde_json::from_str(&setup.topk(&["journal", "show", "1"]).expect_code(0).stdout).unwrap();
    assert_eq!((&first["kind"], &first["job"]), (&"genesis".into(), &setup.name().into()));
    assert!(setup.topk(&["journal", "show", "999999"]).expect_code(1).stderr.contains("there is no record 999999"));

    let checked = setup.topk(&["journal", "check"]).expect_code(0);
    assert!(checked.stdout.contains(": whole") && checked.stdout.contains("1 keys"), "{}", checked.stdout);
    running.signal("TERM");
    running.wait(LONG).expect_code(0);
    setup.topk(&["journal", "check"]).expect_code(0);
}

#[test]
fn a_damaged_journal_is_found_out_by_name_and_left_as_it_is() {
    let setup = with_one_view("damaged");
    setup.run_until_end().expect_code(0);
    let genesis = records(&setup).join(format!("{:020}", 1));
    let mut bytes = std::fs::read(&genesis).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&genesis, &bytes).unwrap();
    let checked = setup.topk(&["journal", "check"]).expect_code(1);
    assert!(checked.stderr.contains(&format!("commit/{:020}", 1)), "{}", checked.stderr);
    assert_eq!(std::fs::read(&genesis).unwrap(), bytes);
}

#[test]
fn what_is_no_journal_of_these_settings_is_said() {
    let folder = folder();
    let ended = topk_in(folder.path(), &["journal", "ls", "--set", "job.state=nowhere"]).expect_code(1);
    assert!(ended.stderr.contains("there is no journal in"), "{}", ended.stderr);
    assert!(!folder.path().join("nowhere").exists(), "looking makes nothing");

    let setup = with_one_view("other");
    setup.run_until_end().expect_code(0);
    let other = setup.topk(&["journal", "check", "--set", "time.allowed_lateness=7s"]).expect_code(2);
    assert!(other.stderr.contains("time.allowed_lateness"), "{}", other.stderr);
}

//! Losses that a person accepts, by the flag that the refusal gives ready to paste: journaled once, in the accounts, and
//! exact about everything else.

use super::{assert_refused, embedded_with_progress, on_services_with_progress, produce_views, view_line};
use crate::exactness::assert_recounted;
use std::fs;
use tests::kafka::{self, Record};
use tests::setup::text;
use tests::{Finished, Setup, dump, until, wait::LONG};

const NOON: i64 = super::NOON;

/// The flags that a refusal gives, ready to paste.
fn flags(refused: &Finished) -> Vec<String> {
    let hint = refused.stderr.lines().find(|line| line.contains("what to do: ")).expect("it says what to do");
    let command = hint.split("topk run ").nth(1).expect("a command is given");
    let command = command.split(" (with your other arguments").next().expect("a text has a beginning");
    command.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
}

fn run_accepting(setup: &Setup, flags: &[String]) -> Finished {
    let words: Vec<&str> = ["run", "--until-end"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    setup.topk(&words)
}

/// `lost` of a partition's account.
fn lost(setup: &Setup, partition: &str) -> String {
    let tables = setup.tables();
    let is_of = |name: &Option<String>| name.as_deref() == Some(partition);
    let row = tables.0["topk_ledger"].iter().find(|row| is_of(&row["partition"])).expect("it has an account");
    row["lost"].clone().expect("a number")
}

/// Nothing differs; that not all is covered by the log is said, and exits 1.
#[track_caller]
fn assert_not_covered(setup: &Setup, expected: &[&str]) {
    let said = setup.topk(&["verify"]).expect_code(1).stdout;
    assert!(said.contains("not verified: 0 differences"), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "`{expected}` is missing in\n{said}");
    }
}

#[test]
fn kafka_records_that_were_never_read_are_given_up_and_everything_else_is_exact() {
    let setup = Setup::on_services("unread");
    kafka::create_topic(setup.name(), 2, &[]);
    produce_views(&setup, 20);
    kafka::produce(setup.name(), &[Record::new(0, "{}")]);
    setup.run_until_end();
    let records: Vec<Record> = (0..10)
        .map(|number| Record::view(1, "late", NOON + 15_000 + number * 1000))
        .chain([Record::new(1, "{}")])
        .collect();
    kafka::produce(setup.name(), &records);
    kafka::delete_records_below(setup.name(), 1, 5);
    let refused = assert_refused(&setup, 3, &["records 0 to 4 of partition 1", "starts at 5", "--accept-loss '1:0-4'"]);
    assert_eq!(flags(&refused), ["--accept-loss", "1:0-4"]);
    let wrong = ["--accept-loss".to_owned(), "1:0-5".to_owned()];
    let said = run_accepting(&setup, &wrong).expect_code(3).stderr;
    assert!(said.contains("1:0-5 is not what is missing") && said.contains("'1:0-4'"), "{said}");
    let said = run_accepting(&setup, &["--accept-loss".to_owned(), "1:4".to_owned()]).expect_code(2).stderr;
    assert!(said.contains("PARTITION:FIRST-LAST"), "{said}");

    let accepted = run_accepting(&setup, &flags(&refused)).expect_code(0);
    assert_eq!(accepted.figure("read"), 6);
    assert!(accepted.stderr.contains("accepted as lost"), "{}", accepted.stderr);
    // Used up: with it and without it nothing is lost any more.
    assert_eq!(run_accepting(&setup, &flags(&refused)).expect_code(0).figure("read"), 0);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_eq!((lost(&setup, "0"), lost(&setup, "1")), ("0".to_owned(), "5".to_owned()));
    let shown = setup.topk(&["journal", "show"]).expect_code(0).stdout;
    assert!(shown.contains("\"kind\": \"unread\"") && shown.contains("\"next_offset\": 5"), "{shown}");
    assert!(setup.topk(&["journal", "ls"]).expect_code(0).stdout.contains("accepted as lost: 1:0-4"));
    setup.topk(&["journal", "check"]).expect_code(0);

    let schema = setup.setting("sink.postgres.schema");
    let query = format!("SELECT partitions -> '1' -> 'floors' AS floors FROM {schema}.topk_progress");
    let rows = dump::postgres_query(setup.setting("sink.postgres.url"), &query);
    let floors: Vec<(i64, i64)> =
        serde_json::from_str(rows[0]["floors"].as_deref().expect("it woke up")).expect("offsets and floors");
    let [(offset, floor)] = floors[..] else { panic!("{floors:?}") };
    assert_recounted(&setup, &["--floors", &format!("[[1,{offset},{floor}]]"), "--lost", "[[1,0,4]]"]);
    assert!(setup.topk(&["verify"]).expect_code(0).stdout.contains("accepted as lost at "), "it is never left unsaid");
}

#[test]
fn a_file_that_was_cut_goes_on_from_its_end() {
    let setup = embedded_with_progress("cut");
    let file = setup.path("views").join("part.ndjson");
    let content = fs::read_to_string(&file).expect("written");
    let kept: String = content.lines().take(12).map(|line| format!("{line}\n")).collect();
    fs::write(&file, &kept).expect("the folder can be written");
    let missing = format!("part.ndjson:{}-{}", kept.len(), content.len() - 1);
    let refused = assert_refused(&setup, 3, &[&format!("--accept-loss '{missing}'")]);
    let more = kept.clone() + &view_line("v9", 21_000);
    fs::write(&file, &more).expect("the folder can be written");
    // Something was added meanwhile: what is missing now is another range, and that is what is said.
    let now = format!("part.ndjson:{}-{}", more.len(), content.len() - 1);
    let said = run_accepting(&setup, &flags(&refused)).expect_code(3).stderr;
    assert!(said.contains(&format!("'{now}'")), "{said}");
    fs::write(&file, &kept).expect("the folder can be written");
    run_accepting(&setup, &flags(&refused)).expect_code(0);
    fs::write(&file, more).expect("the folder can be written");
    let goes_on = run_accepting(&setup, &flags(&refused)).expect_code(0);
    assert_eq!((goes_on.figure("read"), goes_on.figure("counted")), (1, 1));
    assert_eq!(lost(&setup, "part.ndjson"), (content.len() - kept.len()).to_string());
    assert_not_covered(&setup, &["it had been counted", "cannot be counted again", "consumed 21"]);

    // Cut again: the flag of the first time accepts nothing else.
    fs::write(&file, &kept).expect("the folder can be written");
    let said = run_accepting(&setup, &flags(&refused)).expect_code(3).stderr;
    assert!(said.contains("that were counted are gone"), "{said}");
}

#[test]
fn a_file_that_was_filled_again_goes_on_where_it_was() {
    let setup = embedded_with_progress("filled");
    let file = setup.path("views").join("part.ndjson");
    let stood = fs::metadata(&file).expect("written").len();
    let mut other: String = (0..20).map(|number| view_line("w0", number * 1000)).collect();
    assert_eq!(other.len() as u64, stood, "the same lengths, so that reading goes on at a line's beginning");
    other += &view_line("v1", 22_000);
    fs::write(&file, other).expect("the folder can be written");
    let refused = assert_refused(&setup, 3, &[&format!("--accept-loss 'part.ndjson:0-{}'", stood - 1), "filled again"]);
    assert_eq!(run_accepting(&setup, &flags(&refused)).expect_code(0).figure("read"), 1);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_not_covered(&setup, &["something else stands there"]);
}

#[test]
fn a_file_that_is_gone_is_waited_for_by_nobody_and_read_on_when_it_is_back() {
    let setup = embedded_with_progress("goes");
    let file = setup.path("views").join("part.ndjson");
    let stood = fs::metadata(&file).expect("written").len();
    fs::write(setup.path("views").join("other.ndjson"), view_line("v1", 30_000)).expect("the folder can be written");
    fs::rename(&file, setup.path("aside")).expect("there is one");
    let refused =
        assert_refused(&setup, 3, &[&format!("--accept-loss 'part.ndjson:{stood}-end'"), "is gone from the source"]);
    assert_eq!(run_accepting(&setup, &flags(&refused)).expect_code(0).figure("read"), 1);
    // A line of the first file moves W no more; another view of the second one does.
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_not_covered(&setup, &["partition part.ndjson: it is gone from the source", "the partition was gone"]);
    let back = fs::read_to_string(setup.path("aside")).expect("it is aside") + &view_line("v2", 40_000);
    fs::write(&file, back).expect("the folder can be written");
    assert_eq!(setup.run_until_end().figure("read"), 1);
    let said = setup.topk(&["verify"]).expect_code(0).stdout;
    assert!(said.contains("consumed 21 = counted 21"), "{said}");
}

#[test]
fn a_topic_that_was_created_anew_is_read_from_its_beginning() {
    let setup = on_services_with_progress("renewed");
    kafka::delete_topics(&[setup.name().to_owned()]);
    until("the topic is gone and created anew", LONG, || {
        std::panic::catch_unwind(|| kafka::create_topic(setup.name(), 1, &[])).ok()
    });
    produce_views(&setup, 30);
    let refused = assert_refused(&setup, 3, &["--accept-source 'kafka:", "is kept in the journal"]);
    let wrong = ["--accept-source".to_owned(), "kafka:another".to_owned()];
    let said = run_accepting(&setup, &wrong).expect_code(3).stderr;
    assert!(said.contains("--accept-source 'kafka:"), "{said}");
    assert_eq!(run_accepting(&setup, &flags(&refused)).expect_code(0).figure("read"), 30);
    produce_views(&setup, 5);
    assert_eq!(setup.run_until_end().figure("read"), 5);
    assert_not_covered(&setup, &["the source was made anew", "consumed 55"]);
    setup.topk(&["doctor"]).expect_code(0);
}

/// The parent starts its child again with the same arguments.
#[test]
fn a_child_that_is_started_again_accepts_nothing_again() {
    let setup = embedded_with_progress("restarted");
    let file = setup.path("views").join("part.ndjson");
    let content = fs::read_to_string(&file).expect("written");
    let kept: String = content.lines().take(12).map(|line| format!("{line}\n")).collect();
    fs::write(&file, &kept).expect("the folder can be written");
    let refused = assert_refused(&setup, 3, &["--accept-loss"]);
    let words: Vec<String> = ["run".to_owned()].into_iter().chain(flags(&refused)).collect();
    let job = setup.start(&words.iter().map(String::as_str).collect::<Vec<_>>());
    until("it runs", LONG, || job.stderr().contains("the job runs").then_some(()));
    assert!(job.kill_child(), "there is a child");
    until("it runs again", LONG, || (job.stderr().matches("the job runs").count() == 2).then_some(()));
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    let shown = setup.topk(&["journal", "show"]).expect_code(0).stdout;
    assert_eq!(shown.matches("\"kind\": \"cut\"").count(), 1, "{shown}");
}

/// Files of the same names in another folder may be the same log, moved, or another one: a person says which.
#[test]
fn a_folder_that_was_moved_is_another_source_until_a_person_accepts_it() {
    let mut setup = embedded_with_progress("moved");
    let moved = setup.path("elsewhere");
    fs::rename(setup.path("views"), &moved).expect("the temporary folder can be written");
    setup.set("source.file.path", text(&moved));
    let refused = assert_refused(&setup, 3, &["--accept-source"]);
    let accepted = run_accepting(&setup, &flags(&refused)).expect_code(0);
    assert_eq!(accepted.figure("read"), 0, "it goes on where it was");
    let mut views = fs::read_to_string(moved.join("part.ndjson")).expect("it was moved");
    views += &view_line("v0", 21_000);
    fs::write(moved.join("part.ndjson"), views).expect("the folder can be written");
    assert_eq!(setup.run_until_end().figure("read"), 1, "and needs no flag any more");
    setup.assert_right();
    setup.topk(&["verify"]).expect_code(0);
    setup.topk(&["journal", "check"]).expect_code(0);
}

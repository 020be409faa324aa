//! The log against where the journal stands: an offset that is gone is refused with what is missing.

use super::{assert_refused, embedded_with_progress, on_services_with_progress, produce_views, view_line};
use std::fs;
use tests::{Setup, kafka};

#[test]
fn kafka_records_that_retention_took_before_they_were_read_are_refused_with_their_range() {
    let setup = on_services_with_progress("retention");
    // Taking over is said in topk_job before the log is looked at.
    let before = setup.tables().without_tables(&["topk_job"]);
    produce_views(&setup, 10);
    kafka::delete_records_below(setup.name(), 0, 25);
    assert_refused(&setup, 3, &["records 20 to 24 of partition 0 are no longer in the log, which starts at 25"]);
    setup.tables().without_tables(&["topk_job"]).assert_same(&before, "a refused start changed the tables");
}

#[test]
fn kafka_records_that_retention_took_after_they_were_read_are_no_loss() {
    let setup = on_services_with_progress("retained");
    produce_views(&setup, 10);
    kafka::delete_records_below(setup.name(), 0, 20);
    assert_eq!(setup.run_until_end().figure("counted"), 10);
}

#[test]
fn a_topic_that_was_created_anew_is_refused() {
    let setup = on_services_with_progress("anew");
    kafka::delete_topics(&[setup.name().to_owned()]);
    tests::until("the topic is gone and created anew", tests::wait::LONG, || {
        std::panic::catch_unwind(|| kafka::create_topic(setup.name(), 1, &[])).ok()
    });
    produce_views(&setup, 30);
    assert_refused(&setup, 3, &["the source is not the one this journal was read from", "journaled: ", "found: "]);
}

#[test]
fn a_file_that_shrank_or_went_is_refused_by_its_name() {
    let setup = embedded_with_progress("file");
    let file = setup.path("views").join("part.ndjson");
    let content = fs::read_to_string(&file).expect("written");
    fs::write(&file, &content[..content.len() / 2]).expect("the folder can be written");
    let stood = content.len().to_string();
    assert_refused(&setup, 3, &["part.ndjson", &stood, &(content.len() / 2).to_string()]);
    fs::remove_file(&file).expect("there is one");
    assert_refused(&setup, 3, &["partition part.ndjson is gone from the source", &stood]);
    // Brought back and grown, it goes on.
    fs::write(&file, content + &view_line("v0", 60_000)).expect("the folder can be written");
    assert_eq!(setup.run_until_end().figure("read"), 1);
    setup.assert_right();
}

#[test]
fn a_file_that_was_cut_and_filled_again_is_refused_by_its_name() {
    let setup = embedded_with_progress("refill");
    let file = setup.path("views").join("part.ndjson");
    let content = fs::read_to_string(&file).expect("written");
    let before = setup.tables().without_tables(&["topk_job"]);
    // Longer than before, so that its length tells nothing.
    let other: String = (0..30).map(|number| view_line("w", number * 1000)).collect();
    fs::write(&file, other).expect("the folder can be written");
    assert_refused(&setup, 3, &["part.ndjson", &format!("before offset {}", content.len()), "cut and filled again"]);
    setup.tables().without_tables(&["topk_job"]).assert_same(&before, "a refused start changed the tables");
    fs::write(&file, content + &view_line("v0", 60_000)).expect("the folder can be written");
    assert_eq!(setup.run_until_end().figure("read"), 1);
    setup.assert_right();
}

#[test]
fn a_file_that_was_not_there_before_is_read_from_its_beginning() {
    let setup: Setup = embedded_with_progress("newfile");
    fs::write(setup.path("views").join("later.ndjson"), view_line("v1", 30_000)).expect("the folder can be written");
    assert_eq!(setup.run_until_end().figure("counted"), 1);
}

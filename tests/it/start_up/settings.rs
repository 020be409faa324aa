//! Settings that decide what counts mean cannot change over existing state.

use super::{assert_refused, embedded_with_progress};

#[test]
fn changed_meaning_is_refused_with_the_list_of_differences() {
    let mut setup = embedded_with_progress("meaning");
    let before = setup.tables();
    setup.set("time.zone", "Europe/Zurich");
    setup.set("time.allowed_lateness", "61s");
    setup.set("windows.tumbling", vec!["minute".to_owned(), "all_time".to_owned()]);
    setup.set("event.key", vec!["id".to_owned()]);
    assert_refused(
        &setup,
        2,
        &["time.zone", "\"UTC\"", "\"Europe/Zurich\"", "time.allowed_lateness", "61s", "windows.tumbling", "event.key"],
    );
    setup.tables().assert_same(&before, "a refused start changed the tables");
}

#[test]
fn what_does_not_change_the_meaning_may_change() {
    let mut setup = embedded_with_progress("free");
    setup.set("job.workers", 3);
    setup.set("epoch.interval", "20ms");
    setup.set("topk.k", 5);
    setup.set("sink.postgres.flush_every", "100ms");
    assert_eq!(setup.run_until_end().figure("read"), 0);
    setup.assert_right();
}

#[test]
fn another_log_under_the_same_journal_is_refused() {
    let mut setup = embedded_with_progress("log");
    let other = setup.path("other.ndjson");
    std::fs::write(&other, super::view_line("v0", 0)).expect("the folder can be written");
    setup.set("source.file.path", other.to_str().expect("UTF-8"));
    let finished = setup.topk(&["run", "--until-end"]);
    assert!(matches!(finished.code, Some(2 | 3)), "{finished:?}");
    assert!(finished.stderr.contains("error: "), "{}", finished.stderr);
}

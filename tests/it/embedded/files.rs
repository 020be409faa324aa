//! A growing file, a directory of files, restarts with another number of workers.

use super::{append, view, wait_for_items, wait_for_rows};
use std::fs;
use tests::{Setup, wait::LONG};

const HOUR: &str = "2025-10-19T12:00:00Z";

#[test]
fn appended_lines_appear_in_lists_and_tables_and_a_restart_goes_on() {
    let setup = Setup::embedded("grows");
    append(&setup, "a.ndjson", &view("one", "2025-10-19T12:00:00Z"));
    append(&setup, "b.ndjson", &view("one", "2025-10-19T12:00:00Z"));
    let mut expected = vec![("one", 2)];
    // Three lives, each with another number of workers, the last one cut short.
    for (life, workers) in ["1", "3", "2"].into_iter().enumerate() {
        let job = setup.start(&["run", "--serve", "--workers", workers]);
        let url = format!("{}/v1/top?window=hour&at={HOUR}&k=10", setup.live_url("reader"));
        wait_for_items(&url, &expected);
        // A line that is not yet ended is no record; its end makes it one.
        let line = view("two", "2025-10-19T12:00:01Z");
        let (start, end) = line.split_at(20);
        append(&setup, "a.ndjson", start);
        append(&setup, "b.ndjson", &view("one", "2025-10-19T12:00:02Z"));
        expected[0].1 += 1;
        wait_for_items(&url, &expected);
        append(&setup, "a.ndjson", end);
        match life {
            0 => expected.push(("two", 1)),
            _ => expected[1].1 += 1,
        }
        wait_for_items(&url, &expected);
        wait_for_rows(&setup, "hour", Some(HOUR), &expected);
        wait_for_rows(&setup, "all_time", None, &expected);
        if life < 2 {
            job.signal("INT");
            job.wait(LONG).expect_code(0);
        } else {
            job.kill();
        }
    }
    assert_eq!(setup.run_until_end().figure("read"), 0);
    setup.assert_right();
}

#[test]
fn a_directory_is_one_partition_for_each_regular_file() {
    let setup = Setup::embedded("directory");
    let views = setup.path("views");
    append(&setup, "a.ndjson", &view("a", "2025-10-19T12:00:00Z"));
    append(&setup, "b", &view("b", "2025-10-19T12:00:00Z"));
    append(&setup, "empty", "");
    // Blank lines are no records; the last line, unterminated, is one under --until-end.
    append(
        &setup,
        "blank",
        &format!(
            "\n \t\r\n{}\n\r\n{}",
            view("c", "2025-10-19T12:00:00Z"),
            view("c", "2025-10-19T12:00:01Z").trim_end()
        ),
    );
    append(&setup, ".hidden", &view("hidden", "2025-10-19T12:00:00Z"));
    fs::create_dir(views.join("deeper")).expect("the folder can be written");
    fs::write(views.join("deeper").join("d"), view("d", "2025-10-19T12:00:00Z")).expect("the folder can be written");
    let finished = setup.run_until_end();
    assert_eq!((finished.figure("read"), finished.figure("counted")), (4, 4));
    wait_for_rows(&setup, "all_time", None, &[("c", 2), ("a", 1), ("b", 1)]);
    let consumed: Vec<(Option<String>, Option<String>)> =
        setup.tables().0["topk_ledger"].iter().map(|row| (row["partition"].clone(), row["consumed"].clone())).collect();
    for (partition, records) in [("a.ndjson", "1"), ("b", "1"), ("blank", "2")] {
        assert!(
            consumed.contains(&(Some(partition.to_owned()), Some(records.to_owned()))),
            "{partition}: {consumed:?}"
        );
    }
    setup.assert_right();
}

#[test]
fn a_file_alone_is_one_partition() {
    let setup = Setup::embedded("alone");
    let file = setup.path("views.ndjson");
    fs::write(&file, view("a", "2025-10-19T12:00:00Z").repeat(3)).expect("the folder can be written");
    let setup = setup.with("source.file.path", tests::setup::text(&file));
    assert_eq!(setup.run_until_end().figure("counted"), 3);
    setup.assert_right();
}

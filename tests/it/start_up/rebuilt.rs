//! Tables that went back, were emptied, or are of another life: they catch up from the journal, or say what it takes.

use super::write_views;
use super::{
    NOON, assert_refused, embedded_with_progress, lose_the_journal, on_services_with_progress, produce_views, view_line,
};
use std::fmt::Write;
use std::fs;
use tests::{Setup, dump};

const TABLES: [&str; 10] = [
    "video_views_minute",
    "video_views_hour",
    "video_views_day",
    "video_views_month",
    "video_views_all_time",
    "top_k_videos",
    "window_status",
    "topk_progress",
    "topk_ledger",
    "topk_job",
];

/// A copy of every table in Postgres, beside them.
pub(super) fn copy(setup: &Setup) {
    let schema = setup.setting("sink.postgres.schema");
    let mut sql = format!("CREATE SCHEMA {schema}_old;");
    for table in TABLES {
        write!(sql, "CREATE TABLE {schema}_old.{table} AS SELECT * FROM {schema}.{table};").expect("a text");
    }
    dump::postgres_query(setup.setting("sink.postgres.url"), &sql);
}

/// All tables in Postgres as they were when they were copied.
pub(super) fn restore(setup: &Setup) {
    let schema = setup.setting("sink.postgres.schema");
    let mut sql = String::new();
    for table in TABLES {
        write!(sql, "DELETE FROM {schema}.{table}; INSERT INTO {schema}.{table} SELECT * FROM {schema}_old.{table};")
            .expect("a text");
    }
    write!(sql, "DROP SCHEMA {schema}_old CASCADE;").expect("a text");
    dump::postgres_query(setup.setting("sink.postgres.url"), &sql);
}

#[test]
fn an_old_backup_in_postgres_catches_up_from_the_journal() {
    let setup = on_services_with_progress("backup");
    copy(&setup);
    produce_views(&setup, 50);
    setup.run_until_end();
    restore(&setup);
    produce_views(&setup, 7);
    assert_eq!(setup.run_until_end().figure("read"), 7);
    setup.assert_right();
}

#[test]
fn an_old_backup_in_sqlite_catches_up_from_the_journal() {
    let setup = embedded_with_progress("backup");
    fs::copy(setup.path("topk.db"), setup.path("old.db")).expect("there are tables");
    write_views(&setup, "v", 50);
    setup.run_until_end();
    fs::copy(setup.path("old.db"), setup.path("topk.db")).expect("there was a copy");
    assert_eq!(setup.run_until_end().figure("read"), 0);
    setup.assert_right();
}

#[test]
fn tables_of_another_life_are_built_up_again() {
    let setup = embedded_with_progress("mixed");
    let (database, aside) = (setup.path("topk.db"), setup.path("first.db"));
    fs::rename(&database, &aside).expect("there are tables");
    lose_the_journal(&setup);
    write_views(&setup, "w", 30);
    setup.run_until_end();
    fs::rename(&aside, &database).expect("put back");
    assert_refused(&setup, 3, &["the tables in sqlite do not follow this journal", "topk run --rebuild-sink sqlite ("]);
    // The flag of other tables is none of these.
    setup.topk(&["run", "--until-end", "--rebuild-sink", "postgres"]).expect_code(3);
    setup.topk(&["run", "--until-end", "--rebuild-sink", "redis"]).expect_code(2);
    setup.topk(&["run", "--until-end", "--rebuild-sink", "sqlite"]).expect_code(0);
    setup.assert_right();
    let before = setup.tables().without_tables(&["topk_job", "topk_progress"]);
    setup.topk(&["run", "--until-end", "--rebuild-sink", "sqlite"]).expect_code(0);
    setup.tables().without_tables(&["topk_job", "topk_progress"]).assert_same(&before, "there was nothing to build up");
}

#[test]
fn postgres_tables_of_another_chain_are_built_up_again() {
    let setup = on_services_with_progress("chain");
    let schema = setup.setting("sink.postgres.schema");
    let update = format!(
        "UPDATE {schema}.topk_progress SET commit_hash = reverse(commit_hash::text);
         INSERT INTO {schema}.video_views_all_time VALUES ('of another life', 7)"
    );
    dump::postgres_query(setup.setting("sink.postgres.url"), &update);
    assert_refused(&setup, 3, &["topk run --rebuild-sink postgres ("]);
    setup.topk(&["run", "--until-end", "--rebuild-sink", "postgres"]).expect_code(0);
    setup.assert_right();
}

/// The journal was compacted since, so that it no longer has windows that became final in between.
#[test]
fn a_backup_that_is_too_old_says_what_it_takes_and_keeps_what_is_right() {
    let setup = embedded_with_progress("too-old").with("epoch.max_events", 1).with("journal.retain", "0s");
    fs::copy(setup.path("topk.db"), setup.path("old.db")).expect("there are tables");
    let file = setup.path("views").join("part.ndjson");
    let mut content = fs::read_to_string(&file).expect("written");
    // Ten views a minute for two hours, an epoch for each; compaction begins after 256 of them.
    let mut minute = 2;
    tests::until("the journal is compacted and windows have left it", tests::wait::LONG, || {
        for number in 0..300 {
            content += &view_line(&format!("v{}", number % 5), minute * 60_000 + number * 200);
            minute += i64::from(number % 10 == 9);
        }
        fs::write(&file, &content).expect("the folder can be written");
        setup.run_until_end();
        let listed = setup.topk(&["journal", "ls", "--all"]).expect_code(0).stdout;
        // The heading names base parts too, and stands alone in this until the first compaction has ended.
        let mut bases =
            listed.lines().filter(|line| line.contains(" base ")).filter_map(|line| line.split_whitespace().next());
        let record = bases.rfind(|first| first.parse::<u64>().is_ok())?.to_owned();
        let shown = setup.topk(&["journal", "show", &record]).expect_code(0).stdout;
        // Minutes from 12:02 on are not in the copy; the first of them must have left.
        let dropped = shown.lines().find_map(|line| line.trim().strip_prefix("\"dropped\": "))?;
        (dropped.trim_end_matches(',').parse::<i64>().ok()? > NOON + 10 * 60_000).then_some(())
    });
    let right = setup.tables();
    fs::copy(setup.path("old.db"), setup.path("topk.db")).expect("there was a copy");
    assert_refused(&setup, 3, &["sqlite", "compacted away", "topk run --rebuild-sink sqlite ("]);
    setup.topk(&["run", "--until-end", "--rebuild-sink", "sqlite"]).expect_code(0);
    let said = setup.topk(&["verify"]).expect_code(0).stdout;
    assert!(said.contains("the tables in sqlite were built up again at "), "{said}");
    let rows = |tables: &dump::Tables, name: &str| tables.0[name].len();
    let now = setup.tables();
    assert_eq!(rows(&now, "video_views_all_time"), rows(&right, "video_views_all_time"));
    assert!(rows(&now, "video_views_minute") < rows(&right, "video_views_minute"), "some minutes are lost");
    // It goes on, and without the flag.
    content += &view_line("v1", minute * 60_000);
    fs::write(&file, &content).expect("the folder can be written");
    assert_eq!(setup.run_until_end().figure("read"), 1);
    setup.topk(&["verify"]).expect_code(0);
}

/// Every window lives, so nothing has left the journal; but the record that the copy is as of is gone, and the journal
/// remembers a later one.
#[test]
fn a_backup_whose_record_nobody_remembers_is_refused_and_built_up_again_whole() {
    let setup = Setup::embedded("forgotten").with("time.allowed_lateness", "24h");
    let setup = setup.with("epoch.max_events", 1).with("journal.retain", "0s");
    let write = |views: i64| {
        let lines: String = (0..views).map(|number| view_line(&format!("v{}", number % 5), number * 1000)).collect();
        fs::write(setup.path("views").join("part.ndjson"), lines).expect("the folder can be written");
    };
    write(20);
    setup.run_until_end();
    fs::copy(setup.path("topk.db"), setup.path("old.db")).expect("there are tables");
    let mut views = 20;
    tests::until("the record of the copy is compacted away", tests::wait::LONG, || {
        views += 300;
        write(views);
        setup.run_until_end();
        let listed = setup.topk(&["journal", "ls", "--all"]).expect_code(0).stdout;
        let first = listed.lines().filter(|line| line.contains(" epoch ")).find_map(|line| {
            let number = line.split_whitespace().next()?;
            number.parse::<u64>().ok()
        })?;
        (first > 21).then_some(())
    });
    fs::copy(setup.path("old.db"), setup.path("topk.db")).expect("there was a copy");
    assert_refused(&setup, 3, &["does not remember that they acknowledged it", "topk run --rebuild-sink sqlite ("]);
    setup.topk(&["run", "--until-end", "--rebuild-sink", "sqlite"]).expect_code(0);
    setup.topk(&["verify"]).expect_code(0);
    setup.assert_right();
}

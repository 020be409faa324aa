//! A journal that was lost, built again from the tables: the job goes on, nothing counts twice, no letter comes twice.

use super::rebuilt::{copy, restore};
use super::{NOON, assert_refused, embedded_with_progress, lose_the_journal, on_services_with_progress, view_line};
use crate::exactness::assert_recounted;
use std::fs;
use tests::kafka::{self, Record};
use tests::{Setup, dump};

fn from(setup: &Setup) -> &'static str {
    if setup.setting("sink.tables") == "postgres" { "--from-postgres" } else { "--from-sqlite" }
}

/// More of everything: views in the windows there are and in new ones, late ones, and two that cannot be counted.
fn more(setup: &Setup, round: i64) {
    let times = (0..30).map(|number| (round * 90_000) + number * 7_000).chain([1_000]);
    if setup.setting("source.kind") == "kafka" {
        let views = times.map(|at| Record::view(0, &format!("v{}", at / 1000 % 4), NOON + at));
        let records: Vec<Record> = views.chain([Record::new(0, "{}"), Record::new(0, "no")]).collect();
        kafka::produce(setup.name(), &records);
        return;
    }
    let file = setup.path("views").join("part.ndjson");
    let views: String = times.map(|at| view_line(&format!("v{}", at / 1000 % 4), at)).collect();
    let content = fs::read_to_string(&file).expect("written");
    fs::write(&file, content + &views + "{}\nno\n").expect("the folder can be written");
}

#[test]
fn a_lost_journal_is_built_again_and_the_job_goes_on_exactly() {
    for setup in [embedded_with_progress("again"), on_services_with_progress("again")] {
        more(&setup, 1);
        setup.run_until_end();
        let before = setup.tables();
        lose_the_journal(&setup);
        let from = from(&setup);
        let refused = assert_refused(&setup, 3, &["the journal is empty", &format!("topk recover {from}")]);
        drop(refused);
        let said = setup.topk(&["recover", from]).expect_code(0).stdout;
        assert!(said.contains("recovered: ") && !said.contains("dead letters of partition"), "{said}");
        setup.tables().assert_same(&before, "recovering changed the tables");
        setup.topk(&["journal", "check"]).expect_code(0);
        // Never over a journal that is there.
        let again = setup.topk(&["recover", from]).expect_code(3).stderr;
        assert!(again.contains("there is a journal in"), "{again}");
        assert_eq!(setup.run_until_end().figure("read"), 0, "everything was counted");
        more(&setup, 2);
        assert_eq!(setup.run_until_end().figure("read"), 33);
        assert_recounted(&setup, &[]);
        // Once more, and with another number of workers.
        lose_the_journal(&setup);
        setup.topk(&["recover", from]).expect_code(0);
        more(&setup, 3);
        setup.topk(&["run", "--until-end", "--workers", "1"]).expect_code(0);
        assert_recounted(&setup, &[]);
    }
}

/// Boards and dead letters are ahead of the tables, which are an older copy.
#[test]
fn letters_that_are_out_already_do_not_come_again() {
    let setup = on_services_with_progress("letters");
    more(&setup, 1);
    setup.run_until_end();
    copy(&setup);
    more(&setup, 2);
    setup.run_until_end();
    assert_eq!(setup.dead_letters().len(), 4);
    restore(&setup);
    lose_the_journal(&setup);
    let said = setup.topk(&["recover", "--from-postgres"]).expect_code(0).stdout;
    assert!(said.contains("2 dead letters are out already and are not written again"), "{said}");
    more(&setup, 3);
    assert_eq!(setup.run_until_end().figure("read"), 66, "what came after the copy is read again");
    assert_eq!(setup.dead_letters().len(), 6);
    assert_recounted(&setup, &[]);
}

#[test]
fn letters_that_only_the_lost_journal_had_are_told() {
    let setup = embedded_with_progress("untold");
    more(&setup, 1);
    setup.run_until_end();
    lose_the_journal(&setup);
    for name in ["dead.ndjson", "dead.ndjson.progress"] {
        fs::remove_file(setup.path(name)).expect("there is one");
    }
    let said = setup.topk(&["recover", "--from-sqlite"]).expect_code(0).stdout;
    assert!(said.contains("2 dead letters of partition part.ndjson are not where"), "{said}");
    more(&setup, 2);
    setup.run_until_end();
    setup.topk(&["verify"]).expect_code(0);
}

#[test]
fn what_no_journal_can_be_built_on_is_refused() {
    let setup = Setup::embedded("nothing");
    let said = setup.topk(&["recover", "--from-sqlite"]).expect_code(3).stderr;
    assert!(said.contains("nothing to recover from"), "{said}");
    setup.topk(&["recover"]).expect_code(2);
    setup.topk(&["recover", "--from-sqlite", "--from-postgres"]).expect_code(2);

    let setup = embedded_with_progress("unfit");
    lose_the_journal(&setup);
    let said = setup.topk(&["recover", "--from-postgres"]).expect_code(2).stderr;
    assert!(said.contains("the job's tables (sink.tables) are elsewhere"), "{said}");
    let said = setup.topk(&["recover", "--from-sqlite", "--set", "time.zone=Europe/Zurich"]).expect_code(2).stderr;
    assert!(said.contains("time.zone was"), "{said}");
    let path = setup.path("topk.db");
    dump::sqlite_query(&path, "UPDATE video_views_hour SET views = views + 1 WHERE video_id = 'v1'");
    let said = setup.topk(&["recover", "--from-sqlite"]).expect_code(3).stderr;
    assert!(said.contains("do not add up") && said.contains("window hour"), "{said}");
    dump::sqlite_query(&path, "UPDATE video_views_hour SET views = views - 1 WHERE video_id = 'v1'");
    setup.topk(&["recover", "--from-sqlite"]).expect_code(0);
    setup.run_until_end();
    setup.assert_right();
}

//! Journal and tables: fresh, normal, one of them lost, not of the same life.

use super::{assert_refused, embedded_with_progress, lose_the_journal, on_services_with_progress, write_views};
use std::fs;
use tests::{Setup, dump};

#[test]
fn a_fresh_start_begins_and_a_normal_one_goes_on() {
    let setup = Setup::embedded("normal");
    write_views(&setup, "v", 20);
    for (created, read) in [("\"created\":true", 20), ("\"created\":false", 0), ("\"created\":false", 0)] {
        let finished = setup.run_until_end();
        assert!(finished.stderr.contains(created), "{}", finished.stderr);
        assert_eq!(finished.figure("read"), read);
    }
    setup.assert_right();
}

#[test]
fn an_empty_journal_beside_tables_with_progress_is_refused() {
    for setup in [embedded_with_progress("lost"), on_services_with_progress("lost")] {
        let before = setup.tables();
        lose_the_journal(&setup);
        assert_refused(&setup, 3, &["the journal is empty, but the tables in", "have progress", "generation 1"]);
        setup.tables().assert_same(&before, "a refused start changed the tables");
        // Nor did it leave a journal behind that would let the next start through.
        assert_refused(&setup, 3, &["the journal is empty, but the tables in"]);
    }
}

/// The end of the journal is gone, with the take-over in it; that there was one is known from its slot.
#[test]
fn a_journal_that_lost_its_last_commits_is_refused_each_time() {
    let setup = embedded_with_progress("tail");
    setup.run_until_end();
    let commits = setup.path("data").join("journal").join(setup.name()).join("commit");
    let names = || -> Vec<_> {
        let mut names: Vec<_> =
            fs::read_dir(&commits).expect("there is a journal").map(|entry| entry.expect("a name").path()).collect();
        names.sort();
        names
    };
    let fence = names().pop().expect("there are commits");
    fs::rename(&fence, setup.path("fence")).expect("it is there");
    let (before, left) = (setup.tables(), names());
    for _ in 0..2 {
        assert_refused(&setup, 3, &["the journal lost commits", "generation 2 took over at record", "are missing"]);
    }
    assert_eq!(names(), left, "a refused start wrote into the journal");
    setup.tables().assert_same(&before, "a refused start changed the tables");
    fs::rename(setup.path("fence"), &fence).expect("put back");
    setup.run_until_end();
    setup.assert_right();
}

#[test]
fn tables_from_another_life_are_refused() {
    // The same job lives twice; the tables of the first life come back beside the journal of the second.
    let setup = embedded_with_progress("life");
    let (database, aside) = (setup.path("topk.db"), setup.path("first.db"));
    assert!(!setup.path("topk.db-wal").exists(), "a drained job left a part of its tables beside the file");
    fs::rename(&database, &aside).expect("there are tables");
    lose_the_journal(&setup);
    write_views(&setup, "w", 30);
    setup.run_until_end();
    fs::rename(&database, setup.path("second.db")).expect("there are tables");
    fs::rename(&aside, &database).expect("put back");
    assert_refused(&setup, 3, &["the tables in sqlite do not follow this journal", "commit hash", "from another life"]);
    fs::rename(setup.path("second.db"), &database).expect("put back");
    setup.run_until_end();
    setup.assert_right();
}

#[test]
fn tables_whose_commit_hash_the_journal_does_not_have_are_refused() {
    let setup = on_services_with_progress("hash");
    let schema = setup.setting("sink.postgres.schema");
    let update = format!("UPDATE {schema}.topk_progress SET commit_hash = reverse(commit_hash::text)");
    dump::postgres_query(setup.setting("sink.postgres.url"), &update);
    assert_refused(&setup, 3, &["the tables in postgres do not follow this journal", "commit hash"]);
}

#[test]
fn boards_alone_are_overwritten_from_a_generation_above_theirs() {
    let setup = on_services_with_progress("boards");
    // Two more generations.
    setup.run_until_end();
    setup.run_until_end();
    let generations = |setup: &Setup| -> Vec<u64> {
        setup.boards().values().filter_map(|board| board["generation"].as_u64()).collect()
    };
    let before = generations(&setup).into_iter().max().expect("there are boards");
    lose_the_journal(&setup);
    let schema = setup.setting("sink.postgres.schema");
    dump::postgres_query(setup.setting("sink.postgres.url"), &format!("DROP SCHEMA {schema} CASCADE"));
    let finished = setup.run_until_end();
    assert!(finished.stderr.contains("\"created\":true"));
    assert_eq!(finished.figure("counted"), 20);
    let after = generations(&setup);
    assert!(
        !after.is_empty() && after.iter().all(|generation| *generation > before),
        "{after:?} are not above {before}"
    );
    setup.assert_right();
}

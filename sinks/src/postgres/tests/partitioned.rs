//! Count tables cut by time: partitions come with the rows, go with retention, and take in the tables of before.

use super::*;
use crate::sql::Layout;
use stream::WindowState;

const H: i64 = 3_600_000;

fn partitions(schema: &Schema) -> Vec<String> {
    schema
        .query(&format!(
            "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
             WHERE inhparent = to_regclass('\"{}\".song_plays_hour') ORDER BY 1",
            schema.name
        ))
        .concat()
}

#[test]
fn partitions_come_with_rows_and_go_with_retention() {
    let schema = Schema::new();
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 1).unwrap();
    assert!(partitions(&schema).is_empty());
    let rows = step(commit(1, 1, Some(TWO))).rows(HOUR, TWO, &[("a", 1)]).rows(HOUR, TWO + H, &[("a", 1), ("b", 1)]);
    follower.write(&rows).unwrap();
    assert_eq!(partitions(&schema), ["song_plays_hour_20251019_1400", "song_plays_hour_20251019_1500"]);
    // Another connection finds what is there.
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 2).unwrap();
    follower.write(&step(commit(2, 2, Some(TWO + 3 * H))).rows(HOUR, TWO + 2 * H, &[("c", 1)])).unwrap();
    assert_eq!(partitions(&schema), ["song_plays_hour_20251019_1500", "song_plays_hour_20251019_1600"]);
    let tables = schema.query(&format!(
        "SELECT count(*) FROM pg_tables WHERE schemaname = '{}' AND tablename LIKE 'song_plays_hour_2%'",
        schema.name
    ));
    assert_eq!(tables, [["2"]], "what was detached is dropped");
}

#[test]
fn a_reader_that_holds_the_table_delays_dropping_and_nothing_else() {
    let schema = Schema::new();
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 1).unwrap();
    follower.write(&step(commit(1, 1, Some(TWO))).rows(HOUR, TWO, &[("a", 1)])).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (reader, connection) = runtime.block_on(tokio_postgres::connect(&schema.url, NoTls)).unwrap();
    runtime.spawn(connection);
    let read = format!("BEGIN; SELECT * FROM \"{}\".song_plays_hour", schema.name);
    runtime.block_on(reader.batch_execute(&read)).unwrap();
    let later = Some(TWO + 9 * H);
    follower.write(&step(commit(1, 2, later)).rows(HOUR, TWO + 8 * H, &[("b", 1)])).unwrap();
    assert_eq!(partitions(&schema).len(), 2, "it will be tried again");
    runtime.block_on(reader.batch_execute("ROLLBACK")).unwrap();
    // A new follower has no pause to wait out.
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 2).unwrap();
    follower.write(&step(commit(2, 3, later))).unwrap();
    assert_eq!(partitions(&schema), ["song_plays_hour_20251019_2200"]);
}

#[test]
fn tables_of_before_become_a_partition_with_their_rows() {
    let schema = Schema::new();
    let layout = Layout::new(&schema.settings(), Some(&schema.name)).unwrap();
    schema.run(&format!("CREATE SCHEMA \"{}\"", schema.name));
    schema.run(&layout.migration(&super::super::tables::MIGRATIONS[0]));
    schema.query("INSERT INTO {table:topk_job} VALUES ('songs', 'song_plays', 'song_id', 1, 3, now())");
    schema.query("INSERT INTO {table:song_plays_hour} VALUES ('2025-10-19T14:00:00Z', 'old', 3), ('2025-10-19T15:00:00Z', 'old', 4)");
    schema.query("INSERT INTO {table:song_plays_all_time} VALUES ('old', 7)");
    let mut follower = schema.open(schema.settings());
    claim(&mut *follower, 4).unwrap();
    assert_eq!(schema.query("SELECT schema_version FROM {table:topk_job}"), [["3"]]);
    assert_eq!(partitions(&schema), ["song_plays_hour_unpartitioned"]);
    let rows = step(commit(4, 9, Some(TWO)))
        .rows(HOUR, TWO, &[("old", 5), ("new", 1)])
        .rows(HOUR, TWO + H, &[("new", 1)])
        .rows(HOUR, TWO + 2 * H, &[("new", 2)])
        .rows(HOUR, TWO - H, &[("new", 2)])
        .status(HOUR, TWO, WindowState::Open, (6, 2, 0));
    follower.write(&rows).unwrap();
    let sums = schema.query("SELECT song_id, sum(plays) FROM {table:song_plays_hour} GROUP BY 1 ORDER BY 1");
    assert_eq!(sums, [["new", "6"], ["old", "9"]]);
    assert_eq!(partitions(&schema).len(), 3);
    let constraints = schema.query(&format!(
        "SELECT DISTINCT conname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE nspname = '{}' AND relname LIKE 'song_plays_hour%' AND contype = 'c'",
        schema.name
    ));
    assert_eq!(constraints, [["song_plays_hour_plays_check"]]);
    follower.write(&step(commit(4, 10, Some(TWO + 4 * H)))).unwrap();
    assert_eq!(partitions(&schema), ["song_plays_hour_20251019_1600"], "the old table goes when all of it has expired");
    assert_eq!(schema.query("SELECT plays FROM {table:song_plays_all_time}"), [["7"]]);
    // Its names are free for whoever looks for them.
    let indexes = schema.query(&format!(
        "SELECT indexname FROM pg_indexes WHERE schemaname = '{}' AND tablename = 'song_plays_hour' ORDER BY 1",
        schema.name
    ));
    assert_eq!(indexes, [["song_plays_hour_pkey"], ["song_plays_hour_top"]]);
}

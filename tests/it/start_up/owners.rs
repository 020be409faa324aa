//! Two jobs over the same tables or boards: the second is refused, naming the first.

use super::{assert_refused, on_services_with_progress, write_views};
use tests::Setup;

#[test]
fn another_jobs_schema_is_refused() {
    let first = on_services_with_progress("tables");
    let mut second = first.beside("second");
    second.set("sink.postgres.schema", first.setting("sink.postgres.schema"));
    assert_refused(&second, 2, &[first.name()]);
    // The first one is not disturbed.
    first.run_until_end();
    first.assert_right();
}

#[test]
fn another_jobs_redis_prefix_is_refused() {
    let first = on_services_with_progress("prefix");
    let mut second = first.beside("second");
    second.set("sink.redis.prefix", first.setting("sink.redis.prefix"));
    assert_refused(&second, 2, &[first.name()]);
    first.run_until_end();
    first.assert_right();
}

#[test]
fn another_jobs_sqlite_file_is_refused() {
    let first = Setup::embedded("first");
    write_views(&first, "v", 5);
    first.run_until_end();
    let mut second = first.beside("second");
    second.set("sink.sqlite.path", first.setting("sink.sqlite.path"));
    assert_refused(&second, 2, &[first.name()]);
    first.assert_right();
}

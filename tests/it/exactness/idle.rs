//! A partition that is empty at the start holds nothing back; when it gets records it is let in again at a floor.

use super::assert_recounted;
use std::time::Duration;
use stream::EventTime;
use tests::kafka::{self, Record};
use tests::{Setup, dump, until, wait::LONG};

fn at(text: &str) -> i64 {
    EventTime::parse(&format!("2025-10-19T{text}Z")).expect("an instant").millis()
}

/// One cell of Postgres, of a query that may find no table or row yet.
fn cell(setup: &Setup, query: &str, column: &str) -> Option<String> {
    let tables = setup.tables();
    tables.0.contains_key("topk_ledger").then_some(())?;
    dump::postgres_query(setup.setting("sink.postgres.url"), query).into_iter().next()?.remove(column)?
}

fn wait_until_consumed(setup: &Setup, partition: &str, records: u32) {
    let query = format!("SELECT consumed FROM {}.topk_ledger WHERE partition = '{partition}'", setup.name());
    let what = format!("{records} records of partition {partition} are counted");
    until(&what, LONG, || cell(setup, &query, "consumed").filter(|consumed| *consumed == records.to_string()));
}

/// W as the tables show it, in epoch milliseconds.
fn watermark(setup: &Setup) -> Option<i64> {
    let query =
        format!("SELECT (extract(epoch FROM as_of) * 1000)::bigint AS as_of FROM {}.topk_progress", setup.name());
    cell(setup, &query, "as_of")?.parse().ok()
}

#[test]
fn an_empty_partition_holds_nothing_back_and_rejoins_at_a_floor() {
    let setup = Setup::on_services("idle").with("epoch.interval", "50ms");
    let topic = setup.name();
    kafka::create_topic(topic, 2, &[]);
    kafka::produce(topic, &[Record::view(0, "a", at("12:00:30")), Record::view(0, "b", at("12:10:00"))]);

    let job = setup.start(&["run"]);
    wait_until_consumed(&setup, "0", 2);
    assert_eq!(watermark(&setup), Some(at("12:09:55")), "an empty partition held the watermark");

    // Judged from the floor 12:09:55: the first is late for its minute, which ended at 12:06; the second is not.
    kafka::produce(topic, &[Record::view(1, "a", at("12:05:00")), Record::view(1, "a", at("12:09:30"))]);
    wait_until_consumed(&setup, "1", 2);
    // It is active now and stands at its floor: the other one alone moves W no further.
    kafka::produce(topic, &[Record::view(0, "c", at("12:20:00"))]);
    wait_until_consumed(&setup, "0", 3);
    assert_eq!(watermark(&setup), Some(at("12:09:55")), "the partition that was let in does not hold the watermark");
    kafka::produce(topic, &[Record::view(1, "c", at("12:15:00")), Record::new(1, "{}")]);
    wait_until_consumed(&setup, "1", 4);
    assert_eq!(watermark(&setup), Some(at("12:14:55")));

    job.signal("TERM");
    job.wait(Duration::from_secs(60)).expect_code(0);
    let query = format!("SELECT partitions -> '1' -> 'floors' AS floors FROM {topic}.topk_progress");
    let floors: serde_json::Value =
        serde_json::from_str(&cell(&setup, &query, "floors").expect("the floors are kept")).expect("JSON");
    assert_eq!(floors, serde_json::json!([[0, at("12:09:55")]]), "let in once, at offset 0");
    let floors = format!("[[1,0,{}]]", at("12:09:55"));
    assert_recounted(&setup, &["--floors", &floors]);

    // To the end of the same log: nothing is decided anew.
    let again = setup.run_until_end();
    assert_eq!(again.figure("read"), 0);
    assert_recounted(&setup, &["--floors", &floors]);
}

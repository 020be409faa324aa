//! Kafka in full, on a real broker: partitions that fall silent or are added, reading in step, where reading starts, what
//! a consumer group shows, a topic that is not there or is used against us, TLS and SASL.

use std::collections::BTreeMap;
use stream::EventTime;
use tests::{Setup, dump, until, wait::LONG};

mod added;
mod drift;
mod group;
mod hostile;
mod idle;
mod missing;
mod starts;
mod tls;

/// An instant of 2025-10-19, in epoch milliseconds.
fn at(text: &str) -> i64 {
    EventTime::parse(&format!("2025-10-19T{text}Z")).expect("an instant").millis()
}

/// One cell of Postgres, of a query that may find no table or row yet.
fn cell(setup: &Setup, query: &str, column: &str) -> Option<String> {
    let ask = |query: &str, column: &str| {
        dump::postgres_query(setup.setting("sink.postgres.url"), query).into_iter().next()?.remove(column)?
    };
    ask(&format!("SELECT to_regclass('{}.topk_ledger') AS found", setup.name()), "found")?;
    ask(query, column)
}

#[track_caller]
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

#[track_caller]
fn wait_until_watermark(setup: &Setup, expected: &str) {
    until(&format!("W is {expected}"), LONG, || (watermark(setup) == Some(at(expected))).then_some(()));
}

/// What the tables show of every partition: `next_offset`, `watermark`, `active`, `floors`.
fn partitions(setup: &Setup) -> BTreeMap<String, serde_json::Value> {
    let query = format!("SELECT partitions FROM {}.topk_progress", setup.name());
    let shown = cell(setup, &query, "partitions");
    shown.map(|text| serde_json::from_str(&text).expect("JSON")).unwrap_or_default()
}

/// Every floor that the tables show, as the recount takes them.
fn floors(setup: &Setup) -> String {
    let mut all = Vec::new();
    for (partition, state) in partitions(setup) {
        for floor in state["floors"].as_array().expect("a list") {
            all.push(serde_json::json!([partition, floor[0], floor[1]]));
        }
    }
    serde_json::Value::from(all).to_string()
}

fn is_active(setup: &Setup, partition: &str) -> Option<bool> {
    partitions(setup).get(partition)?["active"].as_bool()
}

/// Views of each video in all time.
fn all_time(setup: &Setup) -> BTreeMap<String, u64> {
    let tables = setup.tables();
    let cell = |row: &BTreeMap<String, Option<String>>, column: &str| row[column].clone().expect("never null");
    let rows = tables.0["video_views_all_time"].iter();
    rows.map(|row| (cell(row, "video_id"), cell(row, "views").parse().expect("a count"))).collect()
}

//! No service at all: files, SQLite, boards in memory, the reader in the same process. What is served over HTTP is what
//! stands in the tables.

use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use tests::{Setup, dump, until, wait::LONG};

mod demo;
mod files;
mod served;

/// GET as JSON; `None` unless the answer is 200.
fn get(url: &str) -> Option<Value> {
    let mut answer = ureq::get(url).call().ok()?;
    serde_json::from_slice(&answer.body_mut().read_to_vec().ok()?).ok()
}

/// `[(video, views)]` of an answer's items, best first.
fn items(answer: &Value) -> Vec<(String, u64)> {
    let pair = |item: &Value| Some((item["videoId"].as_str()?.to_owned(), item["views"].as_u64()?));
    answer["items"].as_array().expect("there are items").iter().map(|item| pair(item).expect("an item")).collect()
}

/// `[(video, views)]` of a table of counts at a window's start (of all_time: none), ranked as the contract says.
fn ranked(setup: &Setup, table: &str, start: Option<&str>) -> Vec<(String, u64)> {
    let only = start.map_or(String::new(), |start| format!("WHERE window_start = '{start}'"));
    let query = format!("SELECT video_id, views FROM video_views_{table} {only} ORDER BY views DESC, video_id");
    let rows = dump::sqlite_query(&setup.path("topk.db"), &query);
    let cell = |row: &std::collections::BTreeMap<String, Option<String>>, column: &str| {
        row[column].clone().expect("no cell is null")
    };
    rows.iter().map(|row| (cell(row, "video_id"), cell(row, "views").parse().expect("a number"))).collect()
}

fn view(video: &str, time: &str) -> String {
    format!("{{\"video_id\":\"{video}\",\"view_timestamp\":\"{time}\"}}\n")
}

fn append(setup: &Setup, file: &str, lines: &str) {
    let file = OpenOptions::new().append(true).create(true).open(setup.path("views").join(file));
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("the folder can be written");
}

/// The list of a window's current hour, as soon as it is this.
fn wait_for_items(url: &str, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> = expected.iter().map(|(video, views)| ((*video).to_owned(), *views)).collect();
    until(&format!("{url} shows {expected:?}"), LONG, || get(url).filter(|answer| items(answer) == expected));
}

/// The table has exactly this, as soon as it is flushed.
fn wait_for_rows(setup: &Setup, table: &str, start: Option<&str>, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> = expected.iter().map(|(video, views)| ((*video).to_owned(), *views)).collect();
    until(&format!("{table} shows {expected:?}"), LONG, || {
        let there = setup.tables().0.contains_key(&format!("video_views_{table}"));
        (there && ranked(setup, table, start) == expected).then_some(())
    });
}

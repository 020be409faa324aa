//! Every case in one topic: records without a value and empty ones too, each kept whole with key and headers.

use super::{assert_each_under_its_code, cases};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::collections::BTreeMap;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

/// 2025-10-19T14:00:00Z: what records without a time count at.
const TIME: i64 = 1_760_882_400_000;
const PARTITIONS: i32 = 3;

fn decoded(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).expect("base64")
}

#[test]
fn every_case_in_kafka_is_under_its_code_and_kept_whole() {
    let setup = Setup::on_services("badkafka");
    kafka::create_topic(setup.name(), PARTITIONS, &[("max.message.bytes", "2000000")]);
    let mut records = Vec::new();
    let mut expected = BTreeMap::new();
    let mut next = BTreeMap::<i32, u64>::new();
    let mut send = |record: Record, name: &str, code: Option<String>| {
        let offset = next.entry(record.partition).or_default();
        expected.insert((record.partition.to_string(), *offset), (name.to_owned(), code));
        *offset += 1;
        records.push(record);
    };
    for (number, case) in cases(&["--cases"]).iter().enumerate() {
        let partition = i32::try_from(number).expect("few cases") % PARTITIONS;
        let value = case["value_base64"].as_str().map(decoded);
        let record = Record {
            partition,
            key: Some(format!("key {number}").into_bytes()),
            value,
            timestamp: Some(TIME),
            headers: vec![("n".into(), number.to_string().into_bytes())],
        };
        send(record, case["name"].as_str().expect("a name"), case["expect"]["code"].as_str().map(str::to_owned));
        // A good view after each: a stall or a lost record shows in the counts.
        send(Record::view(partition, "after", TIME), "after", None);
    }
    kafka::produce(setup.name(), &records);

    // Beside a running job first: nothing may stall it.
    let job = setup.start(&["run"]);
    let expected_total = expected.len().to_string();
    until("every record is accounted for", LONG, || {
        let tables = setup.tables();
        let consumed: u64 =
            tables.0.get("topk_ledger")?.iter().filter_map(|row| row["consumed"].as_ref()?.parse::<u64>().ok()).sum();
        (consumed.to_string() == expected_total).then_some(())
    });
    let child = job.child().expect("the job runs");
    job.signal("TERM");
    let finished = job.wait(LONG).expect_code(0);
    assert!(child > 0 && !finished.stderr.contains("started again"), "it crashed:\n{}", finished.stderr);
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_each_under_its_code(&setup, &expected);

    // Whole: key, value and headers are the record's own.
    let sent: BTreeMap<Vec<u8>, &Record> =
        records.iter().filter_map(|record| Some((record.key.clone()?, record))).collect();
    let bytes = |value: &serde_json::Value| serde_json::from_value::<Option<Vec<u8>>>(value.clone()).expect("bytes");
    for letter in setup.dead_letters() {
        let key = bytes(&letter["key"]).expect("a key");
        let record = sent[&key];
        assert!(bytes(&letter["value"]) == record.value, "{}: another value", String::from_utf8_lossy(&key));
        assert_eq!(letter["headers"], serde_json::json!([["n", record.headers[0].1]]));
        assert_eq!(letter["source"], setup.name());
    }
}

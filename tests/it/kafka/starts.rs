//! Where reading begins when nothing is journaled: earliest, latest, an instant; and that it is asked only then.

use super::{all_time, at, wait_until_consumed};
use std::collections::BTreeMap;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

/// Two partitions with views whose Kafka timestamps are 1000, 2000, 3000.
fn three_views(test: &str) -> Setup {
    let setup = Setup::on_services(test).with("epoch.interval", "50ms");
    kafka::create_topic(setup.name(), 2, &[]);
    let view = |partition, number: i64| Record {
        timestamp: Some(number * 1000),
        ..Record::view(partition, &format!("v{number}"), at("12:00:00"))
    };
    let views: Vec<Record> =
        [0, 1].iter().flat_map(|partition| (1..=3).map(|number| view(*partition, number))).collect();
    kafka::produce(setup.name(), &views);
    setup
}

fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(video, views)| ((*video).to_owned(), *views)).collect()
}

#[test]
fn earliest_and_an_instant_begin_there() {
    for (start, expected) in [
        ("earliest", counts(&[("v1", 2), ("v2", 2), ("v3", 2)])),
        ("1970-01-01T00:00:02Z", counts(&[("v2", 2), ("v3", 2)])),
        ("1970-01-01T00:00:02.001Z", counts(&[("v3", 2)])),
    ] {
        let mut setup = three_views("starts").with("source.kafka.start", start);
        setup.run_until_end();
        assert_eq!(all_time(&setup), expected, "{start}");
        // It decided once; what is journaled goes on whatever it says later.
        setup.set("source.kafka.start", "latest");
        kafka::produce(setup.name(), &[Record::view(0, "v4", at("12:00:01"))]);
        assert_eq!(setup.run_until_end().figure("read"), 1, "{start}");
    }
}

#[test]
fn latest_begins_with_what_comes_after_the_start() {
    let setup = three_views("latest").with("source.kafka.start", "latest");
    let job = setup.start(&["run"]);
    until("the job runs", LONG, || job.stderr().contains("the job runs").then_some(()));
    kafka::produce(setup.name(), &[Record::view(0, "v4", at("12:00:01")), Record::view(1, "v4", at("12:00:01"))]);
    wait_until_consumed(&setup, "0", 1);
    wait_until_consumed(&setup, "1", 1);
    // A partition that comes later is read from its beginning all the same.
    kafka::add_partitions(setup.name(), 3);
    kafka::produce(setup.name(), &[Record::view(2, "v5", at("12:00:01"))]);
    wait_until_consumed(&setup, "2", 1);
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    assert_eq!(all_time(&setup), counts(&[("v4", 2), ("v5", 1)]));
}

#[test]
fn an_instant_after_every_record_begins_at_the_end() {
    let setup = three_views("future").with("source.kafka.start", "2100-01-01T00:00:00Z");
    assert_eq!(setup.run_until_end().figure("read"), 0);
}

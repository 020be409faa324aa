//! Partitions that are added while the job runs: found, read from their beginning, held until the committer lets them in
//! at a floor, and in the journal from then on.

use super::{at, is_active, partitions, wait_until_consumed, wait_until_watermark};
use crate::exactness::assert_recounted;
use serde_json::json;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

fn added(test: &str) -> Setup {
    let setup = Setup::on_services(test).with("epoch.interval", "50ms");
    kafka::create_topic(setup.name(), 1, &[]);
    let views = [Record::view(0, "a", at("12:00:00")), Record::view(0, "a", at("12:10:00")), Record::new(0, "{}")];
    kafka::produce(setup.name(), &views);
    setup
}

#[test]
fn partitions_added_while_it_runs_are_read_from_their_beginning_and_rejoin_at_a_floor() {
    let setup = added("added");
    let topic = setup.name();
    let job = setup.start(&["run"]);
    wait_until_watermark(&setup, "12:09:55");

    // One with records before it is found, one without.
    kafka::add_partitions(topic, 3);
    kafka::produce(topic, &[Record::view(1, "late", at("12:05:00")), Record::view(1, "b", at("12:09:30"))]);
    wait_until_consumed(&setup, "1", 2);
    until("the empty one is journaled", LONG, || (is_active(&setup, "2") == Some(false)).then_some(()));
    assert_eq!(is_active(&setup, "1"), Some(true));
    // Both active ones hold W now.
    kafka::produce(topic, &[Record::view(0, "a", at("12:30:00")), Record::view(1, "b", at("12:20:00"))]);
    wait_until_watermark(&setup, "12:19:55");
    kafka::produce(topic, &[Record::view(2, "c", at("12:19:00")), Record::new(2, "{}")]);
    wait_until_consumed(&setup, "2", 2);
    let told = job.stderr();
    assert_eq!(told.matches("a partition was added").count(), 2, "{told}");

    // Killed at once: what the journal has of them is enough.
    job.kill();
    kafka::produce(topic, &[Record::view(1, "d", at("12:31:00")), Record::view(2, "d", at("12:32:00"))]);
    let job = setup.start(&["run"]);
    wait_until_consumed(&setup, "1", 4);
    wait_until_consumed(&setup, "2", 3);
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    let shown = partitions(&setup);
    assert_eq!(shown["1"]["floors"], json!([[0, at("12:09:55")]]));
    assert_eq!(shown["2"]["floors"], json!([[0, at("12:19:55")]]));
    let floors = format!("[[1,0,{}],[2,0,{}]]", at("12:09:55"), at("12:19:55"));
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_recounted(&setup, &["--floors", &floors]);
}

/// With more workers than partitions a reader begins with nothing to read.
#[test]
fn a_reader_without_partitions_takes_the_added_ones() {
    let setup = added("adoptive").with("job.workers", 3);
    let job = setup.start(&["run"]);
    wait_until_watermark(&setup, "12:09:55");
    kafka::add_partitions(setup.name(), 6);
    let views: Vec<Record> = (1..6).map(|partition| Record::view(partition, "b", at("12:10:00"))).collect();
    kafka::produce(setup.name(), &views);
    (1..6).for_each(|partition| wait_until_consumed(&setup, &partition.to_string(), 1));
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    let floors: Vec<_> = (1..6).map(|partition| json!([partition, 0, at("12:09:55")])).collect();
    assert_recounted(&setup, &["--floors", &json!(floors).to_string()]);
}

#[test]
fn an_added_partition_whose_beginning_is_gone_ends_the_job_with_3() {
    let setup = added("headless");
    // Without a partition to read, discovery would only find it at the next start.
    let job = setup.start(&["run"]);
    wait_until_watermark(&setup, "12:09:55");
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    kafka::add_partitions(setup.name(), 2);
    kafka::produce(setup.name(), &[Record::view(1, "b", at("12:10:00")), Record::view(1, "b", at("12:11:00"))]);
    kafka::delete_records_below(setup.name(), 1, 1);
    let told = setup.topk(&["run"]).expect_code(3).stderr;
    assert!(told.contains("of partition 1"), "{told}");
    assert!(told.contains("--accept-loss '1:0-0'"), "{told}");
}

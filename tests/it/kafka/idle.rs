//! Who is idle: a partition that is empty at the start, and one that falls silent and whose end, asked for afterwards, is
//! where we stand. It holds nothing back; when it gets records it is let in again at a floor.

use super::{at, cell, is_active, wait_until_consumed, wait_until_watermark, watermark};
use crate::exactness::assert_recounted;
use rdkafka::producer::Producer;
use std::time::Duration;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

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
    job.wait(LONG).expect_code(0);
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

#[test]
fn a_partition_that_falls_silent_is_passed_and_rejoins_at_a_floor() {
    let setup = Setup::on_services("silent").with("epoch.interval", "50ms").with("time.idle_timeout", "1s");
    let topic = setup.name();
    kafka::create_topic(topic, 2, &[]);
    kafka::produce(topic, &[Record::view(0, "a", at("12:00:00")), Record::view(1, "a", at("12:00:00"))]);
    let job = setup.start(&["run"]);
    wait_until_consumed(&setup, "0", 1);
    wait_until_consumed(&setup, "1", 1);
    // Partition 0 alone goes on. All idle: W stays; the one that wakes finds the other gone.
    until("both are idle", LONG, || {
        (is_active(&setup, "0") == Some(false) && is_active(&setup, "1") == Some(false)).then_some(())
    });
    assert_eq!(watermark(&setup), Some(at("11:59:55")));
    kafka::produce(topic, &[Record::view(0, "b", at("12:20:00"))]);
    wait_until_consumed(&setup, "0", 2);
    wait_until_watermark(&setup, "12:19:55");
    // Late for its minute, judged from the floor; then in order again.
    let views = [Record::view(1, "late", at("12:01:00")), Record::view(1, "b", at("12:20:00")), Record::new(1, "{}")];
    kafka::produce(topic, &views);
    wait_until_consumed(&setup, "1", 4);
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    let floors = format!("[[0,1,{}],[1,1,{}]]", at("11:59:55"), at("12:19:55"));
    assert_eq!(setup.run_until_end().figure("read"), 0);
    assert_recounted(&setup, &["--floors", &floors]);
}

/// The end for a read_committed consumer is where we stand; something is to come all the same.
#[test]
fn an_open_transaction_is_not_silence() {
    let setup = Setup::on_services("opentx").with("epoch.interval", "50ms").with("time.idle_timeout", "300ms");
    let topic = setup.name();
    kafka::create_topic(topic, 3, &[]);
    let views = |partition| [Record::view(partition, "a", at("12:00:00")), Record::new(partition, "{}")];
    kafka::produce(topic, &(0..3).flat_map(views).collect::<Vec<_>>());
    // Not the job's name: that is the id of its own producer, which would end this transaction.
    let id = format!("{topic}-views");
    let open = kafka::producer(&[("transactional.id", &id), ("transaction.timeout.ms", "600000")]);
    open.init_transactions(LONG).expect("the broker answers");
    open.begin_transaction().expect("a transaction");
    kafka::send(&open, topic, &[Record::view(1, "open", at("12:05:00"))]);
    let job = setup.start(&["run"]);
    (0..3).for_each(|partition| wait_until_consumed(&setup, &partition.to_string(), 2));
    until("the others are idle", LONG, || {
        (is_active(&setup, "0") == Some(false) && is_active(&setup, "2") == Some(false)).then_some(())
    });
    // Long enough for it to be asked about several times.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(is_active(&setup, "1"), Some(true), "a partition with an open transaction was taken for idle");
    open.commit_transaction(LONG).expect("the broker commits");
    wait_until_consumed(&setup, "1", 3);
    wait_until_watermark(&setup, "12:04:55");
    // The marker of the transaction lies behind the record: with it the position is the end, and this one is idle too.
    until("all are idle", LONG, || (is_active(&setup, "1") == Some(false)).then_some(()));
    // The recount knows of idleness by its end only: the others wake.
    kafka::produce(topic, &[Record::view(0, "b", at("12:05:00")), Record::view(2, "b", at("12:05:00"))]);
    wait_until_consumed(&setup, "0", 3);
    wait_until_consumed(&setup, "2", 3);
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    let floors = format!("[[0,2,{floor}],[2,2,{floor}]]", floor = at("12:04:55"));
    assert_recounted(&setup, &["--floors", &floors]);
}

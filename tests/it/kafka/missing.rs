//! A topic that is not there at the start: it is waited for, then the job ends with the command that creates it.

use super::{all_time, at};
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

#[test]
fn a_missing_topic_is_waited_for_and_then_named_with_the_command_that_creates_it() {
    let setup = Setup::on_services("missing");
    let finished = setup.topk(&["run"]).expect_code(1);
    let (topic, brokers) = (setup.name(), tests::services::kafka());
    let told = &finished.stderr;
    assert!(told.contains("waiting for the source") && told.contains("\"at_most\":\"30s\""), "{told}");
    let command = format!("kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 8");
    assert!(told.contains(&command), "{told}");
    assert!(!told.contains("started again"), "{told}");
}

#[test]
fn a_topic_that_comes_while_it_is_waited_for_is_read() {
    let setup = Setup::on_services("comes");
    let job = setup.start(&["run", "--until-end"]);
    until("it waits", LONG, || job.stderr().contains("waiting for the source").then_some(()));
    kafka::create_topic(setup.name(), 1, &[]);
    job.wait(LONG).expect_code(0);
    kafka::produce(setup.name(), &[Record::view(0, "a", at("12:00:00"))]);
    assert_eq!(setup.run_until_end().figure("counted"), 1);
    assert_eq!(all_time(&setup)["a"], 1);
}

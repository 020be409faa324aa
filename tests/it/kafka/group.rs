//! Offsets of the consumer group: for lag tools only, published after what they say is committed, and no harm if they
//! cannot be.

use super::at;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

#[test]
fn the_group_shows_what_is_committed_while_it_runs_and_when_it_has_ended() {
    let setup = Setup::on_services("group").with("epoch.interval", "50ms");
    let (topic, group) = (setup.name(), setup.setting("source.kafka.group"));
    kafka::create_topic(topic, 2, &[]);
    kafka::produce(topic, &[Record::view(0, "a", at("12:00:00")), Record::view(1, "a", at("12:00:00"))]);
    assert_eq!(kafka::committed(group, topic, 2), [None, None]);
    setup.run_until_end();
    assert_eq!(kafka::committed(group, topic, 2), [Some(1), Some(1)]);
    let job = setup.start(&["run"]);
    kafka::produce(topic, &[Record::view(1, "a", at("12:00:01")), Record::view(1, "a", at("12:00:02"))]);
    until("the group shows them", LONG, || (kafka::committed(group, topic, 2) == [Some(1), Some(3)]).then_some(()));
    kafka::add_partitions(topic, 3);
    kafka::produce(topic, &[Record::view(2, "a", at("12:00:03"))]);
    until("an added partition too", LONG, || {
        (kafka::committed(group, topic, 3) == [Some(1), Some(3), Some(1)]).then_some(())
    });
    job.signal("TERM");
    job.wait(LONG).expect_code(0);

    // Only the journal decides where reading goes on.
    kafka::commit(group, topic, &[0, 0, 0]);
    assert_eq!(setup.run_until_end().figure("read"), 0);
}

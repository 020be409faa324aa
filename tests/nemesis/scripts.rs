//! What is done to a log that no job survives: it must refuse to go on, and say so; and what needs more than a fault at a time.

use crate::link::{Mood, Way};
use crate::load::Sender;
use crate::own::Service;
use crate::stage::{Over, Stage};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::process::signal;
use tests::{kafka, until, wait::LONG};

/// Records are deleted before a frozen job has read them.
pub(crate) fn deleted(stage: &mut Stage) -> Result<bool, Over> {
    stage.calm()?;
    let child = stage.child()?;
    signal("STOP", child);
    std::thread::sleep(Duration::from_millis(2000));
    for (partition, end) in stage.oracle.ends() {
        kafka::delete_records_below(stage.setup.name(), partition, end);
    }
    signal("CONT", child);
    stage.refuses("offsets that are gone are refused")?;
    Ok(false)
}

/// The job has read to the end and is gone.
fn at_rest(stage: &mut Stage) -> Result<BTreeMap<i32, i64>, Over> {
    stage.calm()?;
    stage.heal()?;
    stage.kill_job();
    Ok(stage.oracle.ends())
}

/// Other views, in each partition more than there were.
fn fill(stage: &Stage, ends: &BTreeMap<i32, i64>) {
    let sender = Sender::new(stage.setup.name(), None);
    let longest = ends.values().max().copied().unwrap_or(0).unsigned_abs();
    let number = longest * ends.len() as u64 * 2;
    let views: Vec<_> = (0..number).map(|number| stage.mix.view(number + 1_000_000, stage.partitions)).collect();
    views.chunks(10_000).for_each(|views| drop(sender.send(views)));
}

/// The topic is deleted and made anew, and what would tell it by its records is deleted too.
pub(crate) fn anew(stage: &mut Stage) -> Result<bool, Over> {
    let ends = at_rest(stage)?;
    let topic = stage.setup.name().to_owned();
    kafka::delete_topics(std::slice::from_ref(&topic));
    until("the topic is gone and created anew", LONG, || {
        std::panic::catch_unwind(|| kafka::create_topic(&topic, stage.partitions, &[])).ok()
    });
    fill(stage, &ends);
    ends.iter().for_each(|(partition, end)| kafka::delete_records_below(&topic, *partition, *end));
    stage.start_job(2);
    stage.refuses("a topic that was made anew is refused")?;
    Ok(false)
}

/// The broker loses its segments, and others come.
pub(crate) fn refilled(stage: &mut Stage) -> Result<bool, Over> {
    let ends = at_rest(stage)?;
    stage.own.down(Service::Kafka);
    for partition in ends.keys() {
        let folder = stage.own.partition(stage.setup.name(), *partition);
        for entry in std::fs::read_dir(&folder).expect("the broker's folder").flatten() {
            // The topic's id is in there.
            if entry.file_name() != "partition.metadata" {
                std::fs::remove_file(entry.path()).expect("a file of the broker's");
            }
        }
    }
    stage.own.up(Service::Kafka);
    fill(stage, &ends);
    stage.start_job(2);
    stage.refuses("a log that was cut and filled again is refused")?;
    Ok(false)
}

/// An instance is frozen with a flush in hand that it has got no answer to, and nothing else to do: cut off from the log it
/// neither commits nor publishes when it wakes, so that nothing but the tables can tell it that it was taken over.
pub(crate) fn owing(stage: &mut Stage) -> Result<bool, Over> {
    for _ in 0..4 {
        stage.calm()?;
        let child = stage.child()?;
        stage.links[&Service::Postgres].set(Mood::Unanswered);
        // Until the pauses between its tries are longer than the tries.
        std::thread::sleep(Duration::from_millis(2000));
        stage.links[&Service::Kafka].set(Mood::Blackhole(Way::Both));
        // Longer than an epoch, and than the boards wait for their turn.
        std::thread::sleep(Duration::from_millis(500));
        signal("STOP", child);
        // What the link holds is lost with its connections, and must be before it clears.
        stage.links[&Service::Kafka].reset();
        std::thread::sleep(Duration::from_millis(200));
        stage.links.values().for_each(|link| link.set(Mood::Clear));
        stage.second_beside(child, 2, 300, true)?;
    }
    Ok(true)
}

/// Somebody sets the consumer group back.
pub(crate) fn group(stage: &mut Stage) -> Result<bool, Over> {
    stage.calm()?;
    stage.kill_job();
    let halves: Vec<i64> = stage.oracle.ends().values().map(|end| end / 2).collect();
    kafka::commit(stage.setup.setting("source.kafka.group"), stage.setup.name(), &halves);
    stage.start_job(2);
    stage.calm()?;
    Ok(true)
}

//! Reading partitions in step: one that is too far ahead waits, which is said, and changes no count.

use super::{at, floors, wait_until_consumed, wait_until_watermark};
use crate::exactness::assert_recounted;
use tests::kafka::{self, Record};
use tests::{Setup, until, wait::LONG};

const MINUTE: i64 = 60_000;

/// Partition 0 goes a second per view, the others a minute: they would be hours ahead of it.
fn uneven(test: &str, views: i64) -> Setup {
    let setup = Setup::on_services(test).with("epoch.interval", "20ms").with("epoch.max_events", 100);
    kafka::create_topic(setup.name(), 3, &[]);
    let view = |number: i64| {
        let video = |of: i64| format!("v{}", number % of);
        [
            Record::view(0, &video(7), at("00:00:00") + number * 1000),
            Record::view(1, &video(5), at("00:00:00") + number * MINUTE),
            Record::view(2, &video(3), at("00:00:00") + number * MINUTE - (number % 5) * 2 * MINUTE),
        ]
    };
    kafka::produce(setup.name(), &(0..views).flat_map(view).chain([Record::new(0, "{}")]).collect::<Vec<_>>());
    setup
}

#[test]
fn whatever_waits_for_whom_the_answer_is_the_same() {
    let setup = uneven("drift", 1200);
    for (drift, workers) in [("1h", 1), ("10m", 2), ("1s", 2), ("5000h", 1)] {
        let job = setup.beside("drift").with("time.max_drift", drift).with("job.workers", workers);
        let job = job.with("epoch.interval", "20ms").with("epoch.max_events", 100);
        assert_eq!(job.run_until_end().figure("read"), 3601, "{drift}");
        assert_recounted(&job, &[]);
    }
}

#[test]
fn a_running_job_holds_who_is_ahead_and_says_for_whom() {
    // Partition 0 ends far behind the others, and W can pass it only once it is idle: until then they wait.
    let setup = uneven("held", 900).with("time.max_drift", "10m").with("time.idle_timeout", "8s");
    let job = setup.start(&["run"]);
    let metrics = format!("{}/metrics", setup.live_url("job"));
    let held = |partition: u32, value: u32| {
        let line = format!("topk_partition_held{{partition=\"{partition}\"}} {value}");
        until(&line, LONG, || {
            let text = ureq::get(&metrics).call().ok()?.body_mut().read_to_string().ok()?;
            text.lines().any(|found| found == line).then_some(())
        });
    };
    held(1, 1);
    held(2, 1);
    until("the log says for whom", LONG, || {
        let told = job.stderr();
        let told = told.lines().find(|line| line.contains("ahead of the slowest wait for it"))?;
        assert!(told.contains("\"partitions\":\"1,2\"") && told.contains("\"by\":\"0\""), "{told}");
        Some(())
    });
    // Partition 0 is idle at last; then the two go on, to their ends.
    held(1, 0);
    held(2, 0);
    wait_until_consumed(&setup, "1", 900);
    wait_until_consumed(&setup, "2", 900);
    // Everybody rejoins, whoever was idle by then.
    let views: Vec<Record> = (0..3).map(|partition| Record::view(partition, "v0", at("15:30:00"))).collect();
    kafka::produce(setup.name(), &views);
    wait_until_watermark(&setup, "15:29:55");
    job.signal("TERM");
    job.wait(LONG).expect_code(0);
    assert_recounted(&setup, &["--floors", &floors(&setup)]);
}

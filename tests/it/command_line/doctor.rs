//! `topk doctor`: what it finds right and wrong, before a first start, beside a running job, and after damage.

use super::with_one_view;
use tests::{Setup, until, wait::LONG};

#[test]
fn all_is_well_before_the_first_start_and_nothing_is_made() {
    let setup = with_one_view("well");
    let said = setup.topk(&["doctor"]).expect_code(0).stdout;
    for part in ["ok    settings", "not begun yet", "1 partitions", "ok    sqlite", "job.listen"] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    assert!(!said.contains("FAIL"), "{said}");
    assert!(!setup.path("data").join("journal").exists(), "it made a journal");
}

#[test]
fn a_running_job_is_told_and_so_is_what_a_start_would_do_to_it() {
    let setup = with_one_view("running");
    let running = setup.start(&["run"]);
    setup.live_url("job");
    until("something is committed", LONG, || {
        setup.topk(&["doctor"]).expect_code(0).stdout.contains("as of record").then_some(())
    });
    let said = setup.topk(&["doctor"]).expect_code(0).stdout;
    assert!(said.contains("runs this job"), "{said}");
    running.signal("TERM");
    running.wait(LONG).expect_code(0);
    let said = setup.topk(&["doctor"]).expect_code(0).stdout;
    assert!(said.contains("of generation 1") && !said.contains("runs this job"), "{said}");
}

#[test]
fn what_would_be_refused_or_fail_says_how_to_mend_it() {
    let setup = with_one_view("wrong");
    setup.run_until_end().expect_code(0);
    let changed = setup.topk(&["doctor", "--set", "time.allowed_lateness=7s"]).expect_code(1).stdout;
    assert!(changed.contains("FAIL  journal") && changed.contains("time.allowed_lateness has changed"), "{changed}");
    std::fs::write(setup.path("views").join("one.ndjson"), "{}\n").unwrap();
    let cut = setup.topk(&["doctor"]).expect_code(1).stdout;
    assert!(cut.contains("FAIL  source") && cut.contains("one.ndjson: ends at 3"), "{cut}");
    std::fs::remove_dir_all(setup.path("data").join("journal")).unwrap();
    let lost = setup.topk(&["doctor"]).expect_code(1).stdout;
    assert!(lost.contains("FAIL  sqlite") && lost.contains("ends with record 0"), "{lost}");
}

#[test]
fn services_are_asked_and_those_that_are_away_are_named() {
    let setup = Setup::on_services("doctor");
    let missing = setup.topk(&["doctor"]).expect_code(1).stdout;
    assert!(missing.contains("FAIL  source") && missing.contains("kafka-topics"), "{missing}");
    assert!(missing.contains("ok    postgres") && missing.contains("ok    redis"), "{missing}");
    let away = [
        "doctor",
        "--set",
        "source.kafka.brokers=127.0.0.1:1",
        "--set",
        "sink.postgres.url=postgres://127.0.0.1:1/topk?connect_timeout=1",
        "--set",
        "sink.redis.url=redis://127.0.0.1:1",
    ];
    let said = setup.topk(&away).expect_code(1).stdout;
    for name in ["source", "postgres", "redis"] {
        assert!(said.contains(&format!("FAIL  {name}")), "{name} is away:\n{said}");
    }
    assert!(said.matches("what to do:").count() >= 3, "{said}");
    let reader = ["doctor", "--set", "reader.postgres_url=postgres://127.0.0.1:1/topk?connect_timeout=1"];
    let said = setup.topk(&reader).expect_code(1).stdout;
    assert!(said.contains("FAIL  reader.postgres_url") && said.contains("ok    postgres"), "{said}");
    setup.generate(&["--kafka", "--count", "100", "--partitions", "2"]).expect_code(0);
    let there = setup.topk(&["doctor"]).expect_code(0).stdout;
    assert!(there.contains("2 partitions, 100 offsets to read"), "{there}");
}

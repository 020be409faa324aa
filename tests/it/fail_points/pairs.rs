//! Two instances that are started at the same moment, each under its parent: one runs, one ends with 4, and nobody is started
//! again only to fence the other.

use std::io::Write;
use std::path::Path;
use tests::kafka::{self, Record};
use tests::{Running, Setup, until, wait::LONG};

/// 2025-10-19T12:00:00Z.
const NOON: i64 = 1_760_875_200_000;

fn add_view(log: &Path, number: i64) {
    let line = format!("{{\"video_id\":\"v{}\",\"view_timestamp\":{}}}\n", number % 7, NOON + number * 1000);
    let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the temporary folder can be written");
}

/// The last generation, by the slots.
fn generation(setup: &Setup) -> u64 {
    let slots = setup.path("data").join("journal").join(setup.name()).join("generation");
    let names =
        std::fs::read_dir(slots).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).max().unwrap_or(0)
}

#[test]
fn of_two_that_start_at_the_same_moment_one_runs_and_one_ends() {
    let setup = Setup::embedded("pair");
    let log = setup.path("views").join("part.ndjson");
    pairs(setup, 6, |number| add_view(&log, number));
}

#[test]
fn of_two_on_services_that_start_at_the_same_moment_one_runs_and_one_ends() {
    let setup = Setup::on_services("pair");
    let topic = setup.name().to_owned();
    kafka::create_topic(&topic, 1, &[]);
    pairs(setup, 3, |number| {
        let video = format!("v{}", number % 7);
        kafka::produce(&topic, &[Record::view(0, &video, NOON + number * 1000), Record::new(0, "not a view")]);
    });
}

fn pairs(setup: Setup, rounds: u64, mut add_view: impl FnMut(i64)) {
    let rounds = if std::env::var_os("TOPK_TEST_LONG").is_some() { rounds * 10 } else { rounds };
    let setup = setup.with("epoch.interval", "20ms");
    let mut views = 0;
    let mut add = || {
        add_view(views);
        views += 1;
        views
    };
    add();
    for round in 0..rounds {
        let before = generation(&setup);
        let mut pair: Vec<Running> = vec![setup.start(&["run"]), setup.start(&["run"])];
        // Whatever the older one commits next shows it that it is fenced.
        let ended = until("one of two has ended", LONG, || {
            add();
            pair.iter_mut().position(|one| !one.is_running())
        });
        let fenced = pair.remove(ended).wait(LONG);
        assert_eq!(fenced.code, Some(4), "round {round}: it ended otherwise\n{}", fenced.stderr);
        let mut other = pair.remove(0);
        // It has taken over everything once it has committed what is added now.
        let started = generation(&setup);
        let added = add();
        // If the one that has ended claimed a sink after it, as Kafka lets anybody, it starts again first.
        until("the other one has counted and delivered it", LONG, || {
            assert!(other.is_running(), "round {round}: both ended\n{}", other.stderr());
            let shown = setup.topk(&["journal", "show"]);
            let shown: serde_json::Value = serde_json::from_str(&shown.stdout).ok()?;
            let lines = shown["ledger"].as_object()?.values();
            let sum = |of: &str| lines.clone().filter_map(|line| line[of].as_i64()).sum::<i64>();
            let is_read = sum("counted") == added;
            (is_read && setup.dead_letters().len() as i64 == sum("dead_lettered")).then_some(())
        });
        other.signal("TERM");
        other.wait(LONG).expect_code(0);
        // Each writes one fence. A sink that the older one still held may cost the newer one a start of its own.
        assert!(
            started <= before + 3 && generation(&setup) <= before + 4,
            "round {round}: {before} … {}",
            generation(&setup)
        );
    }
    setup.run_until_end();
    setup.assert_right();
}

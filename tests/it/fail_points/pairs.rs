//! Two instances that are started at the same moment, each under its parent: one runs, one ends with 4, and nobody is started
//! again only to fence the other.

use std::io::Write;
use std::path::Path;
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
    let rounds = if std::env::var_os("TOPK_TEST_LONG").is_some() { 60 } else { 6 };
    let setup = Setup::embedded("pair").with("epoch.interval", "20ms");
    let log = setup.path("views").join("part.ndjson");
    let mut views = 0;
    let mut add = || {
        add_view(&log, views);
        views += 1;
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
        add();
        until("the other one runs", LONG, || other.stderr().contains("the job runs").then_some(()));
        assert!(other.is_running(), "round {round}: both ended\n{}", other.stderr());
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

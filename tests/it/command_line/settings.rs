//! Settings: where each comes from, and every error at once, with what to do.

use super::{finish, folder, topk_in};
use std::fs;
use tests::setup::bare_topk;

#[test]
fn show_names_the_origin_of_each_setting_and_masks_secrets() {
    let folder = folder();
    fs::write(folder.path().join("a.toml"), "[topk]\nk = 10\n[journal]\nretain = \"2h\"\n").expect("written");
    let mut command = bare_topk(&["config", "show", "--origin", "--config", "a.toml", "--set", "topk.k=20"]);
    command.env("TOPK__JOURNAL__RETAIN", "3h");
    command.env("TOPK__SINK__POSTGRES__URL", "postgres://u:hidden@db/x");
    let shown = finish(command, folder.path()).expect_code(0).stdout;
    let line =
        |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}\n{shown}"));
    assert!(line("k = 20").contains("--set topk.k"), "flags win: {}", line("k = "));
    assert!(line("retain = \"3h\"").contains("TOPK__JOURNAL__RETAIN"), "{}", line("retain"));
    assert!(line("workers = ").contains("default"), "{}", line("workers"));
    assert!(line("url = \"postgres://u:***@db/x\"").contains("TOPK__SINK__POSTGRES__URL"));
    assert!(!shown.contains("hidden"), "a secret is shown:\n{shown}");

    // What is shown is a configuration, and means the same.
    let plain = topk_in(folder.path(), &["config", "show"]).expect_code(0).stdout;
    fs::write(folder.path().join("shown.toml"), &plain).expect("written");
    let again = topk_in(folder.path(), &["config", "show", "--config", "shown.toml"]).expect_code(0).stdout;
    assert_eq!(again, plain);
    topk_in(folder.path(), &["config", "check", "--config", "shown.toml"]).expect_code(0);
}

#[test]
fn all_errors_are_said_at_once_and_an_unknown_key_with_the_nearest_known_one() {
    let folder = folder();
    let wrong =
        "[job]\nworkers = \"x\"\n[topk]\nkk = 3\n[sink]\ntables = \"postgress\"\n[time]\nzone = \"Mars/Olympus\"\n";
    fs::write(folder.path().join("a.toml"), wrong).expect("written");
    for words in [&["config", "check"][..], &["run"], &["serve"], &["generate", "--count", "1"]] {
        let said = topk_in(folder.path(), &[words, &["--config", "a.toml"]].concat()).expect_code(2).stderr;
        for expected in [
            "job.workers must be an integer",
            "topk.kk is not a known key",
            "the nearest known key is topk.k",
            "sink.tables is \"postgress\"",
            "did you mean \"postgres\"?",
            "Mars/Olympus",
            "a.toml:2",
        ] {
            assert!(said.contains(expected), "{words:?}: {expected} is missing in\n{said}");
        }
        // Each mistake has its own remedy; the list as a whole has none.
        let remedies = said.lines().filter(|line| line.contains("what to do: ")).count();
        assert_eq!((remedies, said.lines().any(|line| line.starts_with("what to do"))), (4, false), "{said}");
    }
}

#[test]
fn what_is_built_later_is_refused_by_name() {
    let folder = folder();
    let later = [
        ("event.dimensions", "[event]\ndimensions = [\"region\"]"),
        ("windows.sliding", "[windows]\nsliding = [\"last_hour\"]"),
    ];
    for (key, content) in later {
        fs::write(folder.path().join("a.toml"), content).expect("written");
        let said = topk_in(folder.path(), &["config", "check", "--config", "a.toml"]).expect_code(2).stderr;
        assert!(said.contains(key) && said.contains("cannot do it yet"), "{key}:\n{said}");
    }
}

/// What a sink or a source refuses when a job starts, before that.
#[test]
fn a_check_asks_sources_and_sinks_what_they_think_of_their_settings() {
    let folder = folder();
    let check = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        topk_in(folder.path(), &["config", "check"].into_iter().chain(sets).collect::<Vec<_>>())
    };
    let kafka = "source.kind=kafka";
    let postgres = "sink.tables=postgres";
    let wrong: [(&[&str], &[&str]); 5] = [
        (&[postgres, "sink.postgres.url=mysql://x/y"], &["sink.postgres.url"]),
        (&[postgres, "sink.postgres.url=postgres://x/y?sslmode=foo"], &["sslmode"]),
        (&["sink.board=redis", "sink.redis.url=http://x"], &["sink.redis.url"]),
        (&[kafka, "source.kafka.properties={\"acks\"=\"1\"}"], &["acks"]),
        (
            &[kafka, postgres, "sink.postgres.url=mysql://x/y", "source.kafka.properties={\"frob.nicate\"=\"1\"}"],
            &["frob.nicate", "sink.postgres.url"],
        ),
    ];
    for (sets, parts) in wrong {
        let said = check(sets).expect_code(2).stderr;
        assert!(parts.iter().all(|part| said.contains(part)), "{sets:?}:\n{said}");
    }
    check(&[kafka, postgres, "sink.postgres.url=postgres://x/y"]).expect_code(0);
}

/// The tests' binary speaks to S3 and to no other bucket.
#[test]
fn a_bucket_without_its_feature_is_refused_by_the_features_name() {
    let folder = folder();
    let check = |state: &str| {
        fs::write(folder.path().join("a.toml"), format!("[job]\nstate = \"{state}\"")).expect("written");
        topk_in(folder.path(), &["config", "check", "--config", "a.toml"])
    };
    for (state, feature) in [("gs://views/topk", "gcs"), ("az://views/topk", "azure")] {
        let said = check(state).expect_code(2).stderr;
        assert!(said.contains("job.state") && said.contains(&format!("--features {feature}")), "{said}");
    }
    for state in ["s3://", "s3://views/topk?region=x", "ftp://views/topk"] {
        let said = check(state).expect_code(2).stderr;
        assert!(said.contains("job.state") && said.contains("s3://"), "{state}: {said}");
    }
    check("s3://views/topk").expect_code(0);
    let shown = topk_in(folder.path(), &["config", "show", "--origin", "--config", "a.toml"]).expect_code(0).stdout;
    assert!(
        shown.contains("interval = \"1s\"") && shown.contains("because job.state starts with \"s3://\""),
        "{shown}"
    );
}

#[test]
fn files_that_are_absent_or_no_toml_are_errors() {
    let folder = folder();
    let said = topk_in(folder.path(), &["run", "--config", "absent.toml"]).expect_code(2).stderr;
    assert!(said.contains("absent.toml cannot be read"), "{said}");
    fs::write(folder.path().join("a.toml"), "[job]\n[job").expect("written");
    let said = topk_in(folder.path(), &["config", "check", "--config", "a.toml"]).expect_code(2).stderr;
    assert!(said.contains("a.toml is not valid TOML at line 2"), "{said}");
    // The ones in the repository are right.
    for name in ["laptop.toml", "production.toml"] {
        let path = format!("{}/../config/{name}", env!("CARGO_MANIFEST_DIR"));
        topk_in(folder.path(), &["config", "check", "--config", &path]).expect_code(0);
    }
}

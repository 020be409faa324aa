//! Verbs, help, version, and what is said about wrong arguments.

use super::{folder, topk_in};

#[test]
fn the_version_names_commit_librdkafka_and_journal_format() {
    let said = topk_in(folder().path(), &["--version"]).expect_code(0).stdout;
    let rest = said.strip_prefix("topk ").expect("the name comes first");
    let (version, rest) = rest.split_once(" (commit ").expect("then version and commit");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let (commit, rest) = rest.split_once(", librdkafka ").expect("then librdkafka");
    assert!(commit.len() >= 7, "no commit: {commit}");
    let (librdkafka, format) = rest.trim_end().split_once(", ").expect("then the format");
    assert_eq!(librdkafka.split('.').filter(|number| number.parse::<u32>().is_ok()).count(), 3, "{librdkafka}");
    assert_eq!(format, "journal format 1)");
}

#[test]
fn every_verb_has_help_with_an_example() {
    let folder = folder();
    for verb in [
        &["demo"][..],
        &["run"],
        &["serve"],
        &["generate"],
        &["top"],
        &["completions"],
        &["doctor"],
        &["verify"],
        &["recover"],
        &["journal", "ls"],
        &["journal", "show"],
        &["journal", "check"],
        &["config", "show"],
        &["config", "check"],
    ] {
        let help = topk_in(folder.path(), &[verb, &["--help"]].concat()).expect_code(0);
        let example = format!("Example: topk {}", verb.join(" "));
        assert!(help.stdout.contains(&example), "{verb:?}: no example in\n{}", help.stdout);
    }
}

#[test]
fn usage_errors_exit_2_and_say_what_is_wrong() {
    let folder = folder();
    let wrong: [(&[&str], &str); 16] = [
        (&[], "Usage: topk"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["recover"], "--from-postgres"),
        (&["run", "--accept-loss", "4:9-1"], "is not PARTITION:FIRST-LAST"),
        (&["run", "--rebuild-sink", "redis"], "invalid value 'redis'"),
        (&["journal", "show", "0"], "invalid value '0'"),
        (&["top"], "there is no ./data/endpoints.json"),
        (&["top", "--json", "--csv"], "cannot be used with"),
        (&["completions", "cmd"], "invalid value 'cmd'"),
        (&["run", "--nonsense"], "unexpected argument '--nonsense'"),
        (&["generate", "--count", "many"], "invalid value 'many' for '--count"),
        (&["generate", "--rate", "0"], "--rate is wrong"),
        (&["generate", "--disorder", "101"], "--disorder is wrong"),
        (&["generate", "--start", "yesterday"], "--start is wrong"),
        (&["config", "show", "--set", "topk.k"], "there is no '=' in it"),
        (&["serve", "--listen", "nowhere"], "cannot listen on nowhere"),
    ];
    for (words, expected) in wrong {
        let finished = topk_in(folder.path(), words).expect_code(2);
        assert!(finished.stderr.contains(expected), "{words:?} said\n{}", finished.stderr);
        assert_eq!(finished.stdout, "", "{words:?}: errors belong on stderr");
    }
}

#[test]
fn completions_name_every_verb() {
    let folder = folder();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = topk_in(folder.path(), &["completions", shell]).expect_code(0).stdout;
        for verb in [
            "demo",
            "run",
            "serve",
            "top",
            "generate",
            "doctor",
            "verify",
            "recover",
            "journal",
            "config",
            "completions",
        ] {
            assert!(completions.contains(verb), "{shell} lacks {verb}");
        }
    }
}

//! Configuration, from a file and the environment: settings that fit, or every mistake with the name of its key.

use config::Layers;
use job::settings::Settings;
use stream::Exit;

pub(super) const WORDS: &[&str] = &[
    "[job]",
    "[topk]",
    "[windows]",
    "[[when]]",
    "k = ",
    "max_memory = ",
    "workers = 2",
    "name = \"x\"",
    "\"",
    "'",
    "\"\"\"",
    "=",
    "\n",
    "#",
    "[",
    "]",
    "{",
    "}",
    "true",
    "inf",
    "nan",
    "1979-05-27",
    "tumbling = [\"minute\"]",
    "zone = \"Europe/Zurich\"",
    "\"5s\"",
    "\"256MiB\"",
    "\"forever\"",
    "TOPK__JOB__WORKERS=",
    "TOPK__TOPK__K=0",
    "TOPK__SINK__POSTGRES__URL=",
    "TOPK__",
    "\n---\n",
    "\u{0}",
    "TOPK__SOURCE__KAFKA__PROPERTIES__A_B=",
    "\"99999999999999999999d\"",
    "\"0.1ms\"",
    "s3://b/p",
];

pub(super) fn corpus() -> Vec<Vec<u8>> {
    super::owned(&[
        "TOPK__TOPK__K=100\nTOPK__JOB__WORKERS=4\n---\n[job]\nname = \"a\"\nstate = \"file:./x\"\nmax_memory = \"1GiB\"\n",
        "\n---\n[time]\nzone = \"Europe/Zurich\"\nallowed_lateness = \"60s\"\n[retention]\nminute = \"48h\"\nhour = \"forever\"\n",
        "\n---\n[source]\nkind = \"file\"\n[source.kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n",
        "TOPK__WINDOWS__TUMBLING=minute,hour\n---\n[sink]\ntables = \"none\"\nmax_backlog_bytes = \"1MiB\"\n[event]\nkey = [\"a\"]\n",
        "TOPK__SINK__REDIS__URL=rediss://u:p@h:1/0\nTOPK__SOURCE__KAFKA__START=2025-10-19T14:00:00Z\n---\n",
    ])
}

/// Lines of `NAME=VALUE` for the environment, a line `---`, then TOML.
pub(super) fn load(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (variables, file) = text.split_once("\n---\n").unwrap_or(("", &*text));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let loaded = Layers::default()
        .built_in("fuzz.toml", file)
        .environment(variables.map(|(name, value)| (name.into(), value.into())))
        .load();
    if let Err(errors) = loaded.check() {
        for error in errors.iter() {
            let names_its_place = error.key.is_some() || error.origin.is_some() || error.what.contains("fuzz.toml");
            assert!(names_its_place && !error.why.is_empty(), "{error:?}");
        }
    }
    let _ = loaded.show(true);
    if let Err(fault) = Settings::read(&loaded) {
        assert_eq!(fault.exit, Exit::Usage);
        let mistakes =
            fault.why.lines().filter(|line| line.trim_start().starts_with(|digit: char| digit.is_ascii_digit()));
        assert!(mistakes.count() > 0, "{fault}");
    }
}

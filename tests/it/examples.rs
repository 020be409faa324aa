//! The configurations in `config/` are run as they are, but for where services are and names that others may use.

use std::collections::BTreeMap;
use tests::kafka::{Record, create_topic, produce};
use tests::{Setup, dump};

/// A setup of its own with everything else as the example says.
fn of_example(name: &str) -> Setup {
    let path = format!("{}/../config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let example: toml::Table = std::fs::read_to_string(path).expect("it is there").parse().expect("it is TOML");
    let mut flat = BTreeMap::new();
    flatten("", &example, &mut flat);
    let mut setup = Setup::on_services(name);
    for (key, value) in flat {
        if !setup.settings().contains_key(&key) {
            setup.set(&key, value);
        }
    }
    setup
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, toml::Value>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{name}."), inner, into),
            value => drop(into.insert(format!("{prefix}{name}"), value.clone())),
        }
    }
}

#[test]
fn production_counts_exactly() {
    let setup = of_example("production");
    setup.generate(&["--kafka", "--count", "20000", "--videos", "500"]);
    setup.run_until_end();
    setup.recount(&[]).expect_code(0);
}

/// Another key, other members, other tables, fewer windows, shorter lists: settings alone.
#[test]
fn songs_are_counted_by_settings_alone() {
    let setup = of_example("songs");
    create_topic(setup.name(), 2, &[]);
    let play = |partition, song: &str, at: &str| {
        Record::new(partition, format!("{{\"song_id\":\"{song}\",\"played_at\":\"2025-10-19T{at}Z\",\"seconds\":180}}"))
    };
    produce(
        setup.name(),
        &[
            play(0, "blue", "12:00:01"),
            play(0, "blue", "12:10:00"),
            play(1, "red", "12:00:02"),
            play(1, "red", "13:00:00"),
            play(1, "red", "13:20:00"),
            Record::new(0, "{\"video_id\":\"v1\",\"view_timestamp\":1760882400000}"),
        ],
    );
    setup.run_until_end();
    let query = |text: &str| dump::postgres_query(setup.setting("sink.postgres.url"), text);
    let rows = query(&format!(
        "SELECT song_id, views FROM \"{}\".song_plays_hour WHERE window_start = '2025-10-19T12:00:00Z' ORDER BY song_id",
        setup.name()
    ));
    let told: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row["song_id"].as_deref().unwrap_or_default(), row["views"].as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(told, [("blue", "2"), ("red", "1")]);
    let boards = setup.boards();
    let day = &boards["day:2025-10-19"];
    assert_eq!((&day["items"], &day["k"]), (&serde_json::json!([["red", 3], ["blue", 2]]), &200.into()));
    assert!(!boards.keys().any(|key| key.starts_with("minute:")), "{:?}", boards.keys());
    let letters = setup.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["error"], "key_missing");
}

//! docker-compose.yml is not started here, so what can be known without starting it is tested: it runs the services with
//! the settings of tests/services/, and its configuration of topk is one that topk accepts.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::read;

/// The lines of one service in docker-compose.yml, without their indentation.
fn compose_service(name: &str) -> Vec<String> {
    let compose = read("docker-compose.yml");
    let heading = format!("  {name}:");
    let service = compose.lines().skip_while(|line| line.split(" &").next() != Some(&heading)).skip(1);
    let lines: Vec<String> = service
        .take_while(|line| line.starts_with("   ") || line.trim().is_empty())
        .map(|line| line.trim().to_owned())
        .collect();
    assert!(!lines.is_empty(), "docker-compose.yml has no service {name}");
    lines
}

/// `key=value` or `key value` lines of a settings file, without comments and quotes.
fn settings(path: &str) -> BTreeMap<String, String> {
    let content = read(path);
    let lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (key, value) = line.split_once(['=', ' ']).unwrap_or_else(|| panic!("{path}: no value: {line}"));
            (key.trim().to_owned(), value.trim_start_matches([' ', '=']).trim_matches('"').to_owned())
        })
        .collect()
}

#[test]
fn compose_runs_kafka_as_the_tests_do() {
    // Names, ports and folders differ by nature.
    let local = ["LISTENERS", "ADVERTISED_LISTENERS", "LISTENER_SECURITY_PROTOCOL_MAP", "INTER_BROKER_LISTENER_NAME"];
    let local = [&local[..], &["CONTROLLER_QUORUM_VOTERS", "LOG_DIRS"]].concat();
    let service = compose_service("kafka");
    let composed: BTreeMap<String, String> = service
        .iter()
        .filter_map(|line| line.strip_prefix("KAFKA_")?.split_once(": "))
        .filter(|(key, _)| !local.contains(key))
        .map(|(key, value)| (key.to_lowercase().replace('_', "."), value.trim_matches('"').to_owned()))
        .collect();
    assert_eq!(
        composed,
        settings("tests/services/kafka.properties"),
        "change docker-compose.yml and kafka.properties together"
    );

    let pom = read("tests/services/pom.xml");
    let version =
        pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next()).expect("pom.xml names a version");
    for name in ["kafka", "topics"] {
        let image = format!("image: apache/kafka:{version}");
        assert!(compose_service(name).contains(&image), "{name} in docker-compose.yml: the tests run `{image}`");
    }
}

#[test]
fn compose_runs_postgres_as_the_tests_do() {
    let service = compose_service("postgres");
    let composed: BTreeMap<String, String> = service
        .iter()
        .filter_map(|line| line.strip_prefix("- --")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(
        composed,
        settings("tests/services/postgres.conf"),
        "change docker-compose.yml and postgres.conf together"
    );

    let created = service
        .iter()
        .find_map(|line| line.strip_prefix("POSTGRES_INITDB_ARGS: "))
        .expect("compose says how to initdb");
    let created = created.trim_matches('"');
    assert!(read("scripts/services").contains(created), "scripts/services and docker-compose.yml: initdb {created}");
}

#[test]
fn compose_runs_redis_as_the_tests_do() {
    let service = compose_service("redis");
    let words: Vec<&str> =
        service.iter().filter_map(|line| line.strip_prefix("- ")).map(|word| word.trim_matches('"')).collect();
    let composed: BTreeMap<String, String> = words[1..]
        .chunks(2)
        .map(|pair| (pair[0].trim_start_matches("--").to_owned(), pair.get(1).copied().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(composed, settings("tests/services/redis.conf"), "change docker-compose.yml and redis.conf together");
}

#[test]
fn compose_configures_topk_with_known_keys() {
    let compose = read("docker-compose.yml");
    let configs = compose.split("\nconfigs:\n").nth(1).expect("compose has a configs section");
    let content = configs.split("content: |\n").nth(1).expect("the configuration stands in the compose file");
    let content: String =
        content.lines().map_while(|line| line.strip_prefix("      ")).map(|line| line.to_owned() + "\n").collect();
    assert!(content.contains("[sink.redis]"), "the configuration was cut short: {content}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("topk.toml");
    std::fs::write(&file, content).expect("the temporary folder can be written");
    for service in ["job", "reader"] {
        let variables: Vec<(OsString, OsString)> = compose_service(service)
            .iter()
            .filter(|line| line.starts_with("TOPK__"))
            .map(|line| line.split_once(": ").expect("an environment line is NAME: value"))
            .map(|(name, value)| (name.into(), value.trim_matches('"').into()))
            .collect();
        assert_eq!(
            variables.len(),
            1,
            "{service} gets PostgreSQL's address, which holds a password, from the environment"
        );
        let loaded = config::Layers::default().file(&file).environment(variables).load();
        loaded.check().unwrap_or_else(|errors| panic!("docker-compose.yml, {service}: {errors}"));
    }
}

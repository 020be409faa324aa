//! TLS and SASL. The encrypted listener of the test's broker wants both; a binary built without the feature says so.

#[cfg(feature = "kafka-tls")]
use super::all_time;
use super::at;
use tests::Setup;
#[cfg(feature = "kafka-tls")]
use tests::kafka::{self, Record};

fn properties(of: &[(&str, &str)]) -> toml::Value {
    toml::Value::Table(of.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect())
}

#[cfg(not(feature = "kafka-tls"))]
#[test]
fn without_the_feature_its_settings_are_refused_by_its_name() {
    for (name, value) in
        [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN"), ("ssl.ca.location", "/ca.pem")]
    {
        let setup = Setup::on_services("untls").with("source.kafka.properties", properties(&[(name, value)]));
        let told = setup.topk(&["run"]).expect_code(2).stderr;
        assert!(told.contains(&format!("source.kafka.properties: \"{name}\" is refused")), "{told}");
        assert!(told.contains("build with --features kafka-tls"), "{told}");
        let told =
            setup.topk(&["generate", "--kafka", "--count", "1", "--start", "2025-10-19T12:00:00Z"]).expect_code(2);
        assert!(told.stderr.contains("kafka-tls"), "{} {}", told.stderr, at("12:00:00"));
    }
}

#[cfg(feature = "kafka-tls")]
struct Encrypted {
    authority: String,
    password: String,
}

#[cfg(feature = "kafka-tls")]
impl Encrypted {
    fn listener(setup: &mut Setup) -> Self {
        setup.set("source.kafka.brokers", tests::services::kafka_tls());
        let [authority, password] = tests::services::kafka_tls_secrets();
        Encrypted { authority, password }
    }

    fn by(&self, mechanism: &str) -> toml::Value {
        properties(&[
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", &self.authority),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "topk"),
            ("sasl.password", &self.password),
        ])
    }
}

/// Views in, views read, dead letters out, all over the encrypted listener; then recounted over the plain one.
#[cfg(feature = "kafka-tls")]
#[test]
fn views_and_dead_letters_go_over_tls_with_scram_and_plain() {
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let mut setup = Setup::on_services("tls");
        let encrypted = Encrypted::listener(&mut setup);
        setup.set("source.kafka.properties", encrypted.by(mechanism));
        let words = "--kafka --count 5000 --seed 3 --malformed 2 --start 2025-10-19T12:00:00Z --rate 100";
        setup.generate(&words.split(' ').collect::<Vec<_>>());
        let finished = setup.run_until_end();
        assert_eq!(finished.figure("read"), 5000, "{mechanism}");
        assert!(!finished.stderr.contains(&encrypted.password), "the password was printed");
        // The recount and the tests read without encryption.
        setup.set("source.kafka.brokers", tests::services::kafka());
        setup.set("source.kafka.properties", properties(&[]));
        crate::exactness::assert_recounted(&setup, &[]);
        // It is the same cluster, so the same journal goes on over the plain listener.
        kafka::produce(setup.name(), &[Record::view(0, "later", at("12:00:00"))]);
        assert_eq!(setup.run_until_end().figure("read"), 1);
        assert_eq!(all_time(&setup)["later"], 1);
    }
}

/// A certificate that has signed nothing of ours.
#[cfg(feature = "kafka-tls")]
const OTHER_AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUCTAiaeFaw8uX+L20yjuWBlFDGBAwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObm9ib2R5IG9mIG91cnMwIBcNMjYxMTIyMTEyMDA4WhgPMjEy
NjEwMjkxMTIwMDhaMBkxFzAVBgNVBAMMDm5vYm9keSBvZiBvdXJzMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAElPpYAcoTw9qk9+UABky6pQ5XMkUwN+6eBaTef4ik
+si/Ipo3pPjATuIF/S8o5lF43RCXKRJRmSMso9uJBa3WiqNTMFEwHQYDVR0OBBYE
FOWZ9KIEfw+fYUbpfEvuz/9bt+T8MB8GA1UdIwQYMBaAFOWZ9KIEfw+fYUbpfEvu
z/9bt+T8MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAIsK4Qg5
u04gl1/ttGddrykeKxsQxMtaRvCIH15UwZq5AiEAuaWnNquYO9DhgbRju9nj/xLz
A3fY/O3xwY/qgvpjekQ=
-----END CERTIFICATE-----
";

/// Each ends the first start at once, with what is wrong.
#[cfg(feature = "kafka-tls")]
#[test]
fn wrong_credentials_and_unknown_certificates_are_named() {
    let mut setup = Setup::on_services("tlsbad");
    let encrypted = Encrypted::listener(&mut setup);
    kafka::create_topic(setup.name(), 1, &[]);
    let with = |name: &str, value: Option<&str>| {
        let mut properties = encrypted.by("SCRAM-SHA-512");
        let table = properties.as_table_mut().expect("a table");
        match value {
            Some(value) => drop(table.insert(name.to_owned(), value.into())),
            None => drop(table.remove(name)),
        }
        properties
    };
    let other = setup.path("other.pem");
    std::fs::write(&other, OTHER_AUTHORITY).expect("the folder can be written");
    for (properties, expected) in [
        (with("sasl.password", Some("wrong")), "SASL authentication"),
        (with("sasl.username", Some("nobody")), "SASL authentication"),
        (with("ssl.ca.location", Some(other.to_str().expect("UTF-8"))), "certificate verify failed"),
    ] {
        setup.set("source.kafka.properties", properties);
        let told = setup.topk(&["run"]).expect_code(1).stderr;
        // The log before it may have errors of the client's in its lines.
        let error = told.split("\nerror: ").nth(1).unwrap_or_else(|| panic!("{told}"));
        assert!(error.contains(expected) && error.contains("source.kafka.properties"), "{expected}: {told}");
        assert!(!told.contains(&encrypted.password), "the password was printed");
    }
    // Without encryption to the encrypted listener: nobody understands the other, and that is waited for.
    setup.set("source.kafka.properties", properties(&[]));
    let told = setup.topk(&["run"]).expect_code(1).stderr;
    assert!(told.contains("waiting for the source") && told.contains("security.protocol"), "{told}");
}

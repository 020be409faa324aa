//! Where the services are that `./test` starts, and names that no other test and no earlier run has used.

use std::sync::atomic::{AtomicU32, Ordering};
use stream::{Clock, SystemClock};

/// `host:port` of a Kafka broker.
pub fn kafka() -> String {
    address("TOPK_TEST_KAFKA", "host:port of a Kafka broker")
}

/// `host:port` of its listener that wants TLS and SASL.
pub fn kafka_tls() -> String {
    address("TOPK_TEST_KAFKA_TLS", "host:port of a listener with SASL_SSL")
}

/// The file with the certificate of that listener's authority, and the password of the user `topk`.
pub fn kafka_tls_secrets() -> [String; 2] {
    [
        address("TOPK_TEST_KAFKA_AUTHORITY", "a PEM file with the authority of that listener"),
        address("TOPK_TEST_KAFKA_PASSWORD", "the password of its user topk"),
    ]
}

/// `postgres://…` of a database.
pub fn postgres() -> String {
    address("TOPK_TEST_POSTGRES", "postgres://user@host:port/database")
}

/// `redis://…` of a server.
pub fn redis() -> String {
    address("TOPK_TEST_REDIS", "redis://host:port")
}

/// `http://host:port` of a server that speaks S3.
pub fn s3() -> String {
    address("TOPK_TEST_S3", "http://host:port of a server that speaks S3")
}

fn address(variable: &str, form: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} ({form}) is not set: run ./test, or eval \"$(scripts/services start /tmp/topk-services)\" first"
        )
    })
}

/// A name good for topics, schemas, Redis prefixes and jobs: at most 40 bytes of `a-z`, `0-9` and `_`.
pub fn unique(test: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let test: String =
        test.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let millis = SystemClock::default().now().0;
    let name = format!("{test:.14}_{:x}_{:x}_{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed), millis);
    assert!(name.len() <= 40, "{name} is too long");
    name
}

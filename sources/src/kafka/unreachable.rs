//! Which brokers cannot be reached: librdkafka's errors do not name those it was given.

use stream::Fault;

/// What to do about brokers that are away; the one place of these words. One that speaks TLS to a client that does not closes the
/// connection, and librdkafka 2.12 says no more than that.
pub(super) const HINT: &str = "check that the brokers of source.kafka.brokers can be reached, and that source.kafka.properties has the \
     security.protocol that they speak there";

/// The same fault, naming the brokers if they are what it is about.
pub(super) fn named(fault: Fault, brokers: &str) -> Fault {
    if fault.hint != HINT {
        return fault;
    }
    let hint =
        HINT.replace("the brokers of source.kafka.brokers", &format!("the brokers {brokers} (source.kafka.brokers)"));
    Fault { hint, ..fault }
}

#[cfg(test)]
mod tests {
    use super::super::{KafkaSettings, KafkaSource, KafkaStart, KafkaWriter, KafkaWriterSettings};
    use std::collections::BTreeMap;
    use std::net::TcpListener;
    use stream::{Fault, Source};

    /// An address where nobody listens.
    fn nobody() -> String {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().to_string()
    }

    fn assert_named(fault: &Fault, brokers: &str) {
        assert!(
            fault.is_transient() && fault.hint.contains(&format!("the brokers {brokers} (source.kafka")),
            "{fault}"
        );
    }

    #[test]
    fn brokers_that_cannot_be_reached_are_named() {
        let brokers = format!("{},{}", nobody(), nobody());
        let settings = KafkaSettings {
            brokers: brokers.clone(),
            topic: "t".to_owned(),
            group: "g".to_owned(),
            start: KafkaStart::Earliest,
            properties: BTreeMap::new(),
            until_end: false,
        };
        let source = KafkaSource::new(settings).unwrap();
        let fault = source.identity().unwrap_err();
        assert_named(&fault, &brokers);
        assert!(fault.why.contains("Connection refused"), "librdkafka's own words are missing: {fault}");
    }

    #[test]
    fn a_writer_names_them_too() {
        let settings = KafkaWriterSettings {
            brokers: nobody(),
            topic: "t".to_owned(),
            compression: "none".to_owned(),
            properties: BTreeMap::new(),
        };
        let brokers = settings.brokers.clone();
        assert_named(&KafkaWriter::new(settings).unwrap().ensure_topic(1).unwrap_err(), &brokers);
    }
}

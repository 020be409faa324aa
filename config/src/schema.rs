//! The known keys with their types and defaults, read from the compiled-in `default.toml`.

use crate::conditional::Rule;
use crate::value::Value;
use crate::{Origin, nearest};
use toml::de::{DeTable, DeValue};

/// The only place where defaults live.
pub(crate) const DEFAULTS: &str = include_str!("../default.toml");

/// A known key.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// With dots: `sink.postgres.url`.
    pub(crate) key: String,
    /// Its variant is the type of the setting.
    pub(crate) default: Value,
}

/// What `default.toml` says.
pub(crate) struct Schema {
    /// In the order of the file.
    pub(crate) settings: Vec<Setting>,
    /// In the order of the file.
    pub(crate) rules: Vec<Rule>,
}

/// What a dotted key of the user's stands for.
pub(crate) enum Known<'a> {
    Setting(&'a Setting),
    /// An entry of a free table, by the table's setting and the entry's name.
    Property(&'a Setting, &'a str),
    Section,
    Nothing,
}

impl Schema {
    /// The schema that is compiled in. A mistake in it is ours, and any test finds it.
    pub(crate) fn shipped() -> Self {
        let document = DeTable::parse(DEFAULTS).expect("default.toml is TOML");
        let mut settings = Vec::new();
        collect(document.get_ref(), "", &mut settings);
        settings.sort_by_key(|(position, _)| *position);
        let settings: Vec<Setting> = settings.into_iter().map(|(_, setting)| setting).collect();
        let rules = match document.get_ref().get("when").map(|when| when.get_ref()) {
            Some(DeValue::Array(rules)) => rules.iter().map(|rule| Rule::read(rule.get_ref(), &settings)).collect(),
            _ => Vec::new(),
        };
        Self { settings, rules }
    }

    pub(crate) fn find<'a>(&'a self, key: &'a str) -> Known<'a> {
        let within = |outer: &str, inner: &'a str| -> Option<&'a str> { inner.strip_prefix(outer)?.strip_prefix('.') };
        for setting in &self.settings {
            if setting.key == key {
                return Known::Setting(setting);
            }
            if within(key, &setting.key).is_some() {
                return Known::Section;
            }
            if let (Value::Table(_), Some(name)) = (&setting.default, within(&setting.key, key)) {
                return Known::Property(setting, name);
            }
        }
        Known::Nothing
    }

    /// The known key nearest to an unknown one.
    pub(crate) fn nearest(&self, key: &str) -> &str {
        let keys = self.settings.iter().map(|setting| setting.key.as_str());
        nearest::nearest(key, keys).expect("default.toml has keys")
    }
}

/// Every key below `table` with its position in the file; an empty table is a setting: a free one.
fn collect(table: &DeTable<'_>, prefix: &str, settings: &mut Vec<(usize, Setting)>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        let default = match value.get_ref() {
            _ if key == "when" => continue,
            DeValue::Table(inner) if !inner.is_empty() => {
                collect(inner, &format!("{key}."), settings);
                continue;
            }
            DeValue::String(_) => Value::Text(String::new()),
            DeValue::Integer(_) => Value::Integer(0),
            DeValue::Boolean(_) => Value::Boolean(false),
            DeValue::Array(_) => Value::List(Vec::new()),
            DeValue::Table(_) => Value::Table(Default::default()),
            DeValue::Float(_) | DeValue::Datetime(_) => panic!("default.toml: no setting has the type of {key}"),
        };
        let default = Value::from_toml(value.get_ref(), &default, &Origin::Default)
            .unwrap_or_else(|reason| panic!("default.toml: {key}: {reason}"));
        settings.push((name.span().start, Setting { key, default }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toml_layer;

    /// The configuration section of the contract, word for word.
    const CONTRACT: &str = r##"
[job]
name = "video-views"            # journal, fencing and progress are per job name
workers = 2                     # timely worker threads in this process
state = "file:./data"           # journal; s3://bucket/prefix, gs://, az:// by cargo feature
listen = "127.0.0.1:9464"       # /livez /readyz /metrics of the job
drain_timeout = "30s"

[source]
kind = "kafka"                  # kafka | file | generator
[source.kafka]
brokers = "localhost:9092"
topic = "view_events"
group = "topk-video-views"      # offsets are committed for lag monitoring only
start = "earliest"              # earliest | latest | RFC 3339 instant; only when nothing is journaled yet
properties = {}                 # any librdkafka property (TLS, SASL)
[source.file]
path = "views.ndjson"           # a file is one partition, a directory one per file; the partition's identity is the file's name

[event]                         # which JSON members mean what
key = ["video_id", "videoId"]
time = ["view_timestamp", "timestamp"]
dimensions = []                 # ["region"] (later)
max_bytes = 65536
max_key_bytes = 256

[time]
zone = "UTC"
out_of_orderness = "5s"
allowed_lateness = "60s"
idle_timeout = "30s"
max_future_skew = "60s"
max_drift = "10m"

[windows]
tumbling = ["minute", "hour", "day", "month", "all_time"]
sliding = []                    # ["last_hour", "last_24h", "last_30d"] (later)
[retention]                     # tables: a row is guaranteed while its window ends after W - retention; boards: time to live
minute = "48h"
hour = "30d"
day = "400d"
month = "forever"

[topk]
k = 1000
publish_every = "250ms"
[epoch]
interval = "250ms"              # 1s when the state is a bucket: requests cost money
max_events = 1000000
[journal]
retain = "1h"
max_bytes = "64GiB"

[sink]
tables = "postgres"             # postgres | sqlite | none
board = "redis"                 # redis | memory | none
max_backlog_bytes = "256MiB"
[sink.postgres]
url = "postgres://localhost/topk"
schema = "public"
table_prefix = "video_views"
key_column = "video_id"
flush_every = "1s"
top_k_every = "10s"
[sink.sqlite]
path = "./data/topk.db"
[sink.redis]
url = "redis://localhost:6379"
prefix = "topk"
[sink.dead_letters]
topic = "view_events.dead"      # or file = "./data/dead.ndjson" (the default when the source is not Kafka)

[reader]
listen = "127.0.0.1:8080"
postgres_url = ""               # a replica; default the sink's
"##;

    #[test]
    fn every_key_of_the_contract_has_its_default_and_few_are_beside_them() {
        let schema = Schema::shipped();
        let contract = toml_layer::read("contract", CONTRACT, &schema);
        assert_eq!(contract.errors, []);
        let mut expected: Vec<(&str, &Value)> =
            contract.assignments.iter().map(|set| (set.key.as_str(), &set.value)).collect();
        assert_eq!(expected.len(), 50);
        // The contract has it in a comment: a file instead of the topic.
        let no_file = Value::Text(String::new());
        expected.push(("sink.dead_letters.file", &no_file));
        // Ours beside the contract's.
        let never = Value::Text("0B".to_owned());
        expected.push(("sink.dead_letters.rotate_at", &never));
        expected.push(("job.max_memory", &never));
        for file in ["sink.redis.cacert", "sink.redis.cert", "sink.redis.key"] {
            expected.push((file, &no_file));
        }
        let mut found: Vec<(&str, &Value)> =
            schema.settings.iter().map(|setting| (setting.key.as_str(), &setting.default)).collect();
        expected.sort_by_key(|(key, _)| *key);
        found.sort_by_key(|(key, _)| *key);
        assert_eq!(found, expected);
    }

    #[test]
    fn settings_keep_the_order_of_the_file_and_free_tables_end_their_section() {
        let schema = Schema::shipped();
        let position = |key: &str| schema.settings.iter().position(|setting| setting.key == key);
        assert_eq!(position("job.name"), Some(0));
        assert_eq!(position("reader.postgres_url"), Some(schema.settings.len() - 1));
        for pair in schema.settings.windows(2) {
            let section = |setting: &Setting| setting.key.rsplit_once('.').map(|(section, _)| section.to_owned());
            if matches!(pair[0].default, Value::Table(_)) {
                assert_ne!(section(&pair[0]), section(&pair[1]), "{} ends its section", pair[0].key);
            }
        }
    }

    #[test]
    fn sections_settings_and_properties_are_told_apart() {
        let schema = Schema::shipped();
        assert!(matches!(schema.find("sink"), Known::Section));
        assert!(matches!(schema.find("sink.postgres"), Known::Section));
        assert!(matches!(schema.find("sink.tables"), Known::Setting(_)));
        assert!(matches!(schema.find("source.kafka.properties"), Known::Setting(_)));
        assert!(matches!(schema.find("source.kafka.properties.ssl.ca"), Known::Property(_, "ssl.ca")));
        for key in ["", "sin", "sink.", "sink.tables.x", "when", "topk.kk", "source.kafka.propertiesx"] {
            assert!(matches!(schema.find(key), Known::Nothing), "{key}");
        }
    }
}

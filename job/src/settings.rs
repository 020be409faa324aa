//! The job's settings as types, read from the layers that `config` loads. Every wrong value is reported at once.

use config::{Loaded, Reader, Retention};
use runtime::Place;
use serde_json::{Value, json};
use sinks::RedisAddress;
use sources::JsonMapping;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stream::{Fault, TimeRules, WindowKind, Windows, Zone};

/// Where default paths lie, and where `topk top` looks for a running reader.
pub const DATA: &str = "./data";

/// Where records come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceKind {
    /// A Kafka topic.
    Kafka,
    /// A file, or a directory of files.
    File,
    /// Made up here.
    Generator,
}

/// Where tables go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TablesKind {
    /// A Postgres server.
    Postgres,
    /// A SQLite file.
    Sqlite,
    /// Nowhere.
    None,
}

/// Where boards go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BoardKind {
    /// A Redis or Valkey server.
    Redis,
    /// This process.
    Memory,
    /// Nowhere.
    None,
}

/// Everything a command needs to know, checked.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the setting of the same name; config/default.toml says what it means")]
pub struct Settings {
    pub name: String,
    pub workers: usize,
    pub state: Place,
    pub listen: String,
    pub max_memory: Option<u64>,
    pub drain_timeout: Duration,
    pub source: SourceKind,
    pub brokers: String,
    pub topic: String,
    pub group: String,
    pub start: String,
    pub properties: BTreeMap<String, String>,
    pub file: PathBuf,
    pub event: JsonMapping,
    pub rules: TimeRules,
    pub idle_timeout: Duration,
    pub max_drift: Duration,
    pub windows: Windows,
    pub retention: Vec<Option<Duration>>,
    pub k: u32,
    pub publish_every: Duration,
    pub epoch_interval: Duration,
    pub epoch_max_events: u64,
    pub max_backlog: u64,
    pub retain: Duration,
    pub max_journal: u64,
    pub tables: TablesKind,
    pub board: BoardKind,
    pub postgres_url: String,
    pub schema: String,
    pub table_prefix: String,
    pub key_column: String,
    pub flush_every: Duration,
    pub top_k_every: Duration,
    pub sqlite_path: PathBuf,
    pub redis: RedisAddress,
    pub redis_prefix: String,
    pub dead_topic: String,
    pub dead_file: String,
    pub dead_rotate_at: u64,
    pub reader_listen: String,
    pub reader_postgres_url: String,
}

impl Settings {
    /// Read and check everything.
    ///
    /// # Errors
    /// All wrong settings at once, for exit 2.
    pub fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let mut read = loaded.reader();
        let settings = Self::from_reader(&mut read);
        read.finish().map_err(|errors| Fault::usage("the configuration is wrong", errors, ""))?;
        Ok(settings)
    }

    fn from_reader(read: &mut Reader<'_>) -> Self {
        let short = Duration::from_millis(1)..=Duration::from_secs(3600);
        refuse_what_comes_later(read);
        let windows = windows(read);
        Settings {
            name: name(read, "job.name"),
            workers: read.integer("job.workers", 1..=64),
            state: state(read),
            listen: read.required("job.listen"),
            max_memory: max_memory(read),
            drain_timeout: read.duration_within("job.drain_timeout", short.clone()),
            source: read.choice(
                "source.kind",
                &[("kafka", SourceKind::Kafka), ("file", SourceKind::File), ("generator", SourceKind::Generator)],
            ),
            brokers: read.required("source.kafka.brokers"),
            topic: read.required("source.kafka.topic"),
            group: read.required("source.kafka.group"),
            start: start(read),
            properties: read.table("source.kafka.properties"),
            file: PathBuf::from(read.required("source.file.path")),
            event: JsonMapping {
                key: members(read, "event.key"),
                time: members(read, "event.time"),
                max_bytes: read.integer("event.max_bytes", 1..=64 << 20),
                max_key_bytes: read.integer("event.max_key_bytes", 1..=1 << 16),
            },
            rules: TimeRules {
                out_of_orderness: read.duration("time.out_of_orderness"),
                allowed_lateness: read.duration("time.allowed_lateness"),
                max_future_skew: read.duration("time.max_future_skew"),
            },
            idle_timeout: read
                .duration_within("time.idle_timeout", Duration::from_millis(1)..=Duration::from_secs(86_400)),
            max_drift: read.duration("time.max_drift"),
            retention: windows.kinds().iter().map(|kind| retention(read, &kind.name)).collect(),
            windows,
            k: read.integer("topk.k", 1..=1000),
            publish_every: read.duration_within("topk.publish_every", short.clone()),
            epoch_interval: read.duration_within("epoch.interval", short.clone()),
            epoch_max_events: read.integer("epoch.max_events", 1..=100_000_000),
            retain: read.duration("journal.retain"),
            max_journal: max_journal(read),
            max_backlog: read.bytes("sink.max_backlog_bytes"),
            tables: read.choice(
                "sink.tables",
                &[("postgres", TablesKind::Postgres), ("sqlite", TablesKind::Sqlite), ("none", TablesKind::None)],
            ),
            board: read.choice(
                "sink.board",
                &[("redis", BoardKind::Redis), ("memory", BoardKind::Memory), ("none", BoardKind::None)],
            ),
            postgres_url: read.required("sink.postgres.url"),
            schema: identifier(read, "sink.postgres.schema"),
            table_prefix: identifier(read, "sink.postgres.table_prefix"),
            key_column: identifier(read, "sink.postgres.key_column"),
            flush_every: read.duration_within("sink.postgres.flush_every", short.clone()),
            top_k_every: read.duration_within("sink.postgres.top_k_every", short),
            sqlite_path: PathBuf::from(read.required("sink.sqlite.path")),
            redis: redis(read),
            redis_prefix: name(read, "sink.redis.prefix"),
            dead_topic: read.string("sink.dead_letters.topic"),
            dead_file: dead_file(read),
            dead_rotate_at: read.bytes("sink.dead_letters.rotate_at"),
            reader_listen: read.required("reader.listen"),
            reader_postgres_url: read.string("reader.postgres_url"),
        }
    }

    /// Where files go that belong to this machine and not to the journal, `endpoints.json` above all: the directory of
    /// the state, or `./data` when the state is in a bucket.
    pub fn local_state(&self) -> &Path {
        match &self.state {
            Place::Directory(path) => path,
            Place::Bucket(_) => Path::new(DATA),
        }
    }

    /// The settings that decide what counts mean: kept in the genesis record, refused when changed.
    pub fn semantic(&self) -> BTreeMap<String, Value> {
        let zone = self.windows.zone().name();
        let kinds: Vec<&str> = self.windows.kinds().iter().map(|kind| kind.name.as_str()).collect();
        let mut semantic = BTreeMap::from([
            ("time.zone".to_owned(), json!(zone)),
            ("time.out_of_orderness".to_owned(), json!(format!("{:?}", self.rules.out_of_orderness))),
            ("time.allowed_lateness".to_owned(), json!(format!("{:?}", self.rules.allowed_lateness))),
            ("time.max_future_skew".to_owned(), json!(format!("{:?}", self.rules.max_future_skew))),
            ("windows.tumbling".to_owned(), json!(kinds)),
            ("event.key".to_owned(), json!(self.event.key)),
            ("event.time".to_owned(), json!(self.event.time)),
            ("event.max_bytes".to_owned(), json!(self.event.max_bytes)),
            ("event.max_key_bytes".to_owned(), json!(self.event.max_key_bytes)),
            ("event.dimensions".to_owned(), json!([])),
        ]);
        if zone != "UTC" {
            // UTC has no rules that a new tz database could change.
            semantic.insert("tz database".to_owned(), json!(stream::TZDB_VERSION));
        }
        semantic
    }
}

/// Settings whose parts are not built yet are refused by name, never ignored.
fn refuse_what_comes_later(read: &mut Reader<'_>) {
    read.refuse_later("event.dimensions", "ranking by a dimension");
    read.refuse_later("windows.sliding", "sliding windows");
}

fn state(read: &mut Reader<'_>) -> Place {
    let text = read.required("job.state");
    match Place::parse(&text) {
        Ok(place) => {
            let missing = match &place {
                Place::Bucket(bucket) => bucket.service.missing_feature().map(|feature| (bucket.service, feature)),
                Place::Directory(_) => None,
            };
            if let Some((service, feature)) = missing {
                read.reject(
                    "job.state",
                    format!(
                        "a journal in {}:// needs the cargo feature {feature}, which this binary is built without",
                        service.scheme()
                    ),
                    format!("build with --features {feature}, or use file:PATH, such as file:./data"),
                );
            }
            place
        }
        Err((why, hint)) => {
            read.reject("job.state", why, hint);
            Place::Directory(DATA.into())
        }
    }
}

/// Less than this is less than a journal of nothing needs for its own bases.
const LEAST_JOURNAL: u64 = 1 << 20;

fn max_journal(read: &mut Reader<'_>) -> u64 {
    let bytes = read.bytes("journal.max_bytes");
    if bytes < LEAST_JOURNAL {
        read.reject("journal.max_bytes", "reading would pause for ever", "give it 1MiB at least");
    }
    bytes
}

/// Less than this is held before the first record is read.
const LEAST_MEMORY: u64 = 128 << 20;

fn max_memory(read: &mut Reader<'_>) -> Option<u64> {
    let bytes = read.bytes("job.max_memory");
    if (1..LEAST_MEMORY).contains(&bytes) {
        read.reject("job.max_memory", "reading would pause for ever", "give it 128MiB at least, or 0B for no ceiling");
    }
    (bytes > 0).then_some(bytes)
}

fn name(read: &mut Reader<'_>, key: &str) -> String {
    let text = read.required(key);
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.len() > 100 || !text.chars().all(good) || text.starts_with('.') {
        read.reject(
            key,
            "it is used in keys, file names and transactional ids",
            "use letters, digits, '-', '_' and '.', not beginning with '.', at most 100 of them",
        );
    }
    text
}

fn identifier(read: &mut Reader<'_>, key: &str) -> String {
    let text = read.required(key);
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.len() > 40 || text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(good) {
        read.reject(
            key,
            "it names tables or columns",
            "use lower-case letters, digits and '_', not beginning with a digit, at most 40 of them",
        );
    }
    text
}

fn members(read: &mut Reader<'_>, key: &str) -> Vec<String> {
    let names = read.strings(key);
    if names.is_empty() || names.iter().any(String::is_empty) {
        read.reject(key, "no member would ever be found", "name at least one JSON member");
    }
    names
}

fn windows(read: &mut Reader<'_>) -> Windows {
    let zone = read.required("time.zone");
    let zone = Zone::named(&zone).unwrap_or_else(|fault| {
        read.reject("time.zone", &fault.why, &fault.hint);
        Zone::utc()
    });
    let names: Vec<(&str, &str)> = WindowKind::NAMES.iter().map(|name| (*name, *name)).collect();
    let kinds: Vec<WindowKind> =
        read.choices("windows.tumbling", &names).into_iter().filter_map(WindowKind::named).collect();
    Windows::new(kinds, zone).unwrap_or_else(|fault| {
        read.reject("windows.tumbling", &fault.why, &fault.hint);
        Windows::new(vec![WindowKind::of_minutes("minute", 1)], Zone::utc()).expect("one kind is enough")
    })
}

fn retention(read: &mut Reader<'_>, kind: &str) -> Option<Duration> {
    if kind == "all_time" {
        return None;
    }
    let key = format!("retention.{kind}");
    let Retention::For(kept) = read.retention(&key) else { return None };
    if kept < read.duration("time.allowed_lateness") {
        read.reject(&key, "rows would go before their window is final", "keep them for time.allowed_lateness at least");
    }
    Some(kept)
}

fn start(read: &mut Reader<'_>) -> String {
    let start = read.required("source.kafka.start");
    if !["earliest", "latest"].contains(&start.as_str()) && stream::EventTime::parse(&start).is_none() {
        read.reject(
            "source.kafka.start",
            "it is none of earliest, latest and an RFC 3339 instant",
            "write it like 2025-10-19T14:00:00Z",
        );
    }
    start
}

fn redis(read: &mut Reader<'_>) -> RedisAddress {
    let mut file = |key| Some(read.string(key)).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (cacert, cert, key) = (file("sink.redis.cacert"), file("sink.redis.cert"), file("sink.redis.key"));
    RedisAddress { url: read.required("sink.redis.url"), cacert, cert, key }
}

fn dead_file(read: &mut Reader<'_>) -> String {
    let (topic, file) = (read.string("sink.dead_letters.topic"), read.string("sink.dead_letters.file"));
    if !topic.is_empty() && !file.is_empty() {
        read.reject("sink.dead_letters.file", "sink.dead_letters.topic is given too", "give one of the two");
    }
    if topic.is_empty() && file.is_empty() {
        read.reject(
            "sink.dead_letters.topic",
            "dead letters would be lost",
            "name a topic, or a file in sink.dead_letters.file",
        );
    }
    file
}

//! Typed access to the settings that goes on after a mistake, so that one run reports them all.
//!
//! After a mistake a reading gives the setting's default. That value is never used: [`Reader::finish`] fails.

use crate::loaded::Entry;
use crate::quantity::{duration, retention, size, spell_duration, spell_size};
use crate::show::masked;
use crate::value::{Value, quote};
use crate::{ConfigError, ConfigErrors, Loaded, Retention, nearest};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Reads typed values and collects what is wrong with them.
///
/// Keys are those of `default.toml`; naming another one, or one of another type, is a mistake of the program and panics.
#[derive(Debug)]
#[must_use]
pub struct Reader<'a> {
    loaded: &'a Loaded,
    errors: Vec<ConfigError>,
    read: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(loaded: &'a Loaded) -> Self {
        Self { loaded, errors: loaded.errors.clone(), read: BTreeSet::new() }
    }

    /// `Ok` if nothing at all was wrong, neither here nor while loading.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        ConfigErrors::check(self.errors)
    }

    /// Any string.
    pub fn string(&mut self, key: &str) -> String {
        text(key, &self.entry(key).value).to_owned()
    }

    /// A string that is not empty.
    pub fn required(&mut self, key: &str) -> String {
        let text = self.string(key);
        if text.is_empty() {
            let hint = match self.default(key) {
                default if default == "\"\"" => "set it".to_owned(),
                default => format!("set it, or remove it for the default {default}"),
            };
            self.push(key, format!("{key} is empty"), "there is nothing to do without it".to_owned(), hint);
        }
        text
    }

    /// Any list of strings.
    pub fn strings(&mut self, key: &str) -> Vec<String> {
        list(key, &self.entry(key).value).to_vec()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> bool {
        match self.entry(key).value {
            Value::Boolean(boolean) => boolean,
            ref other => wrong_type(key, "a boolean", other),
        }
    }

    /// The entries of a free table.
    pub fn table(&mut self, key: &str) -> BTreeMap<String, String> {
        match &self.entry(key).value {
            Value::Table(entries) => {
                entries.iter().map(|(name, property)| (name.clone(), property.text.clone())).collect()
            }
            other => wrong_type(key, "a table", other),
        }
    }

    /// An integer of the range.
    pub fn integer<T>(&mut self, key: &str, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let entry = self.entry(key);
        let convert = |value: &Value| match value {
            Value::Integer(integer) => T::try_from(*integer).ok().filter(|integer| range.contains(integer)),
            other => wrong_type(key, "an integer", other),
        };
        convert(&entry.value).unwrap_or_else(|| {
            self.out_of_range(key, range.start(), range.end());
            convert(&entry.default).unwrap_or(*range.start())
        })
    }

    /// One of the allowed words, as what stands beside it.
    pub fn choice<T: Clone>(&mut self, key: &str, allowed: &[(&str, T)]) -> T {
        let entry = self.entry(key);
        find(text(key, &entry.value), allowed).unwrap_or_else(|| {
            self.not_allowed(key, text(key, &entry.value), allowed);
            find(text(key, &entry.default), allowed).unwrap_or_else(|| allowed[0].1.clone())
        })
    }

    /// A list of allowed words, each at most once, as what stands beside them; in the user's order.
    pub fn choices<T: Clone>(&mut self, key: &str, allowed: &[(&str, T)]) -> Vec<T> {
        let words = list(key, &self.entry(key).value);
        let mut chosen = Vec::new();
        for (index, word) in words.iter().enumerate() {
            match find(word, allowed) {
                Some(_) if words[..index].contains(word) => {
                    let what = format!("{key} names {} twice", quote(word));
                    self.push(key, what, "each may stand there once".to_owned(), "remove one of them".to_owned());
                }
                Some(choice) => chosen.push(choice),
                None => self.not_allowed(key, word, allowed),
            }
        }
        chosen
    }

    /// A duration such as `250ms`, `5s`, `1m`, `1h` or `30d`; `0s` is one.
    pub fn duration(&mut self, key: &str) -> Duration {
        self.parsed(key, duration).unwrap_or_default()
    }

    /// A duration of the range.
    pub fn duration_within(&mut self, key: &str, range: RangeInclusive<Duration>) -> Duration {
        let duration = self.parsed(key, duration);
        if duration.is_some_and(|duration| !range.contains(&duration)) {
            self.out_of_range(key, spell_duration(*range.start()), spell_duration(*range.end()));
        }
        duration.unwrap_or(*range.start())
    }

    /// `forever` or a duration.
    pub fn retention(&mut self, key: &str) -> Retention {
        self.parsed(key, retention).unwrap_or(Retention::Forever)
    }

    /// A size in bytes such as `256MiB`.
    pub fn bytes(&mut self, key: &str) -> u64 {
        self.parsed(key, size).unwrap_or_default()
    }

    /// A size in bytes of the range.
    pub fn bytes_within(&mut self, key: &str, range: RangeInclusive<u64>) -> u64 {
        let bytes = self.parsed(key, size);
        if bytes.is_some_and(|bytes| !range.contains(&bytes)) {
            self.out_of_range(key, spell_size(*range.start()), spell_size(*range.end()));
        }
        bytes.unwrap_or(*range.start())
    }

    /// Adds an error of the caller's about the value of `key`: why it cannot be, and what to do.
    pub fn reject(&mut self, key: &str, why: impl Into<String>, hint: impl Into<String>) {
        let what = format!("{key} = {} cannot be used", masked(self.entry(key)).to_toml());
        self.push(key, what, why.into(), hint.into());
    }

    /// Refuses by name what is known but not built yet, `what`, if the string, list or table is not empty.
    pub fn refuse_later(&mut self, key: &str, what: &str) {
        let is_used = match &self.entry(key).value {
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Table(entries) => !entries.is_empty(),
            other => wrong_type(key, "something that can be empty", other),
        };
        self.refuse_later_if(key, is_used, what);
    }

    /// Refuses by name what is known but not built yet, `what`, if the caller found that `key` asks for it.
    pub fn refuse_later_if(&mut self, key: &str, is_used: bool, what: &str) {
        if is_used {
            let hint = format!("remove it; the default is {}", self.default(key));
            self.reject(key, format!("{what}: known, but this version cannot do it yet"), hint);
        }
    }

    /// Whether the user set `key`, as opposed to a default.
    pub fn is_set(&mut self, key: &str) -> bool {
        self.entry(key).origin.is_set()
    }

    /// The keys that nothing has read so far. A setting that nobody reads is ignored in silence: let a test see that there is none.
    pub fn unread(&self) -> Vec<&'a str> {
        let keys = self.loaded.entries.iter().map(|entry| entry.key.as_str());
        keys.filter(|key| !self.read.contains(key)).collect()
    }

    fn entry(&mut self, key: &str) -> &'a Entry {
        let entry = self.loaded.entry(key);
        self.read.insert(&entry.key);
        entry
    }

    /// The default as TOML.
    fn default(&self, key: &str) -> String {
        self.loaded.entry(key).default.to_toml()
    }

    /// The text of `key` read by `parse`, else an error and the default.
    fn parsed<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.entry(key);
        let parsed = parse(text(key, &entry.value));
        if let Err(reason) = &parsed {
            let hint = format!("write it like the default, {}", self.default(key));
            self.reject(key, reason, hint);
        }
        parsed.ok()
    }

    fn out_of_range(&mut self, key: &str, least: impl Display, most: impl Display) {
        self.reject(key, format!("it must be {least} to {most}"), format!("the default is {}", self.default(key)));
    }

    fn not_allowed<T>(&mut self, key: &str, word: &str, allowed: &[(&str, T)]) {
        let words = || allowed.iter().map(|(word, _)| *word);
        let why = format!("allowed are {}", words().map(quote).collect::<Vec<_>>().join(", "));
        let nearest = nearest::nearest(word, words()).expect("a choice allows something");
        let hint = format!("did you mean {}?", quote(nearest));
        let what = match self.entry(key).value {
            Value::List(_) => format!("{key} contains {}", quote(word)),
            _ => format!("{key} is {}", quote(word)),
        };
        self.push(key, what, why, hint);
    }

    fn push(&mut self, key: &str, what: String, why: String, hint: String) {
        let origin = Some(self.entry(key).origin.clone());
        self.errors.push(ConfigError { key: Some(key.to_owned()), origin, what, why, hint });
    }
}

fn find<T: Clone>(word: &str, allowed: &[(&str, T)]) -> Option<T> {
    allowed.iter().find(|(name, _)| *name == word).map(|(_, choice)| choice.clone())
}

fn text<'a>(key: &str, value: &'a Value) -> &'a str {
    match value {
        Value::Text(text) => text,
        other => wrong_type(key, "a string", other),
    }
}

fn list<'a>(key: &str, value: &'a Value) -> &'a [String] {
    match value {
        Value::List(items) => items,
        other => wrong_type(key, "a list", other),
    }
}

/// The type of every value is that of its default, so this is the caller's mistake.
fn wrong_type(key: &str, wanted: &str, value: &Value) -> ! {
    panic!("{key} is read as {wanted}, but default.toml has {}", value.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layers;

    fn loaded(text: &str) -> Loaded {
        Layers::default().built_in("topk.toml", text).load()
    }

    fn errors(read: Reader<'_>) -> Vec<String> {
        let errors = read.finish().err();
        errors.iter().flat_map(ConfigErrors::iter).map(ToString::to_string).collect()
    }

    #[test]
    fn every_type_is_read() {
        let loaded = loaded(
            "[source]\nkind = \"file\"\n[source.kafka.properties]\nsecurity.protocol = \"SSL\"\n[windows]\ntumbling = [\"day\", \"hour\"]\n\
             [retention]\nhour = \"1h\"\n",
        );
        let mut read = loaded.reader();
        assert_eq!(read.string("job.name"), "video-views");
        assert_eq!(read.required("source.kafka.brokers"), "localhost:9092");
        assert_eq!(read.strings("event.key"), ["video_id", "videoId"]);
        assert_eq!(read.table("source.kafka.properties"), BTreeMap::from([("security.protocol".into(), "SSL".into())]));
        assert_eq!(read.integer::<u32>("topk.k", 1..=1000), 1000);
        assert_eq!(read.integer::<i64>("event.max_bytes", i64::MIN..=i64::MAX), 65536);
        assert_eq!(read.choice("source.kind", &[("kafka", 'k'), ("file", 'f')]), 'f');
        assert_eq!(read.choices("windows.tumbling", &[("hour", 1), ("day", 2)]), [2, 1]);
        assert_eq!(read.duration("epoch.interval"), Duration::from_millis(250));
        let second = Duration::from_secs(1);
        assert_eq!(read.duration_within("sink.postgres.flush_every", second..=second), second);
        assert_eq!(read.retention("retention.month"), Retention::Forever);
        assert_eq!(read.retention("retention.hour"), Retention::For(Duration::from_secs(3600)));
        assert_eq!(read.bytes("journal.max_bytes"), 64 << 30);
        assert_eq!(read.bytes_within("sink.max_backlog_bytes", 1..=1 << 28), 1 << 28);
        assert!(read.is_set("source.kind") && !read.is_set("job.name"));
        read.refuse_later("windows.sliding", "sliding windows");
        read.refuse_later_if("job.state", false, "buckets");
        read.finish().unwrap();
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_origin() {
        let loaded = Layers::default()
            .built_in(
                "topk.toml",
                "[job]\nnmae = \"x\"\nstate = \"s3://b\"\n[source]\nkind = \"kafak\"\n[windows]\ntumbling = [\"hour\", \"dya\", \"hour\"]\n\
                 sliding = [\"last_hour\"]\n[retention]\nday = \"ever\"\n[journal]\nmax_bytes = \"64\"\n[time]\nzone = \"Mars/Olympus\"\n\
                 [source.kafka]\ntopic = \"\"\n",
            )
            .environment([("TOPK__EPOCH__INTERVAL".into(), "-5s".into())])
            .flag("--top", "topk.k", 5000)
            .flag("--every", "topk.publish_every", "0s")
            .load();
        let mut read = loaded.reader();
        assert_eq!(read.integer("topk.k", 1..=1000), 1000);
        assert_eq!(read.integer::<u8>("event.max_bytes", 1..=255), 1);
        read.duration("epoch.interval");
        read.duration_within("topk.publish_every", Duration::from_millis(10)..=Duration::from_secs(60));
        assert_eq!(read.choice("source.kind", &[("file", 'f'), ("kafka", 'k')]), 'k');
        assert_eq!(read.choices("windows.tumbling", &[("hour", 1), ("day", 2)]), [1]);
        read.retention("retention.day");
        read.bytes("journal.max_bytes");
        read.bytes_within("sink.max_backlog_bytes", 1..=1024);
        read.required("source.kafka.topic");
        read.reject("time.zone", "no such zone", "use an IANA name");
        read.refuse_later("windows.sliding", "sliding windows");
        read.refuse_later_if("job.state", true, "a journal in a bucket");
        let found = errors(read);
        let expected = [
            "job.nmae is not a known key (from topk.toml:2)\nwhy: the nearest known key is job.name\nwhat to do: write job.name or remove it",
            "topk.k = 5000 cannot be used (from flag --top)\nwhy: it must be 1 to 1000\nwhat to do: the default is 1000",
            "event.max_bytes = 65536 cannot be used (default)\nwhy: it must be 1 to 255",
            "epoch.interval = \"-5s\" cannot be used (from env TOPK__EPOCH__INTERVAL)\nwhy: it is negative\nwhat to do: write it like the default, \
             \"250ms\"",
            "topk.publish_every = \"0s\" cannot be used (from flag --every)\nwhy: it must be 10ms to 1m",
            "source.kind is \"kafak\" (from topk.toml:5)\nwhy: allowed are \"file\", \"kafka\"\nwhat to do: did you mean \"kafka\"?",
            "windows.tumbling contains \"dya\" (from topk.toml:7)\nwhy: allowed are \"hour\", \"day\"\nwhat to do: did you mean \"day\"?",
            "windows.tumbling names \"hour\" twice (from topk.toml:7)",
            "retention.day = \"ever\" cannot be used (from topk.toml:10)\nwhy: it does not begin with a whole number",
            "journal.max_bytes = \"64\" cannot be used (from topk.toml:12)\nwhy: it has no unit",
            "sink.max_backlog_bytes = \"256MiB\" cannot be used (default)\nwhy: it must be 1B to 1KiB",
            "source.kafka.topic is empty (from topk.toml:16)",
            "time.zone = \"Mars/Olympus\" cannot be used (from topk.toml:14)\nwhy: no such zone\nwhat to do: use an IANA name",
            "windows.sliding = [\"last_hour\"] cannot be used (from topk.toml:8)\nwhy: sliding windows: known, but this version cannot do it yet\n\
             what to do: remove it; the default is []",
            "job.state = \"s3://b\" cannot be used (from topk.toml:3)\nwhy: a journal in a bucket: known",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (error, start) in found.iter().zip(expected) {
            assert!(error.starts_with(start), "{error}\n---\n{start}");
        }
    }

    #[test]
    fn a_rejected_value_is_masked() {
        let loaded = loaded(
            "[sink.postgres]\nurl = \"postgres://u:hunter2@h\"\n[source.kafka.properties]\nsasl.password = \"hunter2\"",
        );
        let mut read = loaded.reader();
        read.reject("sink.postgres.url", "no", "other");
        read.reject("source.kafka.properties", "no", "other");
        let found = errors(read).concat();
        assert!(!found.contains("hunter2") && found.contains("***@h"), "{found}");
    }

    #[test]
    fn keys_that_nobody_reads_are_known() {
        let loaded = loaded("");
        let mut read = loaded.reader();
        let before = read.unread();
        assert!(before.contains(&"topk.k"));
        read.integer("topk.k", 1..=1000);
        assert_eq!(read.unread().len(), before.len() - 1);
        assert!(!read.unread().contains(&"topk.k"));
    }

    #[test]
    #[should_panic(expected = "default.toml has no key topk.kk")]
    fn reading_a_key_that_does_not_exist_is_our_mistake() {
        let loaded = loaded("");
        loaded.reader().string("topk.kk");
    }

    #[test]
    #[should_panic(expected = "topk.k is read as a string, but default.toml has an integer")]
    fn reading_another_type_is_our_mistake() {
        let loaded = loaded("");
        loaded.reader().string("topk.k");
    }
}

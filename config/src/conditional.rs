//! Defaults that depend on other settings: the `[[when]]` tables of `default.toml`.

use crate::schema::Setting;
use crate::value::{Value, quote};
use crate::{Loaded, Origin};
use toml::de::DeValue;

/// If the text of `key` fulfils `condition`, the keys of `set` have other defaults.
#[derive(Debug)]
pub(crate) struct Rule {
    key: String,
    condition: Condition,
    words: Vec<String>,
    set: Vec<(String, Value)>,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    StartsWith,
    IsNot,
}

impl Rule {
    /// Reads one `[[when]]` table; what is wrong with it is our mistake.
    pub(crate) fn read(rule: &DeValue<'_>, settings: &[Setting]) -> Self {
        let setting = |key: &str| {
            let found = settings.iter().find(|setting| setting.key == key);
            found.unwrap_or_else(|| panic!("default.toml: [[when]] names {key}, which is not a key"))
        };
        let read = |given: &DeValue<'_>, like: &Value| {
            Value::from_toml(given, like, &Origin::Default)
                .unwrap_or_else(|reason| panic!("default.toml: [[when]]: {reason}"))
        };
        let key = rule.get("key").and_then(|key| key.get_ref().as_str()).expect("[[when]] has a key");
        assert!(
            matches!(setting(key).default, Value::Text(_)),
            "default.toml: [[when]] compares texts, and {key} is none"
        );
        let (condition, words) = [("starts_with", Condition::StartsWith), ("is_not", Condition::IsNot)]
            .into_iter()
            .find_map(|(name, condition)| Some((condition, rule.get(name)?.get_ref())))
            .expect("[[when]] has a condition");
        let Value::List(words) = read(words, &Value::List(Vec::new())) else { unreachable!("read as a list") };
        let set = rule.get("set").and_then(|set| set.get_ref().as_table()).expect("[[when]] sets something");
        assert_eq!(
            rule.as_table().map(|rule| rule.len()),
            Some(3),
            "default.toml: [[when]] has a key, one condition and `set`"
        );
        let set = set
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), read(value.get_ref(), &setting(key.get_ref()).default)))
            .collect();
        Self { key: key.to_owned(), condition, words, set }
    }

    /// Applies the rule, as a whole and only where nothing but the plain default is in force.
    pub(crate) fn apply(&self, loaded: &mut Loaded) {
        let Value::Text(text) = &loaded.entry(&self.key).value else { unreachable!("checked when read") };
        let Some(reason) = self.reason(text) else { return };
        if self.set.iter().any(|(key, _)| loaded.entry(key).origin != Origin::Default) {
            return;
        }
        for (key, value) in &self.set {
            let entry = loaded.entry_mut(key);
            entry.default = value.clone();
            entry.value = value.clone();
            entry.origin = Origin::Conditional(reason.clone());
        }
    }

    /// Why the condition holds, in words; `None` if it does not.
    fn reason(&self, text: &str) -> Option<String> {
        let key = &self.key;
        let one_of = |matches: fn(&str, &str) -> bool| self.words.iter().find(|word| matches(text, word));
        match self.condition {
            Condition::StartsWith => {
                one_of(|text, word| text.starts_with(word)).map(|word| format!("{key} starts with {}", quote(word)))
            }
            Condition::IsNot => {
                let words = self.words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" or ");
                one_of(|text, word| text == word).is_none().then(|| format!("{key} is not {words}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Layers, Loaded};

    fn loaded(text: &str) -> Loaded {
        let loaded = Layers::default().built_in("topk.toml", text).load();
        loaded.check().unwrap();
        loaded
    }

    #[test]
    fn epochs_are_longer_on_buckets_unless_the_user_says_otherwise() {
        for (text, interval, origin) in [
            ("", "250ms", "default"),
            ("job.state = \"file:/s3://\"", "250ms", "default"),
            ("job.state = \"s3://b/p\"", "1s", "default because job.state starts with \"s3://\""),
            ("job.state = \"az://b\"", "1s", "default because job.state starts with \"az://\""),
            ("job.state = \"gs://b\"\nepoch.interval = \"250ms\"", "250ms", "from topk.toml:2"),
        ] {
            let loaded = loaded(text);
            assert_eq!(loaded.reader().string("epoch.interval"), interval, "{text}");
            assert_eq!(loaded.origin("epoch.interval").to_string(), origin, "{text}");
        }
    }

    #[test]
    fn dead_letters_go_to_one_place() {
        let default_file = "./data/dead.ndjson";
        for (text, topic, file) in [
            ("", "view_events.dead", ""),
            ("source.kind = \"kafka\"", "view_events.dead", ""),
            ("source.kind = \"file\"", "", default_file),
            ("source.kind = \"generator\"", "", default_file),
            ("source.kind = \"file\"\nsink.dead_letters.file = \"mine\"", "", "mine"),
            ("sink.dead_letters.file = \"mine\"", "", "mine"),
            // A topic asked for by name is kept, whatever the source.
            ("source.kind = \"file\"\nsink.dead_letters.topic = \"mine\"", "mine", ""),
            // Both is a contradiction for the job to refuse, not for us to resolve.
            ("sink.dead_letters.topic = \"a\"\nsink.dead_letters.file = \"b\"", "a", "b"),
        ] {
            let loaded = loaded(text);
            let mut read = loaded.reader();
            assert_eq!(
                (read.string("sink.dead_letters.topic").as_str(), read.string("sink.dead_letters.file").as_str()),
                (topic, file),
                "{text}"
            );
        }
    }

    #[test]
    fn a_conditional_default_counts_as_not_set() {
        let loaded = loaded("source.kind = \"file\"");
        assert!(!loaded.reader().is_set("sink.dead_letters.file"));
        assert_eq!(loaded.origin("sink.dead_letters.file").to_string(), "default because source.kind is not \"kafka\"");
    }
}

//! The values of a TOML text, each checked against the known keys and their types.

use crate::schema::{Known, Schema};
use crate::value::Value;
use crate::{ConfigError, Origin, mask_url};
use toml::de::{DeTable, DeValue};

/// A value that a layer gives to a known key.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What a layer says, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) errors: Vec<ConfigError>,
}

/// Reads a whole document; `name` is what its origin is called.
pub(crate) fn read(name: &str, text: &str, schema: &Schema) -> Layer {
    let mut layer = Layer::default();
    match DeTable::parse(text) {
        Ok(document) => Walk { name, text, schema, layer: &mut layer }.section(document.get_ref(), ""),
        Err(error) => layer.errors.push(syntax_error(name, text, &error)),
    }
    layer
}

/// The error for a value that is not of its setting's type.
pub(crate) fn type_error(key: &str, default: &Value, reason: String, origin: Origin) -> ConfigError {
    ConfigError {
        key: Some(key.to_owned()),
        origin: Some(origin),
        what: format!("{key} must be {}", default.kind()),
        why: reason,
        hint: format!("write it like the default, {}", default.to_toml()),
    }
}

/// The error for a section that is given a value of its own.
pub(crate) fn section_error(key: &str, schema: &Schema, origin: Origin) -> ConfigError {
    let inside = schema.settings.iter().find(|setting| setting.key.starts_with(&format!("{key}.")));
    ConfigError {
        key: Some(key.to_owned()),
        origin: Some(origin),
        what: format!("{key} is a section and takes no value"),
        why: "a section only groups keys".to_owned(),
        hint: inside.map_or_else(String::new, |setting| format!("set a key in it, such as {}", setting.key)),
    }
}

/// The error for a key that nobody knows; `spell` writes a key as this layer does.
pub(crate) fn unknown_key(key: &str, schema: &Schema, origin: Origin, spell: fn(&str) -> String) -> ConfigError {
    let nearest = schema.nearest(key);
    ConfigError {
        key: Some(key.to_owned()),
        origin: Some(origin),
        what: format!("{key} is not a known key"),
        why: format!("the nearest known key is {nearest}"),
        hint: format!("write {} or remove it; `topk config show` prints all keys", spell(nearest)),
    }
}

struct Walk<'a> {
    name: &'a str,
    text: &'a str,
    schema: &'a Schema,
    layer: &'a mut Layer,
}

impl Walk<'_> {
    fn section(&mut self, table: &DeTable<'_>, prefix: &str) {
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in members {
            let key = format!("{prefix}{}", name.get_ref());
            let origin =
                Origin::File { name: self.name.to_owned(), line: line_and_column(self.text, name.span().start).0 };
            // A quoted name with dots is one name, not a path.
            let known = if name.get_ref().contains('.') { Known::Nothing } else { self.schema.find(&key) };
            match (known, value.get_ref()) {
                (Known::Setting(setting), value) => match Value::from_toml(value, &setting.default, &origin) {
                    Ok(value) => self.layer.assignments.push(Assignment { key, value, origin }),
                    Err(reason) => self.layer.errors.push(type_error(&key, &setting.default, reason, origin)),
                },
                (Known::Section, DeValue::Table(inner)) => self.section(inner, &format!("{key}.")),
                (Known::Section, _) => self.layer.errors.push(section_error(&key, self.schema, origin)),
                (_, DeValue::Table(inner)) if !inner.is_empty() => self.section(inner, &format!("{key}.")),
                _ => self.layer.errors.push(unknown_key(&key, self.schema, origin, str::to_owned)),
            }
        }
    }
}

/// Points at the place with the line itself and a caret, unless the line holds a secret.
fn syntax_error(name: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
    let source = text.lines().nth(line - 1).unwrap_or_default();
    let masked = mask_url(source);
    let caret = if masked == source { format!("\n  {}^", " ".repeat(column - 1)) } else { String::new() };
    ConfigError {
        key: None,
        origin: Some(Origin::File { name: name.to_owned(), line }),
        what: format!("{name} is not valid TOML at line {line}, column {column}"),
        why: format!("{}\n  {masked}{caret}", error.message()),
        hint: "correct that line; texts need quotes".to_owned(),
    }
}

/// Both counted from 1; the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        read("topk.toml", text, &Schema::shipped()).errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_syntax_error_shows_the_line_with_a_caret() {
        let found = errors("[job]\nname = \"é\"\nworkers = = 2\n[topk]\nkk = 1\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("not valid TOML at line 3, column 11 (from topk.toml:3)"), "{}", found[0]);
        assert!(found[0].contains("\n  workers = = 2\n            ^\n"), "{}", found[0]);
    }

    #[test]
    fn a_key_given_twice_is_a_syntax_error() {
        let found = errors("[topk]\nk = 1\nk = 2\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("line 3") && found[0].contains("duplicate"), "{}", found[0]);
    }

    #[test]
    fn a_syntax_error_beside_a_secret_hides_it() {
        for line in [r#"url = "postgres://u:hunter2@h/db"#, r#"properties = { "sasl.password" = "hunter2", = }"#] {
            let found = errors(&format!("[sink.postgres]\n{line}\n"));
            assert_eq!(found.len(), 1);
            assert!(found[0].contains("***") && !found[0].contains("hunter2"), "{}", found[0]);
        }
    }

    #[test]
    fn an_empty_text_and_a_text_without_final_newline_are_fine() {
        assert_eq!(errors(""), Vec::<String>::new());
        assert_eq!(errors("[topk]\nk = 5"), Vec::<String>::new());
        assert_eq!(errors("[topk"), errors("[topk"));
        assert_eq!(errors("[topk").len(), 1);
    }

    #[test]
    fn unknown_keys_at_every_depth_are_named_with_their_line() {
        let found = errors(
            "nmae = 1\n[topk]\nkk = 2\n[sinks.redis]\nurl = \"x\"\n[empty]\n\"topk.k\" = 5\n[[when]]\nkey = \"x\"\n",
        );
        let first_lines: Vec<&str> = found.iter().filter_map(|error| error.lines().next()).collect();
        assert_eq!(
            first_lines,
            [
                "nmae is not a known key (from topk.toml:1)",
                "topk.kk is not a known key (from topk.toml:3)",
                "sinks.redis.url is not a known key (from topk.toml:5)",
                "empty.topk.k is not a known key (from topk.toml:7)",
                "when is not a known key (from topk.toml:8)",
            ]
        );
        assert!(found[0].contains("nearest known key is job.name"), "{}", found[0]);
        assert!(found[1].contains("nearest known key is topk.k"), "{}", found[1]);
        assert!(found[2].contains("nearest known key is sink.redis.url"), "{}", found[2]);
        assert_eq!(errors("\"topk.k\" = 5").len(), 1);
        assert_eq!(errors("[nothing]").len(), 1);
    }

    #[test]
    fn wrong_types_say_what_is_expected_and_what_is_there() {
        let found = errors(
            "sink = \"postgres\"\n[job]\nworkers = \"two\"\nname = 5\n[event]\nkey = \"id\"\ntime = [1]\nmax_bytes = 99999999999999999999\n\
             [epoch.interval]\na = 1\n[source.kafka]\nproperties = { a = [1] }\n",
        );
        let expected = [
            ("sink is a section and takes no value", "such as sink.tables"),
            ("job.workers must be an integer", "it is a string"),
            ("job.name must be a string", "it is an integer"),
            ("event.key must be a list of strings", "it is a string"),
            ("event.time must be a list of strings", "one of its items is an integer"),
            ("event.max_bytes must be an integer", "64 bits"),
            ("epoch.interval must be a string", "it is a section\nwhat to do: write it like the default, \"250ms\""),
            ("source.kafka.properties must be a table of strings", "its entry a is a list"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (error, (what, why)) in found.iter().zip(expected) {
            assert!(error.starts_with(what) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn instants_and_property_names_need_no_quotes() {
        let layer = read(
            "topk.toml",
            "[source.kafka]\nstart = 2025-10-19T14:00:00Z\n[source.kafka.properties]\nsecurity.protocol = \"SSL\"\n\"fetch.min.bytes\" = 10\n\
             check.crcs = true\n",
            &Schema::shipped(),
        );
        assert_eq!(layer.errors, []);
        assert_eq!(layer.assignments[0].value, Value::Text("2025-10-19T14:00:00Z".into()));
        let Value::Table(properties) = &layer.assignments[1].value else { panic!("a table") };
        let properties: Vec<_> =
            properties.iter().map(|(name, property)| (name.as_str(), property.text.as_str())).collect();
        assert_eq!(properties, [("check.crcs", "true"), ("fetch.min.bytes", "10"), ("security.protocol", "SSL")]);
    }
}

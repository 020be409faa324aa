//! The settings in force as TOML that can be fed back in, with secrets masked and, if wanted, each value's origin.

use crate::loaded::Entry;
use crate::secret::{MASK, is_secret_name, mask_url};
use crate::value::{Property, Value, quote};
use crate::{Loaded, Origin};

impl Loaded {
    /// All settings as TOML; with `origin`, a comment behind each says where its value came from.
    ///
    /// Fed back in, it gives the same settings, except that a masked secret (`***`) has to be given again.
    #[must_use]
    pub fn show(&self, origin: bool) -> String {
        let mut sections: Vec<(String, Vec<Line>)> = Vec::new();
        for entry in &self.entries {
            let (section, name) = entry.key.rsplit_once('.').unwrap_or(("", &entry.key));
            match &entry.value {
                // A section of its own, so that each property has a line with its origin. `default.toml` has a free table last in
                // its section, where a section of its own may begin.
                Value::Table(properties) if !properties.is_empty() => {
                    sections.push((entry.key.clone(), properties.iter().map(Line::of_property).collect()));
                }
                _ => {
                    if sections.last().is_none_or(|(last, _)| last != section) {
                        sections.push((section.to_owned(), Vec::new()));
                    }
                    let (_, lines) = sections.last_mut().expect("just pushed");
                    lines.push(Line { text: format!("{name} = {}", masked(entry).to_toml()), origin: &entry.origin });
                }
            }
        }
        let sections = sections.iter().map(|(section, lines)| {
            let width = lines.iter().map(|line| line.text.chars().count()).max().unwrap_or(0);
            let lines = lines.iter().map(|line| match origin {
                true => format!("{:width$}  # {}\n", line.text, line.origin.to_string().replace(char::is_control, "?")),
                false => format!("{}\n", line.text),
            });
            format!("[{section}]\n{}", lines.collect::<String>())
        });
        sections.collect::<Vec<_>>().join("\n")
    }
}

struct Line<'a> {
    text: String,
    origin: &'a Origin,
}

impl<'a> Line<'a> {
    fn of_property((name, property): (&String, &'a Property)) -> Self {
        Self { text: format!("{} = {}", quote(name), quote(&mask(name, &property.text))), origin: &property.origin }
    }
}

/// The entry's value without its secrets.
pub(crate) fn masked(entry: &Entry) -> Value {
    match &entry.value {
        Value::Text(text) => Value::Text(mask(&entry.key, text)),
        Value::List(items) => Value::List(items.iter().map(|item| mask(&entry.key, item)).collect()),
        Value::Table(properties) => {
            let mask_property = |(name, property): (&String, &Property)| {
                (name.clone(), Property { text: mask(name, &property.text), ..property.clone() })
            };
            Value::Table(properties.iter().map(mask_property).collect())
        }
        other => other.clone(),
    }
}

fn mask(name: &str, text: &str) -> String {
    if is_secret_name(name) && !text.is_empty() { MASK.to_owned() } else { mask_url(text) }
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
    fn what_is_shown_can_be_fed_back_in() {
        for text in [
            "",
            "[job]\nstate = \"s3://bucket/a\"\n[source]\nkind = \"file\"\n[source.file]\npath = \"odd \\\"\\\\ \\u0001 'name'\"\n[event]\nkey = []",
            "[source.kafka.properties]\n\"a.b\" = \"1\"\nc = \"2\"\n[sink.dead_letters]\nfile = \"dead\"",
        ] {
            let first = loaded(text);
            for origin in [false, true] {
                let second = loaded(&first.show(origin));
                assert_eq!(second.show(false), first.show(false));
                assert!(second.entries.iter().all(|entry| entry.origin.is_set() || entry.key.ends_with("properties")));
            }
        }
    }

    #[test]
    fn secrets_are_masked() {
        let variables = [
            ("TOPK__SINK__POSTGRES__URL", "postgres://user:hunter2@host/db"),
            ("TOPK__READER__POSTGRES_URL", "host=h password=hunter2"),
            ("TOPK__SINK__REDIS__URL", "redis://:hunter2@host"),
            ("TOPK__SOURCE__KAFKA__PROPERTIES__SASL__PASSWORD", "hunter2"),
            ("TOPK__SOURCE__KAFKA__PROPERTIES__SASL__USERNAME", "someone"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let shown = Layers::default().environment(variables).load().show(true);
        assert!(!shown.contains("hunter2"), "{shown}");
        for line in [
            "url = \"postgres://user:***@host/db\"  # from env TOPK__SINK__POSTGRES__URL\n",
            "postgres_url = \"host=h password=***\"  # from env TOPK__READER__POSTGRES_URL\n",
            "\"sasl.password\" = \"***\"      # from env TOPK__SOURCE__KAFKA__PROPERTIES__SASL__PASSWORD\n",
            "\"sasl.username\" = \"someone\"  # from env TOPK__SOURCE__KAFKA__PROPERTIES__SASL__USERNAME\n",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }

    #[test]
    fn origins_stand_behind_the_values() {
        let loaded = Layers::default()
            .built_in("topk.toml", "[job]\nname = \"songs\"\nstate = \"gs://b\"")
            .flag("--workers", "job.workers", 3)
            .load();
        let shown = loaded.show(true);
        let section: Vec<&str> = shown.lines().take(7).collect();
        assert_eq!(
            section,
            [
                "[job]",
                "name = \"songs\"             # from topk.toml:2",
                "workers = 3                # from flag --workers",
                "state = \"gs://b\"           # from topk.toml:3",
                "listen = \"127.0.0.1:9464\"  # default",
                "max_memory = \"0B\"          # default",
                "drain_timeout = \"30s\"      # default",
            ]
        );
        assert!(
            shown.contains("interval = \"1s\"       # default because job.state starts with \"gs://\"\n"),
            "{shown}"
        );
        assert!(!loaded.show(false).contains('#'));
    }
}

//! The layers a user can put over the defaults: compiled-in settings ← file ← environment ← flags.

use crate::loaded::Entry;
use crate::schema::Schema;
use crate::toml_layer::Layer;
use crate::{ConfigError, Loaded, text_layer, toml_layer};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Everything that settings are taken from. The defaults lie beneath; each method adds a layer over those before it in this order,
/// whatever the order of the calls: [`built_in`](Self::built_in), [`file`](Self::file), [`environment`](Self::environment),
/// [`flag`](Self::flag).
#[derive(Clone, Debug, Default)]
pub struct Layers {
    built_in: Option<(String, String)>,
    file: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(String, String, String)>,
}

impl Layers {
    /// Settings in TOML that a verb brings along, under the name that `config show --origin` and errors give them.
    #[must_use]
    pub fn built_in(mut self, name: &str, text: &str) -> Self {
        self.built_in = Some((name.to_owned(), text.to_owned()));
        self
    }

    /// The user's file. That it can not be read is an error of the configuration like any other.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// The environment, normally `std::env::vars_os()`; variables that do not begin with `TOPK__` are passed over.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables = variables.into_iter().collect();
        self
    }

    /// A flag of the command line (`--listen`) that sets a key (`reader.listen`). The text is read like that of a variable.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, text: impl ToString) -> Self {
        self.flags.push((flag.to_owned(), key.to_owned(), text.to_string()));
        self
    }

    /// Puts the layers together. Mistakes wait in the result until [`Reader::finish`](crate::Reader::finish), so that they are
    /// reported beside those of meaning.
    pub fn load(self) -> Loaded {
        let schema = Schema::shipped();
        let entries = schema.settings.iter().map(Entry::of_default).collect();
        let mut loaded = Loaded { entries, errors: Vec::new() };
        if let Some((name, text)) = &self.built_in {
            loaded.put(toml_layer::read(name, text, &schema));
        }
        if let Some(path) = &self.file {
            loaded.put(match std::fs::read_to_string(path) {
                Ok(text) => toml_layer::read(&path.display().to_string(), &text, &schema),
                Err(error) => Layer { errors: vec![unreadable(path, &error)], ..Layer::default() },
            });
        }
        loaded.put(text_layer::read_environment(&self.variables, &schema));
        loaded.put(text_layer::read_flags(&self.flags, &schema));
        for rule in &schema.rules {
            rule.apply(&mut loaded);
        }
        loaded
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError {
        key: None,
        origin: None,
        what: format!("the configuration file {} cannot be read", path.display()),
        why: error.to_string(),
        hint: "name an existing TOML file, or none to use the defaults".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    /// The files that users start from.
    const EXAMPLES: [&str; 3] = ["production.toml", "songs.toml", "laptop.toml"];

    fn example(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    #[test]
    fn flags_win_over_environment_over_file_over_built_in_over_defaults() {
        let file = example("production.toml");
        let built_in =
            "[job]\nname = \"built in\"\nworkers = 9\ndrain_timeout = \"1s\"\nlisten = \"x\"\nstate = \"y\"\n";
        // Called in the opposite order, which must not matter.
        let loaded = Layers::default()
            .flag("--state", "job.state", "file:flag")
            .environment([
                ("TOPK__JOB__STATE".into(), "file:environment".into()),
                ("TOPK__JOB__LISTEN".into(), "environment:1".into()),
            ])
            .file(&file)
            .built_in("demo", built_in)
            .load();
        loaded.check().unwrap();
        let mut read = loaded.reader();
        assert_eq!(read.string("job.name"), "built in");
        assert_eq!(read.integer::<u32>("job.workers", 1..=64), 4);
        assert_eq!(read.string("job.listen"), "environment:1");
        assert_eq!(read.string("job.state"), "file:flag");
        assert_eq!(read.integer::<u32>("epoch.max_events", 1..=1_000_000), 1_000_000);
        assert_eq!(loaded.origin("job.name"), &Origin::File { name: "demo".into(), line: 2 });
        assert_eq!(loaded.origin("job.workers"), &Origin::File { name: file.display().to_string(), line: 5 });
        assert_eq!(loaded.origin("job.listen"), &Origin::Environment("TOPK__JOB__LISTEN".into()));
        assert_eq!(loaded.origin("job.state"), &Origin::Flag("--state".into()));
        assert_eq!(loaded.origin("epoch.max_events"), &Origin::Default);
    }

    #[test]
    fn free_tables_are_merged_by_entry() {
        let loaded = Layers::default()
            .built_in("topk.toml", "[source.kafka.properties]\na.b = \"1\"\nc = \"2\"")
            .environment([("TOPK__SOURCE__KAFKA__PROPERTIES__C".into(), "3".into())])
            .load();
        let table = loaded.reader().table("source.kafka.properties");
        assert_eq!(
            table.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>(),
            [("a.b", "1"), ("c", "3")]
        );
    }

    #[test]
    fn mistakes_of_all_layers_are_reported_together() {
        let errors = Layers::default()
            .built_in("topk.toml", "[topk]\nkk = 1")
            .file("does/not/exist.toml")
            .environment([("TOPK__TOPK__KKK".into(), "1".into())])
            .flag("--top", "topk.k", "x")
            .load()
            .check()
            .unwrap_err()
            .to_string();
        for part in [
            "4 errors in the configuration:\n  1. topk.kk is not a known key (from topk.toml:2)",
            "\n  2. the configuration file does/not/exist.toml cannot be read\n     why: ",
            "\n  3. topk.kkk is not a known key (from env TOPK__TOPK__KKK)\n     why: the nearest known key is topk.k",
            "\n  4. topk.k must be an integer (from flag --top)",
        ] {
            assert!(errors.contains(part), "{part}\n---\n{errors}");
        }
    }

    #[test]
    fn no_layer_is_the_defaults() {
        let loaded = Layers::default().load();
        loaded.check().unwrap();
        assert!(loaded.entries.iter().all(|entry| entry.origin == Origin::Default && entry.value == entry.default));
    }

    #[test]
    fn the_example_files_load() {
        for name in EXAMPLES {
            Layers::default().file(example(name)).load().check().unwrap();
        }
        let production = Layers::default().file(example("production.toml")).load();
        let laptop = Layers::default().file(example("laptop.toml")).load();
        for (key, in_production, on_laptop) in [
            ("source.kind", "kafka", "file"),
            ("sink.tables", "postgres", "sqlite"),
            ("sink.board", "redis", "memory"),
            ("sink.dead_letters.topic", "view_events.dead", ""),
            ("sink.dead_letters.file", "", "./data/dead.ndjson"),
        ] {
            assert_eq!(production.reader().string(key), in_production, "{key}");
            assert_eq!(laptop.reader().string(key), on_laptop, "{key}");
        }
    }
}

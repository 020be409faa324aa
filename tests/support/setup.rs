//! One job of a test: its folder, its settings, and everything that is its own in the services.

use crate::dump::{self, Tables};
use crate::process::{Finished, Running, topk};
use crate::wait::LONG;
use crate::{kafka, services};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stream::{Clock, SystemClock};

/// Settings, a folder and unique names. What is its own in the services is removed when it is dropped, but kept after a
/// failure, so that it can be looked at (`./test` removes it with the services).
#[derive(Debug)]
pub struct Setup {
    folder: tempfile::TempDir,
    name: String,
    settings: BTreeMap<String, toml::Value>,
    /// What its processes find in their environment.
    environment: BTreeMap<String, String>,
    /// Topics to delete.
    topics: Vec<String>,
    is_kept: bool,
    runs: AtomicU32,
    /// No clock of this job's was earlier, in epoch milliseconds.
    started: i64,
}

impl Setup {
    /// File source (`views`, a directory), SQLite, boards in memory, dead letters in a file: no service is used.
    pub fn embedded(test: &str) -> Self {
        let setup = Self::bare(test);
        let (views, database) = (setup.path("views"), setup.path("topk.db"));
        std::fs::create_dir(&views).expect("the temporary folder can be written");
        setup
            .with("source.kind", "file")
            .with("source.file.path", text(&views))
            .with("sink.tables", "sqlite")
            .with("sink.sqlite.path", text(&database))
            .with("sink.board", "memory")
            .own_dead_file()
    }

    /// Kafka, Postgres, Redis and a topic for dead letters, each under names of its own. The topic of views is not created.
    pub fn on_services(test: &str) -> Self {
        let mut setup = Self::bare(test);
        let name = setup.name.clone();
        setup.topics.push(name.clone());
        setup
            .with("source.kind", "kafka")
            .with("source.kafka.brokers", services::kafka())
            .with("source.kafka.topic", name)
            .own_sinks()
    }

    /// Another job over the same log with the same settings, but with sinks and state of its own.
    pub fn beside(&self, test: &str) -> Self {
        let mut other = Self::bare(test);
        let own = ["job.name", "job.state", "job.listen", "reader.listen"];
        for (key, value) in &self.settings {
            if !own.contains(&key.as_str()) {
                other.set(key, value.clone());
            }
        }
        if self.settings["source.kind"].as_str() == Some("kafka") {
            other.own_sinks()
        } else {
            let database = other.path("topk.db");
            other.with("sink.sqlite.path", text(&database)).own_dead_file()
        }
    }

    fn bare(test: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("topk-").tempdir().expect("a temporary folder");
        let (name, runs) = (services::unique(test), AtomicU32::new(0));
        let started = SystemClock::default().now().0;
        let (settings, environment) = (BTreeMap::new(), BTreeMap::new());
        let setup = Setup {
            folder,
            name: name.clone(),
            settings,
            environment,
            topics: Vec::new(),
            is_kept: false,
            runs,
            started,
        };
        let state = format!("file:{}", setup.path("data").display());
        setup
            .with("job.name", name)
            .with("job.state", state)
            .with("job.listen", "127.0.0.1:0")
            .with("reader.listen", "127.0.0.1:0")
    }

    fn own_sinks(mut self) -> Self {
        let (name, dead) = (self.name.clone(), format!("{}.dead", self.name));
        self.topics.push(dead.clone());
        self.with("source.kafka.group", name.clone())
            .with("sink.tables", "postgres")
            .with("sink.postgres.url", services::postgres())
            .with("sink.postgres.schema", name.clone())
            .with("sink.board", "redis")
            .with("sink.redis.url", services::redis())
            .with("sink.redis.prefix", name)
            .with("sink.dead_letters.topic", dead)
    }

    fn own_dead_file(self) -> Self {
        let dead = self.path("dead.ndjson");
        self.with("sink.dead_letters.file", text(&dead))
    }

    /// The same with one more setting, by its dotted name.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.set(key, value);
        self
    }

    /// Change a setting, by its dotted name.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        self.settings.insert(key.to_owned(), value.into());
    }

    /// The same with one more variable in its environment.
    #[must_use]
    pub fn in_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Change what its processes find in their environment from now on; none removes it.
    pub fn set_environment(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.environment.insert(name.to_owned(), value.to_owned()),
            None => self.environment.remove(name),
        };
    }

    /// The settings of this test, by their dotted names.
    pub fn settings(&self) -> &BTreeMap<String, toml::Value> {
        &self.settings
    }

    /// A setting of this test, which must be text.
    ///
    /// # Panics
    /// This test did not set it.
    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).and_then(toml::Value::as_str).unwrap_or_else(|| panic!("{key} was not set to a text"))
    }

    /// The job's name, which is its schema and its Redis prefix too, and the topic of [`Setup::on_services`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The settings as a file, written anew.
    ///
    /// # Panics
    /// The folder cannot be written.
    pub fn config(&self) -> PathBuf {
        let path = self.path("topk.toml");
        let lines: Vec<String> = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        // Another `topk` may be reading it just now, and half a file is other settings: it is exchanged as a whole.
        let whole = self.path("topk.toml.whole");
        std::fs::write(&whole, lines.concat()).expect("the temporary folder can be written");
        std::fs::rename(&whole, &path).expect("the temporary folder can be written");
        path
    }

    /// `topk` with these words, then `--config` with the settings; without any `TOPK__…` or `AWS_…` of this environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = bare_topk(words);
        command.arg("--config").arg(self.config()).envs(&self.environment);
        command
    }

    /// Start `topk` with these words and `--config`.
    pub fn start(&self, words: &[&str]) -> Running {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        Running::start(self.command(words), self.folder.path(), &format!("{}-{run}", words[0]))
    }

    /// Run `topk` with these words and `--config` to its end.
    pub fn topk(&self, words: &[&str]) -> Finished {
        self.start(words).wait(Duration::from_secs(1200))
    }

    /// Generate views to this job's topic, or with `--file` to a file.
    #[track_caller]
    pub fn generate(&self, words: &[&str]) -> Finished {
        self.topk(&[&["generate"], words].concat()).expect_code(0)
    }

    /// Run to the end of what is there, successfully.
    #[track_caller]
    pub fn run_until_end(&self) -> Finished {
        self.topk(&["run", "--until-end"]).expect_code(0)
    }

    /// The independent recount over log, tables, boards (if they can be seen from outside) and dead letters.
    pub fn recount(&self, words: &[&str]) -> Finished {
        let mut command = Command::new("python3");
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("recount"))
            .arg("--config")
            .arg(self.config())
            .args(words);
        command.arg("--started").arg(self.started.to_string());
        if self.settings["sink.board"].as_str() != Some("redis") {
            command.arg("--no-boards");
        }
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        Running::start(command, self.folder.path(), &format!("recount-{run}")).wait(Duration::from_secs(1200))
    }

    /// Everything is right at rest: by the recount in Python, and by `topk verify`.
    #[track_caller]
    pub fn assert_right(&self) {
        self.recount(&[]).expect_code(0);
        self.topk(&["verify"]).expect_code(0);
    }

    /// `endpoints.json` of the running job: `pid`, `job`, `reader`.
    pub fn endpoints(&self) -> Option<Value> {
        let content = std::fs::read(self.path("data").join("endpoints.json")).ok()?;
        serde_json::from_slice(&content).ok()
    }

    /// The URL of the running job (`job`) or its reader (`reader`), as soon as it is known.
    pub fn url(&self, of: &str) -> String {
        crate::until("endpoints.json is written", LONG, || Some(self.endpoints()?[of].as_str()?.to_owned()))
    }

    /// The same of a job that runs now: an earlier run may have left its own.
    pub fn live_url(&self, of: &str) -> String {
        crate::until("the running job's endpoints are written", LONG, || {
            let endpoints = self.endpoints()?;
            let alive = Path::new(&format!("/proc/{}", endpoints["pid"])).exists();
            alive.then(|| endpoints[of].as_str().map(str::to_owned))?
        })
    }

    /// A metric of the running job, by its name with its labels, as soon as it is told.
    pub fn metric(&self, name: &str) -> f64 {
        crate::until(&format!("{name} is told"), LONG, || {
            let text =
                ureq::get(format!("{}/metrics", self.live_url("job"))).call().ok()?.body_mut().read_to_string().ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))?;
            line.parse().ok()
        })
    }

    /// Every table with every row. A table that is not there yet is absent.
    pub fn tables(&self) -> Tables {
        match self.setting("sink.tables") {
            "postgres" => dump::postgres(self.setting("sink.postgres.url"), self.setting("sink.postgres.schema")),
            _ => dump::sqlite(Path::new(self.setting("sink.sqlite.path"))),
        }
    }

    /// Everything under the Redis prefix but the status, by its key without the prefix.
    pub fn boards(&self) -> BTreeMap<String, Value> {
        dump::boards(self.setting("sink.redis.url"), self.setting("sink.redis.prefix"))
    }

    /// Every dead letter, in no particular order: what an NDJSON line of theirs says, whether it is in a file or a topic.
    pub fn dead_letters(&self) -> Vec<Value> {
        match self.settings.get("sink.dead_letters.file") {
            Some(file) => dump::dead_file(Path::new(file.as_str().expect("a path is text"))),
            None => kafka::dead_letters(self.setting("sink.dead_letters.topic")),
        }
    }
}

impl Setup {
    /// Leave everything as it is when this is dropped; the folder.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.is_kept = true;
        self.folder.path().to_owned()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if std::thread::panicking() || self.is_kept {
            return;
        }
        kafka::delete_topics(&self.topics);
        if self.settings.contains_key("sink.postgres.schema") {
            dump::forget(self.setting("sink.postgres.url"), self.setting("sink.postgres.schema"));
            dump::forget_boards(self.setting("sink.redis.url"), self.setting("sink.redis.prefix"));
        }
    }
}

/// `topk` with these words alone, without any `TOPK__…` or `AWS_…` of this environment.
pub fn bare_topk(words: &[&str]) -> Command {
    let mut command = Command::new(topk());
    command.args(words);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| ["TOPK__", "AWS_"].iter().any(|own| name.to_string_lossy().starts_with(own))) {
        command.env_remove(name);
    }
    command
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.to_str().expect("a temporary path is UTF-8").to_owned()
}

//! From settings to the things they name: sources, followers, intake, reader. The registration lines for a new source,
//! sink or format are here.

use crate::memory;
use crate::settings::{BoardKind, Settings, SourceKind, TablesKind};
use crate::video_views::{self, VideoViews};
use metrics_exporter_prometheus::PrometheusHandle;
use operators::{IntakeSettings, RecordIntake};
use reader::{Limits, ReaderSettings, Stores};
use runtime::journal::{Journal, JournalSettings};
use runtime::{Accepted, Place, Plan, Stop, Storage, WindowRules};
use sinks::{
    BoardFollower, BoardReadings, BoardSettings, DeadLetterFile, MemoryBoard, PostgresReadings, PostgresTables,
    RedisReadings, SqliteReadings, SqliteTables, TableReadings, TablesSettings,
};
use sources::{
    DeadLetterProducer, DeadLetterSettings, FileSource, GeneratorSettings, GeneratorSource, JsonDecoder, KafkaSettings,
    KafkaSource, KafkaStart,
};
use std::sync::Arc;
use std::time::Duration;
use stream::{Assignment, Clock, EventTime, Fault, Follower, Intake, PartitionState, Source, SystemClock};

/// The folder of journals in a job's state.
const JOURNAL: &str = "journal";

/// Settings with everything that is shared by what is built from them.
pub struct Assembly {
    /// The settings.
    pub settings: Settings,
    /// The clocks of this process.
    pub clock: Arc<dyn Clock>,
    /// Boards in memory, shared with the reader.
    pub memory: MemoryBoard,
    /// What the generator makes, unless the journal says otherwise.
    pub generator: Option<GeneratorSettings>,
}

impl Assembly {
    /// Nothing is opened yet.
    pub fn new(settings: Settings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Assembly { settings, memory: MemoryBoard::new(clock.clone()), clock, generator: None }
    }

    fn rules(&self) -> WindowRules {
        let Settings { windows, rules, retention, .. } = &self.settings;
        WindowRules { windows: windows.clone(), allowed_lateness: rules.allowed_lateness, retention: retention.clone() }
    }

    /// The pipeline's settings.
    pub fn pipeline(&self) -> VideoViews {
        VideoViews { rules: self.rules(), k: self.settings.k as usize }
    }

    /// Everything a run is made of. `on_reading`: see [`Plan`].
    ///
    /// # Errors
    /// The state cannot be opened, or a source or sink refuses its settings.
    pub fn plan(&self, until_end: bool, accepted: Accepted, on_reading: Box<dyn FnOnce(Stop)>) -> Result<Plan, Fault> {
        let settings = &self.settings;
        let store = self.store()?;
        settings.state.sweep(&[JOURNAL, &settings.name], self.clock.now());
        let journal = self.journal_settings();
        let intake = IntakeSettings {
            rules: settings.rules,
            windows: settings.windows.clone(),
            assignment: Assignment::new(settings.workers),
            clock: self.clock.clone(),
        };
        let mapping = settings.event.clone();
        let new_intake = move |reader: usize, partitions: &[(Arc<str>, PartitionState)]| -> Box<dyn Intake> {
            Box::new(RecordIntake::new(JsonDecoder::new(mapping.clone()), intake.clone(), reader, partitions))
        };
        Ok(Plan {
            job: settings.name.clone(),
            workers: settings.workers,
            source: self.source(&store, &journal, until_end)?,
            store,
            journal,
            semantic: settings.semantic(),
            rules: self.rules(),
            followers: self.followers()?,
            intake: Box::new(new_intake),
            epoch_interval: settings.epoch_interval,
            epoch_max_events: settings.epoch_max_events,
            max_backlog: settings.max_backlog,
            memory: memory::bound(settings.max_memory)?,
            until_end,
            accepted,
            idle_timeout: settings.idle_timeout,
            max_drift: settings.max_drift,
            start_deadline: Duration::from_secs(30),
            clock: self.clock.clone(),
            on_reading,
        })
    }

    fn journal_settings(&self) -> JournalSettings {
        let settings = &self.settings;
        let mut journal = JournalSettings::new(&settings.name, settings.windows.clone(), settings.rules);
        journal.retention = settings.retention.clone();
        journal.retain = settings.retain;
        journal.max_bytes = settings.max_journal;
        journal.patience = settings.state.patience();
        journal
    }

    /// Where the journal is, for people.
    pub fn journal_place(&self) -> String {
        let state = self.settings.state.to_string();
        format!("{}/{JOURNAL}/{}", state.trim_end_matches('/'), self.settings.name)
    }

    fn store(&self) -> Result<Storage, Fault> {
        self.settings.state.open(&[JOURNAL, &self.settings.name])
    }

    /// Whether there is a place to look for a journal in. Of a bucket that shows when it is read.
    pub fn may_have_journal(&self) -> bool {
        match &self.settings.state {
            Place::Directory(path) => path.join(JOURNAL).join(&self.settings.name).is_dir(),
            Place::Bucket(_) => true,
        }
    }

    /// The journal, there or not. Its place is made.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn journal(&self) -> Result<Journal, Fault> {
        Journal::open(self.store()?, self.journal_settings(), self.clock.clone())
    }

    /// The journal that is there, to be read: nothing is made where there is none.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn existing_journal(&self) -> Result<Journal, Fault> {
        if !self.may_have_journal() {
            return Err(Fault::failed(
                format!("there is no journal in {}", self.journal_place()),
                "there is no such directory",
                "name the job's settings with --config FILE; a job that has run with them has a journal there",
            ));
        }
        self.journal()
    }

    /// A source that is there before the job is: a topic, files. `until_end`: what is there now, or all that will come.
    ///
    /// # Errors
    /// It refuses its settings, or the job makes up its records itself.
    pub fn outside_source(&self, until_end: bool) -> Result<Arc<dyn Source>, Fault> {
        let settings = &self.settings;
        Ok(match settings.source {
            SourceKind::Kafka => Arc::new(KafkaSource::new(KafkaSettings {
                brokers: settings.brokers.clone(),
                topic: settings.topic.clone(),
                group: settings.group.clone(),
                start: match settings.start.as_str() {
                    "earliest" => KafkaStart::Earliest,
                    "latest" => KafkaStart::Latest,
                    instant => KafkaStart::Instant(EventTime::parse(instant).expect("settings were checked")),
                },
                properties: settings.properties.clone(),
                until_end,
            })?),
            SourceKind::File => Arc::new(FileSource::new(&settings.file, until_end)),
            SourceKind::Generator => {
                return Err(Fault::usage(
                    "cannot start the generator",
                    "source.kind = \"generator\" is what `topk demo` runs on",
                    "use `topk demo`, or `topk generate` to a file or topic",
                ));
            }
        })
    }

    fn source(&self, store: &Storage, journal: &JournalSettings, until_end: bool) -> Result<Arc<dyn Source>, Fault> {
        let (SourceKind::Generator, clock) = (self.settings.source, self.clock.clone()) else {
            return self.outside_source(until_end);
        };
        // What it makes was fixed when the journal began; a restart goes on with the same events.
        match (Journal::open(store.clone(), journal.clone(), clock.clone())?.look()?, &self.generator) {
            (Some(begun), _) => Ok(Arc::new(GeneratorSource::resume(&begun.genesis.source, clock, until_end)?)),
            (None, Some(generator)) => Ok(Arc::new(GeneratorSource::new(generator.clone(), clock, until_end))),
            (None, None) => self.outside_source(until_end),
        }
    }

    /// Everything that follows the journal; nothing is opened yet.
    ///
    /// # Errors
    /// A sink refuses its settings.
    pub fn followers(&self) -> Result<Vec<Box<dyn Follower>>, Fault> {
        let settings = &self.settings;
        let mut followers: Vec<Box<dyn Follower>> = Vec::new();
        match settings.tables {
            TablesKind::Postgres => followers.push(Box::new(PostgresTables::new(self.tables(), self.clock.clone())?)),
            TablesKind::Sqlite => {
                followers.push(Box::new(SqliteTables::new(&settings.sqlite_path, self.tables(), self.clock.clone())?));
            }
            TablesKind::None => {}
        }
        match settings.board {
            BoardKind::Redis => followers.push(Box::new(BoardFollower::redis(self.boards(), self.clock.clone())?)),
            BoardKind::Memory => {
                followers.push(Box::new(BoardFollower::memory(self.memory.clone(), self.boards(), self.clock.clone())))
            }
            BoardKind::None => {}
        }
        if settings.dead_topic.is_empty() {
            let source = match settings.source {
                SourceKind::Kafka => settings.topic.clone(),
                SourceKind::File => settings.file.display().to_string(),
                SourceKind::Generator => "generator".to_owned(),
            };
            let file = DeadLetterFile::new(&settings.dead_file, &source);
            followers.push(Box::new(match settings.dead_rotate_at {
                0 => file,
                bytes => file.rotated_at(bytes),
            }));
        } else {
            followers.push(Box::new(DeadLetterProducer::new(DeadLetterSettings {
                brokers: settings.brokers.clone(),
                topic: settings.dead_topic.clone(),
                source_topic: settings.topic.clone(),
                properties: settings.properties.clone(),
                every: Duration::ZERO,
            })?));
        }
        Ok(followers)
    }

    /// The tables where readers read, to be looked at only, if the settings name a place of theirs.
    pub fn reader_tables(&self) -> Option<Result<Box<dyn Follower>, Fault>> {
        let url = &self.settings.reader_postgres_url;
        if self.settings.tables != TablesKind::Postgres || url.is_empty() {
            return None;
        }
        let settings = TablesSettings { url: url.clone(), ..self.tables() };
        Some(PostgresTables::new(settings, self.clock.clone()).map(|tables| Box::new(tables) as _))
    }

    /// What sources, sinks and stores say of their settings before anything is contacted; every one that refuses them.
    pub fn refusals(&self) -> Vec<Fault> {
        let source = match self.settings.source {
            SourceKind::Generator => None,
            _ => self.outside_source(true).err(),
        };
        let mut refusals: Vec<Fault> = Vec::new();
        for fault in [source, self.followers().err(), self.stores(false).err()].into_iter().flatten() {
            // A sink and the store that is read from it say the same.
            if !refusals.contains(&fault) {
                refusals.push(fault);
            }
        }
        refusals
    }

    fn tables(&self) -> TablesSettings {
        let settings = &self.settings;
        TablesSettings {
            job: settings.name.clone(),
            url: settings.postgres_url.clone(),
            schema: settings.schema.clone(),
            table_prefix: settings.table_prefix.clone(),
            key_column: settings.key_column.clone(),
            words: video_views::words(),
            windows: settings.windows.clone(),
            retention: settings.retention.clone(),
            allowed_lateness: settings.rules.allowed_lateness,
            k: settings.k,
            flush_every: settings.flush_every,
            top_k_every: settings.top_k_every,
        }
    }

    fn boards(&self) -> BoardSettings {
        let settings = &self.settings;
        BoardSettings {
            job: settings.name.clone(),
            redis: settings.redis.clone(),
            prefix: settings.redis_prefix.clone(),
            words: video_views::words(),
            windows: settings.windows.clone(),
            retention: settings.retention.clone(),
            k: settings.k,
            publish_every: settings.publish_every,
            tables_beside: settings.tables != TablesKind::None,
        }
    }

    /// What a reader must know.
    pub fn reader(&self, metrics: PrometheusHandle) -> ReaderSettings {
        let settings = &self.settings;
        ReaderSettings {
            job: settings.name.clone(),
            words: video_views::words(),
            windows: settings.windows.clone(),
            prefix: settings.redis_prefix.clone(),
            k: settings.k,
            retention: settings.retention.clone(),
            clock: self.clock.clone(),
            version: crate::cli::VERSION.to_owned(),
            render_metrics: Arc::new(move || metrics.render()),
            limits: Limits::default(),
        }
    }

    /// Where a reader reads. `in_process`: boards in memory can be seen.
    ///
    /// # Errors
    /// A store's settings are wrong.
    pub fn stores(&self, in_process: bool) -> Result<Stores, Fault> {
        let (boards, tables) = (self.board_readings(in_process)?, self.table_readings(true)?);
        Ok(Stores {
            boards: boards.map(|boards| Arc::new(boards) as _),
            tables: tables.map(|tables| Arc::new(tables) as _),
        })
    }

    /// The boards' read side. `in_process`: boards in memory can be seen.
    ///
    /// # Errors
    /// The store's settings are wrong.
    pub fn board_readings(&self, in_process: bool) -> Result<Option<BoardReadings>, Fault> {
        Ok(match self.settings.board {
            BoardKind::Redis => Some(BoardReadings::Redis(RedisReadings::new(&self.settings.redis)?)),
            BoardKind::Memory if in_process => Some(BoardReadings::Memory(self.memory.clone())),
            BoardKind::Memory | BoardKind::None => None,
        })
    }

    /// The tables' read side. `replica`: where readers read, if the settings name a place of theirs.
    ///
    /// # Errors
    /// The store's settings are wrong.
    pub fn table_readings(&self, replica: bool) -> Result<Option<TableReadings>, Fault> {
        let settings = &self.settings;
        let mut tables = self.tables();
        if replica && !settings.reader_postgres_url.is_empty() {
            tables.url = settings.reader_postgres_url.clone();
        }
        Ok(match settings.tables {
            TablesKind::Postgres => Some(TableReadings::Postgres(PostgresReadings::new(&tables)?)),
            TablesKind::Sqlite => Some(TableReadings::Sqlite(SqliteReadings::new(&settings.sqlite_path, &tables)?)),
            TablesKind::None => None,
        })
    }
}

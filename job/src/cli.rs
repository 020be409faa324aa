//! The command line. Verbs that no issue has built yet are absent.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use stream::LossName;

/// What `--version` says.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("TOPK_COMMIT"),
    ", librdkafka ",
    env!("TOPK_LIBRDKAFKA"),
    ", journal format 1)"
);

/// Exact most-viewed lists at stream speed.
#[derive(Debug, Parser)]
#[command(name = "topk", version = VERSION, about, long_about = None, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Everything in one process, nothing to install: generated views, SQLite, boards in memory, reader and page
    #[command(after_help = "Example: topk demo --speed 600")]
    Demo(DemoArguments),
    /// The job: count, commit, follow
    #[command(after_help = "Example: topk run --config config/production.toml --serve")]
    Run(RunArguments),
    /// The thin reader alone: stateless, any number of them
    #[command(after_help = "Example: topk serve --config config/production.toml --listen 127.0.0.1:8081")]
    Serve(ServeArguments),
    /// The current list from a running reader
    #[command(after_help = "Example: topk top --window hour -k 10")]
    Top(TopArguments),
    /// Synthetic views to Kafka, a file or standard output: same arguments, same bytes
    #[command(after_help = "Example: topk generate --count 100000 --seed 7 > views.ndjson")]
    Generate(GenerateArguments),
    /// Check everything the job depends on, and say how to mend what fails; changes nothing
    #[command(after_help = "Example: topk doctor --config config/production.toml")]
    Doctor {
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Count the log again, independently, and compare tables, boards and accounts with it; changes nothing
    #[command(after_help = "Example: topk verify --config config/production.toml")]
    Verify {
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// What the journal holds: its records, one of them, or whether all of it is whole
    #[command(after_help = "Example: topk journal check --config config/production.toml")]
    Journal {
        /// What to do with it.
        #[command(subcommand)]
        what: JournalVerb,
    },
    /// Build a journal that was lost again from the tables that follow it; the job then goes on, and nothing counts twice
    #[command(after_help = "Example: topk recover --from-postgres --config config/production.toml")]
    Recover(RecoverArguments),
    /// The effective settings
    #[command(after_help = "Example: topk config show --origin --config config/production.toml")]
    Config {
        /// What to do with them.
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Completions for a shell, on standard output
    #[command(after_help = "Example: topk completions bash > /etc/bash_completion.d/topk")]
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
}

/// Where settings come from besides the defaults.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsArguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting by its name, as in --set topk.k=100; wins over file and environment
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `topk demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    /// How many times as fast as the clock event time runs until it has caught up
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub speed: u32,
    /// Views per second of event time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Where the state is kept
    #[arg(long, default_value = "./data", value_name = "DIR")]
    pub data: PathBuf,
    /// Settings on top of the demo's own.
    #[command(flatten)]
    pub settings: SettingsArguments,
}

/// `topk run`.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Read to what is there at start, commit, flush, print a summary and exit
    #[arg(long)]
    pub until_end: bool,
    /// The reader in the same process
    #[arg(long)]
    pub serve: bool,
    /// Go on without what is missing from the log, by the exact name that the refusal gives; more than once for more
    #[arg(long, value_name = "PARTITION:FIRST-LAST")]
    pub accept_loss: Vec<LossName>,
    /// Go on with another topic, cluster or folder, by the exact name that the refusal gives
    #[arg(long, value_name = "SOURCE")]
    pub accept_source: Option<String>,
    /// Build tables up again that do not follow the journal or lack what it no longer has: postgres or sqlite
    #[arg(long, value_name = "SINK", value_parser = ["postgres", "sqlite"])]
    pub rebuild_sink: Option<String>,
    /// Timely worker threads (job.workers)
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArguments,
}

/// `topk recover`.
#[derive(Args, Clone, Debug)]
pub struct RecoverArguments {
    /// From the tables in Postgres
    #[arg(long, required_unless_present = "from_sqlite")]
    pub from_postgres: bool,
    /// From the tables in a SQLite file
    #[arg(long, conflicts_with = "from_postgres")]
    pub from_sqlite: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArguments,
}

/// `topk serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArguments {
    /// Address and port (reader.listen); a busy port: the next free one, said aloud
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArguments,
}

/// `topk top`.
#[derive(Args, Clone, Debug)]
pub struct TopArguments {
    /// minute, hour, day, month or all_time
    #[arg(long, short, default_value = "hour")]
    pub window: String,
    /// How many places
    #[arg(short, default_value_t = 10)]
    pub k: u32,
    /// current, closed, or an instant inside the window
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
    /// The reader; else the one that ./data/endpoints.json names
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The reader's answer as it is
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Comma-separated, with a heading
    #[arg(long)]
    pub csv: bool,
}

/// `topk journal`.
#[derive(Debug, Subcommand)]
pub enum JournalVerb {
    /// List the newest records, oldest first
    #[command(after_help = "Example: topk journal ls --last 50")]
    Ls {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        last: usize,
        /// Every record that is kept
        #[arg(long, conflicts_with = "last")]
        all: bool,
        /// One JSON object for each
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// One record as JSON; without a number, where everything stands after the last one
    #[command(after_help = "Example: topk journal show 42")]
    Show {
        /// Its number
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        record: Option<u64>,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Read everything, and check that every object is whole, follows the one before, and adds up
    #[command(after_help = "Example: topk journal check --config config/production.toml")]
    Check {
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

/// `topk config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print the effective settings; secrets are masked
    #[command(after_help = "Example: topk config show --origin")]
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Check the settings and report every error at once
    #[command(after_help = "Example: topk config check --config config/production.toml")]
    Check {
        /// Settings.
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

/// `topk generate`.
#[derive(Args, Clone, Debug)]
pub struct GenerateArguments {
    /// How many records
    #[arg(long, default_value_t = 1_000_000)]
    pub count: u64,
    /// The same seed and arguments give the same bytes
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Views per second of event time
    #[arg(long, default_value_t = 1000.0, value_name = "N")]
    pub rate: f64,
    /// Event time of the first view, RFC 3339
    #[arg(long, default_value = "2025-10-19T12:00:00Z")]
    pub start: String,
    /// How many videos there are
    #[arg(long, default_value_t = 100_000)]
    pub videos: u64,
    /// Exponent of the Zipf distribution over them
    #[arg(long, default_value_t = 1.0)]
    pub exponent: f64,
    /// Percent of views out of order, within time.out_of_orderness
    #[arg(long, default_value_t = 10.0, value_name = "PERCENT")]
    pub disorder: f64,
    /// Percent of views late beyond time.allowed_lateness
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT")]
    pub late: f64,
    /// Percent of views sent twice
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub duplicate: f64,
    /// Percent of records that cannot be counted
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT")]
    pub malformed: f64,
    /// Percent of views far in the future
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub future: f64,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "kafka")]
    pub file: Option<PathBuf>,
    /// Write to the Kafka topic of the settings (source.kafka)
    #[arg(long)]
    pub kafka: bool,
    /// Partitions to create the topic with, if it is absent
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub partitions: i32,
    /// Compression: none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "lz4")]
    pub compression: String,
    /// Settings: where Kafka is, the names of members.
    #[command(flatten)]
    pub settings: SettingsArguments,
}

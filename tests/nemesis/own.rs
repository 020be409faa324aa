//! Services of the nemesis's own, so that it may kill them: Kafka, Postgres and Redis in a folder of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::dump::postgres_answers;
use tests::process::{children, is_alive, signal};
use tests::{services, until, wait::LONG};

/// Names the folder of the services, in the process that works with them.
pub(crate) const FOLDER: &str = "NEMESIS_SERVICES";
/// The port that Kafka advertises to the job, where the link to it listens.
pub(crate) const PROXY: &str = "TOPK_TEST_KAFKA_PROXY";

/// Even on a machine that is busy with other things.
const STARTS_WITHIN: Duration = Duration::from_secs(300);

/// A service, by its name in `scripts/services`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Service {
    Kafka,
    Postgres,
    Redis,
}

impl Service {
    pub(crate) const ALL: [Service; 3] = [Service::Kafka, Service::Postgres, Service::Redis];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Kafka => "broker",
            Service::Postgres => "Postgres",
            Service::Redis => "Redis",
        }
    }

    fn in_script(self) -> &'static str {
        match self {
            Service::Kafka => "kafka",
            Service::Postgres => "postgres",
            Service::Redis => "redis",
        }
    }
}

/// The running services.
#[derive(Debug)]
pub(crate) struct Own {
    folder: PathBuf,
}

impl Own {
    /// Start them in an empty folder; returned are the variables with which they are found, too.
    ///
    /// # Panics
    /// They do not start.
    pub(crate) fn start(folder: &Path) -> (Self, BTreeMap<String, String>) {
        let port = free_port();
        let proxy = format!("127.0.0.1:{port}");
        let mut start = script();
        for given in ["TOPK_TEST_KAFKA", "TOPK_TEST_POSTGRES", "TOPK_TEST_REDIS"] {
            start.env_remove(given);
        }
        // No round uses a bucket, and what is given is not started.
        start.env("TOPK_TEST_S3", "none").env(PROXY, &proxy).arg("start").arg(folder);
        let output = start.output().expect("scripts/services can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let pairs = told.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        // Bash quotes what needs it with backslashes.
        let unquoted = |value: &str| value.replace('\\', "").trim_matches('\'').to_owned();
        let mut variables: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), unquoted(value))).collect();
        variables.insert(FOLDER.to_owned(), folder.display().to_string());
        variables.insert(PROXY.to_owned(), proxy);
        (Own { folder: folder.to_owned() }, variables)
    }

    /// Those that the process above has started.
    pub(crate) fn given() -> Option<Self> {
        std::env::var_os(FOLDER).map(|folder| Own { folder: folder.into() })
    }

    /// End them all.
    pub(crate) fn stop(&self) {
        let _ = script().arg("stop").arg(&self.folder).status();
    }

    /// Its first process.
    fn leader(&self, of: Service) -> u32 {
        let file = self.folder.join(format!("{}.pid", of.in_script()));
        let content = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        content.trim().parse().expect("a process id")
    }

    /// All of its processes, the first one last.
    fn processes(&self, of: Service) -> Vec<u32> {
        let leader = self.leader(of);
        let mut all = children(leader);
        all.push(leader);
        all
    }

    /// `kill -9`; of Postgres to its first process alone: the others see that, and end.
    pub(crate) fn kill(&self, of: Service) {
        let all = self.processes(of);
        signal("KILL", self.leader(of));
        until("a killed service is gone", LONG, || all.iter().all(|process| !is_alive(*process)).then_some(()));
    }

    /// End it as its administrator would.
    pub(crate) fn down(&self, of: Service) {
        let status = script().arg("down").arg(&self.folder).arg(of.in_script()).status().expect("a script runs");
        if !status.success() {
            // It takes longer than an administrator waits.
            self.kill(of);
        }
    }

    /// Start it again, and wait until it answers.
    pub(crate) fn up(&self, of: Service) {
        let start = || {
            let status = script().arg("up").arg(&self.folder).arg(of.in_script()).status().expect("a script runs");
            assert!(status.success(), "scripts/services up {}: {status}", of.in_script());
        };
        start();
        until(&format!("{} answers again", of.name()), STARTS_WITHIN, || {
            if answers(of) {
                return Some(());
            }
            // Postgres refuses while a process of its earlier life is still there.
            if !is_alive(self.leader(of)) {
                std::thread::sleep(Duration::from_millis(300));
                start();
            }
            None
        });
    }

    /// Where the broker keeps a partition.
    pub(crate) fn partition(&self, topic: &str, number: i32) -> PathBuf {
        self.folder.join(format!("kafka/data/{topic}-{number}"))
    }

    /// Stop it in its tracks, or let it go on: connections stay, nothing answers.
    pub(crate) fn freeze(&self, of: Service, frozen: bool) {
        for process in self.processes(of) {
            signal(if frozen { "STOP" } else { "CONT" }, process);
        }
    }
}

fn answers(of: Service) -> bool {
    match of {
        Service::Kafka => std::net::TcpStream::connect(services::kafka()).is_ok(),
        Service::Postgres => postgres_answers(&services::postgres()),
        Service::Redis => redis::Client::open(services::redis()).is_ok_and(|client| client.get_connection().is_ok()),
    }
}

/// Where a service is behind the job's link to it, as `host:port`.
pub(crate) fn behind(of: Service) -> String {
    match of {
        Service::Kafka => std::env::var("TOPK_TEST_KAFKA_BEHIND").expect("the services were started with a proxy"),
        Service::Postgres => tests::door::host_of(&services::postgres()).to_owned(),
        Service::Redis => tests::door::host_of(&services::redis()).to_owned(),
    }
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections: it is bound later.
fn free_port() -> u16 {
    let from = u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let mut ports = (0..2000).map(|step| 12_000 + (from + step) % 8000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services"))
}

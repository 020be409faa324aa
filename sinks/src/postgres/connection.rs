//! Connecting, with a deadline for everything, and what Postgres's errors mean.

use super::tls::Tls;
use std::future::Future;
use std::time::Duration;
use stream::Fault;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error};

/// Until a connection stands.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Where a database is and how to talk to it. The URL's password is never shown.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Tls,
    place: String,
    /// For one answer; the server is told to give up a little earlier.
    deadline: Duration,
    settings: String,
}

impl Server {
    /// # Errors
    /// A URL that cannot be used.
    pub(super) fn new(url: &str, schema: &str, deadline: Duration, read_only: bool) -> Result<Self, Fault> {
        let (url, tls) = Tls::of(url)?;
        let mut config: Config = url.parse().map_err(|error: Error| {
            Fault::usage(
                "sink.postgres.url cannot be used",
                reason(&error),
                "write it as postgres://user:password@host:port/database",
            )
        })?;
        // As libpq has it: a socket of this machine needs no TLS.
        let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config
            .ssl_mode(if is_local { SslMode::Disable } else { tls.mode })
            .application_name("topk")
            .connect_timeout(Duration::from_secs(3))
            .tcp_user_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        let place = format!("{}, schema \"{schema}\"", masked(&config));
        let millis = deadline.as_millis() * 4 / 5;
        let read_only = if read_only { "on" } else { "off" };
        // A frozen writer must not hold its locks for longer than a newer one waits for them.
        let settings = format!(
            "SET statement_timeout = {millis}; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s';
             SET default_transaction_read_only = {read_only}; SET timezone = 'UTC'; SET client_min_messages = warning"
        );
        Ok(Server { config, tls, place, deadline, settings })
    }

    /// For people: where the tables are.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// A connection with our settings; its task lives on the runtime of the caller.
    pub(super) async fn connect(&self) -> Result<(Client, JoinHandle<()>), Failure> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            // Ends with the client; the client's own calls report what went wrong.
            let task = tokio::spawn(async {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to Postgres ended");
                }
            });
            client.batch_execute(&self.settings).await?;
            Ok((client, task))
        };
        match tokio::time::timeout(CONNECT_DEADLINE, connecting).await {
            Ok(connected) => connected.map_err(Failure::Connect),
            Err(_) => Err(Failure::Late(CONNECT_DEADLINE)),
        }
    }

    /// One answer, within the deadline.
    pub(super) async fn within<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.deadline, asking).await {
            Ok(answer) => answer.map_err(Failure::Postgres),
            Err(_) => Err(Failure::Late(self.deadline)),
        }
    }

    /// A failure in our words.
    pub(super) fn fault(&self, failure: Failure) -> Fault {
        let what = || format!("cannot use the tables in {}", self.place);
        match failure {
            Failure::Fault(fault) => fault,
            Failure::Late(deadline) => Fault::transient(
                what(),
                format!("no answer within {} s", deadline.as_secs()),
                "check Postgres and the network to it",
            ),
            Failure::Connect(error) => {
                let why = reason(&error);
                let hint = if why.contains("TLS") {
                    "check sslmode and sslrootcert in sink.postgres.url, and ssl and the certificate of Postgres"
                } else {
                    "start Postgres, or check sink.postgres.url: host, port, database, user and password"
                };
                Fault::transient(what(), why, hint)
            }
            Failure::Postgres(error) => {
                let Some(code) = error.code() else {
                    return Fault::transient(what(), reason(&error), "check Postgres and the network to it");
                };
                if passes(code) {
                    Fault::transient(what(), reason(&error), "look at Postgres's own log if this does not pass")
                } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
                    Fault::failed(what(), reason(&error), "give the user the right to create and write tables there")
                } else {
                    Fault::failed(
                        what(),
                        reason(&error),
                        "look whether something else changed these tables, then start again",
                    )
                }
            }
        }
    }
}

/// What can end a piece of work.
#[derive(Debug)]
pub(super) enum Failure {
    Connect(Error),
    Postgres(Error),
    Late(Duration),
    Fault(Fault),
}

impl Failure {
    /// Whether a table is not there.
    pub(super) fn is_undefined_table(&self) -> bool {
        matches!(self, Failure::Postgres(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

/// Whether an SQLSTATE is of the kind that goes away: connections, resources, shutdowns, locks, deadlocks, standbys.
fn passes(code: &SqlState) -> bool {
    let class = &code.code()[..2];
    matches!(class, "08" | "53" | "57" | "58" | "40")
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}

/// An error with its causes: tokio-postgres says only "db error" itself.
fn reason(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        let detail = error.detail().map(|detail| format!("; {detail}")).unwrap_or_default();
        return format!("{} (SQLSTATE {}){detail}", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let error_text = error.to_string();
        if !text.contains(&error_text) {
            text.push_str(": ");
            text.push_str(&error_text);
        }
        cause = error.source();
    }
    text
}

fn masked(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        })
        .collect();
    format!("Postgres at {}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

//! Questions to the services, on connections of one's own that pass no link, each with a deadline: a service that was hit
//! does not answer, and that is no finding.

use std::time::Duration;
use tests::services;
use tokio_postgres::{NoTls, SimpleQueryMessage};

const DEADLINE: Duration = Duration::from_secs(5);

/// A row, as text.
pub(crate) type Row = Vec<Option<String>>;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    /// Nobody is there, or what is asked for is not there yet.
    Away,
    /// The server takes no such question: whoever asks it sees nothing, whatever happens.
    Refused(String),
}

impl From<tokio_postgres::Error> for Silence {
    fn from(error: tokio_postgres::Error) -> Self {
        let is_away = error.code().is_none_or(|code| {
            // Ended, starting, out of connections; then tables and their schema before a job has made them.
            ["57P", "53", "08", "42P01", "3F000"].iter().any(|away| code.code().starts_with(away))
        });
        if is_away { Silence::Away } else { Silence::Refused(format!("{error:?}")) }
    }
}

/// The rows of each statement of a query.
pub(crate) fn postgres(statements: &str) -> Result<Vec<Vec<Row>>, Silence> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = runtime.block_on(async {
        tokio::time::timeout(DEADLINE, async {
            let (client, connection) = tokio_postgres::connect(&services::postgres(), NoTls).await?;
            tokio::spawn(connection);
            client.simple_query(statements).await
        })
        .await
    });
    let messages = asked.map_err(|_| Silence::Away)??;
    let mut said = vec![Vec::new()];
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                let columns = (0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect();
                said.last_mut().expect("never empty").push(columns);
            }
            SimpleQueryMessage::CommandComplete(_) => said.push(Vec::new()),
            _ => {}
        }
    }
    Ok(said)
}

/// A connection to Redis.
pub(crate) struct Redis(redis::Connection);

impl Redis {
    pub(crate) fn connect() -> Result<Self, String> {
        let client = redis::Client::open(services::redis()).map_err(|error| error.to_string())?;
        let connection = client.get_connection_with_timeout(DEADLINE).map_err(|error| error.to_string())?;
        for set in [connection.set_read_timeout(Some(DEADLINE)), connection.set_write_timeout(Some(DEADLINE))] {
            set.map_err(|error| error.to_string())?;
        }
        Ok(Redis(connection))
    }

    pub(crate) fn get(&mut self, key: &str) -> Result<Option<String>, String> {
        redis::cmd("GET").arg(key).query(&mut self.0).map_err(|error| error.to_string())
    }

    /// All keys below a prefix with what they hold.
    pub(crate) fn all(&mut self, prefix: &str) -> Result<Vec<(String, String)>, String> {
        let wrong = |error: redis::RedisError| error.to_string();
        let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{prefix}:*")).query(&mut self.0).map_err(wrong)?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<Option<String>> = redis::cmd("MGET").arg(&keys).query(&mut self.0).map_err(wrong)?;
        Ok(keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

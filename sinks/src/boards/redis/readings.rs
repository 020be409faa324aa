//! The readers' side of Redis: boards and pointers by key, and final boards put back.

use super::address::RedisAddress;
use super::server::{Deadlines, Server};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline};
use std::sync::Arc;
use std::time::Duration;
use stream::Fault;
use tokio::sync::Mutex;

/// Shorter than a reader waits, so that a connection that died without a word is given up and not kept for ever.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_millis(450), answer: Duration::from_millis(900) };

/// Reads boards, for any number of tasks. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct RedisReadings {
    server: Arc<Server>,
    /// With how often it was made anew, so that of many tasks whose question failed only the first gives it up.
    connection: Arc<Mutex<(u64, Option<MultiplexedConnection>)>>,
}

impl RedisReadings {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn new(address: &RedisAddress) -> Result<Self, Fault> {
        Ok(RedisReadings { server: Arc::new(Server::new(address, DEADLINES)?), connection: Arc::default() })
    }

    /// What is stored under a key.
    ///
    /// # Errors
    /// Unreachable, or not within the deadline (a retry helps).
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(key);
        let (value,): (Option<Vec<u8>>,) = self.query(&pipeline).await?;
        Ok(value.map(Bytes::from))
    }

    /// Store `blob` if nothing is stored under the key, and say whether.
    ///
    /// # Errors
    /// As [`RedisReadings::get`]; also where this user or server may only read.
    pub async fn put_back(&self, key: &str, blob: &str, time_to_live: Option<Duration>) -> Result<bool, Fault> {
        let mut pipeline = redis::pipe();
        let command = pipeline.cmd("SET").arg(key).arg(blob).arg("NX");
        if let Some(time) = time_to_live {
            command.arg("PX").arg(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        let (stored,): (Option<String>,) = self.query(&pipeline).await?;
        Ok(stored.is_some())
    }

    async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Fault> {
        let (made, mut connection) = {
            // Held while connecting: whoever else asks meanwhile waits for the same connection.
            let mut held = self.connection.lock().await;
            match &held.1 {
                Some(connection) => (held.0, connection.clone()),
                None => {
                    let connection = self.server.connect().await?;
                    *held = (held.0 + 1, Some(connection.clone()));
                    (held.0, connection)
                }
            }
        };
        let answer = self.server.query(&mut connection, pipeline).await;
        if answer.is_err() {
            let mut held = self.connection.lock().await;
            if held.0 == made {
                held.1 = None;
            }
        }
        answer
    }
}

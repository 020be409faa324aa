//! The readers' side of Redis: boards and pointers by key, and final boards put back.

use super::address::RedisAddress;
use super::server::{Deadlines, Server};
use super::store::literally;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stream::Fault;
use tokio::sync::Mutex;

/// Shorter than a reader waits, so that a connection that died without a word is given up and not kept for ever.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_millis(450), answer: Duration::from_millis(900) };

/// Keys read together.
const KEYS_AT_ONCE: usize = 32;
/// Keys that a step of a scan looks at.
const SCANNED_AT_ONCE: usize = 1000;

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

    /// What is stored under these keys, in their order.
    ///
    /// # Errors
    /// As [`RedisReadings::get`].
    pub async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Fault> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut pipeline = redis::pipe();
            keys.iter().for_each(|key| {
                pipeline.cmd("GET").arg(key);
            });
            let values: Vec<Option<Vec<u8>>> = self.query(&pipeline).await?;
            found.extend(values.into_iter().map(|value| value.map(Bytes::from)));
        }
        Ok(found)
    }

    /// The keys that begin with `prefix`, sorted. What comes or goes meanwhile may be among them or not.
    ///
    /// # Errors
    /// As [`RedisReadings::get`].
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let (pattern, mut cursor, mut found) = (format!("{}*", literally(prefix)), 0u64, BTreeSet::new());
        loop {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCANNED_AT_ONCE);
            let ((next, keys),): ((u64, Vec<Vec<u8>>),) = self.query(&pipeline).await?;
            found.extend(keys.into_iter().map(|key| String::from_utf8_lossy(&key).into_owned()));
            if next == 0 {
                return Ok(found.into_iter().collect());
            }
            cursor = next;
        }
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

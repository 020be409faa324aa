//! The read side of boards: bytes by key, wherever they are kept.

use super::memory::MemoryBoard;
use super::owner::Owner;
use super::redis::RedisReadings;
use bytes::Bytes;
use std::time::Duration;
use stream::{Fault, Progress, Sequence};

/// Where a reader finds boards. Keys are those of [`stream::BoardKeys`]. Cheap to clone.
#[derive(Clone)]
pub enum BoardReadings {
    /// In Redis.
    Redis(RedisReadings),
    /// In this process.
    Memory(MemoryBoard),
}

impl BoardReadings {
    /// A board's bytes, if there is one.
    ///
    /// # Errors
    /// Unreachable, or not within the deadline (a retry helps).
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        match self {
            BoardReadings::Redis(redis) => redis.get(key).await,
            BoardReadings::Memory(board) => Ok(board.get(key)),
        }
    }

    /// Boards' bytes in the order of their keys.
    ///
    /// # Errors
    /// As [`BoardReadings::get`].
    pub async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Fault> {
        match self {
            BoardReadings::Redis(redis) => redis.get_all(keys).await,
            BoardReadings::Memory(board) => Ok(keys.iter().map(|key| board.get(key)).collect()),
        }
    }

    /// Keys that begin with `prefix`; none of boards in memory, which nobody lists.
    ///
    /// # Errors
    /// As [`BoardReadings::get`].
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        match self {
            BoardReadings::Redis(redis) => redis.keys(prefix).await,
            BoardReadings::Memory(_) => Ok(Vec::new()),
        }
    }

    /// How far the boards' owner has published, and which job that is; everything up to there is on them. None where
    /// nobody owns them. `owner`: the owner's key.
    ///
    /// # Errors
    /// As [`BoardReadings::get`]; something else is stored there.
    pub async fn published(&self, owner: &str) -> Result<Option<(String, Progress)>, Fault> {
        let Some(bytes) = self.get(owner).await? else { return Ok(None) };
        let Owner { job, generation, epoch } = Owner::decode(&bytes)?;
        Ok(Some((job, Progress { generation, sequence: epoch.unwrap_or(Sequence(0)), hash: None })))
    }

    /// Store the final board `blob` if there is none, and say whether. A board in memory takes nothing back: it is as
    /// large as its job lets it be, and the tables lie beside it.
    ///
    /// # Errors
    /// As [`BoardReadings::get`]; also where this user or server may only read.
    pub async fn put_back(&self, key: &str, blob: &str, time_to_live: Option<Duration>) -> Result<bool, Fault> {
        match self {
            BoardReadings::Redis(redis) => redis.put_back(key, blob, time_to_live).await,
            BoardReadings::Memory(_) => Ok(false),
        }
    }

    /// The `{start}` that a pointer names, if there is one.
    ///
    /// # Errors
    /// As [`BoardReadings::get`].
    pub async fn pointer(&self, key: &str) -> Result<Option<String>, Fault> {
        let start = self.get(key).await?;
        Ok(start.and_then(|start| String::from_utf8(start.to_vec()).ok()))
    }
}

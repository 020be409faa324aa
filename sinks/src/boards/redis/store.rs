//! The follower's side of Redis: runs on a thread of its own and blocks there, each answer within a deadline.

use super::address::RedisAddress;
use super::scripts::{ADVANCE, DROP_OUTDATED, KEEP, PUT, SWAP};
use super::server::{Deadlines, Server};
use crate::boards::owner::newer;
use crate::boards::store::{Age, Board, BoardStore, Put};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline};
use std::time::Duration;
use stream::{Bug, EventTime, Fault, Generation, KindIndex, Sequence, seeded};
use tokio::runtime::Runtime;

const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(2), answer: Duration::from_secs(5) };
/// Keys read together.
const KEYS_AT_ONCE: usize = 64;
/// Keys that a step of a scan looks at.
const SCANNED_AT_ONCE: usize = 1000;

/// Writes boards.
pub(crate) struct RedisStore {
    server: Server,
    runtime: Runtime,
    connection: Option<MultiplexedConnection>,
    /// The owner's key, and the incarnation that we are.
    guard: (String, Generation),
}

impl RedisStore {
    /// Nothing is opened yet.
    pub(crate) fn new(address: &RedisAddress) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Fault::failed("cannot prepare to talk to Redis", error, "check the process's limits"))?;
        let guard = (String::new(), Generation::default());
        Ok(RedisStore { server: Server::new(address, DEADLINES)?, runtime, connection: None, guard })
    }

    /// Send commands together. After a failure the next call connects anew.
    fn query<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, Fault> {
        let (server, held) = (&self.server, self.connection.take());
        let (connection, answer) = self.runtime.block_on(async {
            let mut connection = match held {
                Some(connection) => connection,
                None => server.connect().await?,
            };
            let answer = server.query(&mut connection, pipeline).await?;
            Ok::<_, Fault>((connection, answer))
        })?;
        self.connection = Some(connection);
        Ok(answer)
    }

    /// Whether a newer owner refused one of these writes.
    fn unless_overtaken(&self, owners: &[u64]) -> Result<(), Fault> {
        match owners.iter().find(|owner| **owner > 0) {
            Some(owner) => Err(newer(self.server.place(), Generation(*owner), self.guard.1)),
            None => Ok(()),
        }
    }
}

impl BoardStore for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn place(&self) -> String {
        self.server.place().to_owned()
    }

    fn guard(&mut self, owner: &str, ours: Generation) {
        if !seeded(Bug::UnguardedPublish) {
            self.guard = (owner.to_owned(), ours);
        }
    }

    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Fault> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut pipeline = redis::pipe();
            keys.iter().for_each(|key| {
                pipeline.cmd("GET").arg(key);
            });
            let values: Vec<Option<Vec<u8>>> = self.query(&pipeline)?;
            found.extend(values.into_iter().map(|value| value.map(Bytes::from)));
        }
        Ok(found)
    }

    fn put(&mut self, boards: &[Board]) -> Result<Vec<Put>, Fault> {
        if boards.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for board in boards {
            let to_live = board.time_to_live.map(|time| time.as_millis().max(1).to_string()).unwrap_or_default();
            // Above all that there is: nothing is refused then.
            let generation = if seeded(Bug::UnguardedPublish) { 1 << 50 } else { board.age.generation.0 };
            pipeline.cmd("EVAL").arg(PUT).arg(1).arg(&board.key).arg(&self.guard.0).arg(self.guard.1.0);
            pipeline.arg(generation).arg(board.age.epoch.0).arg(&board.bytes).arg(to_live);
        }
        let answers: Vec<Vec<u64>> = self.query(&pipeline)?;
        assert_eq!(answers.len(), boards.len(), "each command has an answer");
        let put = |answer: Vec<u64>| match answer[..] {
            [generation, epoch, is_final] => Put::Refused {
                stored: Age { generation: Generation(generation), epoch: Sequence(epoch) },
                is_final: is_final == 1,
            },
            _ => Put::Written,
        };
        Ok(answers.into_iter().map(put).collect())
    }

    fn advance(&mut self, pointers: &[(String, String)]) -> Result<(), Fault> {
        if pointers.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for (key, label) in pointers {
            pipeline.cmd("EVAL").arg(ADVANCE).arg(1).arg(key).arg(&self.guard.0).arg(self.guard.1.0).arg(label);
        }
        let owners: Vec<u64> = self.query(&pipeline)?;
        self.unless_overtaken(&owners)
    }

    fn swap(&mut self, key: &str, expected: Option<&[u8]>, new: &str) -> Result<bool, Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVAL").arg(SWAP).arg(1).arg(key).arg(expected.unwrap_or_default()).arg(new);
        let (swapped,): (bool,) = self.query(&pipeline)?;
        Ok(swapped)
    }

    fn keep(&mut self, key: &str, text: &str, time_to_live: Duration) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        let millis = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX).max(1);
        pipeline.cmd("EVAL").arg(KEEP).arg(1).arg(key).arg(&self.guard.0).arg(self.guard.1.0).arg(text).arg(millis);
        let owners: Vec<u64> = self.query(&pipeline)?;
        self.unless_overtaken(&owners)
    }

    fn drop_outdated(&mut self, prefix: &str, age: Age) -> Result<u64, Fault> {
        let (pattern, mut cursor, mut dropped) = (format!("{}*", literally(prefix)), 0u64, 0);
        loop {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCANNED_AT_ONCE);
            let ((next, keys),): ((u64, Vec<Vec<u8>>),) = self.query(&pipeline)?;
            for keys in keys.chunks(KEYS_AT_ONCE) {
                let mut pipeline = redis::pipe();
                for key in keys {
                    pipeline.cmd("EVAL").arg(DROP_OUTDATED).arg(1).arg(key).arg(&self.guard.0).arg(self.guard.1.0);
                    pipeline.arg(age.generation.0).arg(age.epoch.0);
                }
                let gone: Vec<u64> = self.query(&pipeline)?;
                dropped += gone.into_iter().sum::<u64>();
            }
            if next == 0 {
                return Ok(dropped);
            }
            cursor = next;
        }
    }

    /// Here boards live by their time to live alone.
    fn forget(&mut self, _kind: KindIndex, _before: EventTime) {}
}

/// A text as a pattern that matches it alone.
pub(super) fn literally(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, letter| {
        if "*?[]^\\".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
        pattern
    })
}

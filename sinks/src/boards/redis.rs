//! Boards in Redis: one-key scripts, sent together, each answer within a deadline.

use super::store::{Age, Board, BoardStore, Put};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{EventTime, Fault, Generation, KindIndex, Sequence};
use tokio::runtime::Runtime;

const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Keys read together.
const KEYS_AT_ONCE: usize = 64;

/// ARGV: blob, generation, epoch, milliseconds to live or ''. Answers nothing when stored, else the stored generation
/// and epoch. In JSON a quote inside a text is escaped, so these patterns match the members alone.
const PUT: &str = r#"
local stored = redis.call('GET', KEYS[1])
if stored then
  local generation = tonumber(string.match(stored, '"generation":(%d+)') or '0')
  local epoch = tonumber(string.match(stored, '"epoch":(%d+)') or '0')
  local ours = tonumber(ARGV[2])
  if generation > ours or (generation == ours and epoch > tonumber(ARGV[3])) then
    return {generation, epoch}
  end
end
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
end
return {}
"#;

/// ARGV: label. Labels of one kind sort by time.
const ADVANCE: &str = "
local stored = redis.call('GET', KEYS[1])
if not stored or stored < ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1
";

/// ARGV: what must be stored ('' for nothing), what to store.
const SWAP: &str = "
local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
";

/// A server's address and how to talk to it. The URL's password is never shown.
#[derive(Clone)]
struct Server {
    client: Client,
    place: String,
}

impl Server {
    fn new(url: &str) -> Result<Self, Fault> {
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            return Err(Fault::usage(
                "sink.redis.url asks for TLS",
                "TLS to Redis is not built yet",
                "use redis:// within a trusted network, or a local TLS proxy",
            ));
        }
        let client = Client::open(url).map_err(|error| {
            Fault::usage(
                "sink.redis.url cannot be used",
                error,
                "write it as redis://[user:password@]host:port[/database]",
            )
        })?;
        let place = format!("Redis at {}", client.get_connection_info().addr());
        Ok(Server { client, place })
    }

    fn fault(&self, error: &redis::RedisError) -> Fault {
        let hint = if error.is_connection_refusal() || error.is_timeout() || error.is_io_error() {
            "start Redis, or check sink.redis.url"
        } else {
            "check the user's rights, maxmemory, and whether this is the primary"
        };
        Fault::transient(format!("cannot use {}", self.place), error, hint)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Fault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(ANSWER_DEADLINE));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        self.within_deadline(CONNECT_DEADLINE * 2, connecting).await
    }

    async fn query<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        pipeline: &Pipeline,
    ) -> Result<T, Fault> {
        self.within_deadline(ANSWER_DEADLINE * 2, pipeline.query_async(connection)).await
    }

    /// The client has deadlines of its own; this one holds whatever the client waits for.
    async fn within_deadline<T>(
        &self,
        deadline: Duration,
        asking: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(deadline, asking).await {
            Ok(answer) => answer.map_err(|error| self.fault(&error)),
            Err(_) => Err(Fault::transient(
                format!("cannot use {}", self.place),
                format!("no answer within {} s", deadline.as_secs()),
                "check Redis and the network to it",
            )),
        }
    }
}

/// The follower's side: runs on a thread of its own and blocks there.
pub(super) struct RedisStore {
    server: Server,
    runtime: Runtime,
    connection: Option<MultiplexedConnection>,
}

impl RedisStore {
    pub(super) fn new(url: &str) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Fault::failed("cannot prepare to talk to Redis", error, "check the process's limits"))?;
        Ok(RedisStore { server: Server::new(url)?, runtime, connection: None })
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
}

impl BoardStore for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn place(&self) -> String {
        self.server.place.clone()
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
            pipeline.cmd("EVAL").arg(PUT).arg(1).arg(&board.key).arg(&board.bytes);
            pipeline.arg(board.age.generation.0).arg(board.age.epoch.0).arg(to_live);
        }
        let answers: Vec<Vec<u64>> = self.query(&pipeline)?;
        assert_eq!(answers.len(), boards.len(), "each command has an answer");
        let put = |answer: Vec<u64>| match answer[..] {
            [generation, epoch] => Put::Refused(Age { generation: Generation(generation), epoch: Sequence(epoch) }),
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
            pipeline.cmd("EVAL").arg(ADVANCE).arg(1).arg(key).arg(label).ignore();
        }
        self.query(&pipeline)
    }

    fn swap(&mut self, key: &str, expected: Option<&[u8]>, new: &str) -> Result<bool, Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVAL").arg(SWAP).arg(1).arg(key).arg(expected.unwrap_or_default()).arg(new);
        let (swapped,): (bool,) = self.query(&pipeline)?;
        Ok(swapped)
    }

    /// Here boards live by their time to live alone.
    fn forget(&mut self, _kind: KindIndex, _before: EventTime) {}
}

/// The read side, for any number of tasks. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct RedisReadings {
    server: Server,
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
}

impl RedisReadings {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// A URL that cannot be used.
    pub fn new(url: &str) -> Result<Self, Fault> {
        Ok(RedisReadings { server: Server::new(url)?, connection: Arc::default() })
    }

    /// What is stored under a key.
    ///
    /// # Errors
    /// Unreachable, or not within the deadline (a retry helps).
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        let held = self.held().clone();
        let mut connection = match held {
            Some(connection) => connection,
            None => {
                let connection = self.server.connect().await?;
                self.held().insert(connection).clone()
            }
        };
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(key);
        let answer: Result<(Option<Vec<u8>>,), Fault> = self.server.query(&mut connection, &pipeline).await;
        if answer.is_err() {
            *self.held() = None;
        }
        Ok(answer?.0.map(Bytes::from))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

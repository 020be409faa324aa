//! One Redis server: connecting and asking, each within a deadline, and what its errors mean. A URL's password is never
//! shown.

use super::address::RedisAddress;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline};
use std::future::Future;
use std::time::Duration;
use stream::Fault;

/// How long a connection and an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
}

/// A server's address and how to talk to it.
pub(super) struct Server {
    client: Client,
    place: String,
    deadlines: Deadlines,
}

impl Server {
    /// # Errors
    /// An address that cannot be used.
    pub(super) fn new(address: &RedisAddress, deadlines: Deadlines) -> Result<Self, Fault> {
        let client = address.client()?;
        let place = format!("Redis at {}", client.get_connection_info().addr());
        Ok(Server { client, place, deadlines })
    }

    /// For people: where it is.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn fault(&self, error: &redis::RedisError) -> Fault {
        let said = error.to_string();
        let hint = if said.to_lowercase().contains("certificate") {
            "name the file of whoever signed the server's certificate in sink.redis.cacert, and check the URL's host name"
        } else if error.is_connection_refusal() || error.is_timeout() || error.is_io_error() {
            "start Redis, or check sink.redis.url (rediss:// if it speaks TLS)"
        } else {
            "check the user's rights, maxmemory, and whether this is the primary"
        };
        Fault::transient(format!("cannot use {}", self.place), said, hint)
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Fault> {
        let Deadlines { connect, answer } = self.deadlines;
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(Some(answer));
        // Looking the name up comes before the client's own deadline.
        self.within(connect * 2, self.client.get_multiplexed_async_connection_with_config(&config)).await
    }

    /// Send commands together.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        pipeline: &Pipeline,
    ) -> Result<T, Fault> {
        self.within(self.deadlines.answer * 2, pipeline.query_async(connection)).await
    }

    /// The client has deadlines of its own; this one holds whatever the client waits for.
    async fn within<T>(
        &self,
        deadline: Duration,
        asking: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(deadline, asking).await {
            Ok(answer) => answer.map_err(|error| self.fault(&error)),
            Err(_) => Err(Fault::transient(
                format!("cannot use {}", self.place),
                format!("no answer within {deadline:?}"),
                "check Redis and the network to it",
            )),
        }
    }
}

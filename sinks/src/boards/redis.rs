//! Boards in Redis: where the server is and how it is spoken to, the follower's side, the readers' side.

mod address;
mod readings;
mod scripts;
mod server;
mod store;

pub use address::RedisAddress;
pub use readings::RedisReadings;
pub(super) use store::RedisStore;

//! Published rankings, ready to serve: in Redis for any number of readers, or in memory for one in the same process.
//! The follower decides; a store only keeps.

mod follower;
mod memory;
mod owner;
mod readings;
mod redis;
mod settings;
mod status;
mod store;

#[cfg(test)]
mod conformance;

pub use follower::BoardFollower;
pub use memory::MemoryBoard;
pub use readings::BoardReadings;
pub use redis::{RedisAddress, RedisReadings};
pub use settings::BoardSettings;

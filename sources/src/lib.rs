//! Where records come from: Kafka, files, a generator; and what their bytes say. Transport and decoding are apart: a
//! source hands over bytes, a decoder makes an event of them.

mod file;
mod generator;
mod instant;
mod json;
mod kafka;
mod seed;
mod synthetic;
mod zipf;

pub use file::FileSource;
pub use generator::{GeneratorSettings, GeneratorSource};
pub use json::{JsonDecoder, JsonMapping};
pub use kafka::{
    DeadLetterProducer, DeadLetterSettings, KafkaSettings, KafkaSource, KafkaStart, KafkaWriter, KafkaWriterSettings,
};
pub use synthetic::{Carrier, Shares, Synthetic, SyntheticRecord, SyntheticSettings, SyntheticWords};

//! Settings from defaults, a file, the environment and flags, with every mistake reported at once and every value's origin known.
//!
//! This crate knows *how* to load, not *what* the settings mean. `default.toml` is the list of known keys, their types and their
//! defaults, conditional ones included. [`Layers`] puts a user's values on top, [`Reader`] turns them into typed values and collects
//! what is wrong, [`Loaded::show`] prints what is in force.
//!
//! ```
//! use std::time::Duration;
//!
//! let loaded = config::Layers::default().flag("--top", "topk.k", "50").load();
//! let mut read = loaded.reader();
//! let k: u32 = read.integer("topk.k", 1..=1000);
//! let interval = read.duration("epoch.interval");
//! read.finish()?;
//! assert_eq!((k, interval), (50, Duration::from_millis(250)));
//! # Ok::<(), config::ConfigErrors>(())
//! ```

mod conditional;
mod error;
mod layers;
mod loaded;
mod nearest;
mod origin;
mod quantity;
mod reader;
mod schema;
mod secret;
mod show;
mod text_layer;
mod toml_layer;
mod value;

pub use error::{ConfigError, ConfigErrors};
pub use layers::Layers;
pub use loaded::Loaded;
pub use origin::Origin;
pub use quantity::Retention;
pub use reader::Reader;
pub use secret::{is_secret_name, mask_url};

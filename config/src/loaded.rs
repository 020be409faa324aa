//! The settings in force, with what was found wrong while loading them.

use crate::schema::Setting;
use crate::toml_layer::Layer;
use crate::value::Value;
use crate::{ConfigError, ConfigErrors, Origin, Reader};

/// One setting in force.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// What is in force when nobody sets anything, conditions applied.
    pub(crate) default: Value,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

impl Entry {
    pub(crate) fn of_default(setting: &Setting) -> Self {
        let Setting { key, default } = setting.clone();
        Self { key, value: default.clone(), default, origin: Origin::Default }
    }
}

/// All layers put together. Values are typed by a [`Reader`]; until its `finish` has succeeded they are not to be used.
#[derive(Clone, Debug)]
#[must_use]
pub struct Loaded {
    /// In the order of `default.toml`.
    pub(crate) entries: Vec<Entry>,
    pub(crate) errors: Vec<ConfigError>,
}

impl Loaded {
    /// Reads typed values, collecting errors after those already found.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// `Err` with what was found wrong while loading: unreadable files, unknown keys, wrong types. Whoever reads all values finds
    /// the same and more by [`Reader::finish`].
    pub fn check(&self) -> Result<(), ConfigErrors> {
        ConfigErrors::check(self.errors.clone())
    }

    /// Where the value of `key` came from.
    ///
    /// # Panics
    /// If `default.toml` has no such key.
    pub fn origin(&self, key: &str) -> &Origin {
        &self.entry(key).origin
    }

    pub(crate) fn entry(&self, key: &str) -> &Entry {
        let found = self.entries.iter().find(|entry| entry.key == key);
        found.unwrap_or_else(|| panic!("default.toml has no key {key}"))
    }

    pub(crate) fn entry_mut(&mut self, key: &str) -> &mut Entry {
        let found = self.entries.iter_mut().find(|entry| entry.key == key);
        found.unwrap_or_else(|| panic!("default.toml has no key {key}"))
    }

    /// Lays a layer over the values so far.
    pub(crate) fn put(&mut self, layer: Layer) {
        for assignment in layer.assignments {
            let entry = self.entry_mut(&assignment.key);
            match (&mut entry.value, assignment.value) {
                (Value::Table(below), Value::Table(above)) => below.extend(above),
                (below, above) => *below = above,
            }
            entry.origin = assignment.origin;
        }
        self.errors.extend(layer.errors);
    }
}

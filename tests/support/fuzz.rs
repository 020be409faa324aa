//! Whatever reads bytes from outside, each as one function that takes any bytes and panics if a promise is broken:
//! `tests/fuzz` runs them from seeds.

mod boards;
mod decoder;
mod http;
mod journal;
mod mutate;
mod settings;

pub use mutate::{Mutator, Random};

/// A function to throw bytes at.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes any bytes; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Honest inputs to begin with.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// Texts that mean something to it.
    pub words: &'static [&'static str],
    /// How many inputs a seeded run gives it.
    pub inputs: u32,
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "decoder", run: decoder::decode, corpus: decoder::corpus, words: decoder::WORDS, inputs: 100_000 },
    Target { name: "journal", run: journal::read, corpus: journal::corpus, words: &[], inputs: 400 },
    Target { name: "boards", run: boards::read, corpus: boards::corpus, words: boards::WORDS, inputs: 20_000 },
    Target { name: "http", run: http::ask, corpus: http::corpus, words: http::WORDS, inputs: 20_000 },
    Target { name: "settings", run: settings::load, corpus: settings::corpus, words: settings::WORDS, inputs: 600 },
];

/// The target of a name.
///
/// # Panics
/// There is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("there is no fuzz target {name}"))
}

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

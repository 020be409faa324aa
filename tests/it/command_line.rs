//! The binary as its user meets it: verbs, settings, exit codes, ports, signals, supervision.

use std::path::Path;
use std::process::Command;
use tests::setup::bare_topk;
use tests::{Finished, Running, Setup, wait::LONG};

mod arguments;
mod doctor;
mod generate;
mod journal;
mod life;
mod settings;
mod verify;

/// Run `topk` with these words alone in `folder`, to its end.
fn topk_in(folder: &Path, words: &[&str]) -> Finished {
    finish(bare_topk(words), folder)
}

fn finish(command: Command, folder: &Path) -> Finished {
    Running::start(command, folder, "alone").wait(LONG)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A setup whose file has one good view in it.
fn with_one_view(test: &str) -> Setup {
    let setup = Setup::embedded(test);
    let view = "{\"video_id\":\"a\",\"view_timestamp\":\"2025-10-19T12:00:00Z\"}\n";
    std::fs::write(setup.path("views").join("one.ndjson"), view).expect("the folder can be written");
    setup
}

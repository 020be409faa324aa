//! The answer is exact, and it is the same answer whatever happens on the way: another number of workers, other epochs,
//! `kill -9` at any moment. The judge is the independent recount in tests/recount.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use tests::Setup;
use tests::setup::text;

mod bucket;
mod kills;
mod rescale;
mod same_answer;
mod second_run;
mod two_million;

/// What an answer is made of, without what may differ from run to run: epochs, generations, when it was written, whose it is.
pub(crate) struct Answer {
    tables: tests::Tables,
    boards: BTreeMap<String, Value>,
    dead_letters: Vec<String>,
}

/// Columns that name an epoch, a generation or the clock.
const RUN_COLUMNS: [&str; 6] = [
    "window_status.epoch",
    "topk_progress.generation",
    "topk_progress.epoch",
    "topk_progress.top_k_epoch",
    "topk_progress.commit_hash",
    "topk_progress.updated_at",
];
/// Members of a board that do so; W, too, is as of when the board last changed.
const RUN_MEMBERS: [&str; 5] = ["job", "generation", "epoch", "as_of", "published_at"];

impl Answer {
    pub(crate) fn of(setup: &Setup) -> Self {
        let mut boards = match setup.settings().get("sink.redis.prefix") {
            Some(_) => setup.boards(),
            None => BTreeMap::new(),
        };
        for members in boards.values_mut().filter_map(|board| board.as_object_mut()) {
            RUN_MEMBERS
                .iter()
                .for_each(|member| assert!(members.remove(*member).is_some(), "a board without {member}"));
        }
        let mut dead_letters: Vec<String> = setup.dead_letters().into_iter().map(letter).collect();
        dead_letters.sort();
        let tables = setup.tables().without(&RUN_COLUMNS).without_tables(&["topk_job"]);
        Answer { tables, boards, dead_letters }
    }

    /// Without letters of its own: where some were thrown away as settings say.
    pub(crate) fn take_letters_of(&mut self, other: &Self) {
        self.dead_letters.clone_from(&other.dead_letters);
    }

    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        self.tables.assert_same(&other.tables, what);
        let (boards, others) = (&self.boards, &other.boards);
        assert_eq!(boards.keys().collect::<Vec<_>>(), others.keys().collect::<Vec<_>>(), "{what}: other boards");
        for (name, board) in boards {
            assert!(*board == others[name], "{what}: {name} differs:\n{board}\n{}", others[name]);
        }
        let differing = self.dead_letters.iter().zip(&other.dead_letters).find(|(one, other)| one != other);
        assert!(
            self.dead_letters == other.dead_letters,
            "{what}: {} and {} dead letters, the first that differ: {differing:?}",
            self.dead_letters.len(),
            other.dead_letters.len()
        );
    }
}

/// A dead letter without its epoch, without the name of its log, which differs between folders, and without the detail of a
/// view of the future, which names the time of the clock when it was read.
fn letter(mut letter: Value) -> String {
    let members = letter.as_object_mut().expect("a letter is an object");
    assert!(members.remove("epoch").is_some() && members.remove("source").is_some(), "a letter names epoch and source");
    if members["error"] == "time_future" {
        members.remove("detail");
    }
    letter.to_string()
}

/// Several files of views that go over the end of an hour, a day and a month, each with disorder, late views and views
/// that cannot be counted. Each file is a partition; the last one is behind the others in event time.
pub(crate) fn write_views(setup: &Setup, files: u32, views_in_each: u32) {
    for file in 0..files {
        let path = setup.path("views").join(format!("part-{file}.ndjson"));
        let seed = 100 + file;
        let start = if file + 1 == files { "2025-10-31T22:30:00Z" } else { "2025-10-31T22:40:00Z" };
        // Two hours of views in each.
        let rate = f64::from(views_in_each) / 7200.0;
        let file = text(&path);
        setup.generate(&words(&format!(
            "--count {views_in_each} --seed {seed} --start {start} --rate {rate} --videos 3000 --late 2 --malformed 2 --future 0.5 --file {file}"
        )));
        assert!(fs::metadata(&path).expect("generated").len() > 0);
    }
}

/// The words of a command line.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Recount, and say what was compared; by `topk verify` too, which takes floors from the journal itself. The compared figures keep a recount that compares nothing from passing.
#[track_caller]
pub(crate) fn assert_recounted(setup: &Setup, words: &[&str]) {
    let recounted = setup.recount(words).expect_code(0);
    for check in ["counts minute", "counts all_time", "window_status", "top_k_videos", "dead letters"] {
        let compared = recounted
            .stdout
            .lines()
            .find_map(|line| line.trim().strip_prefix(check)?.trim().split(' ').next()?.parse().ok());
        assert!(
            compared.is_some_and(|compared: u64| compared > 0),
            "nothing was compared under `{check}`:\n{}",
            recounted.stdout
        );
    }
    println!("{}", recounted.stdout);
    println!("{}", setup.topk(&["verify"]).expect_code(0).stdout);
}

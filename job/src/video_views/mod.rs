//! Counts views per video in event-time windows, and ranks the most viewed. The whole pipeline is on this screen.

use operators::{CountInWindows, RankUnion, WindowStore};
use runtime::{Pipeline, WindowRules};
use stream::Vocabulary;

/// What this job calls its things; every name outside comes from these words.
pub fn words() -> Vocabulary {
    Vocabulary::new("view", "views", "video", "videos")
}

/// What the pipeline needs to know.
#[derive(Clone)]
pub struct VideoViews {
    /// Window kinds, zone, lateness, retention.
    pub rules: WindowRules,
    /// Length of the lists.
    pub k: usize,
}

/// The dataflow on one worker. Before it, reader threads decode each view, judge its lateness by its own partition's
/// prefix, and combine: `(video, minute, late mask) → n`. After it, followers show what is committed.
pub fn build(run: &mut Pipeline<'_>, job: &VideoViews) {
    // A worker owns key groups; it begins with what the journal has of them.
    let mut store =
        WindowStore::new(run.worker(), &job.rules.windows, job.rules.allowed_lateness, job.k, run.rows_wanted());
    let (keys, groups) = run.recovered();
    store.load(keys, groups);

    // Combined views, one batch per owner, closed into epochs and gated by what is committed.
    let views = run.read();

    // Exchange by key group; apply whole epochs in order. A view is counted in here.
    let counts = views.deltas.count_in_windows(store, views.marks, run.commits());

    // Each worker's K best are candidates; differential dataflow ranks their union. A video is ranked in here.
    let ranked = counts.candidates.rank_union(job.k);

    // One record per epoch, durable before anything of it is shown. A view is committed in here.
    run.commit(counts.parts, views.reports);

    // Tables and boards follow what is committed.
    run.follow(counts.windows, ranked, counts.rows);
}

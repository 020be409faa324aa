//! Seeded bugs: a harness that has never been red proves nothing. One promise after the other is broken in the job, and a
//! short round made for it must see that; without a bug the same rounds must see nothing.

use crate::campaign::Round;
use crate::plots::Plot;
use ::tests::process::topk;
use std::process::ExitCode;
use stream::{Bug, Catcher};

/// The checks that are about the promise which a bug breaks: one that is seen by another is not understood.
fn seen_by(bug: Bug) -> &'static [&'static str] {
    match bug {
        // What was added twice is in the rows and in no total, of all time or of the window it is in.
        Bug::AdditiveUpsert | Bug::UnknownCommitAdded => {
            &["sum of all_time = counted", "a window's totals are those of its rows"]
        }
        Bug::UnfencedFlush => &[
            "the tables' epoch never goes back",
            "offsets never go back",
            "no flush by an old generation after a newer fence",
        ],
        Bug::UnguardedPublish => &[
            "a board never goes back, a final one never changes",
            "no board by an old generation after a newer fence",
            "a pointer never goes back",
            "the status never goes back",
            "the boards' fence never goes back",
            "an answer never goes back, per store",
        ],
        // Windows that are to be kept have lost their rows, or their status too.
        Bug::RetentionByClock => &["a window's totals are those of its rows", "counted + late = all_time, per kind"],
        Bug::PointerFirst => &["a pointer points at a board"],
        Bug::LettersTwice => &["recount by Python and the JVM's consumer: no difference"],
        Bug::AddedAtLatest | Bug::OffsetsOfGroup => &["ledger = log up to its offsets"],
        Bug::ResetLatest | Bug::ResetEarliest => {
            &["ledger = log up to its offsets", "offsets that are gone are refused"]
        }
        // Or what is in the other log is counted before it is known that it is not refused.
        Bug::NoTopicId => &["ledger = log up to its offsets", "a topic that was made anew is refused"],
        Bug::NoFingerprint => &["ledger = log up to its offsets", "a log that was cut and filled again is refused"],
        _ => &[],
    }
}

/// Why this build cannot do it, if it cannot.
fn is_missing() -> Option<&'static str> {
    // The nemesis may be built with bugs while the job beside it is one that another build has left there.
    let name = b"TOPK_SEEDED_BUG";
    let job = std::fs::read(topk()).expect("the job's binary can be read");
    let has_bugs = job.windows(name.len()).any(|bytes| bytes == name);
    match (cfg!(feature = "seeded-bugs"), has_bugs) {
        (true, true) => None,
        (false, _) => Some("this program has no bugs"),
        (true, false) => Some("the job beside this program has no bugs"),
    }
}

/// Every bug that is this harness's to catch, or these alone; first each plot without one.
pub(crate) fn run(only: &[String]) -> ExitCode {
    if let Some(why) = is_missing() {
        eprintln!("nemesis: {why}: cargo build -p job -p tests --features job/s3,tests/seeded-bugs --bins");
        return ExitCode::from(2);
    }
    let is_ours = |bug: &&Bug| bug.catcher() == Catcher::Nemesis;
    let ours: Vec<Bug> = Bug::ALL.iter().filter(is_ours).copied().collect();
    if let Some(unknown) = only.iter().find(|name| !ours.iter().any(|bug| bug.name() == name.as_str())) {
        let names: Vec<&str> = ours.iter().map(|bug| bug.name()).collect();
        eprintln!("nemesis: --only {unknown}: there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    let is_asked = |bug: &Bug| only.is_empty() || only.iter().any(|name| name == bug.name());
    let bugs: Vec<Bug> = ours.into_iter().filter(is_asked).collect();
    let mut plots: Vec<Plot> = Vec::new();
    bugs.iter().map(|bug| Plot::of(*bug)).for_each(|plot| {
        if !plots.contains(&plot) {
            plots.push(plot)
        }
    });
    let mut table = vec!["| Bug | seen by | after |\n|---|---|---|".to_owned()];
    let mut add = |row: String| {
        println!("{row}");
        table.push(row);
    };
    let mut alarms = 0;
    for plot in plots {
        println!("== {plot:?} without a bug");
        let round = plot.play(None);
        alarms += u64::from(!round.ok);
        add(format!("| {plot:?} without a bug | {} |", seen(&round, "nothing, in")));
    }
    let mut caught = 0;
    for bug in &bugs {
        println!("== {}: {}", bug.name(), bug.promise());
        let round = Plot::of(*bug).play(Some(*bug));
        let is_caught = round.first.is_some_and(|first| seen_by(*bug).contains(&first.check));
        caught += u64::from(is_caught);
        let but = if round.ok || is_caught { "" } else { "ANOTHER REASON: " };
        add(format!("| {} | {but}{} |", bug.name(), seen(&round, "NOT CAUGHT, in")));
    }
    let is_good = caught == bugs.len() as u64 && alarms == 0;
    println!(
        "{}\nnemesis result: {}. {caught} of {} seeded bugs caught; {alarms} false alarms",
        table.join("\n"),
        if is_good { "ok" } else { "FAILED" },
        bugs.len()
    );
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first check that did not hold, and when.
fn seen(round: &Round, nothing: &str) -> String {
    match round.first {
        Some(first) => format!("{} | {:.1} s", first.check, first.after.as_secs_f64()),
        None => format!("{nothing} {} checks | {} s", round.checks.values().sum::<u64>(), round.took_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_bug_of_ours_it_is_known_what_sees_it() {
        let is_ours = |bug: &Bug| bug.catcher() == Catcher::Nemesis;
        Bug::ALL.iter().for_each(|bug| assert_eq!(is_ours(bug), !seen_by(*bug).is_empty(), "{}", bug.name()));
    }
}

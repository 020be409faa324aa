//! What rounds say together: the tables of docs/reliability.md.

use crate::campaign::Round;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// One round in a few lines.
pub(crate) fn one(round: &Round) -> String {
    let faults: u64 = round.told.events.values().sum();
    let mut text = format!(
        "seed {}: {} in {} s, {faults} faults, {} records, {} lost, {} counted twice, {} checks\n",
        round.seed,
        if round.ok { "ok" } else { "FAILED" },
        round.took_seconds,
        round.records,
        round.lost,
        round.duplicated,
        round.checks.values().sum::<u64>(),
    );
    for violation in &round.violations {
        let _ = writeln!(text, "  {violation}");
    }
    text
}

/// All of them.
pub(crate) fn of(rounds: &[Round]) -> String {
    let sum = |of: &dyn Fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let mut text = String::new();
    let failed: Vec<u64> = rounds.iter().filter(|round| !round.ok).map(|round| round.seed).collect();
    let revisions: BTreeSet<&str> = rounds.iter().map(|round| round.revision.as_str()).collect();
    let _ = writeln!(
        text,
        "| Rounds | {} in {:.1} h; failed: {failed:?} |",
        rounds.len(),
        sum(&|round| round.took_seconds) as f64 / 3600.0
    );
    text += "|---|---|\n";
    for (family, of) in by(rounds, |round| round.family.clone()) {
        let seeds: Vec<u64> = of.iter().map(|round| round.seed).collect();
        let range = (seeds.iter().min().unwrap_or(&0), seeds.iter().max().unwrap_or(&0));
        let _ = writeln!(text, "| Seeds of `{family}` | {} from {} to {} |", seeds.len(), range.0, range.1);
    }
    let _ = writeln!(text, "| Revisions | {} |", revisions.into_iter().collect::<Vec<_>>().join(", "));
    let _ = writeln!(
        text,
        "| Records | {}, of which {} counted |",
        sum(&|round| round.records),
        sum(&|round| round.counted)
    );
    let _ =
        writeln!(text, "| Lost / counted twice | {} / {} |", sum(&|round| round.lost), sum(&|round| round.duplicated));
    let _ = writeln!(
        text,
        "| Most memory, files, threads | {} MiB, {}, {} |",
        most(rounds, |r| r.resident_mib),
        most(rounds, |r| r.files),
        most(rounds, |r| r.threads)
    );

    text += "\n| Survived | n | 95 % bound, 3/n |\n|---|---|---|\n";
    for (kind, n) in added(rounds, |round| &round.told.events) {
        let _ = writeln!(text, "| {kind} | {n} | {} |", bound(n));
    }
    text += "\n| Recovery | n | p50 | p99 | max |\n|---|---|---|---|---|\n";
    let mut recoveries: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (victim, millis) in rounds.iter().flat_map(|round| &round.told.recoveries) {
        recoveries.entry(victim).or_default().extend(millis);
    }
    for (victim, mut millis) in recoveries {
        millis.sort_unstable();
        let at = |percent: usize| seconds(millis[(millis.len() * percent).div_ceil(100).max(1) - 1]);
        let _ = writeln!(text, "| {victim} | {} | {} | {} | {} |", millis.len(), at(50), at(99), at(100));
    }
    text += "\n| Check | made |\n|---|---|\n";
    for (name, made) in added(rounds, |round| &round.checks) {
        let _ = writeln!(text, "| {name} | {made} |");
    }
    text += "\n| Answers of the reader | n |\n|---|---|\n";
    for (answer, n) in added(rounds, |round| &round.answers) {
        let _ = writeln!(text, "| {answer} | {n} |");
    }
    let mut staleness: BTreeMap<u64, u64> = BTreeMap::new();
    rounds
        .iter()
        .flat_map(|round| &round.staleness)
        .for_each(|(millis, n)| *staleness.entry(*millis).or_default() += n);
    let all: u64 = staleness.values().sum();
    let at = |percent: u64| {
        let mut left = (all * percent).div_ceil(100);
        staleness
            .iter()
            .find(|(_, n)| {
                let is_here = left <= **n;
                left = left.saturating_sub(**n);
                is_here
            })
            .map_or(0, |(millis, _)| *millis)
    };
    let _ = writeln!(
        text,
        "| how old: p50 / p99 / max, rounded up | {} / {} / {} |",
        seconds(at(50)),
        seconds(at(99)),
        seconds(at(100))
    );
    text += "\n| Instances ended with | n |\n|---|---|\n";
    for (code, n) in added(rounds, |round| &round.told.exits) {
        let _ = writeln!(text, "| {code} | {n} |");
    }
    text
}

fn by<K: Ord>(rounds: &[Round], key: impl Fn(&Round) -> K) -> BTreeMap<K, Vec<&Round>> {
    let mut groups: BTreeMap<K, Vec<&Round>> = BTreeMap::new();
    rounds.iter().for_each(|round| groups.entry(key(round)).or_default().push(round));
    groups
}

fn added<'a>(rounds: &'a [Round], of: impl Fn(&'a Round) -> &'a BTreeMap<String, u64>) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    rounds.iter().flat_map(of).for_each(|(name, n)| *sums.entry(name.as_str()).or_default() += n);
    sums
}

fn most(rounds: &[Round], of: impl Fn(&Round) -> u64) -> u64 {
    rounds.iter().map(of).max().unwrap_or(0)
}

/// With so many trials and no failure, the chance of one is below this in 95 of 100 cases.
fn bound(n: u64) -> String {
    format!("{:.2} %", 300.0 / n as f64)
}

fn seconds(millis: u64) -> String {
    format!("{:.2} s", millis as f64 / 1000.0)
}

//! What `/metrics` says is what docs/metrics.md says, and both are what the code records.

use super::{files, read};
use std::collections::BTreeSet;

/// Names given to the macros that record, in code that ships.
fn recorded() -> BTreeSet<String> {
    let is_shipped = |path: &str| path.ends_with(".rs") && !path.starts_with("tests/") && !path.contains("tests");
    let mut names = BTreeSet::new();
    for (_, content) in files().into_iter().filter(|(path, _)| is_shipped(path)) {
        for macro_name in ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("] {
            for after in content.split(macro_name).skip(1) {
                let name = after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                names.insert(name.expect("a metric is named by a literal").to_owned());
            }
        }
    }
    names
}

#[test]
fn every_metric_is_described_and_every_description_is_of_a_metric() {
    let described: BTreeSet<String> = job::metrics::METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(described.len(), job::metrics::METRICS.len(), "a metric is described twice");
    assert_eq!(recorded(), described, "job/src/metrics.rs and the code that records differ");
}

#[test]
fn the_paper_is_the_table() {
    let paper = read("docs/metrics.md");
    let table = job::metrics::table();
    assert!(paper.contains(&table), "docs/metrics.md should hold this table:\n{table}");
}

//! The example is a job like any other: its lists equal a plain sum, on any number of workers, and it stays small.

#[path = "../examples/songs.rs"]
#[allow(dead_code, reason = "the example's main is not called here")]
mod songs;

use operators::FedRecord;
use std::cmp::Reverse;
use std::collections::BTreeMap;

const START: u64 = 1_760_882_400_000;

/// Plays in order within each of four partitions, so that none is late; every 97th line is no play.
fn plays() -> (Vec<FedRecord>, BTreeMap<(u64, String), u64>) {
    let (mut lines, mut sums) = (Vec::new(), BTreeMap::new());
    for step in 0..20_000u64 {
        let partition = (step % 4) as usize;
        if step % 97 == 0 {
            lines.push((partition, b"not a play".to_vec()));
            continue;
        }
        let (began, seconds, song) =
            (START + step * 250, step * step % 241, format!("song {}", step * step * step % 59));
        lines.push((partition, format!("{began} {seconds} {song}").into()));
        *sums.entry((began - began % 600_000, song)).or_insert(0) += seconds;
    }
    (lines, sums)
}

#[test]
fn the_lists_equal_a_plain_sum_on_any_number_of_workers() {
    let (lines, sums) = plays();
    let mut windows: BTreeMap<u64, Vec<(Reverse<u64>, String)>> = BTreeMap::new();
    for ((start, song), seconds) in sums {
        windows.entry(start).or_default().push((Reverse(seconds), song));
    }
    let mut expected = Vec::new();
    for (start, mut list) in windows {
        list.sort();
        expected.extend(list.into_iter().take(3).map(|(Reverse(seconds), song)| (start as i64, seconds, song)));
    }
    assert_eq!(expected.len(), 27, "nine windows of ten minutes");
    for workers in [1, 2, 3] {
        let lists = songs::top_songs(lines.clone(), workers);
        let got: Vec<_> = lists.into_iter().map(|(start, seconds, song)| (start.millis(), seconds, song)).collect();
        assert_eq!(got, expected, "{workers} workers");
    }
}

#[test]
fn the_example_stays_on_one_screen_and_needs_no_other_crate_of_ours() {
    let text = include_str!("../examples/songs.rs");
    assert!(text.lines().count() <= 60, "{} lines", text.lines().count());
    for crate_name in ["job", "runtime", "sources", "sinks", "reader", "config"] {
        assert!(!text.contains(&format!("use {crate_name}::")), "{crate_name} is imported");
    }
}

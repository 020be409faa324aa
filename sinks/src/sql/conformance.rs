//! The cases that every SQL store must pass, whatever it is. Each store brings a [`Bench`] and calls [`every_case`].

mod bench;

use super::TablesSettings;
use bench::*;
pub(crate) use bench::{ALL_TIME, Bench, Fill, HOUR, MINUTE, TWO, commit, dump, every_case, settings, step};
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::{
    Claim, Commit, EventTime, Follower, Forget, Generation, Key, PartitionState, Progress, RecordHash, Sequence, Step,
    WindowState, WindowTotals,
};

pub(crate) fn looking_changes_nothing(bench: &dyn Bench) {
    let mut follower = bench.open(bench.settings());
    assert_eq!(follower.look(), Ok(None));
    assert_eq!(block(bench.readings().top_k(id(HOUR, TWO), 5)), None);
    assert_eq!(block(bench.readings().newest(HOUR, false)), None);
    assert_eq!(claim(&mut *follower, 4), Ok(None), "looking made no progress");
    let nothing = Progress { generation: Generation(4), sequence: Sequence(0), hash: None };
    assert_eq!(bench.open(bench.settings()).look(), Ok(Some(nothing)), "a genesis must start above this generation");
    follower.write(&step(commit(4, 9, None))).unwrap();
    let written = Progress { generation: Generation(4), sequence: Sequence(9), hash: Some(RecordHash([9; 32])) };
    assert_eq!(bench.open(bench.settings()).look(), Ok(Some(written.clone())));
    assert_eq!(claim(&mut *follower, 5), Ok(Some(written.clone())));
    let looked = bench.open(bench.settings()).look().unwrap().unwrap();
    assert_eq!(looked, Progress { generation: Generation(5), ..written });
}

pub(crate) fn replays_change_nothing(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let first = step(commit(1, 3, None))
        .rows(MINUTE, TWO, &[("b", 2), ("a", 1)])
        .rows(HOUR, TWO, &[("b", 2), ("a", 1)])
        .rows(ALL_TIME, TWO, &[("a", 1), ("b", 2)])
        .status(HOUR, TWO, WindowState::Open, (3, 2, 0))
        .ranking(HOUR, TWO, &[("b", 2), ("a", 1)]);
    let second = step(commit(1, 4, Some(TWO))).rows(MINUTE, TWO, &[("a", 7)]).rows(MINUTE, TWO, &[("c", 1)]).status(
        HOUR,
        TWO,
        WindowState::Closed,
        (10, 3, 1),
    );
    follower.write(&first).unwrap();
    follower.write(&second).unwrap();
    let once = dump(bench);
    let minute = texts(&[
        &["2025-10-19T14:00:00Z", "a", "7"],
        &["2025-10-19T14:00:00Z", "b", "2"],
        &["2025-10-19T14:00:00Z", "c", "1"],
    ]);
    assert_eq!(once[0], minute);
    let status = ["hour", "2025-10-19T14:00:00Z", "2025-10-19T15:00:00Z", "closed", "10", "3", "1", "4"];
    assert_eq!(once[3], texts(&[&status]));
    assert_eq!(once[5], texts(&[&["p\"0", "40", "36", "4"]]));
    assert_eq!(once[6], texts(&[&["0", "1", "4", "3", &"04".repeat(32)]]));
    for _ in 0..2 {
        follower.write(&second).unwrap();
        assert_eq!(dump(bench), once);
    }
    // The outcome of a commit was unknown, and then the process died.
    let mut follower = bench.open(bench.settings());
    assert_eq!(claim(&mut *follower, 1).unwrap().unwrap().sequence, Sequence(4));
    follower.write(&second).unwrap();
    assert_eq!(dump(bench), once);
}

pub(crate) fn an_older_generation_is_fenced(bench: &dyn Bench) {
    let mut old = claimed(bench, 1);
    old.write(&step(commit(1, 1, None)).rows(HOUR, TWO, &[("a", 1)])).unwrap();
    let mut new = claimed(bench, 2);
    let late = step(commit(1, 2, None)).rows(HOUR, TWO, &[("a", 99)]);
    assert_eq!(exit(old.write(&late)), 4, "already before the new one has written");
    new.write(&step(commit(2, 3, None)).rows(HOUR, TWO, &[("a", 5)])).unwrap();
    assert_eq!(exit(old.write(&late)), 4);
    assert_eq!(exit(claim(&mut *old, 1)), 4);
    // Frozen between its claim and what a person let it do then (`--rebuild-sink`).
    for rows in [Forget::Everything, Forget::FinalBy(Some(EventTime::from_millis(TWO + 7_200_000)))] {
        assert_eq!(exit(old.forget(rows)), 4);
    }
    assert_eq!(bench.query("SELECT song_id, plays FROM {table:song_plays_hour}"), texts(&[&["a", "5"]]));
    // A new incarnation may show what the previous one committed.
    let mut newest = claimed(bench, 3);
    newest.write(&step(commit(2, 3, None)).rows(HOUR, TWO, &[("a", 5)])).unwrap();
}

pub(crate) fn a_second_job_is_refused(bench: &dyn Bench) {
    claimed(bench, 1);
    let mut other = bench.open(TablesSettings { job: "posts".into(), ..bench.settings() });
    let fault = other.claim(&Claim { job: "posts".into(), generation: Generation(9) }).unwrap_err();
    assert_eq!(fault.exit.code(), 2);
    assert!(fault.why.contains("\"songs\""), "the first is named: {fault}");
    assert_eq!(bench.query("SELECT job, generation FROM {table:topk_job}"), texts(&[&["songs", "1"]]));
}

pub(crate) fn other_names_are_refused(bench: &dyn Bench) {
    claimed(bench, 1);
    let mut renamed = bench.open(TablesSettings { table_prefix: "other".into(), ..bench.settings() });
    let fault = claim(&mut *renamed, 2).unwrap_err();
    assert_eq!(fault.exit.code(), 2);
    assert!(fault.why.contains("\"song_plays\""), "{fault}");
}

pub(crate) fn rows_live_as_long_as_retention_says(bench: &dyn Bench) {
    const H: i64 = 3_600_000;
    let mut follower = claimed(bench, 1);
    let mut first = step(commit(1, 1, Some(TWO)));
    for hour in 0..4 {
        let at = TWO + hour * H;
        first = first
            .rows(MINUTE, at, &[("a", 1)])
            .rows(HOUR, at, &[("a", 1), ("b", 2)])
            .status(HOUR, at, WindowState::Open, (3, 2, 0))
            .ranking(HOUR, at, &[("b", 2), ("a", 1)]);
    }
    follower.write(&first).unwrap();
    let hours = || {
        [
            bench.query("SELECT DISTINCT {time:window_start} FROM {table:song_plays_hour} ORDER BY 1"),
            bench.query("SELECT {time:window_start} FROM {table:window_status} ORDER BY 1"),
            bench.query("SELECT DISTINCT {time:start_time} FROM {table:top_k_songs} ORDER BY 1"),
        ]
    };
    let from = |first: usize| {
        let all = ["2025-10-19T14:00:00Z", "2025-10-19T15:00:00Z", "2025-10-19T16:00:00Z", "2025-10-19T17:00:00Z"];
        all[first..].iter().map(|start| vec![(*start).to_owned()]).collect::<Vec<_>>()
    };
    assert_eq!(hours(), [from(0), from(0), from(0)]);
    // [14, 15) ends at 15:00, which is W - 2 h: gone. A millisecond earlier it was not.
    follower.write(&step(commit(1, 2, Some(TWO + 3 * H - 1)))).unwrap();
    assert_eq!(hours(), [from(0), from(0), from(0)]);
    let late = step(commit(1, 3, Some(TWO + 3 * H)))
        .rows(HOUR, TWO, &[("late", 1)])
        .status(HOUR, TWO, WindowState::Final, (4, 3, 9))
        .ranking(HOUR, TWO, &[("late", 1)]);
    follower.write(&late).unwrap();
    assert_eq!(hours(), [from(1), from(1), from(1)]);
    follower.write(&step(commit(1, 4, Some(TWO + 100 * H)))).unwrap();
    assert_eq!(hours(), [from(4), from(4), from(4)]);
    let minutes = bench.query("SELECT count(*) FROM {table:song_plays_minute}");
    assert_eq!(minutes, texts(&[&["4"]]), "minutes are kept for ever here");
}

pub(crate) fn expired_rows_go_in_bounded_batches(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let keys: Vec<String> = (0..45_000).map(|number| format!("k{number}")).collect();
    let rows: Vec<(&str, u64)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    follower.write(&step(commit(1, 1, Some(TWO))).rows(HOUR, TWO, &rows)).unwrap();
    let left = || bench.query("SELECT count(*) FROM {table:song_plays_hour}").concat().concat();
    let later = |sequence, last| step(Commit { last, ..commit(1, sequence, Some(TWO + 100 * 3_600_000)) });
    let expect = |follower: &mut dyn Follower, step: Step, rows: &str| {
        follower.write(&step).unwrap();
        assert_eq!(left(), rows);
    };
    let (second, third) = if bench.drops_partitions() { ("0", "0") } else { ("25000", "5000") };
    expect(&mut *follower, later(2, false), second);
    expect(&mut *follower, later(3, false), third);
    expect(&mut *follower, later(4, false), "0");
    // A run that ends leaves none behind.
    let mut follower = claimed(bench, 2);
    follower.write(&step(commit(2, 5, Some(TWO))).rows(HOUR, TWO, &rows)).unwrap();
    expect(&mut *follower, later(6, true), "0");
}

pub(crate) fn ranks_are_replaced(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let first = step(commit(1, 1, None)).ranking(HOUR, TWO, &[("c", 9), ("a", 5), ("b", 5)]);
    follower.write(&first.ranking(MINUTE, TWO, &[("c", 1)])).unwrap();
    follower.write(&step(commit(1, 2, None)).ranking(HOUR, TWO, &[("b", 12), ("c", 10)])).unwrap();
    let rows = bench.query("SELECT period, region, rank, song_id, play_count FROM {table:top_k_songs} ORDER BY 1, 3");
    let expected: [&[&str]; 3] =
        [&["hour", "", "1", "b", "12"], &["hour", "", "2", "c", "10"], &["minute", "", "1", "c", "1"]];
    assert_eq!(rows, texts(&expected));
    // A step without rankings leaves them and their epoch alone.
    follower.write(&step(commit(1, 3, None))).unwrap();
    assert_eq!(bench.query("SELECT epoch, top_k_epoch FROM {table:topk_progress}"), texts(&[&["3", "2"]]));
    assert_eq!(bench.query("SELECT count(*) FROM {table:top_k_songs}"), texts(&[&["3"]]));
}

pub(crate) fn a_window_with_late_events_only(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&step(commit(1, 1, Some(TWO))).status(HOUR, TWO, WindowState::Final, (0, 0, 3))).unwrap();
    let rows = bench.query("SELECT \"window\", state, plays, songs, late FROM {table:window_status}");
    assert_eq!(rows, texts(&[&["hour", "final", "0", "0", "3"]]));
    let ranking = block(bench.readings().top_k(id(HOUR, TWO), 5)).unwrap();
    assert_eq!((ranking.entries.len(), ranking.totals.late), (0, 3));
    assert_eq!(block(bench.readings().newest(HOUR, false)), None, "no window had an event");
}

pub(crate) fn all_time_has_no_start(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let only = step(commit(1, 1, Some(TWO)))
        .rows(ALL_TIME, TWO, &[("a", 1), ("b", 3)])
        .status(ALL_TIME, TWO, WindowState::Open, (4, 2, 0))
        .ranking(ALL_TIME, TWO, &[("b", 3), ("a", 1)]);
    follower.write(&only).unwrap();
    let all = dump(bench);
    assert_eq!(all[2], texts(&[&["a", "1"], &["b", "3"]]));
    assert_eq!(all[3], texts(&[&["all_time", "", "", "open", "4", "2", "0", "1"]]));
    assert_eq!(all[4][0], ["all_time", "", "", "", "1", "b", "3"]);
    assert_eq!(entries(bench, id(ALL_TIME, TWO), 1), [("b".to_owned(), 3)]);
    assert_eq!(block(bench.readings().newest(ALL_TIME, false)), Some(EventTime::MIN));
    follower
        .write(&step(commit(1, 2, None)).status(ALL_TIME, TWO, WindowState::Open, (5, 2, 0)).rows(
            ALL_TIME,
            TWO,
            &[("b", 4)],
        ))
        .unwrap();
    assert_eq!(entries(bench, id(ALL_TIME, TWO), 2), [("b".to_owned(), 4), ("a".to_owned(), 1)], "from the counts");
}

pub(crate) fn awkward_keys_keep_their_bytes_and_order(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let long = "x".repeat(255);
    let keys =
        [" ", "\"", "'; DROP TABLE topk_job; --", "10", "9", "Z", "\\N", "a", "a\tb\n", &long, "é", "\u{ffff}", "😀"];
    let rows: Vec<(&str, u64)> = keys.iter().rev().map(|key| (*key, 5)).collect();
    let only = step(commit(1, 1, None)).rows(HOUR, TWO, &rows).status(HOUR, TWO, WindowState::Open, (65, 13, 0));
    follower.write(&only).unwrap();
    let read: Vec<String> = entries(bench, id(HOUR, TWO), 100).into_iter().map(|entry| entry.0).collect();
    assert_eq!(read, keys, "equal counts are in the order of bytes");
    let ranking: Vec<(&str, u64)> = keys.iter().map(|key| (*key, 5)).collect();
    follower.write(&step(commit(1, 2, None)).ranking(HOUR, TWO, &ranking)).unwrap();
    let ranked = bench.query("SELECT song_id FROM {table:top_k_songs} ORDER BY rank");
    assert_eq!(ranked.concat(), keys);
}

pub(crate) fn counts_up_to_a_bigint(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let most = i64::MAX as u64;
    follower.write(&step(commit(1, 1, None)).rows(HOUR, TWO, &[("a", most)])).unwrap();
    let above = step(commit(1, 2, None)).rows(HOUR, TWO, &[("a", 1), ("b", most + 1)]);
    let fault = follower.write(&above).unwrap_err();
    assert!(!fault.is_transient() && fault.why.contains("9223372036854775808"), "{fault}");
    let total = step(commit(1, 2, None)).status(HOUR, TWO, WindowState::Open, (most + 1, 1, 0));
    assert_eq!(exit(follower.write(&total)), 1);
    let rows = bench.query("SELECT song_id, plays FROM {table:song_plays_hour}");
    assert_eq!(rows, texts(&[&["a", "9223372036854775807"]]));
    follower.write(&step(commit(1, 3, None)).status(HOUR, TWO, WindowState::Open, (most, 1, 0))).unwrap();
    assert_eq!(entries(bench, id(HOUR, TWO), 1), [("a".to_owned(), most)]);
}

pub(crate) fn another_chain_is_refused(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&step(commit(1, 7, None))).unwrap();
    let other = Commit { hash: RecordHash([200; 32]), ..commit(1, 7, None) };
    assert_eq!(exit(follower.write(&step(other))), 3);
    let mut follower = claimed(bench, 2);
    assert_eq!(exit(follower.write(&step(commit(2, 6, None)))), 3, "the tables are ahead");
    follower.write(&step(commit(2, 8, None))).unwrap();
}

pub(crate) fn progress_can_rebuild_a_journal(bench: &dyn Bench) {
    let mut follower = claimed(bench, 6);
    let commit = commit(6, 2, Some(TWO + 250));
    follower.write(&step(commit.clone())).unwrap();
    let row =
        bench.query("SELECT generation, epoch, commit_hash, offsets, partitions FROM {table:topk_progress}").remove(0);
    assert_eq!(row[..3], ["6".to_owned(), "2".to_owned(), commit.hash.to_string()]);
    let offsets: serde_json::Value = serde_json::from_str(&row[3]).unwrap();
    assert_eq!(offsets, serde_json::json!({"p\"0": 102}));
    let partitions: BTreeMap<Arc<str>, PartitionState> = serde_json::from_str(&row[4]).unwrap();
    assert_eq!(partitions, *commit.partitions);
    let ranking = block(bench.readings().progress()).unwrap();
    assert_eq!(ranking.hash, Some(commit.hash));
}

pub(crate) fn many_rows_in_one_flush(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let keys: Vec<String> = (0..25_003).map(|number| format!("k{number}")).collect();
    let rows: Vec<(&str, u64)> = keys.iter().zip(1..).map(|(key, count)| (key.as_str(), count)).collect();
    let (left, right) = rows.split_at(9_000);
    follower.write(&step(commit(1, 1, None)).rows(HOUR, TWO, right).rows(HOUR, TWO, left)).unwrap();
    let sums = bench.query("SELECT count(*), sum(plays) FROM {table:song_plays_hour}");
    assert_eq!(sums, texts(&[&["25003", "312587506"]]));
}

pub(crate) fn readings_are_as_of_one_epoch(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let first = step(commit(1, 1, Some(TWO)))
        .rows(HOUR, TWO, &[("a", 3), ("b", 2), ("c", 1)])
        .status(HOUR, TWO, WindowState::Open, (6, 3, 0))
        .ranking(HOUR, TWO, &[("a", 3), ("b", 2), ("c", 1)]);
    follower.write(&first).unwrap();
    assert_eq!(entries(bench, id(HOUR, TWO), 2), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    // Another window changed: this one's ranking still holds, now as of the later epoch.
    follower.write(&step(commit(1, 2, Some(TWO))).rows(MINUTE, TWO, &[("c", 1)])).unwrap();
    let ranking = block(bench.readings().top_k(id(HOUR, TWO), 10)).unwrap();
    assert_eq!((ranking.epoch, ranking.generation, ranking.entries.len()), (Sequence(2), Generation(1), 3));
    assert_eq!(ranking.as_of, Some(EventTime::from_millis(TWO)));
    // Counts moved on and the ranking has not: the answer comes from the counts.
    let moved = step(commit(1, 3, Some(TWO + 500))).rows(HOUR, TWO, &[("c", 9)]).status(
        HOUR,
        TWO,
        WindowState::Open,
        (14, 3, 0),
    );
    follower.write(&moved).unwrap();
    let ranking = block(bench.readings().top_k(id(HOUR, TWO), 2)).unwrap();
    assert_eq!(ranking.totals, WindowTotals { events: 14, keys: 3, late: 0 });
    assert_eq!(ranking.entries, [(Key::new("c"), 9), (Key::new("a"), 3)]);
    assert_eq!((ranking.epoch, ranking.as_of), (Sequence(3), Some(EventTime::from_millis(TWO + 500))));
    assert_eq!(block(bench.readings().top_k(id(MINUTE, TWO), 2)), None, "it has no status");
}

pub(crate) fn the_newest_window(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let newest = |closed| block(bench.readings().newest(HOUR, closed)).map(EventTime::millis);
    follower.write(&step(commit(1, 1, None)).status(HOUR, TWO, WindowState::Open, (1, 1, 0))).unwrap();
    assert_eq!((newest(false), newest(true)), (Some(TWO), None));
    let hour = 3_600_000;
    let later = step(commit(1, 2, None))
        .status(HOUR, TWO, WindowState::Final, (1, 1, 0))
        .status(HOUR, TWO + hour, WindowState::Closed, (1, 1, 0))
        .status(HOUR, TWO + 2 * hour, WindowState::Open, (1, 1, 0))
        .status(MINUTE, TWO + 9 * hour, WindowState::Open, (1, 1, 0));
    follower.write(&later).unwrap();
    assert_eq!((newest(false), newest(true)), (Some(TWO + 2 * hour), Some(TWO + hour)));
}

pub(crate) fn a_store_that_went_back_is_noticed(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&step(commit(1, 5, None))).unwrap();
    bench.query("UPDATE {table:topk_progress} SET epoch = 4");
    let fault = follower.write(&step(commit(1, 6, None))).unwrap_err();
    assert_eq!((fault.exit.code(), fault.is_transient()), (1, false), "{fault}");
    // A restart asks the store how far it is.
    let mut follower = bench.open(bench.settings());
    assert_eq!(claim(&mut *follower, 2).unwrap().unwrap().sequence, Sequence(4));
    follower.write(&step(commit(2, 6, None))).unwrap();
}

pub(crate) fn a_failed_flush_leaves_nothing(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&step(commit(1, 1, None)).rows(HOUR, TWO, &[("a", 1)])).unwrap();
    let before = dump(bench);
    let ledger = bench.query("SELECT partition FROM {table:topk_ledger}");
    assert_eq!(ledger.len(), 1);
    // The ledger comes after the counts: the flush fails when they are written.
    bench.query("ALTER TABLE {table:topk_ledger} RENAME COLUMN counted TO moved");
    let next = step(commit(1, 2, None)).rows(HOUR, TWO, &[("a", 2), ("b", 1)]);
    assert!(!follower.write(&next).unwrap_err().is_transient());
    bench.query("ALTER TABLE {table:topk_ledger} RENAME COLUMN moved TO counted");
    assert_eq!(dump(bench), before);
    follower.write(&next).unwrap();
    let rows = bench.query("SELECT song_id, plays FROM {table:song_plays_hour} ORDER BY song_id");
    assert_eq!(rows, texts(&[&["a", "2"], &["b", "1"]]));
}

pub(crate) fn what_was_lost_comes_from_the_journal(bench: &dyn Bench) {
    const H: i64 = 3_600_000;
    let mut follower = claimed(bench, 1);
    let first = step(commit(1, 1, Some(TWO)))
        .rows(HOUR, TWO, &[("a", 5), ("b", 2)])
        .status(HOUR, TWO, WindowState::Open, (7, 2, 0))
        .ranking(HOUR, TWO, &[("a", 5), ("b", 2)])
        .ranking(HOUR, TWO - H, &[("x", 1)]);
    follower.write(&first).unwrap();
    let names: Vec<String> = (0..12).map(|number| format!("k{number:02}")).collect();
    let rows: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let back = step(commit(1, 2, Some(TWO + 3 * H)))
        .rows(HOUR, TWO + H, &rows)
        .rows(HOUR, TWO + H, &[("z", 3)])
        .rows(HOUR, TWO + 2 * H, &[("b", 4), ("a", 4)])
        .rows(HOUR, TWO - 5 * H, &[("expired", 1)])
        .rows(ALL_TIME, TWO, &[("a", 9)])
        .lost(&[(HOUR, TWO + H), (HOUR, TWO + 2 * H), (HOUR, TWO - 5 * H)])
        .status(HOUR, TWO + H, WindowState::Final, (15, 13, 0))
        .status(HOUR, TWO + 2 * H, WindowState::Closed, (8, 2, 0));
    follower.write(&back).unwrap();
    let rows = bench.query("SELECT {time:window_start}, count(*), sum(plays) FROM {table:song_plays_hour} GROUP BY window_start ORDER BY 1");
    let expected: [&[&str]; 2] = [&["2025-10-19T15:00:00Z", "13", "15"], &["2025-10-19T16:00:00Z", "2", "8"]];
    assert_eq!(rows, texts(&expected), "14:00 and what is older have expired");
    assert_eq!(bench.query("SELECT plays FROM {table:song_plays_all_time}"), texts(&[&["9"]]));
    let ranks = bench.query("SELECT {time:start_time}, {time:end_time}, rank, song_id, play_count FROM {table:top_k_songs} WHERE rank IN (1, 2, 10) ORDER BY 1, 3");
    let (three, four, five) = ("2025-10-19T15:00:00Z", "2025-10-19T16:00:00Z", "2025-10-19T17:00:00Z");
    let expected: [&[&str]; 5] = [
        &[three, four, "1", "z", "3"],
        &[three, four, "2", "k00", "1"],
        &[three, four, "10", "k08", "1"],
        &[four, five, "1", "a", "4"],
        &[four, five, "2", "b", "4"],
    ];
    assert_eq!(ranks, texts(&expected));
    assert_eq!(bench.query("SELECT count(*) FROM {table:top_k_songs}"), texts(&[&["12"]]), "ten are ranked, no more");
    let once = dump(bench);
    follower.write(&back).unwrap();
    assert_eq!(dump(bench), once);
}

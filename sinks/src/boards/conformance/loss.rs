//! A store that was emptied, or went back to an earlier moment: how it is noticed and what is done. Memory cannot lose,
//! but what the follower does about a loss does not depend on the store.

use super::*;
use bytes::Bytes;
use std::collections::BTreeMap;

const HOUR_14: &str = "hour:2025-10-19T14:00";
const HOUR_15: &str = "hour:2025-10-19T15:00";

/// Everything under the prefix that a test here may find, by name.
fn stored(bench: &dyn Bench) -> BTreeMap<&'static str, Option<Bytes>> {
    let names =
        ["owner", "status", "hour:current", "hour:closed", "all_time:current", HOUR_14, HOUR_15, "all_time:all"];
    let keys: Vec<String> = names.iter().map(|name| format!("{}:{name}", bench.prefix())).collect();
    names.into_iter().zip(bench.store().get(&keys).unwrap()).collect()
}

fn remove(bench: &dyn Bench, names: &[&str]) {
    for name in names {
        bench.remove(&format!("{}:{name}", bench.prefix()));
    }
}

fn both_hours(sequence: u64, count: u64) -> Step {
    step(1, sequence, &[(HOUR, TWO, count), (HOUR, TWO + HOUR_MILLIS, count), (ALL_TIME, TWO, 2 * count)])
}

fn an_emptied_store_is_noticed_with_the_next_step(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&both_hours(2, 5)).unwrap();
    assert!(!follower.has_lost(), "nothing is lost");
    let names: Vec<&str> = stored(bench).into_keys().collect();
    remove(bench, &names);
    follower.write(&step(1, 3, &[(ALL_TIME, TWO, 11)])).unwrap();
    let now = stored(bench);
    assert!(now["all_time:all"].is_some() && now["all_time:current"].is_some());
    assert!(now["hour:current"].is_none(), "no pointer before its board");
    assert!(follower.has_lost(), "everything is asked for");
    assert!(!follower.has_lost(), "once");
    follower.write(&both_hours(4, 6)).unwrap();
    assert!(!follower.has_lost());
    assert!(stored(bench).into_iter().all(|(name, content)| content.is_some() || name == "hour:closed"));
    assert_eq!(pointer(bench, "hour:current").unwrap(), "2025-10-19T15:00");
    assert_eq!(open(bench).look().unwrap().unwrap().sequence, Sequence(4));
}

fn final_boards_stay_and_those_without_tables_too(bench: &dyn Bench) {
    let mut before = step(1, 2, &[(HOUR, TWO, 5), (HOUR, TWO + HOUR_MILLIS, 6)]);
    Arc::get_mut(&mut before.rankings[0]).unwrap().state = WindowState::Final;
    claimed(bench, 1).write(&before).unwrap();
    let clock = Arc::new(ManualClock::at(WallTime(TWO)));
    let alone = BoardSettings { tables_beside: false, ..settings(bench) };
    let mut follower = BoardFollower::over(bench.store(), alone, clock);
    claim(&mut follower, 2).unwrap();
    follower.write(&step(2, 3, &[(ALL_TIME, TWO, 11)])).unwrap();
    assert!(read(bench, HOUR_14).is_some() && read(bench, HOUR_15).is_some(), "nobody else has these lists");
    claimed(bench, 3).write(&step(3, 4, &[(ALL_TIME, TWO, 11)])).unwrap();
    assert_eq!(read(bench, HOUR_14).unwrap().state, WindowState::Final);
    assert_eq!(read(bench, HOUR_15), None, "a start writes all that is current; this is not");
}

/// A step waited for the store, and meanwhile a reader put back a list from tables that were ahead of it.
fn a_final_board_that_is_ahead_of_a_late_step_stays(bench: &dyn Bench) {
    let mut last = step(1, 9, &[(HOUR, TWO, 7)]);
    Arc::get_mut(&mut last.rankings[0]).unwrap().state = WindowState::Final;
    let mut follower = claimed(bench, 1);
    follower.write(&last).unwrap();
    let text = stored(bench)[HOUR_14].clone().unwrap();
    let put_back = Board {
        window: window(HOUR, TWO).id(),
        key: format!("{}:{HOUR_14}", bench.prefix()),
        bytes: String::from_utf8(text.to_vec()).unwrap(),
        age: Age { generation: Generation(1), epoch: Sequence(9) },
        time_to_live: None,
    };
    remove(bench, &stored(bench).into_keys().collect::<Vec<_>>());
    assert_eq!(bench.store().put(&[put_back]).unwrap(), [Put::Written]);
    follower.write(&both_hours(5, 6)).unwrap();
    let blob = read(bench, HOUR_14).unwrap();
    assert_eq!((blob.epoch, blob.state), (Sequence(9), WindowState::Final), "it did not go back");
    assert_eq!(read(bench, HOUR_15).unwrap().epoch, Sequence(5));
    // What is ahead of everything current is not ours: the store has an older life's memory.
    assert!(follower.has_lost());
    follower.write(&both_hours(6, 6)).unwrap();
    assert_eq!(read(bench, HOUR_14).unwrap().epoch, Sequence(6));
}

/// The answer to a write can be lost on the way, and the write be done.
fn a_write_that_was_done_unheard_is_no_loss(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&both_hours(2, 5)).unwrap();
    let owner = stored(bench)["owner"].clone().unwrap();
    let done = "{\"job\":\"songs\",\"generation\":1,\"epoch\":3}";
    follower.tried = Some(done.as_bytes().to_vec());
    assert!(bench.store().swap(&format!("{}:owner", bench.prefix()), Some(&owner), done).unwrap());
    follower.write(&both_hours(3, 6)).unwrap();
    assert!(!follower.has_lost());
    // Another text is: the store is not as we left it.
    let older = "{\"job\":\"songs\",\"generation\":1,\"epoch\":2}";
    assert!(bench.store().swap(&format!("{}:owner", bench.prefix()), Some(done.as_bytes()), older).unwrap());
    follower.write(&both_hours(4, 7)).unwrap();
    assert!(follower.has_lost());
}

fn the_status_is_that_of_the_last_publish_and_goes_by_itself(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let status = |bench: &dyn Bench| -> serde_json::Value {
        serde_json::from_slice(stored(bench)["status"].as_ref().expect("a status")).unwrap()
    };
    follower.write(&both_hours(2, 5)).unwrap();
    let first = status(bench);
    assert_eq!((&first["job"], &first["epoch"], &first["generation"]), (&"songs".into(), &2.into(), &1.into()));
    assert_eq!(first["windows"][0]["current"], "2025-10-19T15:00");
    assert_eq!((&first["behind"], &first["as_of"]), (&serde_json::Value::Null, &"2025-10-19T14:00:00Z".into()));
    let mut next = step(1, 3, &[]);
    next.behind = BTreeMap::from([("0".into(), 7), ("1".into(), 5)]);
    follower.write(&next).unwrap();
    assert_eq!((&status(bench)["epoch"], &status(bench)["behind"]), (&3.into(), &12.into()));
}

macro_rules! every_loss {
    ($bench:expr) => {
        every_loss! { $bench;
            an_emptied_store_is_noticed_with_the_next_step, final_boards_stay_and_those_without_tables_too,
            a_final_board_that_is_ahead_of_a_late_step_stays, a_write_that_was_done_unheard_is_no_loss, the_status_is_that_of_the_last_publish_and_goes_by_itself,
        }
    };
    ($bench:expr; $($case:ident),* $(,)?) => {
        $(#[test] fn $case() { super::$case(&$bench); })*
    };
}

mod memory {
    every_loss!(super::Memory::new());

    #[test]
    fn a_status_in_memory_lives_for_a_minute() {
        use super::*;
        let bench = Memory::new();
        claimed(&bench, 1).write(&step(1, 2, &[])).unwrap();
        bench.pass(Duration::from_millis(59_999));
        assert!(stored(&bench)["status"].is_some());
        bench.pass(Duration::from_millis(1));
        assert!(stored(&bench)["status"].is_none());
    }
}

mod redis {
    every_loss!(super::Redis::new());

    #[test]
    fn a_store_set_back_goes_forward_and_what_is_outdated_leaves() {
        use super::*;
        let bench = &Redis::new();
        let mut follower = claimed(bench, 1);
        follower.write(&step(1, 2, &[(HOUR, TWO, 5), (ALL_TIME, TWO, 5)])).unwrap();
        let then = stored(bench);
        // The hour becomes final, and leaves the job's memory.
        let mut last = step(1, 3, &[(HOUR, TWO, 7), (HOUR, TWO + HOUR_MILLIS, 1), (ALL_TIME, TWO, 8)]);
        Arc::get_mut(&mut last.rankings[0]).unwrap().state = WindowState::Final;
        follower.write(&last).unwrap();
        for (name, content) in then {
            remove(bench, &[name]);
            if let Some(content) = content {
                let content = std::str::from_utf8(&content).unwrap();
                bench.store().swap(&format!("{}:{name}", bench.prefix()), None, content).unwrap();
            }
        }
        assert_eq!(read(bench, HOUR_14).unwrap().state, WindowState::Open);
        let current = [(HOUR, TWO + HOUR_MILLIS, 2), (ALL_TIME, TWO, 9)];
        follower.write(&step(1, 4, &current)).unwrap();
        assert!(follower.has_lost());
        follower.write(&step(1, 5, &current)).unwrap();
        assert_eq!(pointer(bench, "hour:current").unwrap(), "2025-10-19T15:00", "forward again");
        assert_eq!(read(bench, HOUR_15).unwrap().total_events, 2);
        assert_eq!(read(bench, HOUR_14), None, "it would be open for ever");
    }
}

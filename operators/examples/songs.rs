//! Another job from the same operators: seconds listened, summed per song; the exact top 3 of every ten minutes.

use operators::{CountInWindows, FedRecord, IntakeSettings, RankUnion, WindowStore, feed};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, sync::mpsc::channel, time::Duration};
use stream::{Assignment, DeadCode, Decode, Event, EventTime, Rejection};
use stream::{SystemClock, TimeRules, WindowKind, Windows, Zone};
use timely::dataflow::operators::capture::{Capture, Extract};
use timely::dataflow::operators::generic::operator::empty;

const K: usize = 3;

/// A play is a line: when it began (milliseconds since 1970), for how many seconds, and the song.
struct Plays;

impl Decode for Plays {
    fn decode<'a>(&mut self, line: Option<&'a [u8]>) -> Result<Event<'a>, Rejection> {
        let play = |line: &'a str| {
            let (began, rest) = line.split_once(' ')?;
            let (seconds, song) = rest.split_once(' ')?;
            let time = Some(EventTime::valid(began.parse().ok()?)?);
            Some(Event { time, n: seconds.parse().ok()?, key: song.into() })
        };
        let play = line.and_then(|line| std::str::from_utf8(line).ok()).and_then(play);
        play.ok_or_else(|| Rejection { code: DeadCode::KeyMissing, detail: "not the line of a play".to_owned() })
    }
}

/// The best songs of every window, best first, with their seconds.
pub(crate) fn top_songs(plays: Vec<FedRecord>, workers: usize) -> Vec<(EventTime, u64, String)> {
    let ten_minutes = vec![WindowKind::of_minutes("ten_minutes", 10)];
    let windows = Windows::new(ten_minutes, Zone::utc()).expect("one kind");
    let [out_of_orderness, allowed_lateness, max_future_skew] = [30, 60, 60].map(Duration::from_secs);
    let rules = TimeRules { out_of_orderness, allowed_lateness, max_future_skew };
    let clock = Arc::new(SystemClock::default());
    let settings = IntakeSettings { rules, windows, assignment: Assignment::new(workers), clock };
    let (sender, changes) = channel();
    let run = timely::execute(timely::Config::process(workers), move |worker| {
        worker.dataflow(|scope| {
            let store = WindowStore::new(scope.index(), &settings.windows, allowed_lateness, K, false);
            let plays = feed(scope, Plays, settings.clone(), plays.clone(), 1000); // decoded, judged, combined
            let counted = plays.deltas.count_in_windows(store, plays.marks, empty(scope)); // each song on one worker
            counted.candidates.rank_union(K).capture_into(sender.clone()); // the best of all workers' best
        });
    });
    drop(run.expect("the workers start")); // waits for them
    let mut lists = BTreeMap::new();
    for change in changes.extract().into_iter().flat_map(|(_, changes)| changes) {
        *lists.entry((change.window.start, Reverse(change.count), change.key)).or_insert(0) += change.change;
    }
    let entered = lists.into_iter().filter(|(_, times)| *times > 0);
    entered.map(|((start, Reverse(seconds), song), _)| (start, seconds, song.to_string())).collect()
}

fn main() {
    let songs = ["Yesterday", "Imagine", "Hallelujah", "Wonderwall", "Creep", "Hurt", "Zombie"];
    let play = |i: usize| format!("{} {} {}", 1_760_882_400_000 + i * 400, 30 + i * i % 211, songs[i * i / 7 % 7]);
    for (start, seconds, song) in top_songs((0..5000).map(|i| (i % 4, play(i).into())).collect(), 2) {
        println!("{start}  {seconds:>6} s  {song}");
    }
}

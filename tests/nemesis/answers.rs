//! What somebody who asks a reader over HTTP is told while the round runs: how old it is, and that it never goes back.

use crate::watcher::Watched;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use stream::{Clock, EventTime};

/// The watermark is this far behind the newest view (`time.out_of_orderness`).
const BEHIND: i64 = 5000;
const EVERY: Duration = Duration::from_millis(200);
const LISTS: [&str; 2] = ["window=all_time&k=5", "window=hour&k=5"];

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Answered {
    /// By source and status.
    pub(crate) answers: BTreeMap<String, u64>,
    /// By milliseconds, rounded up to powers of two and halves between: answers that old.
    pub(crate) staleness: BTreeMap<u64, u64>,
}

/// Someone who asks again and again.
pub(crate) struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answered>,
}

impl Asker {
    pub(crate) fn start(url: String, watched: Watched) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let thread = std::thread::spawn(move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false);
            let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(10))).build().into();
            let mut asked = Asked { losses: 0, last: HashMap::new(), told: Answered::default() };
            while !is_over.load(Ordering::Acquire) {
                for list in LISTS {
                    asked.ask(&agent, &format!("{url}/v1/top?{list}"), &watched);
                }
                std::thread::sleep(EVERY);
            }
            asked.told
        });
        Asker { stop, thread }
    }

    pub(crate) fn stop(self) -> Answered {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("asking does not panic")
    }
}

struct Asked {
    losses: u64,
    /// By list, source and window: generation and epoch of the last answer.
    last: HashMap<(String, String, String), (u64, u64)>,
    told: Answered,
}

impl Asked {
    fn ask(&mut self, agent: &ureq::Agent, url: &str, watched: &Watched) {
        let losses = watched.losses.load(Ordering::SeqCst);
        let Ok(mut answer) = agent.get(url).call() else { return self.count("no answer") };
        let status = answer.status().as_u16();
        let json: Value = answer
            .body_mut()
            .read_to_vec()
            .ok()
            .and_then(|body| serde_json::from_slice(&body).ok())
            .unwrap_or_default();
        watched
            .checks
            .hold("a reader answers 200 or 503", [200, 503].contains(&status), || format!("{url}: {status} {json}"));
        if status != 200 {
            return self.count("503");
        }
        let meta = &json["meta"];
        let source = meta["source"].as_str().unwrap_or("none");
        let aged = if answer.headers().contains_key("age") { ", with its age" } else { "" };
        self.count(&format!("200 from {source}{aged}"));
        let Some((generation, epoch)) = meta["generation"].as_u64().zip(meta["epoch"].as_u64()) else { return };
        if losses != self.losses || watched.losses.load(Ordering::SeqCst) != losses {
            self.losses = losses;
            self.last.clear();
            return;
        }
        let now = (generation, epoch);
        if aged.is_empty() {
            let window = meta["window_start"].as_str().unwrap_or_default();
            let last = self.last.insert((url.to_owned(), source.to_owned(), window.to_owned()), now);
            let forward = last.is_none_or(|last| last <= now);
            watched.checks.hold("an answer never goes back, per store", forward, || {
                format!("{url} from {source}: from {last:?} to {now:?}")
            });
        }
        if let Some(as_of) = meta["as_of"].as_str().and_then(EventTime::parse) {
            let since = watched.oracle.behind_since(as_of.millis() + BEHIND);
            let behind = since.map_or(Duration::ZERO, |since| watched.clock.monotonic().saturating_sub(since));
            *self.told.staleness.entry(rounded(behind)).or_default() += 1;
        }
    }

    fn count(&mut self, what: &str) {
        *self.told.answers.entry(what.to_owned()).or_default() += 1;
    }
}

/// Milliseconds, up to the next of 1, 2, 3, 4, 6, 8, 12, 16, …
fn rounded(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).expect("minutes").max(1);
    let power = millis.next_power_of_two();
    if millis <= power / 4 * 3 { power / 4 * 3 } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_rounded_up() {
        let of = |millis| rounded(Duration::from_millis(millis));
        assert_eq!([0, 1, 5, 6, 7, 8, 9, 100, 1000].map(of), [1, 1, 6, 6, 8, 8, 12, 128, 1024]);
    }
}

//! How a worker's time is spent: in the dataflow at all, and in the regions that a job names. Told by timely's own log,
//! as counters of seconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// Operators worth a counter of their own: all of a dataflow, and named regions and operators.
const NAMED: [&str; 5] = ["read", "count_in_windows", "rank_union", "commit", "follow"];

/// Busy seconds of all workers, by operator; `all` is everything.
pub type BusySeconds = BTreeMap<&'static str, f64>;

/// Count busy seconds of this worker's operators. Call before building a dataflow.
pub(crate) fn measure(worker: &mut Worker, sums: Arc<Mutex<BusySeconds>>) {
    let index = worker.index().to_string();
    let mut names: HashMap<usize, &'static str> = HashMap::new();
    let mut started: HashMap<usize, Duration> = HashMap::new();
    let mut busy: HashMap<&'static str, f64> = HashMap::new();
    let Some(mut register) = worker.log_register() else { return };
    register.insert::<TimelyEventBuilder, _>("timely", move |_, events: &mut Option<_>| {
        let Some(events) = events else { return };
        for (at, event) in events.drain(..) {
            match event {
                TimelyEvent::Operates(operator) => {
                    let known = NAMED.iter().find(|name| **name == operator.name).copied();
                    if let Some(name) = known.or((operator.addr.len() == 1).then_some("all")) {
                        names.insert(operator.id, name);
                    }
                }
                TimelyEvent::Schedule(schedule) => {
                    let Some(name) = names.get(&schedule.id) else { continue };
                    match schedule.start_stop {
                        StartStop::Start => drop(started.insert(schedule.id, at)),
                        StartStop::Stop => {
                            if let Some(start) = started.remove(&schedule.id) {
                                let seconds = at.saturating_sub(start).as_secs_f64();
                                *busy.entry(name).or_default() += seconds;
                                *sums.lock().expect("nobody panics while holding the sums").entry(name).or_default() +=
                                    seconds;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        for (name, seconds) in &busy {
            metrics::gauge!("topk_worker_busy_seconds", "worker" => index.clone(), "operator" => *name).set(*seconds);
        }
    });
}

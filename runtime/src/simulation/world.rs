//! What outlives instances of the job: log, journal, sinks, clock; and what is known of the instances themselves.

use super::fibers::{Fibers, point, vanish};
use super::letters::Letters;
use super::log::Log;
use super::oracle::{Oracle, Place};
use super::sinks::{Boards, Tables};
use super::swarm::{Ambush, Operation};
use crate::journal::{PackedGroup, Recovered};
use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use stream::{Clock, Exit, Fault, Generation, WallTime, WindowId};

/// See the module.
pub(super) struct World {
    pub(super) fibers: Arc<Fibers>,
    pub(super) setup: Setup,
    pub(super) log: Mutex<Log>,
    pub(super) oracle: Mutex<Oracle>,
    pub(super) objects: Arc<InMemory>,
    /// Puts and deletions whose answer was lost, and which have not reached the store yet.
    pub(super) in_flight: Mutex<Vec<super::store::Late>>,
    pub(super) tables: Mutex<Tables>,
    pub(super) boards: Mutex<Boards>,
    pub(super) letters: Mutex<Letters>,
    pub(super) instances: Mutex<Vec<Instance>>,
    /// The store does not answer.
    pub(super) store_is_away: AtomicBool,
    /// Nothing fails any more.
    pub(super) healed: AtomicBool,
    /// The journal was damaged on purpose; what is put there is judged no more.
    pub(super) damaged: AtomicBool,
    millis: AtomicI64,
    met: Mutex<BTreeMap<&'static str, u64>>,
    trace: Option<Mutex<Vec<String>>>,
}

/// What a seed has chosen.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) place: Place,
    /// In a hundred operations of the store, how many go wrong.
    pub(super) store_faults: u64,
    /// The same while it is away.
    pub(super) away: u64,
    pub(super) sink_faults: u64,
    pub(super) compact_records: usize,
    pub(super) retain: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) max_backlog: u64,
    pub(super) max_drift: Duration,
    /// After an operation of the store that went wrong, in a hundred, how many of the same instance go wrong too.
    pub(super) streak: u64,
    pub(super) ambush: Option<Ambush>,
    /// Whoever is frozen wakes when two others have taken over, seldom before.
    pub(super) sleeps_long: bool,
    /// What the director does in its trouble, and up to how many of its turns pass from one deed to the next.
    pub(super) trouble: u64,
    pub(super) pace: u64,
}

/// What is known of an instance of the job.
#[derive(Default)]
pub(super) struct Instance {
    pub(super) workers: usize,
    /// Of its fence, once that is in the chain.
    pub(super) generation: Option<Generation>,
    /// Its fence took a number that compaction had deleted.
    pub(super) is_astray: bool,
    pub(super) is_frozen: bool,
    /// Nothing failed any more when it was started.
    pub(super) born_healed: bool,
    /// In the middle of an operation.
    pub(super) in_store: bool,
    /// Its last operation of the store went wrong.
    pub(super) was_failed: bool,
    pub(super) is_compacting: bool,
    /// Killed, or ended by itself.
    pub(super) ended: Option<Option<Fault>>,
}

/// From the beginning of event time to that of the run, in milliseconds.
const BEGINS_AFTER: i64 = 3_600_000;

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Arc<Self> {
        let fibers = Fibers::new(seed);
        let pick = |of: &[u64]| of[fibers.below(of.len() as u64) as usize];
        let idle_timeout = Duration::from_millis(pick(&[40, 400, 1_000_000]));
        let place = if pick(&[0, 1]) == 0 { Place::Zurich } else { Place::Kolkata };
        let setup = Setup {
            place,
            store_faults: pick(&[0, 3, 10, 25]),
            away: pick(&[40, 90]),
            sink_faults: pick(&[0, 5, 20]),
            compact_records: pick(&[2, 3, 5, 9]) as usize,
            retain: Duration::from_millis(pick(&[0, 0, 2_000, 3_600_000])),
            idle_timeout,
            // Where nobody is ever idle, others would wait for a silent partition for ever.
            max_drift: Duration::from_secs(if idle_timeout.as_secs() > 1 { u32::MAX.into() } else { 600 }),
            max_backlog: pick(&[2_000, 64 << 20, 64 << 20]),
            streak: pick(&[0, 0, 50, 85]),
            ambush: Ambush::draw(|bound| fibers.below(bound)),
            sleeps_long: pick(&[0, 0, 1]) == 1,
            trouble: 30 + fibers.below(pick(&[30, 90, 150, 300])),
            pace: pick(&[1, 3, 10, 30]),
        };
        let mut log = Log { append_time: pick(&[0, 1, 1]) == 1, ..Log::default() };
        for name in ["p0", "p1", "p2"].iter().take(2 + pick(&[0, 1]) as usize) {
            log.add(name, place.begin());
        }
        Arc::new(World {
            setup,
            log: Mutex::new(log),
            oracle: Mutex::new(Oracle::new(place)),
            objects: Arc::default(),
            in_flight: Mutex::default(),
            tables: Mutex::default(),
            boards: Mutex::default(),
            letters: Mutex::default(),
            instances: Mutex::default(),
            store_is_away: AtomicBool::new(false),
            healed: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            millis: AtomicI64::new(place.begin() + BEGINS_AFTER),
            met: Mutex::default(),
            trace: traced.then(Mutex::default),
            fibers,
        })
    }

    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.lock().expect("never poisoned").push(what());
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.as_ref().map_or_else(Vec::new, |trace| trace.lock().expect("never poisoned").clone())
    }

    /// An interesting situation was met.
    pub(super) fn meet(&self, situation: &'static str) {
        *self.met.lock().expect("never poisoned").entry(situation).or_default() += 1;
    }

    pub(super) fn met(&self) -> BTreeMap<&'static str, u64> {
        self.met.lock().expect("never poisoned").clone()
    }

    /// A promise is broken: this run is over.
    pub(super) fn violated(&self, why: String) -> ! {
        self.note(|| format!("VIOLATED: {why}"));
        self.fibers.fail(why);
        vanish()
    }

    pub(super) fn must(&self, outcome: Result<(), String>) {
        if let Err(why) = outcome {
            self.violated(why);
        }
    }

    pub(super) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// With so many in a hundred, if anything fails at all.
    pub(super) fn fails(&self, percent: u64) -> bool {
        !self.is_healed() && self.fibers.below(100) < percent
    }

    /// Whether an operation of the store goes wrong.
    pub(super) fn store_fails(&self, instance: usize) -> bool {
        let was_failed = self.instances()[instance].was_failed;
        let mut percent =
            if self.store_is_away.load(Ordering::Relaxed) { self.setup.away } else { self.setup.store_faults };
        if was_failed {
            percent = percent.max(self.setup.streak);
        }
        let fails = self.fails(percent);
        self.instances()[instance].was_failed = fails;
        fails
    }

    /// Somebody may lie in wait for who is here.
    pub(super) fn ambush(&self, one: usize, operation: Operation) {
        let Some(ambush) = self.setup.ambush.filter(|ambush| ambush.operation == operation) else { return };
        if !self.fails(ambush.percent) || self.instances()[one].ended.is_some() {
            return;
        }
        match ambush.freezes {
            true => self.freeze(one),
            false => self.kill(one),
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&self, one: usize) {
        if self.instances()[one].in_store {
            self.meet("killed within an operation");
        }
        self.meet("killed");
        self.note(|| format!("kill {one}"));
        self.instances()[one].ended = Some(None);
        self.fibers.kill(one);
    }

    pub(super) fn freeze(&self, one: usize) {
        if !std::mem::replace(&mut self.instances()[one].is_frozen, true) {
            self.note(|| format!("freeze {one}"));
            self.fibers.freeze(one);
        }
    }

    /// How long the run has been going on by its own clock.
    pub(super) fn went_on(&self) -> Duration {
        let began = self.setup.place.begin() + BEGINS_AFTER;
        Duration::from_millis((self.millis.load(Ordering::Relaxed) - began).unsigned_abs())
    }

    pub(super) fn pass(&self, millis: u64) {
        self.millis.fetch_add(millis as i64, Ordering::Relaxed);
    }

    pub(super) fn instances(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.instances.lock().expect("never poisoned")
    }

    /// An instance ends by itself. What may end one, and when, is a promise too.
    pub(super) fn ended(&self, index: usize, fault: Fault) {
        self.note(|| format!("instance {index} ends: {fault}"));
        let newest = self.oracle.lock().expect("never poisoned").generation();
        let (generation, is_astray, born_healed) = {
            let instances = self.instances();
            let Instance { generation, is_astray, born_healed, .. } = instances[index];
            (generation, is_astray, born_healed)
        };
        let restored = self.tables.lock().expect("never poisoned").is_restored;
        let damaged = self.damaged.load(Ordering::Relaxed);
        let is_expected = match fault.exit {
            _ if damaged => true,
            Exit::Fenced => is_astray || generation.is_some_and(|generation| generation < newest),
            Exit::Refused => restored,
            // What failed just before is told only now.
            Exit::Failed if fault.is_transient() => !born_healed,
            Exit::Failed => {
                let because = ["came back with other progress", "was claimed by somebody else"];
                because.iter().any(|because| fault.what.contains(because))
            }
            Exit::Usage => false,
        };
        if !is_expected {
            self.violated(format!("instance {index} ({generation:?} of {newest:?}) ends: {fault}"));
        }
        if fault.exit == Exit::Fenced {
            self.meet("fenced");
        }
        self.instances()[index].ended = Some(Some(fault));
        self.fibers.kill(index);
    }

    /// State after a start is what the rules give at the last epoch; and what tables lack is marked. Unsure: nobody knows
    /// what they had when it was read, or what they lack comes from the journal and is not in memory.
    pub(super) fn check_recovered(&self, recovered: &Recovered, is_unsure: bool) -> Result<(), String> {
        let oracle = self.oracle.lock().expect("never poisoned");
        let at = recovered.last_epoch.0.0;
        let link = oracle.link(at).ok_or_else(|| format!("recovered as of {at}, which is not there"))?;
        let snapshot = link.snapshot.clone().ok_or_else(|| format!("recovered as of {at}, which is no epoch"))?;
        if link.hash != recovered.last_epoch.1 {
            return Err(format!("recovered another record {at}"));
        }
        let watermark = recovered.watermark.map(|watermark| watermark.millis());
        if watermark != snapshot.watermark {
            return Err(format!("recovered W {watermark:?}, and it was {:?}", snapshot.watermark));
        }
        for (name, standing) in &snapshot.partitions {
            let state = &recovered.partitions[name];
            let floors: Vec<(i64, i64)> = state.floors.iter().map(|(at, floor)| (*at, floor.millis())).collect();
            let watermark = state.watermark.map(|watermark| watermark.millis());
            let found = (state.next_offset, watermark, state.active, &floors);
            if found != (standing.next, standing.watermark, standing.active, &standing.floors) {
                return Err(format!("recovered {name} as {state:?}, and it was {standing:?}"));
            }
            let line = recovered.ledger.get(name).copied().unwrap_or_default();
            if (line.consumed, line.counted, line.dead_lettered) != standing.account {
                return Err(format!("recovered the account of {name} as {line:?}: {standing:?}"));
            }
        }
        let tables = self.tables.lock().expect("never poisoned");
        let mut panes: BTreeMap<(u8, i64, &str), u64> = BTreeMap::new();
        let groups: Vec<_> = recovered.groups.iter().cloned().map(PackedGroup::unpack).collect();
        for group in &groups {
            for pane in &group.panes {
                let (window, key) = ((pane.kind, pane.start.millis()), group.keys.get(pane.local));
                let shown = tables.rows.get(&window).and_then(|rows| rows.get(key)).copied();
                if shown != Some(pane.count) && !pane.dirty && !is_unsure {
                    return Err(format!("tables lack {window:?} {key}, and nobody knows"));
                }
                panes.insert((window.0, window.1, key), pane.count);
            }
        }
        for (window, counts) in &snapshot.counts {
            for (key, count) in counts {
                match panes.remove(&(window.0, window.1, *key)) {
                    Some(found) if found == *count => {}
                    None if is_unsure => {}
                    None if tables.rows.get(window).and_then(|rows| rows.get(*key)) == Some(count) => {}
                    found => return Err(format!("recovered {window:?} {key} as {found:?}, and it was {count}")),
                }
            }
            let id = WindowId { kind: window.0, start: stream::EventTime::from_millis(window.1) };
            let totals = recovered.totals.get(&id).copied().unwrap_or_default();
            let events: u64 = counts.values().sum();
            let late = snapshot.late.get(window).copied().unwrap_or(0);
            if (totals.events, totals.keys, totals.late) != (events, counts.len() as u64, late) {
                return Err(format!("recovered totals of {window:?} as {totals:?}: {events} {late}"));
            }
        }
        if let Some((pane, count)) = panes.first_key_value() {
            return Err(format!("recovered {pane:?} as {count}, and nothing was counted there"));
        }
        Ok(())
    }
}

/// Goes on as the director says; whoever sleeps gives the turn away.
pub(super) struct SimulatedClock(pub(super) Arc<World>);

impl Clock for SimulatedClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.millis.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        let since = self.0.millis.load(Ordering::Relaxed) - self.0.setup.place.begin();
        Duration::from_millis(since.unsigned_abs())
    }

    fn sleep(&self, pause: Duration) {
        self.0.pass(pause.as_millis() as u64);
        point();
    }
}

//! What happens in a round, all of it decided by the seed before anything does.

use crate::link::{Mood, Way};
use crate::own::Service;
use ::tests::Moments;
use std::fmt;

/// Which faults a round has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// `kill -9` of the job, as often as it will go.
    Kills,
    /// Everything there is.
    All,
}

impl Family {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Family::Kills, Family::All].into_iter().find(|family| family.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Kills => "kills",
            Family::All => "all",
        }
    }
}

/// What is done to somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// `kill -9` to the job; its parent starts it again.
    KillJob,
    /// `kill -9` to both, then another start.
    KillBoth,
    /// SIGTERM to both, then another start.
    RestartJob,
    KillService(Service),
    RestartService(Service),
    /// `kill -9` to a process of Postgres that serves the job.
    KillBackend,
    FreezeJob,
    FreezeBoth,
    FreezeService(Service),
    Link(Service, Mood),
    Reset(Service),
    /// A second instance beside one that runs.
    Second,
    /// A second instance beside one that is frozen, and wakes once the second has counted.
    SecondBesideFrozen,
    /// Both killed, then two started at the same moment.
    TwoAtOnce,
    /// One partition more.
    AddPartition,
    /// A transaction that stays open for a while.
    OpenTransaction {
        commits: bool,
    },
    /// A transaction that is aborted at once.
    AbortedTransaction,
}

impl Fault {
    /// What it is counted under.
    pub(crate) fn kind(self) -> String {
        match self {
            Fault::KillJob => "kill -9 job".into(),
            Fault::KillBoth => "kill -9 job and parent".into(),
            Fault::RestartJob => "SIGTERM and start job".into(),
            Fault::KillService(service) => format!("kill -9 {}", service.name()),
            Fault::RestartService(service) => format!("stop and start {}", service.name()),
            Fault::KillBackend => "kill -9 a Postgres backend".into(),
            Fault::FreezeJob => "freeze job".into(),
            Fault::FreezeBoth => "freeze job and parent".into(),
            Fault::FreezeService(service) => format!("freeze {}", service.name()),
            Fault::Link(service, mood) => format!("link to {}: {}", service.name(), named(mood)),
            Fault::Reset(service) => format!("link to {}: reset", service.name()),
            Fault::Second => "second instance".into(),
            Fault::SecondBesideFrozen => "second instance beside a frozen one".into(),
            Fault::TwoAtOnce => "two instances at once".into(),
            Fault::AddPartition => "partition added".into(),
            Fault::OpenTransaction { commits: true } => "transaction open, then committed".into(),
            Fault::OpenTransaction { commits: false } => "transaction open, then aborted".into(),
            Fault::AbortedTransaction => "transaction aborted".into(),
        }
    }
}

fn named(mood: Mood) -> &'static str {
    match mood {
        Mood::Clear => "clear",
        Mood::Blackhole(Way::Up) => "blackhole up",
        Mood::Blackhole(Way::Down) => "blackhole down",
        Mood::Blackhole(Way::Both) => "blackhole",
        Mood::Slow => "20 kB/s",
        Mood::Sliced => "a few bytes at a time",
        Mood::Late(_) => "late",
        Mood::Unanswered => "answer to a commit lost",
    }
}

/// When a step begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// The job counts again and has committed so many epochs more, and a little later.
    Commits { commits: u64, millis: u64 },
    /// So long after the step before, whatever that hits.
    Blind { millis: u64 },
}

/// A fault, how long it lasts, and with how many workers the job is started next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) fault: Fault,
    pub(crate) millis: u64,
    pub(crate) workers: i64,
}

/// One or several faults, begun one shortly after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) moment: Moment,
    pub(crate) events: Vec<Event>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moment {
            Moment::Commits { commits, millis } => write!(f, "{commits} commits and {millis} ms on:")?,
            Moment::Blind { millis } => write!(f, "{millis} ms on:")?,
        }
        for (index, event) in self.events.iter().enumerate() {
            write!(f, "{} {}", if index == 0 { "" } else { " +" }, event.fault.kind())?;
            if event.millis > 0 {
                write!(f, ", {:.1} s", event.millis as f64 / 1000.0)?;
            }
            if matches!(event.fault, Fault::KillBoth | Fault::RestartJob | Fault::TwoAtOnce | Fault::Second) {
                write!(f, ", {} workers", event.workers)?;
            }
        }
        Ok(())
    }
}

/// The job's settings and the load of a round, where they differ between rounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    pub(crate) partitions: i32,
    pub(crate) workers: i64,
    pub(crate) epoch_millis: u64,
    pub(crate) max_events: u64,
    pub(crate) flush_millis: u64,
    pub(crate) k: u64,
    pub(crate) videos: u64,
    /// How long the journal keeps what compaction has replaced.
    pub(crate) retain_seconds: u64,
    /// How far one partition may be read ahead of the slowest, in event time.
    pub(crate) drift_seconds: u64,
}

/// A round before it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) family: Family,
    pub(crate) terms: Terms,
    pub(crate) steps: Vec<Step>,
}

impl Schedule {
    /// What this seed makes of about so many seconds.
    pub(crate) fn new(seed: u64, family: Family, seconds: u64) -> Self {
        let mut moments = Moments::of(seed);
        let terms = Terms {
            partitions: 1 + i32::try_from(moments.between(1, 6)).expect("few"),
            workers: workers(&mut moments),
            epoch_millis: moments.between(40, 250),
            max_events: *moments.one_of(&[20, 100, 1_000_000]),
            flush_millis: moments.between(100, 1000),
            k: *moments.one_of(&[5, 50, 200]),
            videos: *moments.one_of(&[40, 400]),
            retain_seconds: *moments.one_of(&[0, 5, 3600]),
            // Drawn apart, so that a seed's steps stay what they were before this was drawn. The least is more than partitions lie
            // apart when the load ends: nobody would go on then.
            drift_seconds: *Moments::of(!seed).one_of(&[20, 60, 600]),
        };
        let (mut steps, mut left) = (Vec::new(), seconds.saturating_mul(1000));
        let mut kills_of_child = 0;
        while left > 0 {
            let step = match family {
                Family::Kills => kill(&mut moments, &mut kills_of_child),
                Family::All => crate::mixture::step(&mut moments, seconds),
            };
            left = left.saturating_sub(nominal(&step));
            steps.push(step);
        }
        Schedule { seed, family, terms, steps }
    }
}

/// Between restarts the number changes: 1 to 4.
pub(crate) fn workers(moments: &mut Moments) -> i64 {
    i64::try_from(moments.between(1, 4)).expect("few")
}

/// A kill of the job; the parent waits longer and longer before it starts it again, so that it is killed too after one.
pub(crate) fn kill(moments: &mut Moments, kills_of_child: &mut u32) -> Step {
    let moment = match moments.chance(75) {
        true => Moment::Commits { commits: moments.between(1, 8), millis: moments.below(60) },
        false => Moment::Blind { millis: moments.below(500) },
    };
    let fault = if *kills_of_child == 0 && moments.chance(50) { Fault::KillJob } else { Fault::KillBoth };
    *kills_of_child = u32::from(fault == Fault::KillJob);
    Step { moment, events: vec![Event { fault, millis: 0, workers: workers(moments) }] }
}

/// About how long a step takes, in milliseconds.
fn nominal(step: &Step) -> u64 {
    let wait = match step.moment {
        Moment::Commits { commits, millis } => 700 + commits * 150 + millis,
        Moment::Blind { millis } => millis,
    };
    wait + 100 + step.events.iter().map(|event| event.millis).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_schedule() {
        for family in [Family::Kills, Family::All] {
            let of = |seed| Schedule::new(seed, family, 120);
            assert_eq!(of(3), of(3));
            assert_ne!(of(3).steps, of(4).steps);
            assert!(of(3).steps.len() > 10, "{}: {} steps in two minutes", family.name(), of(3).steps.len());
        }
    }

    #[test]
    fn long_rounds_have_every_kind_of_fault() {
        let steps: Vec<Step> = (0..8).flat_map(|seed| Schedule::new(seed, Family::All, 900).steps).collect();
        let kinds: std::collections::BTreeSet<String> =
            steps.iter().flat_map(|step| &step.events).map(|event| event.fault.kind()).collect();
        // Three processes of the job's own, of each service three and a backend, of each link eight, instances, the log.
        assert_eq!(kinds.len(), 5 + 3 * 3 + 1 + 3 * 8 + 3 + 4, "{kinds:#?}");
    }
}

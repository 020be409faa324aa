//! Seeded bugs: a harness that has never been red proves nothing. One promise after the other is broken in the job, and a
//! short round made for it must see that; without a bug the same rounds must see nothing.

use crate::link::Mood;
use crate::own::Service;
use crate::round::{Plan, Script, run as run_round};
use crate::schedule::{Event, Family, Fault, Moment, Schedule, Step, Terms, kill};
use crate::scripts;
use std::process::ExitCode;
use std::time::Duration;
use stream::{Bug, Catcher};
use tests::Moments;

/// What is done to a job so that a bug of some kind shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plot {
    /// Killed again and again.
    Kills,
    /// A second instance beside one that is frozen and wakes.
    Frozen,
    /// Postgres does what it is told, and its answer is lost.
    Unanswered,
    /// Redis answers late.
    Late,
    /// Partitions are added.
    Added,
    /// Retention that keeps everything by event time.
    Retention,
    /// Records are deleted before they were read.
    Deleted,
    /// The topic is deleted and made anew.
    Anew,
    /// The log is cut and filled again.
    Refilled,
    /// Somebody changes what the consumer group has committed.
    Group,
}

impl Plot {
    /// Where a bug that the nemesis must catch shows.
    fn of(bug: Bug) -> Self {
        match bug {
            Bug::UnfencedFlush | Bug::UnguardedPublish => Plot::Frozen,
            Bug::UnknownCommitAdded => Plot::Unanswered,
            Bug::PointerFirst => Plot::Late,
            Bug::AddedAtLatest => Plot::Added,
            Bug::RetentionByClock => Plot::Retention,
            Bug::ResetLatest | Bug::ResetEarliest => Plot::Deleted,
            Bug::NoTopicId => Plot::Anew,
            Bug::NoFingerprint => Plot::Refilled,
            Bug::OffsetsOfGroup => Plot::Group,
            _ => Plot::Kills,
        }
    }

    fn steps(self) -> Vec<Step> {
        let mut moments = Moments::of(7);
        let step = |commits, fault, millis| Step {
            moment: Moment::Commits { commits, millis: 20 },
            events: vec![Event { fault, millis, workers: 2 }],
        };
        match self {
            Plot::Kills => {
                let mut of_child = 0;
                (0..16).map(|_| kill(&mut moments, &mut of_child)).collect()
            }
            Plot::Frozen => (0..10).map(|_| step(moments.between(3, 9), Fault::SecondBesideFrozen, 300)).collect(),
            Plot::Unanswered => {
                (0..4).map(|_| step(5, Fault::Link(Service::Postgres, Mood::Unanswered), 2500)).collect()
            }
            Plot::Late => vec![step(5, Fault::Link(Service::Redis, Mood::Late(300)), 12_000)],
            Plot::Added => (0..3).map(|_| step(100, Fault::AddPartition, 0)).collect(),
            Plot::Retention => vec![step(60, Fault::KillBoth, 0), step(60, Fault::KillBoth, 0)],
            Plot::Deleted | Plot::Anew | Plot::Refilled | Plot::Group => Vec::new(),
        }
    }

    fn script(self) -> Option<Script> {
        match self {
            Plot::Deleted => Some(scripts::deleted),
            Plot::Anew => Some(scripts::anew),
            Plot::Refilled => Some(scripts::refilled),
            Plot::Group => Some(scripts::group),
            _ => None,
        }
    }

    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Plot::Retention => &[("retention.minute", "48h"), ("retention.hour", "48h"), ("retention.day", "48h")],
            _ => &[],
        }
    }

    /// What was wrong, with this bug or without any.
    fn violations(self, bug: Option<Bug>) -> Vec<String> {
        let terms = Terms {
            partitions: 3,
            workers: 2,
            epoch_millis: 60,
            max_events: 1_000_000,
            flush_millis: 100,
            k: 5,
            videos: 40,
            retain_seconds: 3600,
        };
        let schedule = Schedule { seed: 7, family: Family::All, terms, steps: self.steps() };
        run_round(&Plan {
            schedule: &schedule,
            seconds: 0,
            settings: self.settings(),
            bug: bug.map(Bug::name),
            script: self.script(),
            look_every: Duration::from_millis(120),
            to_first_violation: true,
        })
        .violations
    }
}

/// Every bug that is this harness's to catch, or these alone; first each plot without one.
pub(crate) fn run(only: &[String]) -> ExitCode {
    if !cfg!(feature = "seeded-bugs") {
        eprintln!("nemesis: this build has no bugs: cargo build -p tests --features seeded-bugs --bins");
        return ExitCode::from(2);
    }
    let is_asked = |bug: &&Bug| {
        bug.catcher() == Catcher::Nemesis && (only.is_empty() || only.iter().any(|name| name == bug.name()))
    };
    let bugs: Vec<Bug> = Bug::ALL.iter().filter(is_asked).copied().collect();
    let mut plots: Vec<Plot> = Vec::new();
    bugs.iter().map(|bug| Plot::of(*bug)).for_each(|plot| {
        if !plots.contains(&plot) {
            plots.push(plot)
        }
    });
    let mut table = Vec::new();
    let mut wrong = 0;
    for plot in plots {
        let violations = plot.violations(None);
        wrong += u64::from(!violations.is_empty());
        table.push(format!("{plot:?} without a bug: {}", violations.first().map_or("nothing seen", String::as_str)));
    }
    let mut caught = 0;
    for bug in &bugs {
        let violations = Plot::of(*bug).violations(Some(*bug));
        let by =
            violations.first().and_then(|first| first.lines().next()).map(|first| first.chars().take(160).collect());
        caught += u64::from(by.is_some());
        table.push(format!("{}: {}", bug.name(), by.unwrap_or("NOT CAUGHT".to_owned())));
    }
    println!("{}", table.join("\n"));
    let missed = bugs.len() as u64 - caught + wrong;
    println!(
        "nemesis result: {}. {caught} of {} seeded bugs caught; {wrong} false alarms",
        if missed == 0 { "ok" } else { "FAILED" },
        bugs.len()
    );
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

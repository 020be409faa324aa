//! What is done to a job so that a seeded bug shows, and shows as what it is: a round of its own for each kind of bug, with as
//! little beside as will do.

use crate::campaign::Round;
use crate::link::Mood;
use crate::own::Service;
use crate::round::{Plan, Script, run as run_round};
use crate::schedule::{Event, Family, Fault, Moment, Schedule, Step, Terms, kill};
use crate::scripts;
use std::time::Duration;
use stream::Bug;
use tests::Moments;

/// What is done to a job so that a bug of some kind shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plot {
    /// Killed again and again.
    Kills,
    /// A second instance beside one that is frozen and wakes.
    Frozen,
    /// The same, and the one that wakes has a flush to do and nothing else.
    Owing,
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
    pub(crate) fn of(bug: Bug) -> Self {
        match bug {
            Bug::UnfencedFlush => Plot::Owing,
            Bug::UnguardedPublish => Plot::Frozen,
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
            Plot::Added => (0..2).map(|_| step(20, Fault::AddPartition, 0)).collect(),
            Plot::Retention => vec![step(20, Fault::KillBoth, 0)],
            Plot::Owing | Plot::Deleted | Plot::Anew | Plot::Refilled | Plot::Group => Vec::new(),
        }
    }

    fn script(self) -> Option<Script> {
        match self {
            Plot::Owing => Some(scripts::owing),
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

    /// Played with this bug or without any, until something is wrong.
    pub(crate) fn play(self, bug: Option<Bug>) -> Round {
        let terms = Terms {
            partitions: 3,
            workers: 2,
            epoch_millis: 60,
            max_events: 1_000_000,
            // What the woken one writes is there until the other's next flush.
            flush_millis: if self == Plot::Owing { 1000 } else { 100 },
            k: 5,
            videos: 40,
            retain_seconds: 3600,
            drift_seconds: 600,
        };
        let schedule = Schedule { seed: 7, family: Family::All, terms, steps: self.steps() };
        run_round(&Plan {
            schedule: &schedule,
            seconds: 0,
            settings: self.settings(),
            bug: bug.map(Bug::name),
            script: self.script(),
            look_every: Duration::from_millis(120),
            keeps_answers: [Plot::Unanswered, Plot::Owing].contains(&self),
            to_first_violation: true,
        })
    }
}

//! Instances of the job: started, killed, frozen, two at a time; and what is to be said of one that is over.

use crate::link::{Mood, Way};
use crate::load::Load;
use crate::own::Service;
use crate::schedule::Event;
use crate::stage::{Over, PATIENCE, Stage};
use std::time::Duration;
use stream::Clock;
use tests::process::signal;
use tests::{Finished, Running, wait::LONG};

/// A refusal comes within this.
const REFUSES_WITHIN: Duration = Duration::from_secs(30);
/// How long an instance that wakes finds no log: it has tried everything else by then.
const UNREAD: Duration = Duration::from_millis(1500);

impl Stage {
    /// Start the job with so many workers.
    pub(crate) fn start_job(&mut self, workers: i64) {
        self.setup.set("job.workers", workers);
        self.job = Some(self.setup.start(&["run"]));
    }

    /// A job that ended because something it needs was away is started again, as a machine's supervisor does.
    pub(crate) fn tend(&mut self) -> Result<(), Over> {
        assert!(!self.load.as_ref().is_some_and(Load::is_over), "the load ended");
        let Some(mut job) = self.job.take() else { return Ok(()) };
        if job.is_running() {
            self.job = Some(job);
            return Ok(());
        }
        let finished = job.wait(LONG);
        self.ended(&finished);
        let is_known =
            self.checks.hold("the job never refuses nor is fenced without reason", finished.code == Some(1), || {
                format!("it ended with {:?}:\n{}", finished.code, last_words(&finished))
            });
        if !is_known {
            return Err(Over);
        }
        self.job = Some(self.setup.start(&["run"]));
        Ok(())
    }

    /// What is to be said of an instance that is over.
    fn ended(&mut self, finished: &Finished) {
        let code = finished.code.map_or("killed".to_owned(), |code| code.to_string());
        *self.told.exits.entry(code).or_default() += 1;
        let panicked = finished.stderr.lines().find(|line| line.contains("panicked at"));
        let went_back = finished.stderr.lines().find(|line| line.contains("went back in time"));
        self.checks.hold("no instance sees its tables go back", went_back.is_none(), || {
            went_back.unwrap_or_default().to_owned()
        });
        self.checks.hold("no panic", panicked.is_none(), || panicked.unwrap_or_default().to_owned());
    }

    /// The job ends by itself, and refuses.
    pub(crate) fn refuses(&mut self, what: &'static str) -> Result<(), Over> {
        let Some(mut job) = self.job.take() else { return Err(Over) };
        let began = self.clock.monotonic();
        while job.is_running() && !self.is_settled() && self.clock.monotonic() - began < REFUSES_WITHIN {
            std::thread::sleep(Duration::from_millis(50));
        }
        let ended = !job.is_running();
        let finished = if ended { job.wait(LONG) } else { job.kill() };
        self.ended(&finished);
        self.checks.hold(what, ended && finished.code == Some(3), || {
            format!(
                "it {} with {:?}:\n{}",
                if ended { "ended" } else { "was still running" },
                finished.code,
                last_words(&finished)
            )
        });
        Ok(())
    }

    /// `kill -9` to parent and child, if there are any.
    pub(crate) fn kill_job(&mut self) {
        if let Some(job) = self.job.take() {
            let finished = job.kill();
            self.ended(&finished);
        }
    }

    /// SIGTERM, and what comes of it.
    pub(crate) fn drain_job(&mut self) -> Option<i32> {
        let job = self.job.take()?;
        job.signal("TERM");
        let finished = job.wait(PATIENCE);
        self.ended(&finished);
        finished.code
    }

    pub(crate) fn child(&mut self) -> Result<u32, Over> {
        let mut found = None;
        self.wait_until("the job's process is there", |stage| {
            found = stage.job.as_ref().and_then(Running::child);
            found.is_some()
        })?;
        found.ok_or(Over)
    }

    pub(crate) fn second(&mut self, workers: i64) -> Running {
        self.setup.set("job.workers", workers);
        self.setup.start(&["run"])
    }

    /// Of two instances one ends, fenced, and the other goes on.
    pub(crate) fn one_stays(&mut self, mut second: Running) -> Result<(), Over> {
        let mut first = self.job.take().ok_or(Over)?;
        let began = self.clock.monotonic();
        let (mut stays, goes) = loop {
            if !first.is_running() {
                break (second, first);
            }
            if !second.is_running() {
                break (first, second);
            }
            if self.clock.monotonic() - began > PATIENCE {
                self.checks.violated("of two instances one ends", "both still run after 180 s");
                self.job = Some(second);
                return Err(Over);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let finished = goes.wait(LONG);
        self.ended(&finished);
        self.checks.hold("of two instances one ends, with 4", finished.code == Some(4), || {
            format!("with {:?}:\n{}", finished.code, last_words(&finished))
        });
        self.checks.hold("of two instances one stays", stays.is_running(), || "both ended".to_owned());
        self.job = Some(stays);
        Ok(())
    }

    pub(crate) fn second_beside_frozen(&mut self, event: &Event) -> Result<(), Over> {
        let child = self.child()?;
        signal("STOP", child);
        self.second_beside(child, event.workers, event.millis, false)
    }

    /// Another instance counts for this long beside one whose process is frozen, which then wakes; `unread`: and finds no
    /// log, so that it has nothing to commit.
    pub(crate) fn second_beside(&mut self, child: u32, workers: i64, millis: u64, unread: bool) -> Result<(), Over> {
        let first = self.job.take().ok_or(Over)?;
        self.tail.look();
        let before = self.tail.newest;
        self.job = Some(self.second(workers));
        let counted = self.wait_until("the second one counts", |stage| stage.tail.newest_epoch > before + 1);
        std::thread::sleep(Duration::from_millis(millis));
        let log = &self.links[&Service::Kafka];
        if unread {
            log.set(Mood::Blackhole(Way::Both));
        }
        signal("CONT", child);
        if unread {
            std::thread::sleep(UNREAD);
            log.set(Mood::Clear);
        }
        counted?;
        let second = self.job.take().ok_or(Over)?;
        self.job = Some(first);
        self.one_stays(second)
    }
}

/// The end of what an instance said.
pub(crate) fn last_words(finished: &Finished) -> String {
    let lines: Vec<&str> = finished.stderr.lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

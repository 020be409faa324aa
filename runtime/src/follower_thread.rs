//! A follower's thread: takes over the outside, then makes one step after another visible. Trouble outside is waited
//! out here with the same step, and stops nothing else.

use crate::acks::Acks;
use crate::journal::{Ack, Fence, Standing};
use crate::start::{self, Accepted};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::{
    Bug, Claim, Clock, Commit, DeadLetter, Exit, FailPoint, Fault, Follower, Progress, RecordHash, Sequence, Step,
    Wants, seeded,
};
use timely::scheduling::SyncActivator;

/// The follow operator's end of a follower.
pub(crate) struct FollowerLine {
    pub(crate) wants: Wants,
    pub(crate) undelivered: Vec<(Sequence, Arc<DeadLetter>)>,
    pub(crate) reached: Reached,
    name: &'static str,
    acks: Arc<Acks>,
    ready: Arc<AtomicBool>,
    gave_up: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
    steps: SyncSender<Step>,
}

impl FollowerLine {
    /// It is as of this epoch without a step.
    pub(crate) fn acknowledge(&self, commit: &Commit) {
        self.acks.set(self.name, acknowledgement(commit));
    }

    /// For logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether windows must stay in memory until it has them.
    pub(crate) fn hold_windows(&self, hold: bool) {
        self.acks.hold(self.name, hold);
    }

    /// Whether its last step was not made visible and must be made anew. Told once.
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.swap(false, Ordering::AcqRel)
    }

    /// It is done with its last step, and takes another.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether it found since the last call that the outside had lost what it wrote.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn give(&self, step: Step) {
        self.ready.store(false, Ordering::Release);
        // A thread that is gone has ended the process with its fault.
        let _ = self.steps.send(step);
    }
}

#[cfg(test)]
impl FollowerLine {
    /// A line whose follower is a test: it takes the steps and says when it is ready.
    pub(crate) fn in_hand(
        wants: Wants,
        undelivered: Vec<(Sequence, Arc<DeadLetter>)>,
    ) -> (Self, Receiver<Step>, Arc<AtomicBool>, Arc<AtomicBool>) {
        let gave_up = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(AtomicBool::new(true));
        let (give, steps) = sync_channel(1);
        let acks = Arc::new(Acks::new([]));
        let line = FollowerLine {
            name: "test",
            reached: Reached::default(),
            acks,
            wants,
            undelivered,
            ready: ready.clone(),
            gave_up: gave_up.clone(),
            lost: Arc::default(),
            steps: give,
        };
        (line, steps, ready, gave_up)
    }

    /// As if the follower had found a loss.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

/// How far a follower was when the job started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reached {
    /// The record it had acted on; 0 for none.
    pub(crate) sequence: Sequence,
    /// Too far back for what it lacks to be marked in memory: it comes from the journal.
    pub(crate) is_far_behind: bool,
}

/// A follower on its way to its thread.
pub(crate) struct FollowerThread {
    pub(crate) follower: Box<dyn Follower>,
    pub(crate) tenure: Tenure,
    /// How it was taken over at start.
    pub(crate) taken: Taken,
    pub(crate) acks: Arc<Acks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
    ready: Arc<AtomicBool>,
    gave_up: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
    /// What the operator gives; one at a time.
    pub(crate) steps: Receiver<Step>,
}

/// In whose name a follower writes, and whether that is still so.
pub(crate) struct Tenure {
    pub(crate) claim: Claim,
    pub(crate) fence: Fence,
}

impl Tenure {
    /// A follower says that somebody has claimed it after us. Kafka does not say whether he is newer: an instance that was
    /// overtaken while it started claims too. The journal knows.
    pub(crate) fn judge(&self, fault: Fault, follower: &str) -> Fault {
        if fault.exit != Exit::Fenced {
            return fault;
        }
        match self.fence.check() {
            Ok(()) => Fault::failed(
                format!("{follower} was claimed by somebody else, and the journal has no newer instance"),
                format!("{}: {}", fault.what, fault.why),
                "nothing: the job starts again, as a newer generation; if that goes on, the journal is an older copy, or another job has the same job.name",
            ),
            Err(newer) if newer.exit == Exit::Fenced => fault,
            Err(unknown) => unknown,
        }
    }
}

/// Whether a follower was there at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// It was, and what it lacks was computed from its own account.
    Claimed,
    /// It was away: what it lacks was computed from the record it had last acknowledged. The thread goes on trying, and
    /// if it then finds another account, the job starts again and checks everything. Another hash of that same record is
    /// not in our chain, and refused as it is at start.
    Away(Option<(Sequence, RecordHash)>),
}

/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl FollowerThread {
    /// The thread's end and the operator's end.
    pub(crate) fn new(
        follower: Box<dyn Follower>,
        tenure: Tenure,
        (taken, reached): (Taken, Reached),
        acks: Arc<Acks>,
        clock: Arc<dyn Clock>,
        wake: Arc<OnceLock<SyncActivator>>,
        undelivered: Vec<(Sequence, Arc<DeadLetter>)>,
    ) -> (FollowerThread, FollowerLine) {
        let gave_up = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicBool::new(false));
        let (give, steps) = sync_channel(1);
        let line = FollowerLine {
            name: follower.name(),
            acks: acks.clone(),
            wants: follower.wants(),
            undelivered,
            reached,
            ready: ready.clone(),
            gave_up: gave_up.clone(),
            lost: lost.clone(),
            steps: give,
        };
        (FollowerThread { follower, tenure, taken, acks, clock, wake, ready, gave_up, lost, steps }, line)
    }

    /// Run until the operator lets go of its end.
    pub(crate) fn run(mut self) -> Result<(), Fault> {
        self.take_over()?;
        while let Ok(step) = self.steps.recv() {
            self.act(step)?;
        }
        Ok(())
    }

    /// A follower that was away at the start is taken over first. Then it takes steps.
    pub(crate) fn take_over(&mut self) -> Result<(), Fault> {
        if let Taken::Away(expected) = self.taken {
            let claim = self.tenure.claim.clone();
            let mut found = None;
            self.patiently(|follower| follower.claim(&claim).map(|progress| found = progress))?;
            // As at a start: see `Started::load`.
            self.tenure.fence.check()?;
            self.check(expected, found)?;
        }
        self.is_ready();
        Ok(())
    }

    fn is_ready(&self) {
        self.ready.store(true, Ordering::Release);
        if let Some(wake) = self.wake.get() {
            let _ = wake.activate();
        }
    }

    /// Make a step visible, acknowledge it, and be ready for the next.
    pub(crate) fn act(&mut self, step: Step) -> Result<(), Fault> {
        let started = self.clock.monotonic();
        if seeded(Bug::AckedBeforeWritten) {
            self.acks.set(self.follower.name(), acknowledgement(&step.commit));
        }
        if !self.write(&step)? {
            // What it holds of the journal is let go, so that compaction may go on while the follower is away.
            drop(step);
            self.patiently(|follower| follower.look().map(drop))?;
            self.gave_up.store(true, Ordering::Release);
            self.is_ready();
            return Ok(());
        }
        FailPoint::StepVisible.pass();
        let seconds = (self.clock.monotonic() - started).as_secs_f64();
        metrics::histogram!("topk_follower_step_seconds", "follower" => self.follower.name()).record(seconds);
        metrics::gauge!("topk_follower_epoch", "follower" => self.follower.name()).set(step.commit.sequence.0 as f64);
        metrics::gauge!("topk_follower_written_timestamp_seconds", "follower" => self.follower.name())
            .set(self.clock.now().0 as f64 / 1000.0);
        self.acks.set(self.follower.name(), acknowledgement(&step.commit));
        if self.follower.has_lost() {
            // Before it is ready again: the next step brings everything.
            self.lost.store(true, Ordering::Release);
        }
        self.is_ready();
        Ok(())
    }

    /// What a follower that was away has, against what the journal remembers that it has.
    fn check(&self, expected: Option<(Sequence, RecordHash)>, found: Option<Progress>) -> Result<(), Fault> {
        let wants = self.follower.wants();
        // Claimed and never written is nothing yet.
        let found = found.filter(|progress| progress.sequence.0 > 0);
        let (reached, remembered) =
            (found.as_ref().map(|progress| progress.sequence), expected.map(|(sequence, _)| sequence));
        // A follower of dead letters acknowledges epochs without letters too; what it finds is its last letter.
        if (wants.counts && reached != remembered) || (wants.dead_letters && reached > remembered) {
            let told = |sequence: Option<Sequence>| sequence.map_or("none".to_owned(), |sequence| sequence.to_string());
            return Err(Fault::failed(
                format!("{} came back with other progress than the journal remembers", self.follower.name()),
                format!("it is as of epoch {}, and the journal remembers {}", told(reached), told(remembered)),
                "nothing: the job starts again and checks what it has against the journal",
            ));
        }
        match (found, expected) {
            (Some(found), Some((_, hash))) if wants.counts && found.hash != Some(hash) => start::check_tables(
                self.follower.name(),
                Some(&found),
                Standing::NotInChain,
                false,
                None,
                &Accepted::default(),
            )
            .map(drop),
            _ => Ok(()),
        }
    }

    /// Whether a step was made visible. One from the journal is tried once: when the follower is back, more will have
    /// changed.
    fn write(&mut self, step: &Step) -> Result<bool, Fault> {
        if step.lost.is_none() {
            return self.patiently(|follower| follower.write(step)).map(|()| true);
        }
        match self.follower.write(step) {
            Ok(()) => Ok(true),
            Err(fault) if fault.is_transient() => {
                tracing::warn!(follower = self.follower.name(), %fault, "follower went away while it caught up; it begins again");
                metrics::gauge!("topk_follower_up", "follower" => self.follower.name()).set(0.0);
                Ok(false)
            }
            Err(fault) => Err(self.tenure.judge(fault, self.follower.name())),
        }
    }

    /// Try until it works or cannot work. Said once when it begins and once when it ends.
    fn patiently(&mut self, mut attempt: impl FnMut(&mut dyn Follower) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut pause = Duration::from_millis(50);
        let mut failing_since = None;
        loop {
            match attempt(&mut *self.follower) {
                Ok(()) => {
                    if let Some(since) = failing_since {
                        let away = self.clock.monotonic() - since;
                        tracing::info!(follower = self.follower.name(), ?away, "follower is back");
                    }
                    metrics::gauge!("topk_follower_up", "follower" => self.follower.name()).set(1.0);
                    return Ok(());
                }
                Err(fault) if fault.is_transient() => {
                    if failing_since.is_none() {
                        failing_since = Some(self.clock.monotonic());
                        tracing::warn!(follower = self.follower.name(), %fault, "follower is away; counting goes on and it will catch up");
                    }
                    metrics::gauge!("topk_follower_up", "follower" => self.follower.name()).set(0.0);
                    metrics::counter!("topk_follower_retries_total", "follower" => self.follower.name()).increment(1);
                    self.clock.sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(fault) => return Err(self.tenure.judge(fault, self.follower.name())),
            }
        }
    }
}

fn acknowledgement(commit: &Commit) -> Ack {
    Ack { sequence: commit.sequence, hash: commit.hash, watermark: commit.watermark }
}

//! Followers act on committed epochs, in order, each with its own recorded progress: SQL tables, boards, dead letters.
//! One interface. Every write is idempotent: absolute values, guarded by (generation, epoch).

use crate::{
    Commit, DeadLetter, EventTime, Fault, Generation, KindIndex, Ranking, RecordHash, RowBlock, Sequence, Window,
    WindowStatus,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How far a follower has got, as it has recorded itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The incarnation that wrote it.
    pub generation: Generation,
    /// The last record it has acted on.
    pub sequence: Sequence,
    /// That record's hash; none where the follower cannot keep one (boards, dead letters).
    pub hash: Option<RecordHash>,
}

/// A start: who takes over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The job's name. Two jobs on the same objects: the second is refused (exit 2), naming the first.
    pub job: String,
    /// The new generation; an older one must fail from now on (exit 4).
    pub generation: Generation,
}

/// What a follower needs in a [`Step`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// Changed counts and window statuses.
    pub counts: bool,
    /// Changed rankings and pointers; if set, at most this often.
    pub rankings_every: Option<Duration>,
    /// Every dead letter.
    pub dead_letters: bool,
    /// A step at most this often.
    pub every: Duration,
    /// Everything current again this often, in case the store lost it; none for stores that do not lose.
    pub refresh_every: Option<Duration>,
}

/// Which windows the pointers of a kind name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pointers {
    /// The kind.
    pub kind: KindIndex,
    /// Start of the window with the greatest counted event time.
    pub current: Option<EventTime>,
    /// Start of the newest window that had an event and is closed or final.
    pub closed: Option<EventTime>,
}

/// Everything that changed since a follower's last step, as of one committed epoch.
#[derive(Clone, Debug)]
pub struct Step {
    /// The epoch all of it is as of.
    pub commit: Arc<Commit>,
    /// Changed counts, absolute.
    pub rows: Vec<RowBlock>,
    /// Windows whose state or totals changed.
    pub statuses: Vec<WindowStatus>,
    /// Whether rankings are part of this step (they may be, and be empty).
    pub with_rankings: bool,
    /// Changed rankings.
    pub rankings: Vec<Arc<Ranking>>,
    /// Pointers of every kind.
    pub pointers: Vec<Pointers>,
    /// Dead letters, each with the sequence of its epoch's record, in order.
    pub dead_letters: Vec<(Sequence, Arc<DeadLetter>)>,
    /// What was dropped while the follower was away, in place of `rows`.
    pub lost: Option<Lost>,
    /// Per partition whose end is known: how much was still to be read, in the source's unit (messages, bytes).
    pub behind: BTreeMap<Arc<str>, u64>,
}

impl Step {
    /// A step that says how far, and nothing else.
    pub fn empty(commit: impl Into<Arc<Commit>>) -> Self {
        Step {
            commit: commit.into(),
            rows: Vec::new(),
            statuses: Vec::new(),
            with_rankings: false,
            rankings: Vec::new(),
            pointers: Vec::new(),
            dead_letters: Vec::new(),
            lost: None,
            behind: BTreeMap::new(),
        }
    }
}

/// What a follower missed and memory could not keep for it: counts come from the journal, rankings from these counts.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Every count that may have changed since the follower's last step, as of this step's epoch.
    pub rows: Arc<dyn LostRows>,
    /// Windows whose ranking changed and has left memory.
    pub rankings: Vec<Window>,
}

/// Counts read again from the journal.
pub trait LostRows: Send + Sync + fmt::Debug {
    /// Begin to read; blocks. Each (window, key) comes once.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn open(&self) -> Result<RowChunks, Fault>;
}

/// Counts, a bounded number at a time. Getting the next ones may block.
pub type RowChunks = Box<dyn Iterator<Item = Result<Vec<RowBlock>, Fault>> + Send>;

/// Which rows are let go before tables are built up again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forget {
    /// All: they are of another life.
    Everything,
    /// Counts and rankings of windows that may have changed since, and that were final at this watermark: the journal has
    /// them no more.
    FinalBy(Option<EventTime>),
}

/// Something outside that follows the journal. Runs on a thread of its own; may block, but every wait has a deadline.
pub trait Follower: Send {
    /// For logs and metrics: `postgres`, `redis`, …
    fn name(&self) -> &'static str;

    /// What it needs.
    fn wants(&self) -> Wants;

    /// Read what is recorded, without changing anything. Nothing recorded is told only where something could be.
    ///
    /// # Errors
    /// Unreachable, or a place where nothing can be written (a retry helps).
    fn look(&mut self) -> Result<Option<Progress>, Fault>;

    /// Where everything ends that is there before our journal begins, for followers whose objects do not tell which
    /// incarnation wrote them. Kept in the genesis record.
    ///
    /// # Errors
    /// As [`Follower::look`].
    fn mark(&mut self) -> Result<Option<i64>, Fault> {
        Ok(None)
    }

    /// Every dead letter of ours that is there, in the order of its partition: partition, offset, code. For a journal that
    /// must be built again; reads everything.
    ///
    /// # Errors
    /// As [`Follower::look`]; something there is no letter of this program's.
    fn letters(&mut self, _see: &mut dyn FnMut(&str, i64, &str)) -> Result<(), Fault> {
        Ok(())
    }

    /// What stands before this mark is of an earlier life. Called before [`Follower::claim`].
    fn begin_after(&mut self, _mark: i64) {}

    /// What a lost journal would be built on again, as JSON text; kept with the next claim or step by whoever could bring it
    /// back.
    fn remember(&mut self, _journal: &str) {}

    /// After a claim: let rows go that cannot be trusted or brought up to date, because a person said so. What the journal
    /// still has comes with the next step. Tells the job watermark that the rows were as of.
    ///
    /// # Errors
    /// As [`Follower::claim`].
    fn forget(&mut self, _rows: Forget) -> Result<Option<EventTime>, Fault> {
        Ok(None)
    }

    /// Raise the generation, so that an older incarnation's writes fail, and only then read what is recorded.
    ///
    /// # Errors
    /// Unreachable (a retry helps); a newer generation (exit 4); another job's objects (exit 2).
    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault>;

    /// Make one step visible. Called again with the same step after an error that a retry may help.
    ///
    /// # Errors
    /// As [`Follower::claim`].
    fn write(&mut self, step: &Step) -> Result<(), Fault>;

    /// Whether it was found, since this was asked last, that the outside lost what had been written. Asked after each
    /// step; then the next step with rankings has every ranking in memory, and comes at once.
    fn has_lost(&mut self) -> bool {
        false
    }
}

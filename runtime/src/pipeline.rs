//! What a job's pipeline is built from: the ends of the runtime on one worker. A job connects its operators between
//! [`Pipeline::read`] and [`Pipeline::commit`], and gives the rest to [`Pipeline::follow`].

use crate::commit::{CommitLine, commit};
use crate::follow::{FollowDesk, follow};
use crate::journal::PackedGroup;
use crate::read::{Feed, Input, read};
use std::sync::Arc;
use stream::{Commit, Epoch, GroupState, Part, RankedChange, Report, RowFlush, WindowChange};
use timely::dataflow::operators::core::feedback::Handle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{ConnectLoop, Feedback};
use timely::dataflow::{Scope, StreamVec};

/// One worker's share of the runtime.
pub(crate) struct WorkerKit {
    pub(crate) feed: Feed,
    pub(crate) groups: Vec<PackedGroup>,
    /// Worker 0 only.
    pub(crate) line: Option<CommitLine>,
    /// Worker 0 only.
    pub(crate) desk: Option<FollowDesk>,
    pub(crate) rows_wanted: bool,
}

/// The ends of the runtime on one worker.
pub struct Pipeline<'scope> {
    scope: Scope<'scope, Epoch>,
    feed: Option<Feed>,
    groups: Vec<PackedGroup>,
    line: Option<CommitLine>,
    desk: Option<FollowDesk>,
    rows_wanted: bool,
    feedback: Option<Handle<'scope, Epoch, Vec<Arc<Commit>>>>,
    commits: StreamVec<'scope, Epoch, Arc<Commit>>,
    committed: Option<StreamVec<'scope, Epoch, Arc<Commit>>>,
}

impl<'scope> Pipeline<'scope> {
    pub(crate) fn new(scope: Scope<'scope, Epoch>, kit: WorkerKit) -> Self {
        let (feedback, commits) = scope.feedback(0);
        let WorkerKit { feed, groups, line, desk, rows_wanted } = kit;
        Pipeline {
            scope,
            feed: Some(feed),
            groups,
            line,
            desk,
            rows_wanted,
            feedback: Some(feedback),
            commits,
            committed: None,
        }
    }

    /// This worker's index.
    pub fn worker(&self) -> usize {
        self.scope.index()
    }

    /// Whether a follower takes rows of counts.
    pub fn rows_wanted(&self) -> bool {
        self.rows_wanted
    }

    /// How many keys the journal has in the key groups that this worker owns, and the groups, one at a time: each is unpacked
    /// when it is asked for, so that all of them never lie there beside the state they become.
    pub fn recovered(&mut self) -> (usize, impl Iterator<Item = GroupState> + use<>) {
        let groups = std::mem::take(&mut self.groups);
        (groups.iter().map(|group| group.keys.len()).sum(), groups.into_iter().map(PackedGroup::unpack))
    }

    /// What this worker's reader combines, gated by what is committed.
    pub fn read(&mut self) -> Input<'scope> {
        let feed = self.feed.take().expect("a pipeline reads once");
        read(self.scope, self.commits.clone(), feed)
    }

    /// Every commit, on every worker. Read it, never wait for it.
    pub fn commits(&self) -> StreamVec<'scope, Epoch, Arc<Commit>> {
        self.commits.clone()
    }

    /// Write epochs into the journal: every worker's part and every reader's report.
    pub fn commit(&mut self, parts: StreamVec<'scope, Epoch, Part>, reports: StreamVec<'scope, Epoch, Report>) {
        let committed = commit(parts, reports, self.line.take());
        committed.clone().broadcast().connect_loop(self.feedback.take().expect("a pipeline commits once"));
        self.committed = Some(committed);
    }

    /// Show committed epochs to the followers. Call after [`Pipeline::commit`].
    pub fn follow(
        &mut self,
        windows: StreamVec<'scope, Epoch, WindowChange>,
        ranked: StreamVec<'scope, Epoch, RankedChange>,
        rows: StreamVec<'scope, Epoch, RowFlush>,
    ) {
        let committed = self.committed.take().expect("a pipeline commits before it follows");
        follow(windows, ranked, rows, committed, self.desk.take());
    }
}

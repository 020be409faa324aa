//! The follow operator, on worker 0: puts whole epochs into the board room once they are committed *and* their ranking
//! is complete, and gives followers what changed since their last step. One step at a time is with a follower; the next
//! takes everything that changed meanwhile.

use crate::board_room::{BoardRoom, ChangedWindows, EpochChanges};
use crate::follower_thread::FollowerLine;
use crate::ticker::Ticker;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::{Clock, Commit, DeadLetter, Epoch, RankedChange, RowBlock, RowFlush, Sequence, Step, Wants, WindowChange};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::SyncActivator;

/// Worker 0's end of everything that follows.
pub(crate) struct FollowDesk {
    pub(crate) room: BoardRoom,
    pub(crate) followers: Vec<FollowerLine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
    /// Told once, when the last epoch has reached every follower.
    pub(crate) drained: std::sync::mpsc::Sender<Arc<Commit>>,
}

/// What a follower has not been given yet.
struct Due {
    line: FollowerLine,
    wants: Wants,
    changed: ChangedWindows,
    dead_letters: Vec<(Sequence, Arc<DeadLetter>)>,
    /// Rows taken since the last step, older values first.
    rows: Vec<RowBlock>,
    /// The epoch at which they were last taken. Only a step of that epoch may carry them: a later one would claim
    /// counts that they lack, and a restart would believe it.
    rows_of: Option<Epoch>,
    /// Counts changed since the last step.
    rows_wait: bool,
    rows_asked: bool,
    last_step: Option<Duration>,
    last_rankings: Option<Duration>,
    last_refresh: Duration,
    /// The epoch of the last step given.
    given: Option<Epoch>,
}

struct Desk {
    room: BoardRoom,
    due: Vec<Due>,
    clock: Arc<dyn Clock>,
    ticker: Arc<Ticker>,
    drained: std::sync::mpsc::Sender<Arc<Commit>>,
    /// The last epoch that is in the room.
    shown: Option<Arc<Commit>>,
    over: bool,
}

pub(crate) fn follow<'scope>(
    windows: StreamVec<'scope, Epoch, WindowChange>,
    ranked: StreamVec<'scope, Epoch, RankedChange>,
    rows: StreamVec<'scope, Epoch, RowFlush>,
    commits: StreamVec<'scope, Epoch, Arc<Commit>>,
    desk: Option<FollowDesk>,
) {
    let scope = windows.scope();
    let mut builder = OperatorBuilder::new("follow".to_owned(), scope);
    let info = builder.operator_info();
    let mut windows = builder.new_input(windows, Exchange::new(|_: &WindowChange| 0));
    let mut ranked = builder.new_input(ranked, Exchange::new(|_: &RankedChange| 0));
    let mut rows = builder.new_input(rows, Exchange::new(|_: &RowFlush| 0));
    let mut commits = builder.new_input(commits, Pipeline);
    if let Some(desk) = &desk {
        assert!(desk.wake.set(scope.worker().sync_activator_for(info.address.to_vec())).is_ok(), "there is one desk");
    }
    builder.build(move |_| {
        let mut desk = desk.map(Desk::new);
        let mut changes: BTreeMap<Epoch, EpochChanges> = BTreeMap::new();
        let mut flushes: BTreeMap<Epoch, Vec<RowBlock>> = BTreeMap::new();
        let mut committed: BTreeMap<Epoch, Arc<Commit>> = BTreeMap::new();
        move |frontiers| {
            windows.for_each(|time, data| {
                changes.entry(*time.least().expect("changes carry an epoch")).or_default().windows.append(data);
            });
            ranked.for_each(|time, data| {
                changes.entry(*time.least().expect("rankings carry an epoch")).or_default().ranked.append(data);
            });
            rows.for_each(|time, data| {
                let flush = flushes.entry(*time.least().expect("rows carry an epoch")).or_default();
                data.drain(..).for_each(|part| flush.extend(part.blocks));
            });
            commits.for_each(|_, data| committed.extend(data.drain(..).map(|commit| (commit.epoch, commit))));
            let Some(desk) = &mut desk else { return };
            while let Some(entry) = committed.first_entry() {
                let epoch = *entry.key();
                if frontiers[..3].iter().any(|frontier| frontier.less_equal(&epoch)) {
                    break;
                }
                let commit = entry.remove();
                desk.show(commit, changes.remove(&epoch).unwrap_or_default(), flushes.remove(&epoch));
                // At once: rows that came with this epoch cannot be given as of the next.
                desk.serve();
            }
            desk.serve();
        }
    });
}

impl Desk {
    fn new(desk: FollowDesk) -> Self {
        let FollowDesk { room, followers, clock, ticker, drained, .. } = desk;
        let everything = room.everything();
        let due = |line: FollowerLine| Due {
            wants: line.wants,
            changed: everything.clone(),
            dead_letters: line.undelivered.clone(),
            rows: Vec::new(),
            rows_of: None,
            rows_wait: true,
            rows_asked: false,
            last_step: None,
            last_rankings: None,
            last_refresh: clock.monotonic(),
            given: None,
            line,
        };
        let due = followers.into_iter().map(due).collect();
        Desk { room, due, clock, ticker, drained, shown: None, over: false }
    }

    /// A committed epoch whose changes are complete.
    fn show(&mut self, commit: Arc<Commit>, changes: EpochChanges, rows: Option<Vec<RowBlock>>) {
        let changed = self.room.advance(&commit, changes);
        for due in &mut self.due {
            if due.wants.counts {
                due.changed.statuses.extend(&changed.statuses);
                due.rows_wait |= commit.changed;
            }
            if due.wants.rankings_every.is_some() {
                due.changed.rankings.extend(&changed.rankings);
                due.changed.closed |= changed.closed;
                if commit.last && due.wants.refresh_every.is_some() {
                    // Left as of the last epoch, as the next start would show them.
                    due.changed.rankings.extend(self.room.live());
                }
            }
            if due.wants.dead_letters {
                due.dead_letters
                    .extend(commit.dead_letters.iter().map(|letter| (commit.sequence, Arc::new(letter.clone()))));
            }
        }
        if let Some(blocks) = rows {
            for due in self.due.iter_mut().filter(|due| due.wants.counts) {
                // A follower still busy with its last step keeps these, and asks again once it is ready; the newer
                // value of a row comes later in order.
                due.rows.extend(blocks.iter().cloned());
                due.rows_of = Some(commit.epoch);
                due.rows_asked = false;
            }
        }
        self.shown = Some(commit);
    }

    /// Give steps to followers that are ready and due.
    fn serve(&mut self) {
        let Some(commit) = self.shown.clone() else { return };
        let now = self.clock.monotonic();
        for due in &mut self.due {
            if !due.line.is_ready() {
                continue;
            }
            let has_rows = due.rows_of == Some(commit.epoch) && due.given != Some(commit.epoch);
            if due.wants.counts && !has_rows {
                // Rows are copied out between epochs, all workers at the same one; ask for the next.
                if due.rows_wait && !due.rows_asked && !commit.last && has_passed(due.last_step, now, due.wants.every) {
                    due.rows_asked = true;
                    self.ticker.ask_for_rows();
                }
                continue;
            }
            if due.lacks_nothing() {
                due.line.acknowledge(&commit);
            }
            if let Some(step) = due.step(&self.room, &commit, now) {
                due.last_step = Some(now);
                due.given = Some(commit.epoch);
                due.line.give(step);
            }
        }
        let idle = self.due.iter().all(|due| due.line.is_ready() && (!commit.last || due.is_empty(&commit)));
        if commit.last && idle && !self.over {
            self.over = true;
            // The job may have stopped waiting.
            let _ = self.drained.send(commit);
        }
    }
}

impl Due {
    /// The next step, if there is something to say and it is time.
    fn step(&mut self, room: &BoardRoom, commit: &Arc<Commit>, now: Duration) -> Option<Step> {
        if let Some(every) = self.wants.refresh_every
            && now.saturating_sub(self.last_refresh) >= every
        {
            self.last_refresh = now;
            self.changed.rankings.extend(room.live());
        }
        let rankings_due = match self.wants.rankings_every {
            Some(every) => {
                commit.last || (self.wants.counts && self.changed.closed) || has_passed(self.last_rankings, now, every)
            }
            None => false,
        };
        let with_rankings = rankings_due && (self.wants.counts || !self.changed.rankings.is_empty());
        let is_worth_it = self.wants.counts || with_rankings || !self.dead_letters.is_empty();
        if !is_worth_it {
            return None;
        }
        let rankings = if with_rankings { std::mem::take(&mut self.changed.rankings) } else { Default::default() };
        if with_rankings {
            self.last_rankings = Some(now);
            self.changed.closed = false;
        }
        self.rows_wait = false;
        Some(Step {
            commit: commit.clone(),
            rows: std::mem::take(&mut self.rows),
            statuses: room.statuses(&std::mem::take(&mut self.changed.statuses)),
            with_rankings,
            rankings: room.rankings(&rankings),
            pointers: room.pointers(),
            dead_letters: std::mem::take(&mut self.dead_letters),
        })
    }

    /// Nothing has changed for it since its last step: it is as of this epoch without being told, so that the journal
    /// need not keep for its sake what it will never ask for.
    fn lacks_nothing(&self) -> bool {
        !self.wants.counts && self.changed.rankings.is_empty() && self.dead_letters.is_empty()
    }

    /// Whether the follower has everything up to the last epoch.
    fn is_empty(&self, commit: &Commit) -> bool {
        let rankings = self.wants.rankings_every.is_none() || self.changed.rankings.is_empty();
        let counts = !self.wants.counts || self.given == Some(commit.epoch);
        rankings && counts && self.dead_letters.is_empty()
    }
}

/// A little early is on time: epochs come at intervals of their own.
fn has_passed(last: Option<Duration>, now: Duration, every: Duration) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= every.mul_f64(0.8))
}

#[cfg(test)]
mod tests;

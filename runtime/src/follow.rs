//! The follow operator, on worker 0: puts whole epochs into the board room once they are committed *and* their ranking
//! is complete, and gives followers what changed since their last step. One step at a time is with a follower; the next
//! takes everything that changed meanwhile.

use crate::backlog::{Answer, Backlog};
use crate::board_room::{BoardRoom, EpochChanges};
use crate::drift::{Alignment, Outgrown};
use crate::due::Due;
use crate::follower_thread::FollowerLine;
use crate::journal::{Recovered, Rereader};
use crate::lag::Lag;
use crate::ticker::Ticker;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use stream::{Bug, Clock, Commit, Epoch, RankedChange, RowFlush, RowOrder, WindowChange, seeded};
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
    pub(crate) lag: Arc<Lag>,
    /// Bytes of rows that may wait in memory (`sink.max_backlog_bytes`).
    pub(crate) max_backlog: u64,
    /// Told when too many dead letters wait.
    pub(crate) alignment: Arc<Alignment>,
    /// By partition: dead letters up to this offset were out before the journal began.
    pub(crate) delivered: BTreeMap<Arc<str>, i64>,
    /// Where what was dropped comes from.
    pub(crate) rereader: Rereader,
    pub(crate) wake: Arc<OnceLock<SyncActivator>>,
    /// Told once, when the last epoch has reached every follower.
    pub(crate) drained: std::sync::mpsc::Sender<Arc<Commit>>,
}

/// Bytes of dead letters that may wait for their sink.
const LETTERS_WAIT: u64 = 64 << 20;

pub(crate) struct Desk {
    room: BoardRoom,
    due: Vec<Due>,
    clock: Arc<dyn Clock>,
    ticker: Arc<Ticker>,
    lag: Arc<Lag>,
    drained: std::sync::mpsc::Sender<Arc<Commit>>,
    backlog: Backlog,
    alignment: Arc<Alignment>,
    delivered: BTreeMap<Arc<str>, i64>,
    rereader: Rereader,
    /// What has come of epochs that are not in the room yet.
    changes: BTreeMap<Epoch, EpochChanges>,
    flushes: BTreeMap<Epoch, Answer>,
    committed: BTreeMap<Epoch, Arc<Commit>>,
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
        move |frontiers| {
            let mut room = desk.as_mut();
            windows.for_each(|time, data| {
                let epoch = *time.least().expect("changes carry an epoch");
                expected(&mut room).hear_windows(epoch, data.drain(..));
            });
            ranked.for_each(|time, data| {
                let epoch = *time.least().expect("rankings carry an epoch");
                expected(&mut room).hear_ranked(epoch, data.drain(..));
            });
            rows.for_each(|time, data| {
                let epoch = *time.least().expect("rows carry an epoch");
                data.drain(..).for_each(|flush| expected(&mut room).hear_rows(epoch, flush));
            });
            commits.for_each(|_, data| {
                if let Some(desk) = &mut room {
                    data.drain(..).for_each(|commit| desk.hear_commit(commit));
                }
            });
            if let Some(desk) = desk.as_mut() {
                desk.advance(|epoch| frontiers[..3].iter().any(|frontier| frontier.less_equal(&epoch)));
            }
        }
    });
}

fn expected<'a>(desk: &'a mut Option<&mut Desk>) -> &'a mut Desk {
    desk.as_mut().expect("changes are sent to worker 0 only")
}

impl Desk {
    pub(crate) fn new(desk: FollowDesk) -> Self {
        let FollowDesk { room, followers, clock, ticker, lag, drained, max_backlog, .. } = desk;
        let FollowDesk { alignment, delivered, rereader, .. } = desk;
        let everything = room.everything();
        let due = followers.into_iter().map(|line| Due::new(line, everything.clone(), clock.monotonic())).collect();
        let backlog = Backlog::new(max_backlog);
        Desk {
            room,
            due,
            clock,
            ticker,
            lag,
            drained,
            backlog,
            alignment,
            delivered,
            rereader,
            changes: BTreeMap::new(),
            flushes: BTreeMap::new(),
            committed: BTreeMap::new(),
            shown: None,
            over: false,
        }
    }

    pub(crate) fn hear_windows(&mut self, epoch: Epoch, changes: impl Iterator<Item = WindowChange>) {
        self.changes.entry(epoch).or_default().windows.extend(changes);
    }

    pub(crate) fn hear_ranked(&mut self, epoch: Epoch, changes: impl Iterator<Item = RankedChange>) {
        self.changes.entry(epoch).or_default().ranked.extend(changes);
    }

    pub(crate) fn hear_rows(&mut self, epoch: Epoch, flush: RowFlush) {
        self.flushes.entry(epoch).or_default().add(flush);
    }

    pub(crate) fn hear_commit(&mut self, commit: Arc<Commit>) {
        self.committed.insert(commit.epoch, commit);
    }

    /// Show every epoch that is committed and of which everything has come, and give followers their steps.
    pub(crate) fn advance(&mut self, is_open: impl Fn(Epoch) -> bool) {
        if seeded(Bug::CommittedByFrontier)
            && let Some(last) = &self.shown
        {
            let closed = self.changes.keys().filter(|epoch| !is_open(**epoch));
            let taken_for: Vec<Commit> = closed.map(|epoch| Commit { epoch: *epoch, ..Commit::clone(last) }).collect();
            taken_for.into_iter().for_each(|commit| _ = self.committed.entry(commit.epoch).or_insert(commit.into()));
        }
        while let Some(entry) = self.committed.first_entry() {
            let epoch = *entry.key();
            if is_open(epoch) {
                break;
            }
            let commit = entry.remove();
            let changes = self.changes.remove(&epoch).unwrap_or_default();
            let mut answer = self.flushes.remove(&epoch);
            if seeded(Bug::FlushLive)
                && self.flushes.last_key_value().is_some_and(|(_, live)| live.order == RowOrder::Take)
            {
                answer = self.flushes.pop_last().map(|(_, live)| live);
            }
            self.show(commit, changes, answer);
            // At once: rows that came with this epoch cannot be given as of the next.
            self.serve();
        }
        self.serve();
    }

    /// A committed epoch whose changes are complete.
    fn show(&mut self, commit: Arc<Commit>, changes: EpochChanges, answer: Option<Answer>) {
        let changed = self.room.advance(&commit, changes);
        for due in &mut self.due {
            if due.wants.counts {
                due.changed.statuses.extend(&changed.statuses);
                due.rows_wait |= commit.changed;
            }
            if due.wants.rankings_every.is_some() {
                due.changed.rankings.extend(&changed.rankings);
                due.changed.closed |= changed.closed;
                due.owe(&changed.left);
                if commit.last && due.wants.refresh_every.is_some() {
                    // Left as of the last epoch, as the next start would show them.
                    due.changed.rankings.extend(self.room.live());
                }
            }
            if due.wants.dead_letters {
                due.post(&commit, |letter| Recovered::is_due(&self.delivered, letter));
            }
        }
        if let Some(answer) = answer {
            self.take(&commit, answer);
        }
        self.shown = Some(commit);
    }

    /// What the workers answer about their rows, as of a committed epoch.
    fn take(&mut self, commit: &Commit, answer: Answer) {
        self.backlog.hear(&answer, self.held());
        for due in self.due.iter_mut().filter(|due| due.wants.counts) {
            match answer.order {
                RowOrder::Keep => {}
                // A follower still busy with its last step keeps these, and asks again once it is ready; the newer
                // value of a row comes later in order.
                RowOrder::Take => due.take(&answer.blocks, commit.epoch),
                RowOrder::Forget => due.lose(),
            }
        }
        if answer.order == RowOrder::Forget {
            self.backlog.is_forgotten();
        }
    }

    /// Bytes of rows taken and not given on.
    fn held(&self) -> u64 {
        self.due.iter().map(Due::held).sum()
    }

    /// Give steps to followers that are ready and due.
    fn serve(&mut self) {
        let Some(commit) = self.shown.clone() else { return };
        let now = self.clock.monotonic();
        self.due.iter_mut().for_each(Due::settle);
        let is_full = self.backlog.is_too_much(self.held());
        if is_full && !commit.last && self.nobody_takes_rows() {
            self.backlog.is_forgetting = true;
            self.ticker.order(RowOrder::Forget);
        }
        for due in &mut self.due {
            if !due.line.is_ready() {
                continue;
            }
            if due.wants.counts && !due.has_rows(commit.epoch) {
                // Rows are copied out between epochs, all workers at the same one; ask for the next.
                let is_due = is_full || due.is_due(now);
                if due.lacks_rows(now) && !due.rows_asked && !commit.last && !self.backlog.is_forgetting && is_due {
                    due.ask(&self.rereader);
                    self.ticker.order(RowOrder::Take);
                }
                continue;
            }
            if due.line.has_lost() {
                due.renew(&self.room);
            }
            if due.lacks_nothing() {
                due.line.acknowledge(&commit);
            }
            if let Some(step) = due.step(&self.room, &self.lag, &commit, now, &self.rereader) {
                due.line.give(step);
            }
        }
        self.look_at_letters();
        let idle = self.due.iter().all(|due| due.line.is_ready() && (!commit.last || due.is_empty(&commit)));
        if commit.last && idle && !self.over {
            self.over = true;
            // The job may have stopped waiting.
            let _ = self.drained.send(commit);
        }
    }

    /// Dead letters cannot be dropped and made again as rows can: while more of them wait than memory should hold, nothing
    /// is read that could bring others.
    fn look_at_letters(&self) {
        let furthest = self.due.iter().max_by_key(|due| due.letters_waiting());
        let Some((due, waiting)) = furthest.map(|due| (due, due.letters_waiting())) else { return };
        let was_full = self.alignment.has_outgrown(Outgrown::Letters);
        let is_full = waiting > if was_full { LETTERS_WAIT / 2 } else { LETTERS_WAIT };
        if is_full == was_full {
            return;
        }
        self.alignment.set_outgrown(Outgrown::Letters, is_full);
        metrics::gauge!("topk_paused", "reason" => "dead letters").set(f64::from(u8::from(is_full)));
        match is_full {
            true => tracing::warn!(
                follower = due.line.name(),
                waiting,
                max = LETTERS_WAIT,
                "reading is paused: more bytes of dead letters wait for it than are kept in memory; it goes on once they are written"
            ),
            false => tracing::info!(waiting, "reading goes on: dead letters are being written"),
        }
    }

    /// Every follower that takes rows is busy, or away, and none has asked for them.
    fn nobody_takes_rows(&self) -> bool {
        let mut takers = self.due.iter().filter(|due| due.wants.counts);
        !self.backlog.is_forgetting && takers.all(|due| !due.line.is_ready() && !due.rows_asked)
    }
}

#[cfg(test)]
mod tests;

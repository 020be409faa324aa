//! What one follower has not been given yet, and the next step made of it.

use crate::backlog::bytes_of;
use crate::board_room::{BoardRoom, ChangedWindows};
use crate::follower_thread::FollowerLine;
use crate::journal::{Lease, Rereader};
use crate::lag::Lag;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stream::{Commit, DeadLetter, Epoch, EventTime, Lost, Ranking, RowBlock, Sequence, Step, Wants, WindowId};

/// Entries of rankings kept for a follower that is away, some 64 bytes each: five hundred windows of a thousand keys.
const OWED_ENTRIES: usize = 500_000;
/// What a ranking takes besides its entries, in entries.
const OWED_BESIDES: usize = 4;

/// See the module.
pub(crate) struct Due {
    pub(crate) line: FollowerLine,
    pub(crate) wants: Wants,
    pub(crate) changed: ChangedWindows,
    /// Of the changed rankings, those that have left memory since; bounded.
    pub(crate) owed: BTreeMap<WindowId, Arc<Ranking>>,
    dead_letters: Vec<(Sequence, Arc<DeadLetter>)>,
    /// Bytes of these.
    letter_bytes: u64,
    /// Rows taken since the last step, older values first.
    rows: Vec<RowBlock>,
    /// The epoch at which they were last taken. Only a step of that epoch may carry them: a later one would claim
    /// counts that they lack, and a restart would believe it.
    rows_of: Option<Epoch>,
    /// Counts changed since the last step.
    pub(crate) rows_wait: bool,
    pub(crate) rows_asked: bool,
    last_step: Option<Duration>,
    last_rankings: Option<Duration>,
    last_refresh: Duration,
    /// The epoch of the last step given.
    given: Option<Epoch>,
    /// Rows were dropped: its next step brings all that changed since `has` from the journal.
    pub(crate) lost: bool,
    lease: Option<Lease>,
    /// The last record that it is known to have acted on, and the watermark of that.
    has: (Sequence, Option<EventTime>),
    /// The step that is with it.
    in_hand: Option<InHand>,
}

/// What must be remembered of a step until it is known to be done.
struct InHand {
    reached: (Sequence, Option<EventTime>),
    /// Bytes of its dead letters.
    letter_bytes: u64,
    /// Of a step from the journal, which is given up if the follower goes away again.
    changed: Option<ChangedWindows>,
}

impl Due {
    /// `everything`: all windows that are known.
    pub(crate) fn new(line: FollowerLine, everything: ChangedWindows, now: Duration) -> Self {
        Due {
            wants: line.wants,
            changed: everything,
            owed: BTreeMap::new(),
            letter_bytes: line.undelivered.iter().map(|(_, letter)| letter.bytes()).sum(),
            dead_letters: line.undelivered.clone(),
            rows: Vec::new(),
            rows_of: None,
            rows_wait: true,
            rows_asked: false,
            last_step: None,
            last_rankings: None,
            last_refresh: now,
            given: None,
            lost: line.reached.is_far_behind,
            lease: None,
            has: (line.reached.sequence, None),
            in_hand: None,
            line,
        }
    }

    /// The dead letters of a committed epoch that are due.
    pub(crate) fn post(&mut self, commit: &Commit, is_due: impl Fn(&DeadLetter) -> bool) {
        for letter in commit.dead_letters.iter().filter(|letter| is_due(letter)) {
            self.letter_bytes += letter.bytes();
            self.dead_letters.push((commit.sequence, Arc::new(letter.clone())));
        }
    }

    /// Bytes of dead letters that it has not got, what is with it included.
    pub(crate) fn letters_waiting(&self) -> u64 {
        self.letter_bytes + self.in_hand.as_ref().map_or(0, |in_hand| in_hand.letter_bytes)
    }

    /// Rows taken at an epoch. One that has lost some has no use for them.
    pub(crate) fn take(&mut self, blocks: &[RowBlock], epoch: Epoch) {
        if !self.lost {
            self.rows.extend(blocks.iter().cloned());
        }
        self.rows_of = Some(epoch);
        self.rows_asked = false;
    }

    /// Rows were dropped. The journal has them, so windows need not stay in memory for this follower.
    pub(crate) fn lose(&mut self) {
        if !self.lost {
            tracing::warn!(
                follower = self.line.name(),
                since = self.has.0.0,
                "more rows wait for it than sink.max_backlog_bytes: they are dropped, and will come from the journal"
            );
        }
        self.lost = true;
        self.rows = Vec::new();
        self.line.hold_windows(false);
    }

    /// Rows will be asked for: from then on windows stay in memory until it has them, and what it lost stays readable.
    pub(crate) fn ask(&mut self, rereader: &Rereader) {
        self.rows_asked = true;
        if self.lost && self.lease.is_none() {
            self.line.hold_windows(true);
            self.lease = Some(rereader.begin());
        }
    }

    /// What became of the last step.
    pub(crate) fn settle(&mut self) {
        if !self.line.is_ready() {
            return;
        }
        let Some(in_hand) = self.in_hand.take() else { return };
        if !self.line.gave_up() {
            self.has = in_hand.reached;
            return;
        }
        let changed = in_hand.changed.expect("only a step from the journal is given up");
        self.changed.statuses.extend(changed.statuses);
        self.changed.rankings.extend(changed.rankings);
        self.changed.closed = true;
        self.given = None;
        self.rows_wait = true;
        // Rows are being noted for it, so windows stay until they are taken or forgotten.
        self.lost = true;
        self.rows = Vec::new();
    }

    /// Bytes of rows taken and not given on.
    pub(crate) fn held(&self) -> u64 {
        bytes_of(&self.rows)
    }

    /// It has been given no step as of this epoch, and its rows are of it.
    pub(crate) fn has_rows(&self, epoch: Epoch) -> bool {
        self.rows_of == Some(epoch) && self.given != Some(epoch)
    }

    /// It lacks rows, or rankings that are due now: these go with rows as of the same epoch, though none have changed.
    pub(crate) fn lacks_rows(&self, now: Duration) -> bool {
        let are_due = |every| !self.changed.rankings.is_empty() && has_passed(self.last_rankings, now, every);
        self.rows_wait || self.wants.rankings_every.is_some_and(are_due)
    }

    /// Enough time has passed since its last step.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        has_passed(self.last_step, now, self.wants.every)
    }

    /// Rankings leave memory: keep those that it has not been given, unless they come with its counts. Beyond the bound
    /// the oldest of the finest kind go; they stand in the tables.
    pub(crate) fn owe(&mut self, left: &[Arc<Ranking>]) {
        if left.is_empty() || self.wants.counts {
            return;
        }
        for ranking in left.iter().filter(|ranking| self.changed.rankings.contains(&ranking.id())) {
            self.owed.insert(ranking.id(), ranking.clone());
        }
        let cost = |ranking: &Arc<Ranking>| ranking.entries.len() + OWED_BESIDES;
        let mut entries: usize = self.owed.values().map(cost).sum();
        while entries > OWED_ENTRIES
            && let Some((id, ranking)) = self.owed.pop_first()
        {
            entries -= cost(&ranking);
            self.changed.rankings.remove(&id);
            metrics::counter!("topk_boards_given_up_total").increment(1);
        }
    }

    /// The outside lost what was written: everything current again, and at once.
    pub(crate) fn renew(&mut self, room: &BoardRoom) {
        self.changed.rankings.extend(room.live());
        self.last_rankings = None;
    }

    /// The next step, if there is something to say and it is time.
    pub(crate) fn step(
        &mut self,
        room: &BoardRoom,
        lag: &Lag,
        commit: &Arc<Commit>,
        now: Duration,
        rereader: &Rereader,
    ) -> Option<Step> {
        let refresh = self.wants.refresh_every.is_some_and(|every| now.saturating_sub(self.last_refresh) >= every);
        if refresh {
            self.last_refresh = now;
            self.changed.rankings.extend(room.live());
        }
        let rankings_due = match self.wants.rankings_every {
            Some(every) => {
                commit.last
                    || self.lost
                    || refresh
                    || (self.wants.counts && self.changed.closed)
                    || has_passed(self.last_rankings, now, every)
            }
            None => false,
        };
        let with_rankings = rankings_due && (self.wants.counts || !self.changed.rankings.is_empty());
        let is_worth_it = self.wants.counts || with_rankings || refresh || !self.dead_letters.is_empty();
        if !is_worth_it {
            return None;
        }
        let changed = self.lost.then(|| self.changed.clone());
        let rankings = if with_rankings { std::mem::take(&mut self.changed.rankings) } else { Default::default() };
        let owed = if with_rankings { std::mem::take(&mut self.owed) } else { BTreeMap::new() };
        if with_rankings {
            self.last_rankings = Some(now);
            self.changed.closed = false;
        }
        self.rows_wait = false;
        self.last_step = Some(now);
        self.given = Some(commit.epoch);
        let letter_bytes = std::mem::take(&mut self.letter_bytes);
        self.in_hand = Some(InHand { reached: (commit.sequence, commit.watermark), letter_bytes, changed });
        Some(Step {
            commit: commit.clone(),
            rows: std::mem::take(&mut self.rows),
            statuses: room.statuses(&std::mem::take(&mut self.changed.statuses)),
            with_rankings,
            lost: self.found(commit, rereader).map(|rows| Lost { rows, rankings: room.not_in_memory(&rankings) }),
            rankings: owed.into_values().chain(room.rankings(&rankings)).collect(),
            pointers: room.pointers(),
            dead_letters: std::mem::take(&mut self.dead_letters),
            behind: if self.wants.refresh_every.is_some() { lag.by_partition() } else { BTreeMap::new() },
        })
    }

    /// What was dropped, from the journal, as of this epoch.
    fn found(&mut self, commit: &Commit, rereader: &Rereader) -> Option<Arc<dyn stream::LostRows>> {
        if !std::mem::take(&mut self.lost) {
            return None;
        }
        let lease = self.lease.take().unwrap_or_else(|| rereader.begin());
        let (after, settled) = self.has;
        tracing::info!(
            follower = self.line.name(),
            after = after.0,
            through = commit.sequence.0,
            "what it missed is read from the journal"
        );
        Some(lease.lost(after, settled, commit.sequence))
    }

    /// Nothing has changed for it since its last step: it is as of this epoch without being told, so that the journal
    /// need not keep for its sake what it will never ask for.
    pub(crate) fn lacks_nothing(&self) -> bool {
        !self.wants.counts && self.changed.rankings.is_empty() && self.dead_letters.is_empty()
    }

    /// Whether the follower has everything up to the last epoch.
    pub(crate) fn is_empty(&self, commit: &Commit) -> bool {
        let rankings = self.wants.rankings_every.is_none() || self.changed.rankings.is_empty();
        let counts = !self.wants.counts || self.given == Some(commit.epoch);
        rankings && counts && self.dead_letters.is_empty()
    }
}

/// A little early is on time: epochs come at intervals of their own.
fn has_passed(last: Option<Duration>, now: Duration, every: Duration) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= every.mul_f64(0.8))
}

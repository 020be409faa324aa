//! The follower that publishes rankings: boards first, then the pointers to them, then how far it got.
//!
//! How far it got is written last, so it is a mark for all that was written before: a store that does not show the mark
//! as we left it was emptied, or went back to an earlier moment. Then everything current is written again, and what is
//! outdated there and will not be written again is removed.

use super::memory::{MemoryBoard, MemoryStore};
use super::owner::{Owner, newer};
use super::redis::RedisStore;
use super::settings::BoardSettings;
use super::status::{self, Pace};
use super::store::{Age, Board, BoardStore, Put};
use crate::retention::oldest_kept;
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Blob, BoardKeys, Bug, Claim, Clock, EventTime, FailPoint, Fault, Follower, Generation, KindIndex, Progress,
    Sequence, Step, Wants, WindowId, seeded,
};

/// Everything current is written again this often, in case the store lost it.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Boards sent together.
const BOARDS_AT_ONCE: usize = 64;
/// Tries to change the owner while somebody else does too.
const OWNER_TRIES: usize = 8;
/// Above every epoch, and still exact as a double, which is all that Redis scripts have.
const INSIST: Sequence = Sequence((1 << 53) - 1);

/// Publishes rankings into a store.
pub struct BoardFollower {
    store: Box<dyn BoardStore>,
    settings: BoardSettings,
    keys: BoardKeys,
    clock: Arc<dyn Clock>,
    generation: Option<Generation>,
    /// The owner as last seen, byte for byte.
    owner: Option<Vec<u8>>,
    /// The owner as we last tried to write it; whether that was done may be unknown.
    pub(super) tried: Option<Vec<u8>>,
    loss: Loss,
    pace: Pace,
    /// By kind: what the store was told to forget.
    forgotten: Vec<Option<EventTime>>,
}

/// What is known of the store's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loss {
    /// It has all that was written.
    None,
    /// It has not; everything is to be asked for.
    Found,
    /// The next rankings are everything current.
    Told,
    /// Everything current is written, as of this; what is older is to be removed.
    Mended(Age),
}

impl BoardFollower {
    /// Publishes into Redis. Nothing is opened yet.
    ///
    /// # Errors
    /// A URL that cannot be used.
    pub fn redis(settings: BoardSettings, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let store = RedisStore::new(&settings.redis)?;
        Ok(Self::over(Box::new(store), settings, clock))
    }

    /// Publishes into memory, for readers in this process.
    pub fn memory(board: MemoryBoard, settings: BoardSettings, clock: Arc<dyn Clock>) -> Self {
        Self::over(Box::new(MemoryStore::new(board)), settings, clock)
    }

    pub(super) fn over(store: Box<dyn BoardStore>, settings: BoardSettings, clock: Arc<dyn Clock>) -> Self {
        assert_eq!(settings.retention.len(), settings.windows.len(), "retention is given for each kind");
        BoardFollower {
            keys: BoardKeys::new(&settings.prefix, settings.windows.clone()),
            forgotten: vec![None; settings.windows.len()],
            store,
            settings,
            clock,
            generation: None,
            owner: None,
            tried: None,
            loss: Loss::None,
            pace: Pace::default(),
        }
    }

    fn read_owner(&mut self) -> Result<Option<Owner>, Fault> {
        let stored = self.store.get(&[self.keys.owner()])?.pop().flatten();
        self.owner = stored.map(|bytes| bytes.to_vec());
        self.owner.as_deref().map(Owner::decode).transpose()
    }

    /// The owner that the current boards show, should its own key be lost: the newest of them.
    fn shown_owner(&mut self) -> Result<Option<Owner>, Fault> {
        let kinds = 0..self.settings.windows.len() as KindIndex;
        let pointers: Vec<String> = kinds.clone().map(|kind| self.keys.current(kind)).collect();
        let starts = self.store.get(&pointers)?;
        let boards: Vec<String> = kinds
            .zip(&starts)
            .filter_map(|(kind, start)| Some((kind, std::str::from_utf8(start.as_ref()?).ok()?)))
            .map(|(kind, start)| self.keys.blob_of_start(kind, start))
            .collect();
        let mut shown: Option<Owner> = None;
        for bytes in self.store.get(&boards)?.into_iter().flatten() {
            let blob = Blob::decode(&bytes, &self.settings.words)?;
            let owner = Owner { job: blob.job, generation: blob.generation, epoch: Some(blob.epoch) };
            if shown.as_ref().is_none_or(|shown| (shown.generation, shown.epoch) < (owner.generation, owner.epoch)) {
                shown = Some(owner);
            }
        }
        Ok(shown)
    }

    /// Become the owner, or record how far we got as the owner.
    fn own(&mut self, next: &Owner) -> Result<(), Fault> {
        let (key, text) = (self.keys.owner(), next.encode());
        for _ in 0..OWNER_TRIES {
            self.tried = Some(text.clone().into_bytes());
            if self.store.swap(&key, self.owner.as_deref(), &text)? {
                self.owner = self.tried.take();
                return Ok(());
            }
            let stored = self.read_owner()?;
            if self.owner == self.tried {
                return Ok(());
            }
            if let Some(stored) = stored {
                stored.yields_to(&next.job, next.generation, &self.store.place())?;
            }
            if self.generation == Some(next.generation) {
                self.note_loss();
            }
        }
        Err(Fault::transient(
            format!("cannot become the owner of the boards in {}", self.store.place()),
            "another instance keeps changing the owner",
            "let only one instance run",
        ))
    }

    /// Whether the store still has what was written last. A newer incarnation is told apart from a loss.
    fn look_for_loss(&mut self, ours: Generation) -> Result<(), Fault> {
        let expected = self.owner.clone();
        let stored = self.read_owner()?;
        let Some(expected) = expected else { return Ok(()) };
        let is_ours = |text: &Vec<u8>| *text == expected || self.tried.as_ref() == Some(text);
        if self.owner.as_ref().is_some_and(is_ours) {
            return Ok(());
        }
        if let Some(stored) = stored {
            stored.yields_to(&self.settings.job, ours, &self.store.place())?;
        }
        self.note_loss();
        Ok(())
    }

    fn note_loss(&mut self) {
        if self.loss != Loss::Found {
            tracing::warn!(
                store = self.store.name(),
                "the store lost what was written; everything current is written again"
            );
            metrics::counter!("topk_board_losses_total", "sink" => self.store.name()).increment(1);
        }
        self.loss = Loss::Found;
    }

    /// Boards that were open when the store's memory ends, and whose windows have left ours, would say so for ever. The
    /// tables have their lists.
    fn drop_outdated(&mut self, age: Age) {
        for kind in 0..self.settings.windows.len() as KindIndex {
            match self.store.drop_outdated(&self.keys.of_kind(kind), age) {
                Ok(0) => {}
                Ok(dropped) => tracing::info!(store = self.store.name(), dropped, "removed outdated boards"),
                Err(fault) => {
                    // Nothing that is current depends on it: tried again with the next publish.
                    tracing::debug!(store = self.store.name(), %fault, "cannot look for outdated boards");
                    return;
                }
            }
        }
        self.loss = Loss::None;
    }

    fn boards(&self, step: &Step) -> Vec<Board> {
        let (settings, commit) = (&self.settings, &step.commit);
        let age = Age { generation: commit.generation, epoch: commit.sequence };
        let board = |ranking: &Arc<stream::Ranking>| {
            let blob = Blob::of(ranking, &settings.windows, &settings.job, commit, self.clock.now(), settings.k);
            let window = ranking.id();
            Board {
                window,
                key: self.keys.blob(window),
                bytes: blob.encode(&settings.words),
                age,
                time_to_live: settings.retention[usize::from(window.kind)],
            }
        };
        step.rankings.iter().map(board).collect()
    }

    /// After a loss, only pointers to boards that are written with them.
    fn pointers(&self, step: &Step) -> Vec<(String, String)> {
        let mut moves = Vec::with_capacity(2 * step.pointers.len());
        for pointers in &step.pointers {
            let is_there = |start: &EventTime| {
                let id = WindowId { kind: pointers.kind, start: *start };
                self.loss != Loss::Found || step.rankings.iter().any(|ranking| ranking.id() == id)
            };
            let label = |start: EventTime| self.keys.start(WindowId { kind: pointers.kind, start });
            let (current, closed) = (pointers.current.filter(is_there), pointers.closed.filter(is_there));
            moves.extend(current.map(|start| (self.keys.current(pointers.kind), label(start))));
            moves.extend(closed.map(|start| (self.keys.closed(pointers.kind), label(start))));
        }
        moves
    }

    /// Store boards. One may be refused though no newer incarnation exists. If a final one is there, a reader put it back
    /// from tables that were ahead of this step, which may have waited long for the store: it stays. Anything else is from
    /// a life that is over, and so is what is still ahead when everything current is written again: insist.
    fn put(&mut self, boards: Vec<Board>, ours: Generation) -> Result<(), Fault> {
        let outcomes = self.store.put(&boards)?;
        let mut again = Vec::new();
        for (mut board, outcome) in boards.into_iter().zip(outcomes) {
            match outcome {
                Put::Refused { stored, .. } if stored.generation > ours => {
                    return Err(newer(&self.store.place(), stored.generation, ours));
                }
                Put::Refused { is_final: true, .. } if self.loss != Loss::Told => {}
                Put::Refused { stored, .. } => {
                    tracing::warn!(
                        key = board.key,
                        generation = stored.generation.0,
                        epoch = stored.epoch.0,
                        "overwriting a board of a life that is over"
                    );
                    board.age = Age { generation: ours, epoch: INSIST };
                    again.push(board);
                }
                Put::Written => self.count(board.window.kind),
            }
        }
        if again.is_empty() {
            return Ok(());
        }
        for (board, outcome) in again.iter().zip(self.store.put(&again)?) {
            match outcome {
                Put::Refused { stored, .. } => return Err(newer(&self.store.place(), stored.generation, ours)),
                Put::Written => self.count(board.window.kind),
            }
        }
        Ok(())
    }

    fn publish_status(&mut self, step: &Step) -> Result<(), Fault> {
        let rate = self.pace.at(self.clock.monotonic(), status::consumed(&step.commit));
        let BoardSettings { job, windows, .. } = &self.settings;
        let text = status::status(job, step, windows, &self.keys, rate, self.clock.now());
        self.store.keep(&self.keys.status(), &text, status::TIME_TO_LIVE)
    }

    fn count(&self, kind: KindIndex) {
        let window = self.settings.windows.kind(kind).name.clone();
        metrics::counter!("topk_publish_total", "sink" => self.store.name(), "window" => window).increment(1);
    }

    fn forget(&mut self, watermark: Option<EventTime>) {
        for kind in 0..self.settings.windows.len() {
            let index = kind as KindIndex;
            let oldest = oldest_kept(&self.settings.windows, index, self.settings.retention[kind], watermark);
            if let Some(oldest) = oldest
                && self.forgotten[kind] < Some(oldest)
            {
                self.store.forget(index, oldest);
                self.forgotten[kind] = Some(oldest);
            }
        }
    }
}

impl Follower for BoardFollower {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn wants(&self) -> Wants {
        Wants {
            counts: false,
            rankings_every: Some(self.settings.publish_every),
            dead_letters: false,
            every: self.settings.publish_every,
            refresh_every: Some(REFRESH_EVERY),
        }
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        let (owner, shown) = (self.read_owner()?, self.shown_owner()?);
        let generation = owner.iter().chain(&shown).map(|owner| owner.generation).max();
        for owner in owner.iter().chain(&shown) {
            owner.yields_to(&self.settings.job, owner.generation, &self.store.place())?;
        }
        let sequence = owner.or(shown).and_then(|owner| owner.epoch).unwrap_or_default();
        Ok(generation.map(|generation| Progress { generation, sequence, hash: None }))
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        let (owner, shown) = (self.read_owner()?, self.shown_owner()?);
        for owner in owner.iter().chain(&shown) {
            owner.yields_to(&claim.job, claim.generation, &self.store.place())?;
        }
        let epoch = owner.as_ref().and_then(|owner| owner.epoch);
        self.own(&Owner { job: claim.job.clone(), generation: claim.generation, epoch })?;
        self.generation = Some(claim.generation);
        self.store.guard(&self.keys.owner(), claim.generation);
        // The first rankings of a start are everything current.
        self.loss = Loss::Told;
        // A store that lost its owner may have lost boards: then everything current is written again.
        Ok(owner.and_then(|owner| Some(Progress { generation: owner.generation, sequence: owner.epoch?, hash: None })))
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        let began = self.clock.monotonic();
        let ours = self.generation.unwrap_or_default().max(step.commit.generation);
        self.look_for_loss(ours)?;
        FailPoint::PublishBegun.reach()?;
        let mut boards = self.boards(step);
        if seeded(Bug::PointerFirst) {
            self.store.advance(&self.pointers(step))?;
        }
        while !boards.is_empty() {
            let rest = boards.split_off(boards.len().min(BOARDS_AT_ONCE));
            self.put(boards, ours)?;
            FailPoint::PublishBoard.reach()?;
            boards = rest;
        }
        FailPoint::PublishBoards.reach()?;
        self.store.advance(&self.pointers(step))?;
        FailPoint::PublishPointers.reach()?;
        let (job, epoch) = (self.settings.job.clone(), Some(step.commit.sequence));
        self.own(&Owner { job, generation: ours, epoch })?;
        FailPoint::PublishOwned.reach()?;
        if self.loss == Loss::Told && step.with_rankings {
            let age = Age { generation: step.commit.generation, epoch: step.commit.sequence };
            self.loss = if self.settings.tables_beside { Loss::Mended(age) } else { Loss::None };
        }
        if let Loss::Mended(age) = self.loss {
            self.drop_outdated(age);
        }
        self.publish_status(step)?;
        self.forget(step.commit.watermark);
        let took = self.clock.monotonic() - began;
        metrics::histogram!("topk_publish_seconds", "sink" => self.store.name()).record(took.as_secs_f64());
        let now = self.clock.now().0 as f64 / 1000.0;
        metrics::gauge!("topk_publish_timestamp_seconds", "sink" => self.store.name()).set(now);
        Ok(())
    }

    fn has_lost(&mut self) -> bool {
        let found = self.loss == Loss::Found;
        if found {
            self.loss = Loss::Told;
        }
        found
    }
}

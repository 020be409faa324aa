//! Finding a list: which window is meant, and which store has it.
//!
//! Boards are asked first. What they do not have, or cannot say, the tables are asked for: once for all who want it at
//! the same time, and not again for a moment. A window of which neither knows anything has an empty list without a state.
//! If no store can be asked, or the tables are behind what was shown, the last good answer is given with its age; only where
//! there is none there is no answer.

use crate::flights::Flights;
use crate::line::Line;
use crate::parameters::{At, ListQuery};
use crate::problem::Problem;
use crate::put_back;
use crate::settings::{Limits, ReaderSettings};
use crate::shelf::{Shelf, Shelved};
use crate::stores::{Boards, Listing, Stores, Tables};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, join, select};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::{Blob, BoardKeys, Clock, EventTime, Fault, Span, Vocabulary, Window, WindowId, WindowState, Windows};

mod pointers;

/// A list as found.
pub(crate) struct Found {
    /// None: the kind has no window with events yet.
    pub(crate) window: Option<Window>,
    pub(crate) list: Arc<Shelved>,
    /// The previous window's board.
    pub(crate) previous: Option<Arc<Shelved>>,
    /// How old it is, if no store could be asked, or none that is as new.
    pub(crate) age: Option<Duration>,
}

/// Finds lists in the stores.
pub(crate) struct Lists(Arc<Shared>);

/// What flights need too.
struct Shared {
    stores: Stores,
    boards_line: Line,
    tables_line: Line,
    windows: Windows,
    keys: BoardKeys,
    words: Vocabulary,
    job: String,
    k: u32,
    retention: Vec<Option<Duration>>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
    listings: Flights<WindowId, Option<Arc<Shelved>>>,
    pointers: Mutex<HashMap<pointers::Which, pointers::Pointed>>,
    newest: Flights<pointers::Which, Option<pointers::Pointed>>,
}

/// What one store said.
enum Said<T> {
    Here(T),
    /// It answered, and has nothing.
    Nothing,
    /// It could not be asked: absent, or failed.
    Unknown,
}

impl<T> From<Option<Option<T>>> for Said<T> {
    fn from(answer: Option<Option<T>>) -> Self {
        match answer {
            None => Said::Unknown,
            Some(None) => Said::Nothing,
            Some(Some(answer)) => Said::Here(answer),
        }
    }
}

impl Lists {
    pub(crate) fn new(settings: &ReaderSettings, stores: Stores) -> Self {
        let (limits, clock) = (settings.limits, settings.clock.clone());
        let boards = stores.boards.as_ref().map_or("none", |boards| boards.name());
        let tables = stores.tables.as_ref().map_or("none", |tables| tables.name());
        Lists(Arc::new(Shared {
            boards_line: Line::new(boards, limits.boards, clock.clone()),
            tables_line: Line::new(tables, limits.tables, clock.clone()),
            stores,
            windows: settings.windows.clone(),
            keys: BoardKeys::new(&settings.prefix, settings.windows.clone()),
            words: settings.words.clone(),
            job: settings.job.clone(),
            k: settings.k,
            retention: settings.retention.clone(),
            limits,
            clock,
            shelf: Shelf::new(limits.shelf_bytes, limits.shelf_windows),
            listings: Flights::default(),
            pointers: Mutex::default(),
            newest: Flights::default(),
        }))
    }

    /// The list asked for. The previous window's board is looked up only if its ranks will be shown.
    pub(crate) async fn find(&self, query: ListQuery, with_previous: bool) -> Result<Found, Problem> {
        let shared = &self.0;
        let (window, pointer_age, source) = match query.at {
            At::Instant(at) => (Some(shared.windows.window(query.kind, at)), None, ""),
            At::Current | At::Closed => {
                let (pointed, age) = shared.pointed((query.kind, query.at == At::Closed)).await?;
                (pointed.window, age, pointed.source)
            }
        };
        let Some(window) = window else {
            if query.at == At::Closed {
                let kind = shared.windows.kind(query.kind);
                return Err(Problem::nothing_closed(&kind.name, kind.span == Span::AllTime));
            }
            let list = Arc::new(Shelved::from_tables(source, None, shared.clock.monotonic()));
            return Ok(Found { window: None, list, previous: None, age: pointer_age });
        };
        let before = (with_previous && window.start != EventTime::MIN)
            .then(|| shared.windows.window(window.kind, EventTime::from_millis(window.start.millis() - 1)));
        let previous = async {
            match before {
                Some(before) => shared.previous(before).await,
                None => None,
            }
        };
        let (found, previous) = join(shared.list(window, query.k), previous).await;
        let (list, age) = found?;
        Ok(Found { window: Some(window), list, previous, age: age.max(pointer_age) })
    }

    /// Whether each store answers, by name; if not `all`, one that does is enough.
    pub(crate) async fn health(&self, all: bool) -> Vec<(&'static str, bool)> {
        let (boards, tables) = (pin!(self.0.boards_answer()), pin!(self.0.tables_answer()));
        let enough = |answer: &Option<(&str, bool)>| !all && answer.is_some_and(|(_, answers)| answers);
        let (boards, tables) = match select(boards, tables).await {
            Either::Left((boards, _)) if enough(&boards) => (boards, None),
            Either::Right((tables, _)) if enough(&tables) => (None, tables),
            Either::Left((boards, tables)) => (boards, tables.await),
            Either::Right((tables, boards)) => (boards.await, tables),
        };
        boards.into_iter().chain(tables).collect()
    }
}

impl Shared {
    async fn boards_answer(&self) -> Option<(&'static str, bool)> {
        let (boards, pointer) = (self.stores.boards.as_deref()?, self.keys.current(0));
        let answer = self.boards_line.probe(|| boards.pointer(&pointer)).await;
        Some((boards.name(), answer.is_some()))
    }

    async fn tables_answer(&self) -> Option<(&'static str, bool)> {
        let tables = self.stores.tables.as_deref()?;
        let answer = self.tables_line.probe(|| tables.newest(0, false)).await;
        Some((tables.name(), answer.is_some()))
    }

    /// A board of a window, as the boards say.
    async fn board(&self, boards: &dyn Boards, window: Window) -> Said<Arc<Shelved>> {
        let key = self.keys.blob(window.id());
        match self.boards_line.ask(|| boards.get(&key)).await.into() {
            Said::Here(bytes) => self.read(boards.name(), window, bytes),
            Said::Nothing => Said::Nothing,
            Said::Unknown => Said::Unknown,
        }
    }

    /// A window's list for K, and its age if no store could be asked, or none that is as new.
    async fn list(self: &Arc<Self>, window: Window, k: u32) -> Result<(Arc<Shelved>, Option<Duration>), Problem> {
        let mut said = Said::Unknown;
        if let Some(boards) = self.stores.boards.as_deref() {
            said = self.board(boards, window).await;
        }
        match said {
            Said::Here(list) if holds(&list, k) => return Ok((list, None)),
            // Written with a smaller K.
            Said::Here(_) => said = Said::Nothing,
            _ => {}
        }
        let is_missing = matches!(said, Said::Nothing);
        let now = self.clock.monotonic();
        if let Some(tables) = self.stores.tables.clone() {
            let with_age = |list: Arc<Shelved>| (list.is_outlived().then(|| list.age(now)), list);
            if let Some((age, list)) = self.remembered_miss(window.id(), now).map(with_age) {
                return Ok((list, age));
            }
            let shared = self.clone();
            let ask = || -> BoxFuture<'static, _> {
                Box::pin(async move { shared.ask_tables(&*tables, window, is_missing).await })
            };
            if let Some((age, list)) = self.listings.join(window.id(), ask).await.flatten().map(with_age) {
                return Ok((list, age));
            }
        } else if is_missing {
            let name = self.stores.boards.as_deref().map_or("none", Boards::name);
            return Ok((Arc::new(Shelved::from_tables(name, None, now)), None));
        }
        let last = self.shelf.get(window.id()).filter(|list| holds(list, k) && list.listing.is_some());
        let last = last.map(|list| (list.age(now), list)).filter(|(age, _)| *age <= self.limits.last_good);
        last.map(|(age, list)| (list, Some(age))).ok_or_else(away)
    }

    /// What the tables said of it a moment ago.
    fn remembered_miss(&self, window: WindowId, now: Duration) -> Option<Arc<Shelved>> {
        self.shelf.get(window).filter(|list| list.asked(now).is_some_and(|ago| ago < self.limits.misses))
    }

    /// The tables' list, always for the greatest K: then it serves every K, and can be put back.
    async fn ask_tables(&self, tables: &dyn Tables, window: Window, is_missing: bool) -> Option<Arc<Shelved>> {
        let id = window.id();
        // It may have come while this one was on its way here.
        if let Some(list) = self.remembered_miss(id, self.clock.monotonic()) {
            return Some(list);
        }
        let mut listing = self.tables_line.ask(|| tables.top_k(id, self.k)).await?;
        if let Some(listing) = &mut listing {
            listing.items.truncate(self.k as usize);
        }
        if let (true, Some(listing), Some(boards)) = (is_missing, &listing, self.stores.boards.as_deref()) {
            self.put_back(boards, window, listing).await;
        }
        let now = self.clock.monotonic();
        let list = Arc::new(Shelved::from_tables(tables.name(), listing, now));
        // What was shown is not taken back because the tables are behind the boards.
        let shown = self.shelf.get(id).filter(|shown| shown.is_newer_than(&list));
        if let Some(shown) = shown.filter(|shown| shown.age(now) <= self.limits.last_good) {
            shown.outlive(now);
            return Some(shown);
        }
        self.shelf.put(id, list.clone());
        Some(list)
    }

    /// A final list that the boards lack goes back to them. Whatever comes of it, the list is answered.
    async fn put_back(&self, boards: &dyn Boards, window: Window, listing: &Listing) {
        let Some(blob) = put_back::blob(listing, window, &self.windows, &self.job, self.k, self.clock.now()) else {
            return;
        };
        let (key, blob) = (self.keys.blob(window.id()), blob.encode(&self.words));
        let time_to_live = self.retention[usize::from(window.kind)];
        let putting = boards.put_back(&key, &blob, time_to_live);
        match crate::line::within(self.limits.boards, boards.name(), putting).await {
            Ok(true) => metrics::counter!("topk_reader_boards_put_back_total").increment(1),
            Ok(false) => {}
            Err(fault) => {
                tracing::debug!(board = key, "cannot put a board back: {fault}");
                metrics::counter!("topk_reader_boards_not_put_back_total").increment(1);
            }
        }
    }

    /// The previous window's board; what is remembered of it while the boards cannot be asked.
    async fn previous(&self, window: Window) -> Option<Arc<Shelved>> {
        match self.board(self.stores.boards.as_deref()?, window).await {
            Said::Here(list) => Some(list),
            Said::Nothing => None,
            Said::Unknown => {
                let now = self.clock.monotonic();
                self.shelf
                    .get(window.id())
                    .filter(|list| !list.is_from_tables() && list.age(now) <= self.limits.last_good)
            }
        }
    }

    /// A board's list, if its bytes are what its name says; the remembered one if they are the same. A board that cannot
    /// be read counts as absent: the tables have it. One that is older than what was shown says nothing, unless it is final: the
    /// boards were set back.
    fn read(&self, source: &'static str, window: Window, bytes: Bytes) -> Said<Arc<Shelved>> {
        let now = self.clock.monotonic();
        let shown = self.shelf.get(window.id());
        if let Some(list) = shown.as_ref().filter(|list| list.is_of(&bytes)) {
            list.confirm(now);
            return Said::Here(list.clone());
        }
        let blob = Blob::decode(&bytes, &self.words).and_then(|blob| {
            let start = (window.start != EventTime::MIN).then_some(window.start);
            if blob.window == self.windows.kind(window.kind).name && blob.window_start == start {
                return Ok(blob);
            }
            let why = "it is the board of another window";
            Err(Fault::failed("cannot read a board", why, "look who else writes under this prefix"))
        });
        match blob {
            Ok(blob) => {
                let is_final = blob.state == WindowState::Final;
                let list = Arc::new(Shelved::from_board(source, listing(blob), bytes, now));
                if !is_final
                    && shown.is_some_and(|shown| shown.is_newer_than(&list) && shown.age(now) <= self.limits.last_good)
                {
                    return Said::Unknown;
                }
                self.shelf.put(window.id(), list.clone());
                Said::Here(list)
            }
            Err(fault) => {
                tracing::debug!(board = self.keys.blob(window.id()), "{fault}");
                metrics::counter!("topk_reader_unreadable_boards_total").increment(1);
                Said::Nothing
            }
        }
    }
}

/// Whether a list answers for K: a board may have been written with a smaller one. That nothing is known does.
fn holds(list: &Shelved, k: u32) -> bool {
    list.listing
        .as_ref()
        .is_none_or(|listing| listing.items.len() >= k as usize || listing.items.len() as u64 >= listing.total_keys)
}

fn listing(blob: Blob) -> Listing {
    Listing {
        state: Some(blob.state),
        as_of: blob.as_of,
        epoch: Some(blob.epoch),
        generation: Some(blob.generation),
        total_events: blob.total_events,
        total_keys: blob.total_keys,
        items: blob.items,
    }
}

fn away() -> Problem {
    Problem::stores_away("neither the boards nor the tables answer, and there is no earlier answer to give instead")
}

//! Finding a list: which window is meant, and which store has it.
//!
//! Boards are asked first. What they do not have, or cannot say, the tables are asked for. A window of which neither
//! knows anything has an empty list without a state; only if no store could be asked is there no answer. A store that
//! failed once is not asked again for the same answer, so that a dead store costs one deadline.

use crate::parameters::{At, ListQuery};
use crate::problem::Problem;
use crate::settings::{Limits, ReaderSettings};
use crate::stores::{Boards, Listing, Reading, Stores, Tables};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stream::{
    Blob, BoardKeys, EventTime, Fault, Key, KindIndex, Span, Vocabulary, Window, WindowId, WindowState, Windows,
};

/// A list as found.
#[derive(Debug)]
pub(crate) struct Found {
    /// None: the kind has no window with events yet.
    pub(crate) window: Option<Window>,
    pub(crate) listing: Listing,
    /// Ranks in the previous window's board.
    pub(crate) previous: HashMap<Key, u32>,
    /// Which store gave the list, or said that there is none.
    pub(crate) source: &'static str,
}

/// Finds lists in the stores.
#[derive(Debug)]
pub(crate) struct Lists {
    stores: Stores,
    windows: Windows,
    keys: BoardKeys,
    words: Vocabulary,
    limits: Limits,
    boards_answer: AtomicBool,
    tables_answer: AtomicBool,
}

/// What one store said.
enum Said<T> {
    Here(T),
    /// It answered, and has nothing.
    Nothing,
    /// It could not be asked: absent, or failed.
    Unknown,
}

/// What one answer knows of the stores.
struct Asking<'a> {
    lists: &'a Lists,
    boards: Option<&'a dyn Boards>,
    tables: Option<&'a dyn Tables>,
    /// The store that spoke last.
    source: Option<&'static str>,
}

impl Lists {
    pub(crate) fn new(settings: &ReaderSettings, stores: Stores) -> Self {
        Lists {
            stores,
            windows: settings.windows.clone(),
            keys: BoardKeys::new(&settings.prefix, settings.windows.clone()),
            words: settings.words.clone(),
            limits: settings.limits,
            boards_answer: AtomicBool::new(true),
            tables_answer: AtomicBool::new(true),
        }
    }

    /// The list asked for. Ranks in the previous window are looked up only if they will be shown.
    pub(crate) async fn find(&self, query: ListQuery, with_previous: bool) -> Result<Found, Problem> {
        let mut asking = Asking {
            lists: self,
            boards: self.stores.boards.as_deref(),
            tables: self.stores.tables.as_deref(),
            source: None,
        };
        let window = match query.at {
            At::Instant(at) => Some(self.windows.window(query.kind, at)),
            At::Current => asking.newest(query.kind, false).await?,
            At::Closed => Some(asking.newest(query.kind, true).await?.ok_or_else(|| {
                let kind = self.windows.kind(query.kind);
                Problem::nothing_closed(&kind.name, kind.span == Span::AllTime)
            })?),
        };
        let (listing, previous) = match window {
            None => (None, HashMap::new()),
            Some(window) => asking.list(window, query.k, with_previous).await?,
        };
        Ok(Found {
            window,
            listing: listing.unwrap_or_else(nothing),
            previous,
            source: asking.source.expect("a list is found only after a store has spoken"),
        })
    }

    /// Whether each store answers, by name.
    pub(crate) async fn health(&self) -> Vec<(&'static str, bool)> {
        let pointer = self.keys.current(0);
        let boards = async {
            let boards = self.stores.boards.as_deref()?;
            let answer = self.ask_boards(boards, boards.pointer(&pointer)).await;
            Some((boards.name(), answer.is_some()))
        };
        let tables = async {
            let tables = self.stores.tables.as_deref()?;
            let answer = self.ask_tables(tables, tables.newest(0, false)).await;
            Some((tables.name(), answer.is_some()))
        };
        let (boards, tables) = futures_util::future::join(boards, tables).await;
        boards.into_iter().chain(tables).collect()
    }

    async fn ask_boards<T>(&self, boards: &dyn Boards, reading: Reading<'_, T>) -> Option<T> {
        let answer = within(self.limits.boards, boards.name(), reading).await;
        note(&self.boards_answer, boards.name(), answer)
    }

    async fn ask_tables<T>(&self, tables: &dyn Tables, reading: Reading<'_, T>) -> Option<T> {
        let answer = within(self.limits.tables, tables.name(), reading).await;
        note(&self.tables_answer, tables.name(), answer)
    }

    /// A board, if its bytes are what its name says. A board that cannot be read counts as absent: the tables have it.
    fn decode(&self, window: Window, bytes: &[u8]) -> Option<Blob> {
        let blob = Blob::decode(bytes, &self.words).and_then(|blob| {
            let start = (window.start != EventTime::MIN).then_some(window.start);
            if blob.window == self.windows.kind(window.kind).name && blob.window_start == start {
                return Ok(blob);
            }
            let why = "it is the board of another window";
            Err(Fault::failed("cannot read a board", why, "look who else writes under this prefix"))
        });
        match blob {
            Ok(blob) => Some(blob),
            Err(fault) => {
                tracing::debug!(board = self.keys.blob(window.id()), "{fault}");
                metrics::counter!("topk_reader_unreadable_boards_total").increment(1);
                None
            }
        }
    }

    /// The window that a pointer's content names; none if it names none. Names of boards are made from the window,
    /// never from this text.
    fn pointed(&self, kind: KindIndex, start: &str) -> Option<Window> {
        let at = match self.windows.kind(kind).span {
            Span::AllTime => EventTime::MIN,
            Span::Minutes(_) => {
                let at: jiff::Timestamp = format!("{start}:00Z").parse().ok()?;
                EventTime::from_millis(at.as_millisecond())
            }
            Span::Day => self.windows.zone().start_of(start.parse().ok()?),
            Span::Month => self.windows.zone().start_of(format!("{start}-01").parse().ok()?),
        };
        let id = WindowId { kind, start: at };
        (self.keys.start(id) == start).then(|| self.windows.find(id)).filter(|window| window.start == at)
    }
}

impl<'a> Asking<'a> {
    /// The newest window of a kind, or the newest that has closed.
    async fn newest(&mut self, kind: KindIndex, closed: bool) -> Result<Option<Window>, Problem> {
        let lists = self.lists;
        let key = if closed { lists.keys.closed(kind) } else { lists.keys.current(kind) };
        let mut said = Said::Unknown;
        if let Some(boards) = self.boards {
            said = self.heard_boards(lists.ask_boards(boards, boards.pointer(&key)).await);
        }
        if let Said::Here(start) = &said {
            if let Some(window) = lists.pointed(kind, start) {
                return Ok(Some(window));
            }
            tracing::debug!(pointer = key, "the pointer names no window");
            said = Said::Nothing;
        }
        if let Some(tables) = self.tables {
            match self.heard_tables(lists.ask_tables(tables, tables.newest(kind, closed)).await) {
                Said::Here(start) => return Ok(Some(lists.windows.find(WindowId { kind, start }))),
                Said::Nothing => return Ok(None),
                Said::Unknown => return Err(away()),
            }
        }
        match said {
            Said::Nothing => Ok(None),
            _ => Err(away()),
        }
    }

    /// A window's list, and the ranks of the window before it.
    async fn list(
        &mut self,
        window: Window,
        k: u32,
        with_previous: bool,
    ) -> Result<(Option<Listing>, HashMap<Key, u32>), Problem> {
        let lists = self.lists;
        let key = lists.keys.blob(window.id());
        let before = (with_previous && window.start != EventTime::MIN).then(|| {
            let at = EventTime::from_millis(window.start.millis() - 1);
            lists.windows.window(window.kind, at)
        });
        let before_key = before.map(|before| lists.keys.blob(before.id()));
        let mut said = Said::Unknown;
        let mut previous = HashMap::new();
        if let Some(boards) = self.boards {
            let this = lists.ask_boards(boards, boards.get(&key));
            let that = async {
                match &before_key {
                    Some(key) => lists.ask_boards(boards, boards.get(key)).await.flatten(),
                    None => None,
                }
            };
            let (this, that) = futures_util::future::join(this, that).await;
            said = self.heard_boards(this);
            if let Some(blob) = that.zip(before).and_then(|(bytes, before)| lists.decode(before, &bytes)) {
                previous = blob.items.into_iter().map(|(key, _)| key).zip(1..).collect();
            }
        }
        if let Said::Here(bytes) = &said {
            match lists.decode(window, bytes).filter(|blob| holds(blob, k)) {
                Some(blob) => return Ok((Some(listing(blob, k)), previous)),
                None => said = Said::Nothing,
            }
        }
        if let Some(tables) = self.tables {
            match self.heard_tables(lists.ask_tables(tables, tables.top_k(window.id(), k)).await) {
                Said::Here(mut listing) => {
                    listing.items.truncate(k as usize);
                    return Ok((Some(listing), previous));
                }
                Said::Nothing => return Ok((None, previous)),
                Said::Unknown => return Err(away()),
            }
        }
        match said {
            Said::Nothing => Ok((None, previous)),
            _ => Err(away()),
        }
    }

    fn heard_boards<T>(&mut self, answer: Option<Option<T>>) -> Said<T> {
        let name = self.boards.map(Boards::name);
        if answer.is_none() {
            self.boards = None;
        }
        self.heard(name, answer)
    }

    fn heard_tables<T>(&mut self, answer: Option<Option<T>>) -> Said<T> {
        let name = self.tables.map(Tables::name);
        if answer.is_none() {
            self.tables = None;
        }
        self.heard(name, answer)
    }

    fn heard<T>(&mut self, name: Option<&'static str>, answer: Option<Option<T>>) -> Said<T> {
        match answer {
            None => Said::Unknown,
            Some(None) => {
                self.source = name;
                Said::Nothing
            }
            Some(Some(answer)) => {
                self.source = name;
                Said::Here(answer)
            }
        }
    }
}

/// Whether a board answers for K: it may have been written with a smaller one.
fn holds(blob: &Blob, k: u32) -> bool {
    blob.items.len() >= k as usize || blob.items.len() as u64 >= blob.total_keys
}

fn listing(blob: Blob, k: u32) -> Listing {
    let mut items = blob.items;
    items.truncate(k as usize);
    Listing {
        state: Some(blob.state),
        as_of: blob.as_of,
        epoch: Some(blob.epoch),
        generation: Some(blob.generation),
        total_events: blob.total_events,
        total_keys: blob.total_keys,
        items,
    }
}

/// The list of a window of which no store knows anything. It has no state: it may be open, long over, or to come.
fn nothing() -> Listing {
    Listing {
        state: None::<WindowState>,
        as_of: None,
        epoch: None,
        generation: None,
        total_events: 0,
        total_keys: 0,
        items: Vec::new(),
    }
}

fn away() -> Problem {
    Problem::stores_away("neither the boards nor the tables answer")
}

async fn within<T>(deadline: Duration, name: &str, reading: Reading<'_, T>) -> Result<T, Fault> {
    tokio::time::timeout(deadline, reading).await.unwrap_or_else(|_| {
        let why = format!("no answer within {deadline:?}");
        Err(Fault::transient(format!("cannot read from {name}"), why, "look whether it runs and has room"))
    })
}

/// Says once when a store stops answering and once when it is back; the metric has every failure.
fn note<T>(answers: &AtomicBool, name: &'static str, answer: Result<T, Fault>) -> Option<T> {
    match answer {
        Ok(answer) => {
            if !answers.swap(true, Ordering::Relaxed) {
                tracing::info!("{name} answers again");
            }
            Some(answer)
        }
        Err(fault) => {
            metrics::counter!("topk_reader_store_failures_total", "store" => name).increment(1);
            if answers.swap(false, Ordering::Relaxed) {
                tracing::warn!("{fault}");
            }
            None
        }
    }
}

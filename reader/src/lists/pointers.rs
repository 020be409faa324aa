//! Which window `current` and `closed` mean: the boards' pointer, else what the tables say, else what was last said. It never
//! goes back because the tables are behind the boards, or the boards were set back.

use super::{Said, Shared, away};
use crate::problem::Problem;
use crate::stores::Tables;
use futures_util::future::BoxFuture;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use stream::{EventTime, KindIndex, Span, Window, WindowId};

/// A kind, and whether its newest closed window is meant.
pub(super) type Which = (KindIndex, bool);

/// What a store said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointed {
    /// None: no such window has had an event yet.
    pub(super) window: Option<Window>,
    /// Which store said so.
    pub(super) source: &'static str,
    from_tables: bool,
    /// When, in monotonic time.
    seen: Duration,
    /// When the tables named an earlier window instead; none if they did not since.
    outlived: Option<Duration>,
}

impl Pointed {
    /// How old this word is, if the stores' later one was behind it.
    fn age(&self, now: Duration) -> Option<Duration> {
        self.outlived.map(|_| now.saturating_sub(self.seen))
    }
}

impl Shared {
    /// The window meant, and the age of this word if no store could be asked.
    pub(super) async fn pointed(self: &Arc<Self>, which: Which) -> Result<(Pointed, Option<Duration>), Problem> {
        let now = self.clock.monotonic();
        let mut said = Said::Unknown;
        let mut name = "none";
        if let Some(boards) = self.stores.boards.as_deref() {
            let key = if which.1 { self.keys.closed(which.0) } else { self.keys.current(which.0) };
            name = boards.name();
            said = self.boards_line.ask(|| boards.pointer(&key)).await.into();
            if let Said::Here(start) = &said {
                said = match self.named(which.0, start) {
                    Some(window) if self.is_set_back(which, window, now) => Said::Unknown,
                    Some(window) => return Ok((self.remember(which, Some(window), name, false, now), None)),
                    None => {
                        tracing::debug!(pointer = key, "the pointer names no window");
                        Said::Nothing
                    }
                };
            }
        }
        if let Some(tables) = self.stores.tables.clone() {
            if let Some(pointed) = self.remembered(which, now) {
                return Ok((pointed, pointed.age(now)));
            }
            let shared = self.clone();
            let ask =
                || -> BoxFuture<'static, _> { Box::pin(async move { shared.newest_in_tables(&*tables, which).await }) };
            if let Some(pointed) = self.newest.join(which, ask).await.flatten() {
                return Ok((pointed, pointed.age(now)));
            }
        } else if matches!(said, Said::Nothing) {
            let nothing = Pointed { window: None, source: name, from_tables: false, seen: now, outlived: None };
            return Ok((nothing, None));
        }
        let last = self.held_pointers().get(&which).copied().filter(|pointed| pointed.window.is_some());
        let last = last.map(|pointed| (pointed, now.saturating_sub(pointed.seen)));
        let (pointed, age) = last.filter(|(_, age)| *age <= self.limits.last_good).ok_or_else(away)?;
        Ok((pointed, Some(age)))
    }

    async fn newest_in_tables(&self, tables: &dyn Tables, which: Which) -> Option<Pointed> {
        // It may have come while this one was on its way here.
        if let Some(pointed) = self.remembered(which, self.clock.monotonic()) {
            return Some(pointed);
        }
        let (kind, closed) = which;
        let start = self.tables_line.ask(|| tables.newest(kind, closed)).await?;
        let window = start.map(|start| self.windows.find(WindowId { kind, start }));
        let now = self.clock.monotonic();
        let begins = |window: Option<Window>| window.map(|window| window.start);
        if let Some(shown) = self.held_pointers().get_mut(&which)
            && begins(shown.window) > begins(window)
            && now.saturating_sub(shown.seen) <= self.limits.last_good
        {
            shown.outlived = Some(now);
            return Some(*shown);
        }
        Some(self.remember(which, window, tables.name(), true, now))
    }

    /// Whether the boards name an earlier window than was shown not long ago.
    fn is_set_back(&self, which: Which, named: Window, now: Duration) -> bool {
        let shown = self.held_pointers().get(&which).copied();
        shown.is_some_and(|shown| {
            shown.window.is_some_and(|shown| shown.start > named.start)
                && now.saturating_sub(shown.seen) <= self.limits.last_good
        })
    }

    /// What the tables said of it a moment ago.
    fn remembered(&self, which: Which, now: Duration) -> Option<Pointed> {
        let pointed = self.held_pointers().get(&which).copied()?;
        let asked = pointed.outlived.or(pointed.from_tables.then_some(pointed.seen))?;
        (now.saturating_sub(asked) < self.limits.misses).then_some(pointed)
    }

    fn remember(
        &self,
        which: Which,
        window: Option<Window>,
        source: &'static str,
        from_tables: bool,
        seen: Duration,
    ) -> Pointed {
        let pointed = Pointed { window, source, from_tables, seen, outlived: None };
        self.held_pointers().insert(which, pointed);
        pointed
    }

    fn held_pointers(&self) -> MutexGuard<'_, std::collections::HashMap<Which, Pointed>> {
        self.pointers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The window that a pointer's content names; none if it names none. Names of boards are made from the window,
    /// never from this text.
    fn named(&self, kind: KindIndex, start: &str) -> Option<Window> {
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

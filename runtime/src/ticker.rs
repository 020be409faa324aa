//! The one ticker: closes an epoch after `epoch.interval` or `epoch.max_events`, whichever is first, and only once
//! every reader has closed the one before. So a gated reader stops the clock, and epochs grow instead of piling up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;
use stream::{Epoch, RowOrder};

/// How an epoch closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Close {
    /// What the workers do with the rows the tables lack.
    pub(crate) rows: RowOrder,
    /// The run ends with this epoch.
    pub(crate) last: bool,
}

/// Shared by the ticker and the readers.
pub(crate) struct Ticker {
    state: Mutex<State>,
    changed: Condvar,
    readers: usize,
    max_events: u64,
}

#[derive(Default)]
struct State {
    /// Epochs below are closed, or being closed by readers.
    open: Epoch,
    /// How the epochs from `open - closes.len()` to `open - 1` close.
    closes: VecDeque<Close>,
    /// Readers that have closed `open - 1`.
    closed_by: usize,
    /// Records in the open epoch, as readers tell.
    events: u64,
    rows: RowOrder,
    finished: Vec<bool>,
    stopping: bool,
    last: Option<Epoch>,
}

/// Closed epochs remembered: readers are never more than one behind.
const REMEMBERED: usize = 4;

impl Ticker {
    pub(crate) fn new(readers: usize, max_events: u64) -> Self {
        let state = State { finished: vec![false; readers], closed_by: readers, ..State::default() };
        Ticker { state: Mutex::new(state), changed: Condvar::new(), readers, max_events }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the ticker")
    }

    /// The ticker's own loop; returns the last epoch.
    pub(crate) fn run(&self, interval: Duration) -> Epoch {
        loop {
            let state = self.lock();
            let due =
                |state: &mut State| !(state.stopping || state.events >= self.max_events || self.all_finished(state));
            let (state, _) =
                self.changed.wait_timeout_while(state, interval, due).expect("nobody panics while holding the ticker");
            let state = self
                .changed
                .wait_while(state, |state| state.closed_by < self.readers)
                .expect("nobody panics while holding the ticker");
            if let Some(last) = self.cut(state) {
                return last;
            }
        }
    }

    /// Close the open epoch, which every reader has begun; its number if it is the last.
    fn cut(&self, mut state: MutexGuard<'_, State>) -> Option<Epoch> {
        let last = state.stopping || self.all_finished(&state);
        let asked = std::mem::take(&mut state.rows);
        let rows = if last { RowOrder::Take } else { asked };
        state.closes.push_back(Close { rows, last });
        if state.closes.len() > REMEMBERED {
            state.closes.pop_front();
        }
        let epoch = state.open;
        state.open += 1;
        state.closed_by = 0;
        state.events = 0;
        state.last = last.then_some(epoch);
        self.changed.notify_all();
        state.last
    }

    /// Close the open epoch now, if every reader has begun it and none was the last.
    #[cfg(test)]
    pub(crate) fn close_now(&self) -> bool {
        let state = self.lock();
        let may = state.closed_by == self.readers && state.last.is_none();
        may && {
            self.cut(state);
            true
        }
    }

    fn all_finished(&self, state: &State) -> bool {
        state.finished.iter().all(|finished| *finished)
    }

    /// How `epoch` closes, once it does.
    pub(crate) fn close_of(&self, epoch: Epoch) -> Option<Close> {
        let state = self.lock();
        if epoch >= state.open {
            return None;
        }
        let back = usize::try_from(state.open - epoch).expect("few epochs are open");
        Some(state.closes[state.closes.len() - back])
    }

    /// A reader has closed the epoch that was closing.
    pub(crate) fn closed(&self) {
        self.lock().closed_by += 1;
        self.changed.notify_all();
    }

    /// A reader has taken `records` more; as many as there are numbers, if it can take no more.
    pub(crate) fn took(&self, records: u64) {
        let mut state = self.lock();
        state.events = state.events.saturating_add(records);
        if state.events >= self.max_events {
            self.changed.notify_all();
        }
    }

    /// How many more records the open epoch takes; at 0 readers wait for its close.
    pub(crate) fn room(&self) -> u64 {
        self.max_events.saturating_sub(self.lock().events)
    }

    /// Wait until `epoch` closes, at most `wait`.
    pub(crate) fn wait_for_close(&self, epoch: Epoch, wait: Duration) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, wait, |state| epoch >= state.open)
                .expect("nobody panics while holding the ticker"),
        );
    }

    /// A reader has read all it will ever read, or has again something to do.
    pub(crate) fn finished(&self, reader: usize, finished: bool) {
        let mut state = self.lock();
        if state.finished[reader] != finished {
            state.finished[reader] = finished;
            self.changed.notify_all();
        }
    }

    /// Give this order at the next close; of several the last one.
    pub(crate) fn order(&self, rows: RowOrder) {
        self.lock().rows = rows;
    }

    /// Close the last epoch as soon as possible.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Wait this long, or until readers should stop; whether they should.
    pub(crate) fn wait_for_stop(&self, at_most: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), at_most, |state| !state.stopping);
        waited.expect("nobody panics while holding the ticker").0.stopping
    }

    /// Whether readers should stop reading.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }
}

#[cfg(test)]
mod tests;

//! Boards against the recount: each at the epoch that it carries, and whether all are there.

use crate::counts::{Counts, Cut, MAIN};
use crate::report::Report;
use crate::rules::Rules;
use crate::tables::compare_places;
use std::collections::{BTreeMap, BTreeSet};
use stream::{Blob, EventTime, Fault, Sequence, WindowId, WindowState};

/// A board, without its places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// The window that its name and its members say.
    pub window: WindowId,
    /// The epoch that it carries.
    pub epoch: Sequence,
    /// The state that it carries.
    pub state: WindowState,
}

struct Board {
    carried: Carried,
    as_of: Option<EventTime>,
    k: usize,
    totals: (i64, i64),
    places: Vec<(u32, i64)>,
}

/// Everything found in a board store.
#[derive(Default)]
pub struct Boards {
    /// How far its owner has published: everything up to there is on the boards.
    pub published: Option<Sequence>,
    /// By kind: the windows that the pointers name, newest and newest that is over, if nothing was published meanwhile.
    pub pointers: Option<Vec<[Option<String>; 2]>>,
    boards: BTreeMap<WindowId, Board>,
    /// What is no board.
    odd: Vec<String>,
}

impl Boards {
    /// Take in one key under the prefix.
    pub fn take(&mut self, key: &str, bytes: &[u8], rules: &mut Rules, counts: &mut Counts) {
        match self.board(key, bytes, rules, counts) {
            Ok(board) => drop(self.boards.insert(board.carried.window, board)),
            Err(why) => self.odd.push(format!("{key}: {why}")),
        }
    }

    fn board(&self, key: &str, bytes: &[u8], rules: &mut Rules, counts: &mut Counts) -> Result<Board, String> {
        let blob = Blob::decode(bytes, &rules.words).map_err(|Fault { why, .. }| why)?;
        let kind =
            rules.calendar.kind(&blob.window).ok_or_else(|| format!("window {:?} is not counted", blob.window))?;
        let id = WindowId { kind, start: blob.window_start.unwrap_or(EventTime::MIN) };
        let window = rules.calendar.beginning(id).ok_or("no window begins there")?;
        let name = format!("{}:{}:{}", rules.board_prefix, blob.window, rules.calendar.label(id));
        if key != name {
            return Err(format!("its members are those of {name}"));
        }
        if blob.window_end.unwrap_or(EventTime::MAX) != window.end {
            return Err(format!("window_end: expected {}, found {:?}", window.end, blob.window_end));
        }
        if blob.job != rules.job {
            return Err(format!("job: expected {:?}, found {:?}", rules.job, blob.job));
        }
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Board {
            carried: Carried { window: id, epoch: blob.epoch, state: blob.state },
            as_of: blob.as_of,
            k: blob.k as usize,
            totals: (count(blob.total_events), count(blob.total_keys)),
            places: blob.items.iter().map(|(key, events)| (counts.number(key.as_str()), count(*events))).collect(),
        })
    }

    /// What is there.
    pub fn carried(&self) -> impl Iterator<Item = &Carried> {
        self.boards.values().map(|board| &board.carried)
    }

    /// Compare every board with its cut, as `cut_of` tells it; none: nobody knows where that epoch stood. `may_be_gone`:
    /// whether a window's board may be missing, and why.
    pub fn compare(
        &self,
        rules: &mut Rules,
        counts: &Counts,
        cuts: &[Cut],
        cut_of: &dyn Fn(&Carried) -> Option<usize>,
        may_be_gone: &dyn Fn(WindowId, WindowState) -> bool,
        report: &mut Report,
    ) {
        let check = "boards";
        report.compared(check, 0);
        for what in &self.odd {
            report.differs(check, || what.clone());
        }
        let mut unknown = BTreeSet::new();
        for (id, board) in &self.boards {
            let Some(cut) = cut_of(&board.carried) else {
                unknown.insert(board.carried.epoch);
                continue;
            };
            report.compared(check, 1);
            compare_board(rules, counts, &cuts[cut], cut, *id, board, report);
        }
        if let (Some(first), Some(last)) = (unknown.first(), unknown.last()) {
            report.not_compared.push(format!(
                "boards of {} epochs ({first} to {last}): what was counted by then cannot be told any more; verify again",
                unknown.len()
            ));
        }
        self.compare_pointers(rules, counts, &cuts[MAIN], may_be_gone, report);
        let mut gone = 0u64;
        for id in counts.ids().into_iter().filter(|id| !self.boards.contains_key(id)) {
            let held = &counts.windows[&id];
            if held.totals().1 == 0 {
                continue;
            }
            let state = rules.state(held.window.end, cuts[MAIN].watermark);
            if may_be_gone(id, state) {
                gone += 1;
            } else {
                let name =
                    format!("{}:{}:{}", rules.board_prefix, rules.calendar.name(id.kind), rules.calendar.label(id));
                report.differs(check, || format!("{name}: {state}, and not there"));
            }
        }
        if gone > 0 {
            report.notes.push(format!(
                "{gone} windows have no board: its time to live is over, or the store lost it, and a reader puts it back from the tables"
            ));
        }
    }

    /// Pointers carry no epoch: they are compared where everything is as of one.
    fn compare_pointers(
        &self,
        rules: &Rules,
        counts: &Counts,
        main: &Cut,
        may_be_gone: &dyn Fn(WindowId, WindowState) -> bool,
        report: &mut Report,
    ) {
        let Some(pointers) = self.pointers.as_ref().filter(|_| self.published == Some(main.record)) else {
            let what = "pointers to boards are not compared while the job publishes: they carry no epoch";
            report.notes.push(what.to_owned());
            return;
        };
        let (check, mut ids) = ("pointers", counts.ids());
        ids.retain(|id| counts.windows[id].totals().1 > 0);
        for (kind, found) in (0u8..).zip(pointers) {
            let of_kind = || ids.iter().rev().filter(|id| id.kind == kind);
            let is_over =
                |id: &&WindowId| rules.state(counts.windows[*id].window.end, main.watermark) != WindowState::Open;
            let expected = [("current", of_kind().next()), ("closed", of_kind().find(is_over))];
            for ((name, expected), found) in expected.into_iter().zip(found) {
                report.compared(check, 1);
                let label = expected.map(|id| rules.calendar.label(*id));
                let expired = found.is_none() && expected.is_some_and(|id| may_be_gone(*id, WindowState::Open));
                if label != *found && !expired {
                    let say = |label: &Option<String>| label.clone().unwrap_or_else(|| "none".to_owned());
                    let key = format!("{}:{}:{name}", rules.board_prefix, rules.calendar.name(kind));
                    report.differs(check, || format!("{key}: expected {}, found {}", say(&label), say(found)));
                }
            }
        }
    }
}

fn compare_board(
    rules: &Rules,
    counts: &Counts,
    as_of: &Cut,
    cut: usize,
    id: WindowId,
    board: &Board,
    report: &mut Report,
) {
    let check = "boards";
    let expected = counts.ranked(id, cut, board.k);
    let name = || format!("{} as of epoch {}", rules.window(id), board.carried.epoch);
    let (events, keys) = board.totals;
    for (word, expected, found) in
        [(&rules.words.events, expected.events, events), (&rules.words.keys, expected.keys, keys)]
    {
        if expected != found {
            report.differs(check, || format!("{}: total_{word}: expected {expected}, found {found}", name()));
        }
    }
    let end = counts.windows.get(&id).map_or(EventTime::MAX, |held| held.window.end);
    let state = rules.state(end, as_of.watermark);
    if state != board.carried.state || rules.state(end, board.as_of) != state {
        report.differs(check, || format!("{}: state: expected {state}, found {}", name(), board.carried.state));
    }
    if board.as_of > as_of.watermark {
        report
            .differs(check, || format!("{}: as_of: found {:?}, and W was {:?}", name(), board.as_of, as_of.watermark));
    }
    compare_places(check, rules, counts, id, &expected.places, &board.places, report);
}

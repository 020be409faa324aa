//! Tables against the recount: every count row, status, ranking and account, as of the epoch and offsets that the tables
//! themselves say.

use crate::counts::{Cell, Counts, Cut, MAIN};
use crate::recount::Lane;
use crate::report::Report;
use crate::rules::Rules;
use sinks::{TableRow, TablesAsOf};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{EventTime, LedgerLine, WindowId};

/// A row of the status table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusFound {
    /// The window's end as it stands there.
    pub end: EventTime,
    /// Its state as it stands there.
    pub state: String,
    /// Sum of all counts.
    pub events: i64,
    /// How many keys have a count.
    pub keys: i64,
    /// Records that missed it.
    pub late: i64,
    /// When the row last changed.
    pub epoch: i64,
}

/// A ranking as it stands there.
struct RankedFound {
    end: EventTime,
    /// Rank, key and count.
    places: Vec<(i64, u32, i64)>,
}

/// Everything found in tables but counts, which lie beside what is expected.
#[derive(Default)]
pub struct Tables {
    /// What the tables are as of; none before the first flush.
    pub as_of: Option<TablesAsOf>,
    /// Rows of the status table.
    pub statuses: BTreeMap<WindowId, StatusFound>,
    ledger: BTreeMap<String, [i64; 4]>,
    ranked: BTreeMap<WindowId, RankedFound>,
    /// Rows that belong to no window: (table, what).
    odd: Vec<(String, String)>,
}

impl Tables {
    /// Take in a row.
    pub fn take(&mut self, row: TableRow<'_>, rules: &mut Rules, counts: &mut Counts) {
        match row {
            TableRow::AsOf(as_of) => self.as_of = Some(as_of),
            TableRow::Ledger { partition, consumed, counted, dead_lettered, lost } => {
                self.ledger.insert(partition.to_owned(), [consumed, counted, dead_lettered, lost]);
            }
            TableRow::Count { kind, start, key, count } => match rules.calendar.beginning(WindowId { kind, start }) {
                Some(window) => {
                    let key = counts.number(key);
                    counts.held(window).cells.entry(key).or_default().found = count;
                }
                None => self.odd.push((rules.counts_table(kind), format!("{start} {key:?}: no window begins there"))),
            },
            TableRow::Status { kind, start, end, state, events, keys, late, epoch } => {
                let state = state.to_owned();
                match window(rules, kind, start) {
                    Some(id) => {
                        drop(self.statuses.insert(id, StatusFound { end, state, events, keys, late, epoch }));
                    }
                    None => {
                        self.odd.push(("window_status".to_owned(), format!("{kind} {start}: there is no such window")))
                    }
                }
            }
            TableRow::Ranked { kind, region, start, end, rank, key, count } => match window(rules, kind, start) {
                Some(id) if region.is_empty() => {
                    let key = counts.number(key);
                    let found = self.ranked.entry(id).or_insert_with(|| RankedFound { end, places: Vec::new() });
                    found.places.push((rank, key, count));
                }
                _ => {
                    let what = format!("{kind} {region:?} {start}: there is no such ranking");
                    self.odd.push((rules.ranked_table(), what));
                }
            },
        }
    }

    /// Whether nothing of a window changed between two epochs, by the status table. Its rows are as of the tables' epoch.
    pub fn is_unchanged_since(&self, window: WindowId, epoch: stream::Sequence) -> bool {
        self.statuses.get(&window).is_some_and(|status| status.epoch >= 0 && status.epoch.unsigned_abs() <= epoch.0)
    }

    /// Compare everything with the main cut, rankings with the cut `ranked`; none if nobody knows where that stood, and
    /// then only rankings that have not changed since are compared.
    pub fn compare(
        &self,
        rules: &mut Rules,
        counts: &Counts,
        cuts: &[Cut],
        ranked: Option<usize>,
        report: &mut Report,
    ) {
        for (table, what) in &self.odd {
            report.differs(table, || what.clone());
        }
        let watermark = cuts[MAIN].watermark;
        self.counts(rules, counts, watermark, report);
        self.status(rules, counts, watermark, report);
        self.rankings(rules, counts, cuts, ranked, report);
    }

    fn counts(&self, rules: &Rules, counts: &Counts, watermark: Option<EventTime>, report: &mut Report) {
        for id in counts.ids() {
            let held = &counts.windows[&id];
            let (table, kept) = (rules.counts_table(id.kind), rules.is_kept(&held.window, watermark));
            let is_wrong = |cell: &Cell| match cell.found {
                // Guaranteed no longer: it may have gone, or have stayed as it was when it expired.
                found if !kept => found < 0 || found > cell.expected,
                found => found != cell.expected,
            };
            let rows = held.cells.values().filter(|cell| cell.found != 0 || cell.expected != 0 && kept).count();
            report.compared(&table, rows as u64);
            let mut wrong: Vec<(&str, &Cell)> = held
                .cells
                .iter()
                .filter(|(_, cell)| is_wrong(cell))
                .map(|(key, cell)| (counts.key(*key), cell))
                .collect();
            wrong.sort_unstable_by_key(|(key, _)| *key);
            for (key, Cell { expected, found }) in wrong {
                let (key_is, start) = (&rules.words.key, id.start);
                let place = if start == EventTime::MIN { String::new() } else { format!("{start} ") };
                report.differs(&table, || match (expected, found) {
                    (expected, 0) => format!("{place}{key_is} {key:?}: expected {expected}, found no row"),
                    (0, found) => format!("{place}{key_is} {key:?}: expected no row, found {found}"),
                    _ => format!("{place}{key_is} {key:?}: expected {expected}, found {found}"),
                });
            }
        }
    }

    fn status(&self, rules: &Rules, counts: &Counts, watermark: Option<EventTime>, report: &mut Report) {
        let check = "window_status";
        report.compared(check, 0);
        let last = self.as_of.as_ref().map_or(0, |as_of| as_of.epoch.0 as i64);
        for (id, found) in &self.statuses {
            let Some(held) = counts.windows.get(id) else {
                report.differs(check, || format!("{}: expected no row, found {found:?}", rules.window(*id)));
                continue;
            };
            if !rules.is_kept(&held.window, watermark) {
                continue;
            }
            report.compared(check, 1);
            let (events, keys) = held.totals();
            let end = held.window.end;
            let state = rules.state(end, watermark).to_string();
            let mut members = vec![
                (rules.words.events.as_str(), events.to_string(), found.events.to_string()),
                (rules.words.keys.as_str(), keys.to_string(), found.keys.to_string()),
                ("late", held.late.to_string(), found.late.to_string()),
                ("state", state, found.state.clone()),
                ("window_end", end.to_string(), found.end.to_string()),
            ];
            members.retain(|(_, expected, found)| expected != found);
            for (member, expected, found) in members {
                report
                    .differs(check, || format!("{}: {member}: expected {expected}, found {found}", rules.window(*id)));
            }
            if !(1..=last).contains(&found.epoch) {
                let what = format!("{}: epoch {}, and the tables are as of {last}", rules.window(*id), found.epoch);
                report.differs(check, || what);
            }
        }
        for id in counts.ids() {
            let held = &counts.windows[&id];
            let (events, keys) = held.totals();
            let is_due = (events > 0 || held.late > 0) && rules.is_kept(&held.window, watermark);
            if is_due && !self.statuses.contains_key(&id) {
                let (words, late) = (&rules.words, held.late);
                report.differs(check, || {
                    let expected = format!("{} {} of {} {}, {late} late", events, words.events, keys, words.keys);
                    format!("{}: expected {expected}, found no row", rules.window(id))
                });
            }
        }
    }

    fn rankings(&self, rules: &Rules, counts: &Counts, cuts: &[Cut], ranked: Option<usize>, report: &mut Report) {
        let check = rules.ranked_table();
        report.compared(&check, 0);
        let ids: BTreeSet<WindowId> = self.ranked.keys().copied().chain(counts.ids()).collect();
        let epoch = self.as_of.as_ref().and_then(|as_of| as_of.top_k_epoch);
        let mut moving = 0u64;
        for id in ids {
            let cut = match ranked {
                Some(cut) => cut,
                None if epoch.is_some_and(|epoch| self.is_unchanged_since(id, epoch)) => MAIN,
                None => {
                    moving += 1;
                    continue;
                }
            };
            let expected = counts.ranked(id, cut, rules.k);
            let window = counts.windows.get(&id).map(|held| held.window);
            let is_due = window.is_some_and(|window| rules.is_kept(&window, cuts[MAIN].watermark));
            let Some(found) = self.ranked.get(&id) else {
                if is_due && expected.keys > 0 {
                    report.differs(&check, || {
                        format!("{}: expected {} places, found none", rules.window(id), expected.places.len())
                    });
                }
                continue;
            };
            if !is_due && window.is_some() {
                continue;
            }
            report.compared(&check, found.places.len() as u64);
            if window.is_none_or(|window| window.end != found.end) {
                report.differs(&check, || format!("{}: end_time: found {}", rules.window(id), found.end));
            }
            let places = found.places.iter().map(|(_, key, count)| (*key, *count));
            compare_places(&check, rules, counts, id, &expected.places, &places.collect::<Vec<_>>(), report);
            if let Some((at, (rank, ..))) = (1i64..).zip(&found.places).find(|(place, (rank, ..))| place != rank) {
                report.differs(&check, || format!("{}: expected rank {at}, found rank {rank}", rules.window(id)));
            }
        }
        if moving > 0 {
            let epoch = epoch.map_or("unknown".to_owned(), |epoch| epoch.to_string());
            report.not_compared.push(format!(
                "{moving} rankings of {check}: they are as of epoch {epoch}, and what was counted by then cannot be told any more"
            ));
        }
    }

    /// Accounts and positions against the recount of whole partitions. `journaled`: the journal's account of partitions that
    /// the log no longer tells whole.
    pub fn compare_accounts(&self, lanes: &[Lane], journaled: &BTreeMap<Arc<str>, LedgerLine>, report: &mut Report) {
        let check = "topk_ledger";
        report.compared(check, 0);
        let mut seen = BTreeSet::new();
        for lane in lanes {
            let line = journaled.get(&lane.name).unwrap_or(&lane.line);
            seen.insert(lane.name.to_string());
            report.compared(check, 1);
            let found = self.ledger.get(&*lane.name).copied();
            let expected = [line.consumed, line.counted, line.dead_lettered, line.lost];
            if found.is_none() && line.consumed == 0 && line.lost == 0 {
                continue;
            }
            let Some(found) = found else {
                report.differs(check, || {
                    format!("partition {}: expected consumed {}, found no row", lane.name, line.consumed)
                });
                continue;
            };
            let members = ["consumed", "counted", "dead_lettered", "lost"];
            for ((member, expected), found) in members.into_iter().zip(expected).zip(found) {
                if i128::from(expected) != i128::from(found) {
                    report.differs(check, || {
                        format!("partition {}: {member}: expected {expected}, found {found}", lane.name)
                    });
                }
            }
        }
        for (partition, found) in self.ledger.iter().filter(|(partition, _)| !seen.contains(*partition)) {
            report.differs(check, || format!("partition {partition}: expected no row, found {found:?}"));
        }
        self.compare_watermarks(lanes, journaled, report);
    }

    /// W(p) of partitions that were counted, and the job's watermark where nobody was ever idle.
    fn compare_watermarks(&self, lanes: &[Lane], journaled: &BTreeMap<Arc<str>, LedgerLine>, report: &mut Report) {
        let Some(as_of) = &self.as_of else { return };
        let check = "topk_progress";
        report.compared(check, 1);
        let counted = lanes.iter().filter(|lane| !journaled.contains_key(&lane.name));
        for lane in counted {
            let Some(state) = as_of.partitions.get(&lane.name) else { continue };
            let floor = state.floors.iter().map(|(_, floor)| *floor).max();
            let expected = lane.main_watermark.max(floor);
            report.compared(check, 1);
            if expected != state.watermark {
                let (expected, found) = (shown(expected), shown(state.watermark));
                report.differs(check, || {
                    format!("partition {}: watermark: expected {expected}, found {found}", lane.name)
                });
            }
            let offset = as_of.offsets.get(&lane.name);
            if offset != Some(&state.next_offset) {
                report.differs(check, || {
                    format!("partition {}: offsets say {offset:?}, partitions {}", lane.name, state.next_offset)
                });
            }
        }
        let never_idle = as_of.partitions.values().all(|state| state.active && state.floors.is_empty());
        // None, of a partition without a record yet, is the least.
        let expected = as_of.partitions.values().map(|state| state.watermark).min().flatten();
        if never_idle && !as_of.partitions.is_empty() && expected != as_of.as_of {
            let (expected, found) = (shown(expected), shown(as_of.as_of));
            report.differs(check, || format!("as_of: expected {expected}, found {found}"));
        }
    }
}

fn window(rules: &mut Rules, kind: &str, start: EventTime) -> Option<WindowId> {
    let kind = rules.calendar.kind(kind)?;
    rules.calendar.beginning(WindowId { kind, start }).map(|window| window.id())
}

fn shown(at: Option<EventTime>) -> String {
    at.map_or("none".to_owned(), |at| at.to_string())
}

/// The first place that differs, by name.
pub(crate) fn compare_places(
    check: &str,
    rules: &Rules,
    counts: &Counts,
    id: WindowId,
    expected: &[(u32, i64)],
    found: &[(u32, i64)],
    report: &mut Report,
) {
    let at = expected.iter().zip(found).position(|(one, other)| one != other);
    let at = at.or((expected.len() != found.len()).then(|| expected.len().min(found.len())));
    let Some(at) = at else { return };
    let place = |places: &[(u32, i64)]| {
        places.get(at).map_or("nothing".to_owned(), |(key, count)| format!("{:?} with {count}", counts.key(*key)))
    };
    report.differs(check, || {
        format!("{}: rank {}: expected {}, found {}", rules.window(id), at + 1, place(expected), place(found))
    });
}

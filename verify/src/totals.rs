//! Where no log tells any more what to expect, the journal does: it is compared with tables and boards instead, which is no
//! verification, since both come from the same job.

use crate::counts::Counts;
use crate::report::Report;
use crate::rules::Rules;
use std::collections::BTreeMap;
use stream::{EventTime, GroupState, WindowId, WindowTotals};

/// Expect what the journal holds. Of windows whose counts have left it, its totals are compared with the rows found, which
/// are then what is expected of everything else. `tables`: whether rows were found at all.
pub fn expect_from_totals(
    rules: &mut Rules,
    counts: &mut Counts,
    groups: impl Iterator<Item = GroupState>,
    totals: &BTreeMap<WindowId, WindowTotals>,
    watermark: Option<EventTime>,
    tables: bool,
    report: &mut Report,
) {
    for group in groups {
        for pane in &group.panes {
            let id = WindowId { kind: pane.kind, start: pane.start };
            let Some(window) = rules.calendar.beginning(id) else { continue };
            let key = counts.number(group.keys.get(pane.local));
            counts.held(window).cells.entry(key).or_default().expected = pane.count as i64;
        }
    }
    for (id, total) in totals {
        let Some(window) = rules.calendar.beginning(*id) else { continue };
        let held = counts.held(window);
        held.late = total.late as i64;
        let expected = (total.events as i64, total.keys as i64);
        if held.totals() == expected {
            continue;
        }
        let found = held.cells.values().filter(|cell| cell.found > 0);
        let found = found.fold((0, 0), |(events, keys), cell| (events + cell.found, keys + 1));
        held.cells.values_mut().for_each(|cell| cell.expected = cell.found);
        if tables && rules.is_kept(&window, watermark) && found != expected {
            let (table, words) = (rules.counts_table(id.kind), &rules.words);
            report.differs(&table, || {
                let say = |(events, keys): (i64, i64)| format!("{events} {} of {keys} {}", words.events, words.keys);
                format!("{}: expected {} by the journal, found {}", rules.window(*id), say(expected), say(found))
            });
        }
    }
}

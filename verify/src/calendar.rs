//! Which `[start, end)` an event time falls into. Minutes and hours are UTC instants. A day of the job's zone begins at the
//! first instant at which a clock there shows its date or a later one, so it may have 23 or 25 hours, and a date that was
//! skipped has none; a month likewise. All time has no bounds.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use stream::{EventTime, Fault, KindIndex, Window, WindowId};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// The calendar repeats after 400 years, and so do every zone's rules for the far future; jiff's own calendar ends with 9999.
const CYCLE: i64 = 146_097 * 24 * HOUR;
const CYCLE_YEARS: i32 = 400;
/// 9000-01-01T00:00:00Z.
const FAR: i64 = 221_845_392_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cutting {
    Minute,
    Hour,
    Day,
    Month,
    AllTime,
}

/// The window kinds of a job, and its zone.
pub(crate) struct Calendar {
    kinds: Vec<(String, Cutting)>,
    zone: TimeZone,
    /// By kind: the last answer.
    last: Vec<Window>,
}

impl Calendar {
    /// # Errors
    /// A zone or a kind that is not known.
    pub(crate) fn new(kinds: &[&str], zone: &str) -> Result<Self, Fault> {
        let unknown = |what: String, why: String| Fault::usage(what, why, "compare the settings with the job's");
        let zone = TimeZone::get(zone)
            .map_err(|error| unknown(format!("cannot cut days in the zone {zone}"), error.to_string()))?;
        let cutting = |name: &&str| match *name {
            "minute" => Ok(Cutting::Minute),
            "hour" => Ok(Cutting::Hour),
            "day" => Ok(Cutting::Day),
            "month" => Ok(Cutting::Month),
            "all_time" => Ok(Cutting::AllTime),
            other => {
                Err(unknown(format!("cannot cut windows of the kind {other}"), "there is no such kind".to_owned()))
            }
        };
        let kinds =
            kinds.iter().map(|name| Ok(((*name).to_owned(), cutting(name)?))).collect::<Result<Vec<_>, Fault>>()?;
        let nowhere = EventTime::MIN;
        let last =
            (0..kinds.len()).map(|kind| Window { kind: kind as KindIndex, start: nowhere, end: nowhere }).collect();
        Ok(Calendar { kinds, zone, last })
    }

    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// A kind's name.
    pub(crate) fn name(&self, kind: KindIndex) -> &str {
        &self.kinds[usize::from(kind)].0
    }

    /// A kind by its name.
    pub(crate) fn kind(&self, name: &str) -> Option<KindIndex> {
        self.kinds.iter().position(|(known, _)| known == name).map(|kind| kind as KindIndex)
    }

    /// The window of a kind that holds an instant.
    pub(crate) fn window(&mut self, kind: KindIndex, at: EventTime) -> Window {
        let last = self.last[usize::from(kind)];
        if last.start <= at && at < last.end {
            return last;
        }
        let window = self.cut(kind, at);
        self.last[usize::from(kind)] = window;
        window
    }

    /// The window that begins at `start`, if one of this kind does.
    pub(crate) fn beginning(&mut self, id: WindowId) -> Option<Window> {
        let is_instant = (-CYCLE..=EventTime::LAST_VALID.millis()).contains(&id.start.millis());
        let all_time = self.kinds.get(usize::from(id.kind))?.1 == Cutting::AllTime;
        if !is_instant && !all_time {
            return None;
        }
        let window = self.window(id.kind, id.start);
        (window.start == id.start).then_some(window)
    }

    fn cut(&self, kind: KindIndex, at: EventTime) -> Window {
        let millis = at.millis();
        let (start, end) = match self.kinds[usize::from(kind)].1 {
            Cutting::Minute => even(millis, MINUTE),
            Cutting::Hour => even(millis, HOUR),
            Cutting::AllTime => return Window { kind, start: EventTime::MIN, end: EventTime::MAX },
            Cutting::Day => self.unit(millis, |date| date, |date| date.saturating_add(1.day())),
            Cutting::Month => self.unit(millis, |date| date.first_of_month(), |date| date.saturating_add(1.month())),
        };
        Window { kind, start: EventTime::from_millis(start), end: EventTime::from_millis(end) }
    }

    fn unit(&self, at: i64, first: impl Fn(Date) -> Date, next: impl Fn(Date) -> Date) -> (i64, i64) {
        if at >= FAR {
            let (start, end) = self.unit(at - CYCLE, first, next);
            return (start + CYCLE, end + CYCLE);
        }
        let mut date = first(self.date(at));
        loop {
            let following = next(date);
            let end = self.first_instant(following);
            // Where clocks go back over midnight, an instant may show the date before the day it is in.
            if at < end {
                return (self.first_instant(date), end);
            }
            date = following;
        }
    }

    fn date(&self, at: i64) -> Date {
        let at = Timestamp::from_millisecond(at).expect("times before the year 9000 are within jiff's");
        self.zone.to_datetime(at).date()
    }

    fn first_instant(&self, date: Date) -> i64 {
        let midnight = date.at(0, 0, 0, 0);
        let with = |offset: jiff::tz::Offset| {
            offset.to_timestamp(midnight).expect("dates before the year 9000 are within jiff's").as_millisecond()
        };
        let (mut before, mut after) = match self.zone.to_ambiguous_timestamp(midnight).offset() {
            AmbiguousOffset::Unambiguous { offset } => return with(offset),
            // It strikes twelve twice: the first time counts.
            AmbiguousOffset::Fold { before, .. } => return with(before),
            // It never does: the clock jumps from before midnight to after it, between these two.
            AmbiguousOffset::Gap { before, after } => (with(after), with(before)),
        };
        while after - before > MINUTE {
            let middle = before + (after - before) / 2 / MINUTE * MINUTE;
            if self.date(middle) < date { before = middle } else { after = middle }
        }
        after
    }

    /// How a board's name calls the window.
    pub(crate) fn label(&self, id: WindowId) -> String {
        let cutting = self.kinds[usize::from(id.kind)].1;
        match cutting {
            Cutting::AllTime => "all".to_owned(),
            Cutting::Minute | Cutting::Hour => id.start.to_string().chars().take(16).collect(),
            Cutting::Day | Cutting::Month => {
                let far = id.start.millis() >= FAR;
                let date = self.date(if far { id.start.millis() - CYCLE } else { id.start.millis() });
                let year = i32::from(date.year()) + if far { CYCLE_YEARS } else { 0 };
                match cutting {
                    Cutting::Day => format!("{year:04}-{:02}-{:02}", date.month(), date.day()),
                    _ => format!("{year:04}-{:02}", date.month()),
                }
            }
        }
    }
}

fn even(at: i64, length: i64) -> (i64, i64) {
    let start = at.div_euclid(length) * length;
    (start, start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(&["minute", "hour", "day", "month", "all_time"], zone).unwrap()
    }

    fn at(text: &str) -> EventTime {
        EventTime::parse(text).unwrap()
    }

    #[track_caller]
    fn check(zone: &str, kind: &str, inside: &str, start: &str, end: &str) {
        let mut calendar = calendar(zone);
        let kind = calendar.kind(kind).unwrap();
        for instant in [at(inside), at(start), EventTime::from_millis(at(end).millis() - 1)] {
            let window = calendar.window(kind, instant);
            assert_eq!((window.start, window.end), (at(start), at(end)), "{zone}, at {instant}");
            assert_eq!(calendar.beginning(window.id()), Some(window));
        }
        assert_eq!(calendar.window(kind, at(end)).start, at(end), "the end is outside");
    }

    #[test]
    fn minutes_and_hours_are_utc_whatever_the_zone() {
        check("Asia/Kolkata", "minute", "2025-10-19T14:05:59.999Z", "2025-10-19T14:05:00Z", "2025-10-19T14:06:00Z");
        check("Asia/Kolkata", "hour", "2025-10-19T14:59:59Z", "2025-10-19T14:00:00Z", "2025-10-19T15:00:00Z");
    }

    /// Instants of Flink's TumblingSliceAssignerTest.testDstSaving; counted by hand from the zone's offsets.
    #[test]
    fn days_of_23_and_25_hours() {
        check("America/Los_Angeles", "day", "2021-03-14T12:00:00Z", "2021-03-14T08:00:00Z", "2021-03-15T07:00:00Z");
        check("America/Los_Angeles", "day", "2021-11-07T09:30:00Z", "2021-11-07T07:00:00Z", "2021-11-08T08:00:00Z");
    }

    #[test]
    fn midnights_that_are_skipped_or_struck_twice() {
        // Havana, 2025-03-09: 00:00 becomes 01:00. St John's, 2010-11-07: 00:01 becomes 23:01 of the 6th.
        check("America/Havana", "day", "2025-03-09T12:00:00Z", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z");
        check("America/St_Johns", "day", "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z");
        // Samoa had no 30th of December 2011.
        check("Pacific/Apia", "day", "2011-12-30T09:59:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
        check("Pacific/Apia", "month", "2011-12-30T11:00:00Z", "2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z");
    }

    #[test]
    fn months_leap_years_and_the_end_of_9999() {
        check("UTC", "month", "2024-02-29T23:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
        check("Asia/Kolkata", "month", "2025-10-31T18:29:00Z", "2025-09-30T18:30:00Z", "2025-10-31T18:30:00Z");
        let mut calendar = calendar("UTC");
        let month = calendar.window(3, EventTime::LAST_VALID);
        assert_eq!(month.end.millis(), EventTime::LAST_VALID.millis() + 1);
        assert_eq!(calendar.label(month.id()), "9999-12");
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let mut calendar = calendar("Europe/Zurich");
        let instant = at("2025-10-19T22:30:00Z");
        let labels: Vec<String> = (0..5)
            .map(|kind| {
                let id = calendar.window(kind, instant).id();
                calendar.label(id)
            })
            .collect();
        assert_eq!(labels, ["2025-10-19T22:30", "2025-10-19T22:00", "2025-10-20", "2025-10", "all"]);
        assert_eq!(calendar.beginning(WindowId { kind: 1, start: instant }), None, "no hour begins at half past");
    }
}

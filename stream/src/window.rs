//! Window kinds and the windows they cut time into. A new kind is one variant of [`Span`] and one name in
//! [`WindowKind::named`].

use crate::{EventTime, Fault, Zone};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How a kind cuts time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// UTC instants, a whole number of minutes long, aligned to 1970.
    Minutes(u32),
    /// Local days of the job's zone.
    Day,
    /// Local months of the job's zone.
    Month,
    /// One window without start or end.
    AllTime,
}

/// A named kind of tumbling window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WindowKind {
    /// Name outside: in tables, board keys, routes.
    pub name: String,
    /// How it cuts time.
    pub span: Span,
}

impl WindowKind {
    /// The kinds a configuration may name.
    pub const NAMES: [&'static str; 5] = ["minute", "hour", "day", "month", "all_time"];

    /// A kind by its name in the configuration.
    pub fn named(name: &str) -> Option<Self> {
        let span = match name {
            "minute" => Span::Minutes(1),
            "hour" => Span::Minutes(60),
            "day" => Span::Day,
            "month" => Span::Month,
            "all_time" => Span::AllTime,
            _ => return None,
        };
        Some(WindowKind { name: name.to_owned(), span })
    }

    /// A kind of `minutes` UTC minutes, for jobs of one's own.
    pub fn of_minutes(name: &str, minutes: u32) -> Self {
        assert!(minutes > 0, "a window is at least a minute long");
        WindowKind { name: name.to_owned(), span: Span::Minutes(minutes) }
    }
}

/// Index of a kind in [`Windows`]; also its bit in a [`LateMask`].
pub type KindIndex = u8;

/// Which window: the kind and the start. Ordered by kind, then time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WindowId {
    /// The kind.
    pub kind: KindIndex,
    /// The first instant inside; [`EventTime::MIN`] for all time.
    pub start: EventTime,
}

/// A half-open interval of event time, `start` inside and `end` outside (Flink's boundaries).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Window {
    /// The kind.
    pub kind: KindIndex,
    /// The first instant inside; [`EventTime::MIN`] for all time.
    pub start: EventTime,
    /// The first instant after; [`EventTime::MAX`] for all time.
    pub end: EventTime,
}

impl Window {
    /// Kind and start, which name it.
    pub fn id(&self) -> WindowId {
        WindowId { kind: self.kind, start: self.start }
    }

    /// Where it stands under the job watermark (architecture, event-time rules).
    pub fn state(&self, watermark: Option<EventTime>, allowed_lateness: Duration) -> WindowState {
        match watermark {
            Some(watermark) if self.end.plus(allowed_lateness) <= watermark => WindowState::Final,
            Some(watermark) if self.end <= watermark => WindowState::Closed,
            _ => WindowState::Open,
        }
    }
}

/// `open` until `end <= W`, `closed` until `end + allowed_lateness <= W`, then `final`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowState {
    /// More events are expected.
    Open,
    /// Late events may still refine it.
    Closed,
    /// Its counts and ranking never change again.
    Final,
}

impl fmt::Display for WindowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WindowState::Open => "open",
            WindowState::Closed => "closed",
            WindowState::Final => "final",
        })
    }
}

/// The kinds of one job and its zone. At most eight kinds: a late mask is a byte.
#[derive(Clone, Debug)]
pub struct Windows {
    kinds: Vec<WindowKind>,
    zone: Zone,
}

impl Windows {
    /// # Errors
    /// No kind, more than eight, or a name given twice.
    pub fn new(kinds: Vec<WindowKind>, zone: Zone) -> Result<Self, Fault> {
        let twice =
            kinds.iter().enumerate().find(|(at, kind)| kinds[..*at].iter().any(|other| other.name == kind.name));
        if let Some((_, kind)) = twice {
            return Err(Fault::usage(
                "windows are wrong",
                format!("\"{}\" is named twice", kind.name),
                "name each window kind once",
            ));
        }
        if kinds.is_empty() || kinds.len() > 8 {
            return Err(Fault::usage(
                "windows are wrong",
                format!("{} kinds were given", kinds.len()),
                "give 1 to 8 window kinds",
            ));
        }
        Ok(Windows { kinds, zone })
    }

    /// The kinds, in the order of their indexes.
    pub fn kinds(&self) -> &[WindowKind] {
        &self.kinds
    }

    /// How many kinds.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// A kind by index.
    pub fn kind(&self, index: KindIndex) -> &WindowKind {
        &self.kinds[usize::from(index)]
    }

    /// Index of a kind by name.
    pub fn index_of(&self, name: &str) -> Option<KindIndex> {
        self.kinds.iter().position(|kind| kind.name == name).map(|at| at as KindIndex)
    }

    /// The zone of days and months.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The window of `kind` that holds `at`, computed anew. Hot paths use an [`Assigner`].
    pub fn window(&self, kind: KindIndex, at: EventTime) -> Window {
        let (start, end) = match self.kind(kind).span {
            Span::Minutes(minutes) => {
                let size = i64::from(minutes) * 60_000;
                let start = at.millis() - at.millis().rem_euclid(size);
                (EventTime::from_millis(start), EventTime::from_millis(start + size))
            }
            Span::Day => self.zone.day(at),
            Span::Month => self.zone.month(at),
            Span::AllTime => (EventTime::MIN, EventTime::MAX),
        };
        Window { kind, start, end }
    }

    /// The whole window behind an id.
    pub fn find(&self, id: WindowId) -> Window {
        match self.kind(id.kind).span {
            Span::AllTime => Window { kind: id.kind, start: EventTime::MIN, end: EventTime::MAX },
            _ => self.window(id.kind, id.start),
        }
    }

    /// A window assigner with a memory of its own, one per thread.
    pub fn assigner(&self) -> Assigner {
        Assigner { last: vec![None; self.kinds.len()], windows: self.clone() }
    }
}

/// Assigns instants to windows, remembering the last window of each kind so that a calendar is asked once a day.
#[derive(Clone, Debug)]
pub struct Assigner {
    windows: Windows,
    last: Vec<Option<Window>>,
}

impl Assigner {
    /// The rules behind it.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The window of `kind` that holds `at`.
    #[inline]
    pub fn assign(&mut self, kind: KindIndex, at: EventTime) -> Window {
        let last = &mut self.last[usize::from(kind)];
        match last {
            Some(window) if window.start <= at && at < window.end => *window,
            _ => *last.insert(self.windows.window(kind, at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(size: u32, at: i64) -> (i64, i64) {
        let windows = Windows::new(vec![WindowKind::of_minutes("w", size)], Zone::utc()).unwrap();
        let window = windows.window(0, EventTime::from_millis(at * 60_000));
        (window.start.millis() / 60_000, window.end.millis() / 60_000)
    }

    /// Flink, TumblingEventTimeWindowsTest.testWindowAssignment: 0 and 4999 -> [0,5000), 5000 -> [5000,10000);
    /// in minutes, since ours are whole minutes. Kafka Streams, TimeWindowsTest: size 12, at 21 -> [12,24).
    #[test]
    fn tumbling_assignment() {
        assert_eq!(minutes(5, 0), (0, 5));
        assert_eq!(minutes(5, 4), (0, 5));
        assert_eq!(minutes(5, 5), (5, 10));
        assert_eq!(minutes(12, 21), (12, 24));
    }

    /// Flink, TumblingEventTimeWindowsTest.testInvalidParameters. We differ: no offsets; a zone says where days begin.
    #[test]
    fn wrong_kinds_are_refused() {
        assert!(Windows::new(vec![], Zone::utc()).is_err());
        let twice = vec![WindowKind::named("hour").unwrap(), WindowKind::named("hour").unwrap()];
        assert!(Windows::new(twice, Zone::utc()).unwrap_err().to_string().contains("hour"));
        assert!(WindowKind::named("fortnight").is_none());
    }

    #[test]
    fn open_closed_final_are_half_open() {
        let window = Window { kind: 0, start: EventTime::from_millis(0), end: EventTime::from_millis(1000) };
        let state = |w| window.state(Some(EventTime::from_millis(w)), Duration::from_millis(500));
        assert_eq!(window.state(None, Duration::ZERO), WindowState::Open);
        assert_eq!(
            [state(999), state(1000), state(1499), state(1500)],
            [WindowState::Open, WindowState::Closed, WindowState::Closed, WindowState::Final]
        );
        let all = Window { kind: 0, start: EventTime::MIN, end: EventTime::MAX };
        assert_eq!(all.state(Some(EventTime::LAST_VALID), Duration::ZERO), WindowState::Open);
    }

    #[test]
    fn an_assigner_agrees_with_the_rules() {
        let kinds = WindowKind::NAMES.iter().map(|name| WindowKind::named(name).unwrap()).collect();
        let windows = Windows::new(kinds, Zone::named("Europe/Zurich").unwrap()).unwrap();
        let mut assigner = windows.assigner();
        let mut at = 1_761_400_000_000i64;
        for step in 0..5000i64 {
            at += (step * 7919) % 5_000_000 - 1_200_000;
            for kind in 0..5 {
                let at = EventTime::from_millis(at);
                assert_eq!(assigner.assign(kind, at), windows.window(kind, at));
                assert_eq!(windows.find(windows.window(kind, at).id()), windows.window(kind, at));
            }
        }
    }
}

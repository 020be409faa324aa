//! How count tables are cut by time: which stretch of window starts a partition holds, which are missing, which have
//! expired. Pure; the statements are beside it in `tables`.

use std::time::Duration;
use stream::{EventTime, Span};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Lengths that a partition may have.
const LENGTHS: [i64; 9] = [MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY, 3650 * DAY];
/// A retention is cut into at least this many pieces: so much more than it asks for is kept at most.
const PIECES: i64 = 8;
/// Windows in a partition where nothing expires.
const WINDOWS_FOR_EVER: i64 = 40_000;

/// One partition: window starts in `[from, to)`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Partition {
    pub(super) from: EventTime,
    pub(super) to: EventTime,
    /// Bare name of its table.
    pub(super) name: String,
}

/// Length of a kind's partitions in milliseconds; none for all time, which is not cut.
pub(super) fn length(span: Span, retention: Option<Duration>) -> Option<i64> {
    let window = match span {
        Span::Minutes(minutes) => i64::from(minutes) * MINUTE,
        Span::Day => DAY,
        Span::Month => 30 * DAY,
        Span::AllTime => return None,
    };
    let most = match retention {
        Some(retention) => i64::try_from(retention.as_millis()).unwrap_or(i64::MAX) / PIECES,
        None => window * WINDOWS_FOR_EVER,
    };
    Some(LENGTHS.into_iter().rev().find(|length| *length <= most).unwrap_or(MINUTE).max(window))
}

/// The partitions of one count table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Partitions {
    /// In order of time; they do not overlap.
    all: Vec<Partition>,
}

impl Partitions {
    pub(super) fn new(mut all: Vec<Partition>) -> Self {
        all.sort();
        Partitions { all }
    }

    /// The partitions to be made, in order of time, so that every start has one. They are whole lengths, counted from
    /// 1970, less what others of another length hold already.
    pub(super) fn missing(&self, starts: impl Iterator<Item = EventTime>, length: i64, table: &str) -> Vec<Partition> {
        let mut with_new = self.clone();
        let mut new = Vec::new();
        for start in starts {
            let next = with_new.all.partition_point(|partition| partition.from <= start);
            let before = next.checked_sub(1).map(|at| with_new.all[at].to);
            if before.is_some_and(|to| start < to) {
                continue;
            }
            let whole = EventTime::from_millis(start.millis().div_euclid(length) * length);
            let end = EventTime::from_millis(whole.millis() + length);
            let from = before.map_or(whole, |before| whole.max(before));
            let to = with_new.all.get(next).map_or(end, |after| end.min(after.from));
            let partition = Partition { from, to, name: format!("{table}_{}", stamp(from)) };
            with_new.all.insert(next, partition.clone());
            new.push(partition);
        }
        new
    }

    /// Take in what was made.
    pub(super) fn add(&mut self, new: Vec<Partition>) {
        self.all.extend(new);
        self.all.sort();
    }

    /// Forget one that was dropped.
    pub(super) fn remove(&mut self, name: &str) {
        self.all.retain(|partition| partition.name != name);
    }

    /// The first window start that is kept: what is in a partition that is still there must be right, even where its
    /// window has expired.
    pub(super) fn first_kept(&self, oldest_kept: EventTime) -> EventTime {
        let holds_some = |partition: &&Partition| partition.to > oldest_kept;
        self.all.iter().find(holds_some).map_or(oldest_kept, |partition| partition.from.min(oldest_kept))
    }

    /// Those that hold no window that is kept.
    pub(super) fn expired(&self, oldest_kept: EventTime) -> impl Iterator<Item = &Partition> {
        self.all.iter().take_while(move |partition| partition.to <= oldest_kept)
    }
}

/// An instant in a name: `20251019_1430`.
fn stamp(at: EventTime) -> String {
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).take(12).collect();
    match digits.split_at_checked(8) {
        Some((date, time)) => format!("{date}_{time}"),
        None => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> EventTime {
        EventTime::from_millis(hours * HOUR)
    }

    fn bounds(partitions: &[Partition]) -> Vec<(i64, i64)> {
        partitions.iter().map(|one| (one.from.millis() / HOUR, one.to.millis() / HOUR)).collect()
    }

    #[test]
    fn the_length_follows_from_window_and_retention() {
        let hours = |hours: u64| Some(Duration::from_secs(3600 * hours));
        assert_eq!(length(Span::Minutes(1), hours(48)), Some(6 * HOUR));
        assert_eq!(length(Span::Minutes(60), hours(30 * 24)), Some(DAY));
        assert_eq!(length(Span::Day, hours(400 * 24)), Some(30 * DAY));
        assert_eq!(length(Span::Minutes(60), hours(2)), Some(HOUR), "no less than a window");
        assert_eq!(length(Span::Minutes(1), None), Some(7 * DAY));
        assert_eq!(length(Span::Month, None), Some(3650 * DAY));
        assert_eq!(length(Span::AllTime, None), None);
    }

    #[test]
    fn each_start_gets_a_partition_and_none_overlap() {
        let mut partitions = Partitions::default();
        let starts = [7, 1, 2, 6, 30].map(at);
        let new = partitions.missing(starts.into_iter(), 6 * HOUR, "plays_hour");
        assert_eq!(bounds(&new), [(6, 12), (0, 6), (30, 36)]);
        assert_eq!(new[0].name, "plays_hour_19700101_0600");
        partitions.add(new);
        assert!(partitions.missing(starts.into_iter(), 6 * HOUR, "t").is_empty());
        // Another length, after retention was changed: it fits into what is free.
        let new = partitions.missing([12, 29, 36, 50].map(at).into_iter(), 24 * HOUR, "t");
        assert_eq!(bounds(&new), [(12, 24), (24, 30), (36, 48), (48, 72)]);
    }

    #[test]
    fn what_holds_no_kept_window_has_expired() {
        let mut partitions = Partitions::default();
        partitions.add(partitions.missing([0, 6, 12].map(at).into_iter(), 6 * HOUR, "t"));
        let names = |oldest| partitions.expired(at(oldest)).map(|one| one.from.millis() / HOUR).collect::<Vec<_>>();
        assert_eq!(names(5), Vec::<i64>::new());
        assert_eq!(names(6), [0]);
        assert_eq!(names(17), [0, 6]);
        let first = |oldest| partitions.first_kept(at(oldest)).millis() / HOUR;
        assert_eq!([first(5), first(6), first(8), first(18), first(20)], [0, 6, 6, 18, 20]);
    }
}

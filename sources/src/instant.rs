//! The written instants that a record may carry (contract, "Kafka event"): the part of RFC 3339 that has one reading.

/// Milliseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.fff…](Z|±HH:MM)`, or why not. Upper-case T and Z, no second 60, an
/// offset of at most 23:59; what a fraction has below a millisecond is cut off. The year as written is 0000 to 9999;
/// whether the instant is one that a record may carry is for the caller to judge, after the offset.
pub(crate) fn parse(text: &str) -> Result<i64, &'static str> {
    const FORM: &str = "is not of the form YYYY-MM-DDTHH:MM:SS[.fff](Z|±HH:MM)";
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() < 20 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return Err(FORM);
    }
    let field = |range: std::ops::Range<usize>| digits(&bytes[range]).ok_or(FORM);
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err("has a date that is not in the calendar");
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err("has a time of day beyond 23:59:59");
    }
    let (millis, zone) = fraction(&bytes[19..]).ok_or(FORM)?;
    let local = days_since_1970(year, month, day) * 86_400_000 + (hour * 3600 + minute * 60 + second) * 1000 + millis;
    Ok(local - offset_minutes(zone)? * 60_000)
}

/// The fraction in whole milliseconds, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let weights = [100, 10, 1];
    let millis = digits[..length].iter().zip(weights).map(|(digit, weight)| i64::from(digit - b'0') * weight).sum();
    (length > 0).then_some((millis, &digits[length..]))
}

fn offset_minutes(zone: &[u8]) -> Result<i64, &'static str> {
    const MISSING: &str = "does not end with Z or an offset ±HH:MM";
    let (sign, hour, minute) = match zone {
        b"Z" => return Ok(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [*h1, *h2], [*m1, *m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [*h1, *h2], [*m1, *m2]),
        _ => return Err(MISSING),
    };
    let (hour, minute) = (digits(&hour).ok_or(MISSING)?, digits(&minute).ok_or(MISSING)?);
    if hour > 23 || minute > 59 {
        return Err("has an offset beyond 23:59");
    }
    Ok(sign * (hour * 60 + minute))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar, counted in eras of 400 years that begin on a 1st of March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Date;

    #[test]
    fn every_day_of_ten_thousand_years_agrees_with_jiff() {
        let epoch = Date::new(1970, 1, 1).unwrap();
        for year in 0..=9999i16 {
            for month in 1..=12i8 {
                let first = Date::new(year, month, 1).unwrap();
                assert_eq!(days_in_month(year.into(), month.into()), i64::from(first.days_in_month()));
                let days = first.since(epoch).unwrap().get_days();
                assert_eq!(days_since_1970(year.into(), month.into(), 1), i64::from(days), "{first}");
            }
        }
    }

    #[test]
    fn accepted_forms() {
        let cases = [
            ("2025-10-19T14:00:00Z", 1_760_882_400_000),
            ("2025-10-19T14:00:00.25Z", 1_760_882_400_250),
            ("2025-10-19T14:00:00.2509999999999999Z", 1_760_882_400_250),
            ("2025-10-19T16:00:00+02:00", 1_760_882_400_000),
            ("2025-10-19T14:00:00-00:00", 1_760_882_400_000),
            ("1969-12-31T23:30:00-01:00", 1_800_000),
            ("1970-01-01T00:00:00+01:00", -3_600_000),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("9999-12-31T23:59:59-00:01", 253_402_300_859_000),
            ("0000-01-01T00:00:00+23:59", -62_167_219_200_000 - 1439 * 60_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refused_forms() {
        let cases = [
            "",
            "2025-10-19",
            "2025-10-19T14:00:00",
            "2025-10-19t14:00:00Z",
            "2025-10-19T14:00:00z",
            "2025-10-19 14:00:00Z",
            "2025-10-19T14:00Z",
            "2025-10-19T14:00:60Z",
            "2025-10-19T24:00:00Z",
            "2025-10-19T14:60:00Z",
            "2025-10-19T14:00:00.Z",
            "2025-10-19T14:00:00,5Z",
            "2025-10-19T14:00:00+0200",
            "2025-10-19T14:00:00+02",
            "2025-10-19T14:00:00+24:00",
            "2025-10-19T14:00:00+02:60",
            "2025-10-19T14:00:00ZZ",
            "2025-10-19T14:00:00Z ",
            " 2025-10-19T14:00:00Z",
            "2025-02-29T14:00:00Z",
            "2025-00-01T14:00:00Z",
            "2025-13-01T14:00:00Z",
            "2025-01-00T14:00:00Z",
            "+025-01-01T14:00:00Z",
            "12025-01-01T14:00:00Z",
            "2025-10-19T14:00:00\u{e9}Z",
        ];
        for text in cases {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! Amounts as people write them: `250ms`, `30d`, `64GiB`, and `forever` for a retention.

use std::time::Duration;

/// Longer than the span of event times (1970 to 9999) is a slip of the pen, and would overflow instants.
const LONGEST: Duration = Duration::from_secs(3_000_000 * 86_400);

const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Never removed.
    Forever,
    /// Removed after this.
    For(Duration),
}

/// A number and a unit of `ms s m h d`; the error says why not.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let milliseconds = amount(text, &TIME_UNITS)?;
    let duration = milliseconds.map(Duration::from_millis);
    duration.filter(|length| *length <= LONGEST).ok_or_else(|| "it is longer than 3000000d".to_owned())
}

/// A number and a unit of bytes, at most what a signed 64-bit number holds; the error says why not.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bytes = amount(text, &SIZE_UNITS)?;
    bytes.filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(|| "it is more than 8388607TiB".to_owned())
}

/// `forever` or a duration.
pub(crate) fn retention(text: &str) -> Result<Retention, String> {
    if text == "forever" { Ok(Retention::Forever) } else { duration(text).map(Retention::For) }
}

/// The shortest exact spelling of a duration, for messages.
pub(crate) fn spell_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let (unit, factor) = TIME_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| milliseconds != 0 && milliseconds.is_multiple_of(u128::from(*factor)))
        .unwrap_or(&TIME_UNITS[1]);
    format!("{}{unit}", milliseconds / u128::from(*factor))
}

/// The shortest exact spelling of a size, for messages.
pub(crate) fn spell_size(bytes: u64) -> String {
    let (unit, factor) = SIZE_UNITS[..5]
        .iter()
        .rev()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
        .unwrap_or(&SIZE_UNITS[0]);
    format!("{}{unit}", bytes / factor)
}

/// The number times its unit; `None` when that does not fit.
fn amount(text: &str, units: &[(&str, u64)]) -> Result<Option<u64>, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if text.starts_with('-') {
        return Err("it is negative".to_owned());
    }
    if number.is_empty() {
        return Err(format!("it does not begin with a whole number, followed by one of {}", names()));
    }
    if unit.is_empty() {
        return Err(format!("it has no unit; the units are {}", names()));
    }
    if unit.starts_with('.') {
        return Err("only whole numbers are taken".to_owned());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("\"{unit}\" is not a unit; the units are {}", names()));
    };
    // A number of digits only fails to parse when it is too large.
    Ok(number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("0s", 0),
            ("007s", 7_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(duration("3000000d"), Ok(LONGEST));
    }

    #[test]
    fn bad_durations_say_why() {
        for (text, reason) in [
            ("", "does not begin with a whole number"),
            ("s", "does not begin with a whole number"),
            ("+5s", "does not begin with a whole number"),
            (" 5s", "does not begin with a whole number"),
            ("5", "no unit"),
            ("-5s", "negative"),
            ("1.5h", "only whole numbers"),
            ("5 s", "\" s\" is not a unit"),
            ("5S", "\"S\" is not a unit"),
            ("1h30m", "\"h30m\" is not a unit"),
            ("5min", "the units are ms, s, m, h, d"),
            ("3000001d", "longer than 3000000d"),
            ("18446744073709551615d", "longer than"),
            ("99999999999999999999999ms", "longer than"),
            ("٣s", "does not begin with a whole number"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0B", 0),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("1KiB", 1_024),
            ("256MiB", 256 << 20),
            ("64GiB", 64 << 30),
            ("2TB", 2_000_000_000_000),
            ("9223372036854775807B", i64::MAX as u64),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, reason) in [
            ("65536", "no unit"),
            ("-1B", "negative"),
            ("64gb", "\"gb\" is not a unit"),
            ("0.5GiB", "only whole numbers"),
            ("GiB", "does not begin"),
            ("9223372036854775808B", "more than"),
            ("99999999999TiB", "more than"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn retentions() {
        assert_eq!(retention("forever"), Ok(Retention::Forever));
        assert_eq!(retention("48h"), Ok(Retention::For(Duration::from_secs(48 * 3600))));
        assert!(retention("Forever").is_err());
        assert!(retention("").is_err());
    }

    #[test]
    fn spellings_read_back_as_what_they_spell() {
        for text in ["0s", "1ms", "250ms", "5s", "90s", "1m", "36h", "30d"] {
            assert_eq!(spell_duration(duration(text).unwrap()), text);
        }
        for text in ["0B", "1B", "1023B", "256MiB", "64GiB", "1500B"] {
            assert_eq!(spell_size(size(text).unwrap()), text);
        }
    }
}

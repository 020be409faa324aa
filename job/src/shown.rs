//! How numbers, sizes and names are shown to people on a terminal.

/// Digits in threes.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in the largest unit that leaves a whole number before the point.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A name as a terminal may show it: whatever would move its cursor or change its colours is spelled out.
pub(crate) fn printable(name: &str) -> String {
    name.chars()
        .map(|char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_short_and_exact_enough() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1 << 20, 3 << 39].map(size),
            ["0 bytes", "1023 bytes", "1.0 KiB", "1.0 MiB", "1.5 TiB"]
        );
        assert_eq!(printable("a\u{1b}[31m\tb"), "a\\u{1b}[31m\\tb");
    }
}

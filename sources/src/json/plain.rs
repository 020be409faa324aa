//! The members of a plain object in one quick pass: flat, strings without escapes, integers and literals. Whatever is
//! not that plain, right or wrong, is left to the complete reading; what is, reads the same there.

use super::{JsonMapping, Members, Names};

/// The members, or none if the text is not plain.
pub(super) fn members<'a>(text: &'a str, mapping: &JsonMapping) -> Option<Members<'a>> {
    let mut members = Members { key: Names::new(&mapping.key), time: Names::new(&mapping.time) };
    let mut at = Place { text, at: 0 };
    at.take(b'{')?;
    at.space();
    loop {
        let name = at.string()?;
        at.space();
        at.take(b':')?;
        at.space();
        let raw = at.value()?;
        let name = &name[1..name.len() - 1];
        members.key.set(&mapping.key, name, raw);
        members.time.set(&mapping.time, name, raw);
        at.space();
        if at.next()? == b'}' {
            break;
        }
        at.take(b',')?;
        at.space();
    }
    at.take(b'}')?;
    (at.at == text.len()).then_some(members)
}

struct Place<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Place<'a> {
    #[inline]
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// One space, as many writers put after a colon or comma; more is for the complete reading.
    #[inline]
    fn space(&mut self) {
        self.at += usize::from(self.next() == Some(b' '));
    }

    /// A string with its quotes. Control characters are not allowed in one.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.take(b'"')?;
        let bytes = self.text.as_bytes();
        loop {
            let special = match bytes.get(self.at..self.at + 8) {
                Some(eight) => first_special(u64::from_le_bytes(eight.try_into().expect("there are eight"))),
                None => bytes[self.at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)),
            };
            match special {
                Some(special) => {
                    self.at += special;
                    break;
                }
                None if self.at + 8 <= bytes.len() => self.at += 8,
                None => return None,
            }
        }
        self.take(b'"')?;
        Some(&self.text[start..self.at])
    }

    /// A string, an integer without leading zeros, or a literal.
    #[inline]
    fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        match self.next()? {
            b'"' => return self.string(),
            b'1'..=b'9' => {
                let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
                // A fraction or an exponent would follow here.
                if matches!(rest[digits], b'.' | b'e' | b'E') {
                    return None;
                }
                self.at += digits;
            }
            b'n' if rest.starts_with(b"null") => self.at += 4,
            b't' if rest.starts_with(b"true") => self.at += 4,
            b'f' if rest.starts_with(b"false") => self.at += 5,
            _ => return None,
        }
        Some(&self.text[start..self.at])
    }
}

/// Index of the first byte of eight that is a quote, a backslash or a control character.
#[inline]
fn first_special(eight: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Bytes that equal: zero after the exclusive or, and only a zero byte borrows while its high bit is clear. A borrow
    // may mark bytes above a true one falsely, never below, and the first is what counts.
    let equals = |byte: u8| {
        let zeroed = eight ^ (ONES * u64::from(byte));
        zeroed.wrapping_sub(ONES) & !zeroed & HIGHS
    };
    let control = eight.wrapping_sub(ONES * 0x20) & !eight & HIGHS;
    let special = equals(b'"') | equals(b'\\') | control;
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_of_eight_is_found_wherever_it_stands() {
        for byte in 0..=255u8 {
            for at in 0..8 {
                for around in [b'a', 0x20, 0x21, 0x23, 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff] {
                    let mut eight = [around; 8];
                    eight[at] = byte;
                    let expected = eight.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
                    assert_eq!(first_special(u64::from_le_bytes(eight)), expected, "{eight:?}");
                }
            }
        }
    }

    #[test]
    fn ordinary_records_are_plain_and_the_rest_is_left_alone() {
        let mapping = JsonMapping { key: vec!["k".into()], time: vec!["t".into()], max_bytes: 100, max_key_bytes: 10 };
        let plain = |text: &str| members(text, &mapping).is_some();
        assert!(plain(r#"{"k":"v1","t":1760882400000,"user_id":"u1","region":"žluť","ok":true,"n":null}"#));
        assert!(plain(r#"{"k": "v1", "t": 1760882400000}"#));
        for left in [
            "",
            "{",
            "{}",
            "[]",
            r#"{"k":"a"} "#,
            r#"{"k":"a",}"#,
            r#"{"k":"a\n"}"#,
            r#"{"k":1.5}"#,
            r#"{"k":1e3}"#,
            r#"{"k":01}"#,
            r#"{"k":-1}"#,
            r#"{"k":[1]}"#,
            r#"{"k":{}}"#,
            r#"{"k":nul}"#,
            r#"{"k"}"#,
            r#"{"k":12"#,
            "{\"k\":\"a\tb\"}",
            r#"{"k":"unended"#,
            r#"{"k":"a"x}"#,
            r#"{k:1}"#,
        ] {
            assert!(!plain(left), "{left}");
        }
    }
}

//! The members of a plain object in one quick pass: flat, strings without escapes, integers and literals. Whatever is
//! not that plain, right or wrong, is left to the complete reading; what is, reads the same there.
//!
//! Writers repeat themselves: what stood between the values of the last plain record is looked for first, so that names
//! are neither searched for their end nor compared with the configured ones again.

use super::{JsonMapping, Members, Names};

/// More between values than this is not remembered.
const REMEMBERED: usize = 1024;

/// Reads plain objects, and remembers the shape of the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    /// In the order of the values. Empty: nothing is remembered.
    members: Vec<Member>,
    /// What follows the last value.
    tail: String,
}

/// A member of the last object.
#[derive(Clone, Debug)]
struct Member {
    /// From the end of the value before to the beginning of this one's: `,"video_id":`.
    before: String,
    /// Which configured names this is, by their index.
    key: Option<usize>,
    time: Option<usize>,
}

impl Plain {
    /// The members, or none if the text is not plain.
    pub(super) fn members<'a>(&mut self, text: &'a str, mapping: &JsonMapping) -> Option<Members<'a>> {
        if is_special(text.as_bytes()) {
            return None;
        }
        match self.as_before(text, mapping) {
            Some(members) => Some(members),
            None => self.anew(text, mapping),
        }
    }

    /// If everything but the values is as in the last object.
    fn as_before<'a>(&self, text: &'a str, mapping: &JsonMapping) -> Option<Members<'a>> {
        let mut members = Members { key: Names::new(&mapping.key), time: Names::new(&mapping.time) };
        let mut at = Place { text, at: 0 };
        for Member { before, key, time } in &self.members {
            at.take_all(before)?;
            let raw = at.value()?;
            if let Some(index) = key {
                members.key.put(*index, raw);
            }
            if let Some(index) = time {
                members.time.put(*index, raw);
            }
        }
        (!self.members.is_empty() && at.rest() == self.tail).then_some(members)
    }

    fn anew<'a>(&mut self, text: &'a str, mapping: &JsonMapping) -> Option<Members<'a>> {
        // What is no plain object leaves nothing behind.
        let mut remembered = std::mem::take(&mut self.members);
        remembered.clear();
        let mut members = Members { key: Names::new(&mapping.key), time: Names::new(&mapping.time) };
        let mut at = Place { text, at: 0 };
        let (mut end, mut between) = (0, 0);
        at.take(b'{')?;
        at.space();
        loop {
            let name = at.string()?;
            at.space();
            at.take(b':')?;
            at.space();
            let begin = at.at;
            let raw = at.value()?;
            let name = &name[1..name.len() - 1];
            members.key.set(&mapping.key, name, raw);
            members.time.set(&mapping.time, name, raw);
            between += begin - end;
            if between <= REMEMBERED {
                let place = |names: &[String]| names.iter().position(|known| known == name);
                let (key, time) = (place(&mapping.key), place(&mapping.time));
                remembered.push(Member { before: text[end..begin].to_owned(), key, time });
            }
            end = at.at;
            at.space();
            if at.next()? == b'}' {
                break;
            }
            at.take(b',')?;
            at.space();
        }
        at.take(b'}')?;
        if at.at < text.len() {
            return None;
        }
        if between <= REMEMBERED {
            self.members = remembered;
            self.tail = text[end..].to_owned();
        }
        Some(members)
    }
}

/// Whether there is a backslash or a control character anywhere: then strings need a closer look. Without branches, so
/// that the compiler takes many bytes at once.
fn is_special(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |special, byte| special | (*byte < 0x20) | (*byte == b'\\'))
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

    #[inline]
    fn take_all(&mut self, expected: &str) -> Option<()> {
        self.rest().starts_with(expected).then(|| self.at += expected.len())
    }

    #[inline]
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// A string with its quotes. There are no backslashes, so the next quote ends it.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.take(b'"')?;
        let bytes = self.text.as_bytes();
        while let Some(eight) = bytes.get(self.at..self.at + 8) {
            match first_quote(u64::from_le_bytes(eight.try_into().expect("there are eight"))) {
                Some(quote) => {
                    self.at += quote + 1;
                    return Some(&self.text[start..self.at]);
                }
                None => self.at += 8,
            }
        }
        self.at += bytes[self.at..].iter().position(|byte| *byte == b'"')? + 1;
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

/// Index of the first byte of eight that is a quote.
#[inline]
fn first_quote(eight: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Quotes: zero after the exclusive or, and only a zero byte borrows while its high bit is clear. A borrow may mark
    // bytes above a true one falsely, never below, and the first is what counts.
    let zeroed = eight ^ (ONES * u64::from(b'"'));
    let quotes = zeroed.wrapping_sub(ONES) & !zeroed & HIGHS;
    (quotes != 0).then(|| quotes.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_of_eight_is_found_wherever_it_stands() {
        for byte in 0..=255u8 {
            for at in 0..8 {
                for around in [b'a', 0x20, 0x21, 0x23, 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff] {
                    let mut eight = [around; 8];
                    eight[at] = byte;
                    let expected = eight.iter().position(|byte| *byte == b'"');
                    assert_eq!(first_quote(u64::from_le_bytes(eight)), expected, "{eight:?}");
                }
            }
        }
    }

    fn mapping() -> JsonMapping {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        JsonMapping { key: names(&["k", "k2"]), time: names(&["t"]), max_bytes: 100, max_key_bytes: 10 }
    }

    #[test]
    fn what_is_remembered_of_one_record_changes_no_other() {
        let texts = [
            r#"{"k":"v1","t":1760882400000,"u":"x"}"#,
            r#"{"k":"v2","t":1760882400001,"u":"longer than eight bytes"}"#,
            r#"{"k":"v2","t":1760882400001,"u":"x"} "#,
            r#"{"k":"v2","t":1760882400001,"u":"x""#,
            r#"{"k":"v3","t":null,"u":17}"#,
            r#"{"t":1760882400002,"k":"v4"}"#,
            r#"{"k":"v5","t":1,"k":"v6"}"#,
            r#"{"k":"v5","t":1,"k":null}"#,
            r#"{"k2":"v5","t":1,"k":null}"#,
            r#"{"k":"v5","t":1,"other":"v6"}"#,
            r#"{"k": "v7", "t": 2 }"#,
            r#"{"k": "v8", "t": 3}"#,
            r#"{"k":"a\n","t":1}"#,
            r#"{"k":"","t":1}"#,
            "{",
        ];
        let found = |plain: &mut Plain, text: &str| {
            let members = plain.members(text, &mapping())?;
            let texts = |names: &Names<'_>| names.iter().map(|raw| raw.map(str::to_owned)).collect::<Vec<_>>();
            Some((texts(&members.key), texts(&members.time)))
        };
        let mut plain = Plain::default();
        for before in texts {
            for text in texts {
                found(&mut plain, before);
                assert_eq!(found(&mut plain, text), found(&mut Plain::default(), text), "{text} after {before}");
            }
        }
    }

    #[test]
    fn ordinary_records_are_plain_and_the_rest_is_left_alone() {
        let mapping = mapping();
        let plain = |text: &str| Plain::default().members(text, &mapping).is_some();
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

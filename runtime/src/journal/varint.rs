//! Numbers of variable length (LEB128) and byte strings, written to a buffer and read back with every step checked.

/// Append a number, seven bits a byte, low bits first.
pub(super) fn put(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Append a signed number; small magnitudes stay short.
pub(super) fn put_signed(into: &mut Vec<u8>, number: i64) {
    put(into, ((number << 1) ^ (number >> 63)) as u64);
}

/// Append bytes after their length.
pub(super) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Reads what the functions above wrote. Errors are the "why" of a fault.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// Of the fifty million numbers of a large base most are below 128.
    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, String> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    #[cold]
    fn long_number(&mut self) -> Result<u64, String> {
        let mut number = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err("a number is cut short or too large".to_owned())
    }

    #[inline]
    pub(super) fn signed(&mut self) -> Result<i64, String> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number that must fit a narrower type.
    #[inline]
    pub(super) fn narrow<T: TryFrom<u64>>(&mut self, what: &str) -> Result<T, String> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| too_large(what, number))
    }

    /// A count of things that take at least a byte each of what is left, so that it may be allocated for.
    pub(super) fn count(&mut self, what: &str) -> Result<usize, String> {
        let count = self.number()?;
        if count > self.rest.len() as u64 {
            return Err(format!("{count} {what} cannot be in {} bytes", self.rest.len()));
        }
        Ok(count as usize)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// Bytes after their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.count("bytes")?;
        self.take(length)
    }

    /// Text after its length.
    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|error| error.to_string())
    }

    /// A part of its own, after its length.
    pub(super) fn column(&mut self) -> Result<Cursor<'a>, String> {
        Ok(Cursor::new(self.bytes()?))
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("{} bytes are left over", self.rest.len())) }
    }
}

#[cold]
fn too_large(what: &str, number: u64) -> String {
    format!("{what} {number} is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let signed = [0, 1, -1, 63, -64, i64::MAX, i64::MIN];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put(&mut bytes, *number));
        signed.iter().for_each(|number| put_signed(&mut bytes, *number));
        put_bytes(&mut bytes, b"text");
        let mut cursor = Cursor::new(&bytes);
        numbers.iter().for_each(|number| assert_eq!(cursor.number(), Ok(*number)));
        signed.iter().for_each(|number| assert_eq!(cursor.signed(), Ok(*number)));
        assert_eq!(cursor.text(), Ok("text"));
        assert_eq!(cursor.end(), Ok(()));
        assert!(cursor.number().is_err());
    }

    #[test]
    fn too_large_and_cut_numbers_are_errors() {
        assert!(Cursor::new(&[0xff; 10]).number().is_err());
        assert!(Cursor::new(&[0x80; 3]).number().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number().is_err());
        assert!(Cursor::new(&[200, 1, 0]).bytes().is_err());
    }
}

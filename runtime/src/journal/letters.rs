//! The binary section of an epoch's dead letters, with the bytes of every record as they came.

use super::varint::{Cursor, put, put_bytes, put_signed};
use std::sync::Arc;
use stream::{DeadCode, DeadLetter, Header};

pub(super) fn encode(letters: &[DeadLetter]) -> Vec<u8> {
    let mut into = Vec::new();
    put(&mut into, letters.len() as u64);
    for letter in letters {
        put_bytes(&mut into, letter.code.name().as_bytes());
        put_bytes(&mut into, letter.detail.as_bytes());
        put_bytes(&mut into, letter.partition.as_bytes());
        put_signed(&mut into, letter.offset);
        put_option(&mut into, letter.timestamp.as_ref(), |into, timestamp| put_signed(into, *timestamp));
        put_option(&mut into, letter.key.as_ref(), |into, key| put_bytes(into, key));
        put_option(&mut into, letter.value.as_ref(), |into, value| put_bytes(into, value));
        put(&mut into, letter.headers.len() as u64);
        for header in &letter.headers {
            put_bytes(&mut into, header.name.as_bytes());
            put_option(&mut into, header.value.as_ref(), |into, value| put_bytes(into, value));
        }
    }
    into
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<DeadLetter>, String> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count("dead letters")?;
    let letters = (0..count).map(|_| letter(&mut cursor)).collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok(letters)
}

fn letter(cursor: &mut Cursor<'_>) -> Result<DeadLetter, String> {
    let code = cursor.text()?;
    let code = DeadCode::ALL.into_iter().find(|known| known.name() == code);
    Ok(DeadLetter {
        code: code.ok_or("a dead letter has a code that this program does not know")?,
        detail: cursor.text()?.to_owned(),
        partition: Arc::from(cursor.text()?),
        offset: cursor.signed()?,
        timestamp: option(cursor, Cursor::signed)?,
        key: option(cursor, |cursor| cursor.bytes().map(<[u8]>::to_vec))?,
        value: option(cursor, |cursor| cursor.bytes().map(<[u8]>::to_vec))?,
        headers: (0..cursor.count("headers")?).map(|_| header(cursor)).collect::<Result<_, _>>()?,
    })
}

fn header(cursor: &mut Cursor<'_>) -> Result<Header, String> {
    Ok(Header { name: cursor.text()?.to_owned(), value: option(cursor, |cursor| cursor.bytes().map(<[u8]>::to_vec))? })
}

fn put_option<T>(into: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    into.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(into, value);
    }
}

fn option<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match cursor.byte()? {
        0 => Ok(None),
        1 => read(cursor).map(Some),
        other => Err(format!("{other} is neither absent (0) nor present (1)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::Random;

    fn letters() -> Vec<DeadLetter> {
        let letter = |code, timestamp, key: Option<&[u8]>, value: Option<&[u8]>, headers| DeadLetter {
            code,
            detail: "why, in a sentence".into(),
            partition: "plays-0".into(),
            offset: i64::MAX,
            timestamp,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers,
        };
        let header = |name: &str, value: Option<&[u8]>| Header { name: name.into(), value: value.map(<[u8]>::to_vec) };
        vec![
            letter(DeadCode::Null, None, None, None, vec![]),
            letter(DeadCode::Empty, Some(-1), Some(b""), Some(b""), vec![header("a", None), header("a", Some(b""))]),
            letter(DeadCode::NotUtf8, Some(0), Some(&[0, 255]), Some(&[255; 300]), vec![header("é", Some(&[1, 2]))]),
        ]
    }

    #[test]
    fn dead_letters_read_back() {
        assert_eq!(decode(&encode(&letters())), Ok(letters()));
        assert_eq!(decode(&encode(&[])), Ok(vec![]));
    }

    #[test]
    fn nothing_hostile_panics() {
        let honest = encode(&letters());
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let mut bytes = honest.clone();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256) as u8;
            if let Ok(letters) = decode(&bytes) {
                assert_eq!(decode(&encode(&letters)), Ok(letters));
            }
        }
        for length in 0..honest.len() {
            assert!(decode(&honest[..length]).is_err());
        }
    }
}

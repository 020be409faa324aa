//! A record's value as a JSON object with configurable member names. One pass over borrowed bytes: members are
//! looked at as raw text, and a plain key is never copied.
//!
//! The contract leaves open what a lone surrogate escape means outside the key. It is JSON by RFC 8259's grammar, so in
//! an ignored member, or in a member's name, it is ignored; in the time it is `time_invalid`.

mod plain;

use crate::instant;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use stream::{DeadCode, Decode, Event, EventTime, Rejection};

/// Brackets that may be open at once, as many as serde_json allows when it builds a value.
const MAX_DEPTH: usize = 127;

/// Which members mean what, and how much is too much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonMapping {
    /// Names of the key's member; the first that is present and not null decides.
    pub key: Vec<String>,
    /// Names of the time's member; likewise.
    pub time: Vec<String>,
    /// The longest value, in bytes.
    pub max_bytes: usize,
    /// The longest key, in bytes.
    pub max_key_bytes: usize,
}

/// Decodes JSON objects.
#[derive(Clone, Debug)]
pub struct JsonDecoder {
    mapping: JsonMapping,
    plain: plain::Plain,
}

impl JsonDecoder {
    /// A decoder for a mapping.
    pub fn new(mapping: JsonMapping) -> Self {
        JsonDecoder { mapping, plain: plain::Plain::default() }
    }

    fn key<'a>(&self, members: &Members<'a>) -> Result<Cow<'a, str>, Rejection> {
        let Some(raw) = members.key.iter().flatten().next().copied() else {
            return Err(rejection(DeadCode::KeyMissing, format!("no member {} that is not null", self.names(true))));
        };
        let invalid = |why: String| rejection(DeadCode::KeyInvalid, format!("the key {why}"));
        if !raw.starts_with('"') {
            return Err(invalid(format!("{} is not a string", excerpt(raw))));
        }
        let key = string(raw).map_err(|error| rejection(DeadCode::NotJson, format!("in the key: {error}")))?;
        let (length, most) = (key.len(), self.mapping.max_key_bytes);
        if length == 0 {
            return Err(invalid("is empty".to_owned()));
        }
        if length > most {
            return Err(invalid(format!("has {length} bytes, more than {most}")));
        }
        if key.as_bytes().contains(&0) {
            return Err(invalid("contains U+0000".to_owned()));
        }
        Ok(key)
    }

    fn names(&self, key: bool) -> String {
        let names = if key { &self.mapping.key } else { &self.mapping.time };
        names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
    }
}

impl Decode for JsonDecoder {
    fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Rejection> {
        let Some(value) = value else {
            return Err(rejection(DeadCode::Null, "the record has no value"));
        };
        if value.is_empty() {
            return Err(rejection(DeadCode::Empty, "the value has 0 bytes"));
        }
        if value.len() > self.mapping.max_bytes {
            let detail = format!("the value has {} bytes, more than {}", value.len(), self.mapping.max_bytes);
            return Err(rejection(DeadCode::Oversized, detail));
        }
        let text = std::str::from_utf8(value).map_err(|error| rejection(DeadCode::NotUtf8, error))?;
        let members = match self.plain.members(text, &self.mapping) {
            Some(members) => members,
            None => members(text, &self.mapping)?,
        };
        let key = self.key(&members)?;
        let time = match members.time.iter().flatten().next() {
            Some(raw) => Some(
                time(raw)
                    .map_err(|why| rejection(DeadCode::TimeInvalid, format!("the time {} {why}", excerpt(raw))))?,
            ),
            None => None,
        };
        Ok(Event { key, time, n: 1 })
    }
}

fn rejection(code: DeadCode, detail: impl fmt::Display) -> Rejection {
    Rejection { code, detail: detail.to_string() }
}

/// At most 40 characters of a member, for people.
fn excerpt(raw: &str) -> String {
    match raw.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &raw[..end]),
        None => raw.to_owned(),
    }
}

/// The raw text of a string without its escapes.
fn string(raw: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let inside = &raw[1..raw.len() - 1];
    if inside.as_bytes().contains(&b'\\') { serde_json::from_str(raw).map(Cow::Owned) } else { Ok(inside.into()) }
}

/// The instant behind the raw text of a member that is not null.
fn time(raw: &str) -> Result<EventTime, &'static str> {
    let millis = match raw.as_bytes()[0] {
        b'"' => instant::parse(&string(raw).map_err(|_| "has a lone surrogate escape")?)?,
        b'-' | b'0'..=b'9' => raw.parse().map_err(|_| match raw.contains(['.', 'e', 'E']) {
            true => "is not an integer",
            false => "is outside 1970 to 9999",
        })?,
        _ => return Err("is neither an integer nor a string"),
    };
    EventTime::valid(millis).ok_or("is outside 1970 to 9999")
}

/// Raw texts of the members that are looked at, by the index of their name; of repeated ones the last, null as none.
struct Members<'a> {
    key: Names<'a>,
    time: Names<'a>,
}

/// Raw text by the index of a name. Almost every mapping has at most four names.
enum Names<'a> {
    Few([Option<&'a str>; 4]),
    Many(Vec<Option<&'a str>>),
}

impl<'a> Names<'a> {
    fn new(names: &[String]) -> Self {
        if names.len() <= 4 { Names::Few([None; 4]) } else { Names::Many(vec![None; names.len()]) }
    }

    fn iter(&self) -> std::slice::Iter<'_, Option<&'a str>> {
        match self {
            Names::Few(texts) => texts.iter(),
            Names::Many(texts) => texts.iter(),
        }
    }

    /// Under the name of this index.
    #[inline]
    fn put(&mut self, index: usize, raw: &'a str) {
        let texts = match self {
            Names::Few(texts) => &mut texts[..],
            Names::Many(texts) => &mut texts[..],
        };
        texts[index] = (raw != "null").then_some(raw);
    }

    fn set(&mut self, names: &[String], name: &str, raw: &'a str) {
        for (index, _) in names.iter().enumerate().filter(|(_, known)| *known == name) {
            self.put(index, raw);
        }
    }
}

fn members<'a>(text: &'a str, mapping: &JsonMapping) -> Result<Members<'a>, Rejection> {
    let first = text.bytes().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    let not_json = |error: serde_json::Error| rejection(DeadCode::NotJson, error);
    let too_deep = || rejection(DeadCode::NotJson, format!("nested deeper than {MAX_DEPTH} levels"));
    if first != Some(b'{') {
        let raw = serde_json::from_str::<&RawValue>(text).map_err(not_json)?.get();
        if depth(raw) > MAX_DEPTH {
            return Err(too_deep());
        }
        return Err(rejection(DeadCode::NotObject, format!("{} is not an object", excerpt(raw))));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (members, deepest) = Object { mapping }.deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    if deepest + 1 > MAX_DEPTH { Err(too_deep()) } else { Ok(members) }
}

/// Reads one object: its members, and how deep they nest.
struct Object<'m> {
    mapping: &'m JsonMapping,
}

impl<'a> DeserializeSeed<'a> for Object<'_> {
    type Value = (Members<'a>, usize);

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object<'_> {
    type Value = (Members<'a>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members { key: Names::new(&self.mapping.key), time: Names::new(&self.mapping.time) };
        let mut deepest = 0;
        while let Some(name) = map.next_key::<&'a RawValue>()? {
            let raw = map.next_value::<&'a RawValue>()?.get();
            if raw.starts_with(['{', '[']) {
                deepest = deepest.max(depth(raw));
            }
            // A name with a lone surrogate is not a configured one.
            if let Ok(name) = string(name.get()) {
                members.key.set(&self.mapping.key, &name, raw);
                members.time.set(&self.mapping.time, &name, raw);
            }
        }
        Ok((members, deepest))
    }
}

/// How many brackets are open at once at most, in text known to be JSON. Counted here because skipping a value has no
/// limit of its own.
fn depth(raw: &str) -> usize {
    let (mut open, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !quoted => open -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;

//! Bytes of a journal object, format version 1. Every object of the chain and every base part looks like this:
//!
//! ```text
//! 8  magic "TOPKJRNL"        2  version, little endian (as all numbers)     1  kind     1  zero
//! 4  length of the header    4  number of sections       per section: 8 raw length, 8 stored length
//! header: JSON, not compressed          sections: each compressed by itself with zstd
//! 32 SHA-256 of everything before: the object's hash
//! ```
//!
//! The hash is checked before anything inside is believed, and still nothing inside can make a reader panic or
//! allocate more than the bytes justify.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::io::{self, Read};
use stream::{Fault, RecordHash};
use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::DCtx;

/// The journal format that this program writes, and the only one it reads.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"TOPKJRNL";
const FIXED: usize = 20;
const HASH: usize = 32;
const SECTIONS_MAX: u32 = 16;
/// No section is larger when unpacked: an epoch is bounded by its events, a base part by its key groups.
const SECTION_BYTES_MAX: u64 = 2 << 30;
/// Fast: the epoch waits for it.
const LEVEL: i32 = 1;

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Genesis,
    Fence,
    Epoch,
    Base,
    /// Not a record: keys and panes that a base record lists.
    Part,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Genesis, Kind::Fence, Kind::Epoch, Kind::Base, Kind::Part];

    fn code(self) -> u8 {
        self as u8 + 1
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Genesis => "genesis",
            Kind::Fence => "fence",
            Kind::Epoch => "epoch",
            Kind::Base => "base",
            Kind::Part => "part",
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Bytes ready to be stored, and their hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sealed {
    pub(super) bytes: Bytes,
    pub(super) hash: RecordHash,
}

/// Put an object together.
pub(super) fn seal(kind: Kind, header: &impl Serialize, sections: &[Vec<u8>]) -> Result<Sealed, Fault> {
    let wrong = |why: String| Fault::failed("cannot write a journal record", why, "report this as a bug");
    let header = serde_json::to_vec(header).map_err(|error| wrong(error.to_string()))?;
    let header_length = u32::try_from(header.len()).map_err(|_| wrong("its header is over 4 GiB".into()))?;
    assert!(sections.len() <= SECTIONS_MAX as usize, "at most {SECTIONS_MAX} sections");
    let mut packed = Vec::with_capacity(sections.len());
    for section in sections {
        if section.len() as u64 > SECTION_BYTES_MAX {
            return Err(wrong(format!("a section has {} bytes, over {SECTION_BYTES_MAX}", section.len())));
        }
        packed.push(compress(section).map_err(|error| wrong(error.to_string()))?);
    }
    let body: usize = packed.iter().map(|section| section.len() + 16).sum();
    let mut bytes = Vec::with_capacity(FIXED + header.len() + body + HASH);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[kind.code(), 0]);
    bytes.extend_from_slice(&header_length.to_le_bytes());
    bytes.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    for (raw, stored) in sections.iter().zip(&packed) {
        bytes.extend_from_slice(&(raw.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(stored.len() as u64).to_le_bytes());
    }
    bytes.extend_from_slice(&header);
    packed.iter().for_each(|section| bytes.extend_from_slice(section));
    let hash = hash(&bytes);
    bytes.extend_from_slice(&hash.0);
    Ok(Sealed { bytes: bytes.into(), hash })
}

/// An object whose hash has been checked, still compressed.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) hash: RecordHash,
    pub(super) length: u64,
    header: Bytes,
    sections: Vec<(u64, Bytes)>,
}

/// Take an object apart.
pub(super) fn open(name: &str, bytes: &Bytes) -> Result<Opened, Fault> {
    let wrong = |why: String| unreadable(name, why);
    let fixed = bytes.get(..FIXED).ok_or_else(|| wrong(format!("it has only {} bytes", bytes.len())))?;
    if &fixed[..8] != MAGIC {
        return Err(wrong("it does not begin as a journal object does".into()));
    }
    let version = u16::from_le_bytes([fixed[8], fixed[9]]);
    if version != FORMAT_VERSION {
        return Err(Fault::failed(
            format!("cannot read journal object {name}"),
            format!("it has format version {version}, and this program knows version {FORMAT_VERSION}"),
            "use the program that wrote it, or a newer one",
        ));
    }
    let end = bytes.len().checked_sub(HASH).filter(|end| *end >= FIXED);
    let end = end.ok_or_else(|| wrong("it is cut short".into()))?;
    let hash = hash(&bytes[..end]);
    if bytes[end..] != hash.0 {
        return Err(wrong("its SHA-256 does not fit: it is damaged or cut short".into()));
    }
    let kind = Kind::of_code(fixed[10]).ok_or_else(|| wrong(format!("it is of unknown kind {}", fixed[10])))?;
    let header_length = u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]) as usize;
    let count = u32::from_le_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    if count > SECTIONS_MAX {
        return Err(wrong(format!("it claims {count} sections")));
    }
    let inside = bytes.slice(FIXED..end);
    let mut at = 0usize;
    let mut take = |length: u64| {
        let length = usize::try_from(length).ok();
        let until = length.and_then(|length| at.checked_add(length)).filter(|until| *until <= inside.len());
        let until = until.ok_or_else(|| wrong("its lengths do not fit".into()))?;
        let taken = inside.slice(at..until);
        at = until;
        Ok::<Bytes, Fault>(taken)
    };
    let lengths = take(u64::from(count) * 16)?;
    let header = take(header_length as u64)?;
    let number = |at: usize| u64::from_le_bytes(lengths[at..at + 8].try_into().expect("8 bytes"));
    let sections = (0..count as usize)
        .map(|index| Ok((number(16 * index), take(number(16 * index + 8))?)))
        .collect::<Result<Vec<_>, Fault>>()?;
    if at != inside.len() {
        return Err(wrong("there is more in it than it says".into()));
    }
    Ok(Opened { name: name.to_owned(), kind, hash, length: bytes.len() as u64, header, sections })
}

impl Opened {
    /// The header's content.
    pub(super) fn header<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.header).map_err(|error| unreadable(&self.name, format!("header: {error}")))
    }

    /// A section that holds JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, index: usize) -> Result<T, Fault> {
        serde_json::from_slice(&self.section(index)?)
            .map_err(|error| unreadable(&self.name, format!("section {index}: {error}")))
    }

    /// A section, unpacked. Memory grows with what really comes out, not with what is claimed.
    pub(super) fn section(&self, index: usize) -> Result<Vec<u8>, Fault> {
        let wrong = |why: String| unreadable(&self.name, format!("section {index}: {why}"));
        let (raw, stored) = self.sections.get(index).ok_or_else(|| wrong("it is not there".into()))?;
        if *raw > SECTION_BYTES_MAX {
            return Err(wrong(format!("it claims {raw} bytes")));
        }
        let unpacked = decompress(stored, *raw).map_err(|error| wrong(error.to_string()))?;
        if unpacked.len() as u64 != *raw {
            return Err(wrong("its length does not fit".into()));
        }
        Ok(unpacked)
    }
}

thread_local! {
    // Made once for each thread: for a small section, to make one costs more than to use it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn compress(section: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Some(compressor) => compressor.compress(section),
        None => compressor.insert(Compressor::new(LEVEL)?).compress(section),
    })
}

/// At most one byte more than `raw`.
fn decompress(stored: &[u8], raw: u64) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|context| {
        let context = context.get_or_insert_with(DCtx::create);
        let mut unpacked = Vec::with_capacity(raw.min(stored.len() as u64 * 16) as usize);
        // It begins anew, wherever the section before ended.
        Decoder::with_context(stored, context).take(raw + 1).read_to_end(&mut unpacked)?;
        Ok(unpacked)
    })
}

/// SHA-256 of some bytes.
pub(super) fn hash(bytes: &[u8]) -> RecordHash {
    RecordHash(Sha256::digest(bytes).into())
}

/// The fault of an object that cannot be understood.
pub(super) fn unreadable(name: &str, why: impl std::fmt::Display) -> Fault {
    Fault::failed(
        format!("cannot read journal object {name}"),
        why,
        "restore the object from a copy of the state, or move the journal away and build it again from the tables (topk recover)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sample() -> Sealed {
        seal(Kind::Epoch, &json!({"a": 1}), &[b"some text, some text".to_vec(), Vec::new()]).unwrap()
    }

    #[test]
    fn an_object_reads_back() {
        let sealed = sample();
        let opened = open("x", &sealed.bytes).unwrap();
        assert_eq!((opened.kind, opened.hash), (Kind::Epoch, sealed.hash));
        assert_eq!(opened.header::<Value>().unwrap(), json!({"a": 1}));
        assert_eq!(opened.section(0).unwrap(), b"some text, some text");
        assert_eq!(opened.section(1).unwrap(), b"");
        assert!(opened.section(2).unwrap_err().what.contains("object x"));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_refused_by_name() {
        let bytes = sample().bytes;
        for at in 0..bytes.len() {
            for flip in [1u8, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= flip;
                assert!(open("commit/7", &damaged.into()).unwrap_err().what.contains("commit/7"), "byte {at}");
            }
            assert!(open("commit/7", &bytes.slice(..at)).unwrap_err().what.contains("commit/7"), "cut at {at}");
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut newer = sample().bytes.to_vec();
        newer[8] = 2;
        let fault = open("commit/7", &newer.into()).unwrap_err();
        assert!(fault.why.contains("format version 2"), "{fault}");
    }

    /// A fitting hash does not make lengths believable.
    #[test]
    fn lying_lengths_are_refused() {
        let honest = sample().bytes;
        for (at, value) in [(12, 0xffu8), (13, 1), (16, 0xff), (19, 0xff), (20, 0xff), (27, 0xff), (28, 1), (35, 0xff)]
        {
            let mut lying = honest[..honest.len() - HASH].to_vec();
            lying[at] = value;
            let seal = hash(&lying);
            lying.extend_from_slice(&seal.0);
            let outcome = open("x", &lying.into()).and_then(|opened| opened.section(0).map(|_| ()));
            assert!(outcome.is_err(), "byte {at}");
        }
    }
}

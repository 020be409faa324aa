//! Keys, one at a time and many in one allocation.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

/// What is counted by: 1 to `event.max_key_bytes` UTF-8 bytes, not normalised. Ordered bytewise. Up to 23 bytes lie inside,
/// so that comparing such a key reads no other memory; cloning never copies more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(SmolStr);

impl Key {
    /// A key of its own.
    #[inline]
    pub fn new(text: &str) -> Self {
        Key(SmolStr::new(text))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Many keys, end to end in one buffer: the shape in which keys travel and are stored. At most 4 GiB.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyArena {
    text: String,
    ends: Vec<u32>,
}

impl KeyArena {
    /// Keys that lie end to end in `text`, each up to its end; none if an end is within a character, goes back, or the last
    /// is not that of the text.
    pub fn cut(text: String, ends: Vec<u32>) -> Option<Self> {
        let is_whole = ends.last().map_or(0, |end| *end as usize) == text.len();
        let holds = is_whole && ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end as usize));
        holds.then_some(KeyArena { text, ends })
    }

    /// Append a key and return its index.
    pub fn push(&mut self, key: &str) -> u32 {
        self.text.push_str(key);
        self.ends.push(u32::try_from(self.text.len()).expect("an arena holds less than 4 GiB of keys"));
        (self.ends.len() - 1) as u32
    }

    /// The key at an index.
    pub fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All keys in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len() as u32).map(|index| self.get(index))
    }

    /// Bytes of all keys together.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Forget all keys, keep the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_gives_back_what_it_took() {
        let mut arena = KeyArena::default();
        let keys = ["a", "žluťoučký", "", "b"];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(arena.push(key), index as u32);
        }
        assert_eq!(arena.iter().collect::<Vec<_>>(), keys);
        assert_eq!(KeyArena::cut(arena.text.clone(), arena.ends.clone()), Some(arena));
    }

    #[test]
    fn text_is_cut_between_characters_alone() {
        let cut = |ends: &[u32]| KeyArena::cut("aé".to_owned(), ends.to_vec());
        assert!(cut(&[1, 3]).is_some() && cut(&[0, 3, 3]).is_some() && KeyArena::cut(String::new(), vec![]).is_some());
        assert_eq!([cut(&[2, 3]), cut(&[3, 1, 3]), cut(&[1]), cut(&[]), cut(&[4])], [const { None }; 5]);
    }
}

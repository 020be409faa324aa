//! A small deterministic mutator: one seed, the same inputs everywhere.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The seed reproduces everything.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound that is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).expect("below a usize")
    }
}

/// Makes inputs out of honest ones.
pub struct Mutator {
    random: Random,
    corpus: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

/// Inputs grow to about this many bytes.
const LONGEST: usize = 80_000;
/// Numbers at the edges of their types.
const EDGES: [&str; 12] = [
    "0",
    "-1",
    "127",
    "256",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "1e400",
    "253402300800000",
];

impl Mutator {
    /// One seed, one sequence of inputs.
    ///
    /// # Panics
    /// The corpus is empty.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        assert!(!corpus.is_empty(), "there is something honest to begin with");
        Mutator { random: Random::new(seed), corpus, words }
    }

    /// The next input: an honest one with a few changes, now and then none.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.honest();
        for _ in 0..self.random.below(5) {
            self.change(&mut input);
        }
        input
    }

    fn honest(&mut self) -> Vec<u8> {
        let index = self.random.below(self.corpus.len());
        self.corpus[index].clone()
    }

    fn word(&mut self) -> Vec<u8> {
        if self.words.is_empty() || self.random.below(4) == 0 {
            return EDGES[self.random.below(EDGES.len())].into();
        }
        self.words[self.random.below(self.words.len())].into()
    }

    /// A part of the input, often a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.random.below(length + 1);
        let most = if self.random.below(3) == 0 { length - start } else { (length - start).min(8) };
        start..start + self.random.below(most + 1)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let length = input.len();
        let range = self.range(length);
        match self.random.below(11) {
            0 if length > 0 => input[range.start.min(length - 1)] ^= 1 << self.random.below(8),
            1 if length > 0 => input[range.start.min(length - 1)] = self.random.number() as u8,
            2 => drop(input.drain(range)),
            3 if length < LONGEST => {
                let copy = input[range.clone()].to_vec();
                drop(input.splice(range.end..range.end, copy));
            }
            4 if length < LONGEST => drop(input.splice(range.start..range.start, self.word())),
            5 => drop(input.splice(range, self.word())),
            6 => {
                let other = self.honest();
                let tail = self.random.below(other.len() + 1);
                input.truncate(range.start);
                input.extend(&other[tail..]);
            }
            7 => input.truncate(range.start),
            8 if length < LONGEST => {
                let times = 1 << self.random.below(12);
                let many = self.word().repeat(times);
                drop(input.splice(range.start..range.start, many.into_iter().take(LONGEST)));
            }
            9 => {
                // A number becomes one at the edge.
                let Some(start) = input[range.start..].iter().position(u8::is_ascii_digit) else { return };
                let start = range.start + start;
                let end =
                    input[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(length, |end| start + end);
                drop(input.splice(start..end, EDGES[self.random.below(EDGES.len())].bytes()));
            }
            _ if length >= 8 => {
                // A length, as binary formats have it.
                let at = range.start.min(length - 8);
                let number = self.random.number() >> self.random.below(64);
                input[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            _ => input.extend(self.word()),
        }
    }
}

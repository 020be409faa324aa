//! Randomness that a seed reproduces, on every machine and in every version: splitmix64 (Steele, Lea, Flood 2014).

/// A stream of numbers that is a pure function of a seed and an index.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The stream of one index under a seed; the streams of neighbours are unrelated.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        Random { state: mix(seed ^ mix(index)) }
    }

    /// The next number, uniform over all.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform over `0..bound`, with a bias below 2^-32 for every bound in use here; `bound` is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform over [0, 1), in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finaliser of splitmix64: a bijection that leaves no bit where it was.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation from state 1234567 (prng.di.unimi.it/splitmix64.c).
    #[test]
    fn is_splitmix64() {
        let mut random = Random { state: 1_234_567 };
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn stays_within_bounds() {
        let mut random = Random::of(1, 2);
        for bound in 1..1000 {
            assert!(random.below(bound) < bound);
            assert!((0.0..1.0).contains(&random.unit()));
        }
        assert_ne!(Random::of(1, 0).next(), Random::of(0, 1).next());
    }
}

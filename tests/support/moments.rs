//! Random moments from a seed, which is printed: `TOPK_TEST_SEED=…` repeats a run.

/// A stream of numbers that a seed decides.
#[derive(Clone, Debug)]
pub struct Moments(u64);

impl Moments {
    /// From the seed of the environment, or the usual one.
    ///
    /// # Panics
    /// `TOPK_TEST_SEED` is no number.
    pub fn new(what: &str) -> Self {
        let seed =
            std::env::var("TOPK_TEST_SEED").map_or(20251031, |seed| seed.parse().expect("TOPK_TEST_SEED is a number"));
        println!("{what}: TOPK_TEST_SEED={seed}");
        Moments(seed)
    }

    /// From this seed.
    pub fn of(seed: u64) -> Self {
        Moments(seed)
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Whether something happens that does so in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A number below `bound`, by SplitMix64.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

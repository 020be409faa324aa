//! Random moments from a seed, which is printed: `TOPK_TEST_SEED=…` repeats a run.

pub(super) struct Moments(u64);

impl Moments {
    pub(super) fn new(what: &str) -> Self {
        let seed =
            std::env::var("TOPK_TEST_SEED").map_or(20251031, |seed| seed.parse().expect("TOPK_TEST_SEED is a number"));
        println!("{what}: TOPK_TEST_SEED={seed}");
        Moments(seed)
    }

    /// A number below `bound`, by SplitMix64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

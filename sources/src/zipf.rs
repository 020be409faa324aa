//! Zipf's law over any number of ranks without a table: rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-
//! inversion to generate variates from monotone discrete distributions", 1996), as in Apache Commons RNG.

use crate::seed::Random;

/// Draws a rank from 1 to `ranks`, rank r with weight r^-exponent.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    ranks: f64,
    exponent: f64,
    integral_of_first: f64,
    integral_of_last: f64,
    shortcut: f64,
}

impl Zipf {
    /// `exponent` 0 is uniform; the web's is near 1.
    pub(crate) fn new(ranks: u64, exponent: f64) -> Self {
        assert!(ranks > 0 && exponent >= 0.0, "Zipf needs a rank and an exponent that is not negative");
        let mut zipf =
            Zipf { ranks: ranks as f64, exponent, integral_of_first: 0.0, integral_of_last: 0.0, shortcut: 0.0 };
        zipf.integral_of_first = zipf.integral(1.5) - 1.0;
        zipf.integral_of_last = zipf.integral(zipf.ranks + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let at = self.integral_of_last + random.unit() * (self.integral_of_first - self.integral_of_last);
            let exact = self.inverse(at);
            let rank = (exact + 0.5).floor().clamp(1.0, self.ranks);
            if rank - exact <= self.shortcut || at >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u64;
            }
        }
    }

    fn weight(&self, rank: f64) -> f64 {
        (-self.exponent * rank.ln()).exp()
    }

    /// The integral of the weight, up to a constant that makes it continuous at exponent 1.
    fn integral(&self, rank: f64) -> f64 {
        let log = rank.ln();
        let scaled = (1.0 - self.exponent) * log;
        let ratio = if scaled.abs() > 1e-8 { scaled.exp_m1() / scaled } else { 1.0 + scaled / 2.0 };
        ratio * log
    }

    fn inverse(&self, integral: f64) -> f64 {
        let scaled = (integral * (1.0 - self.exponent)).max(-1.0);
        let ratio = if scaled.abs() > 1e-8 { scaled.ln_1p() / scaled } else { 1.0 - scaled / 2.0 };
        (ratio * integral).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_law() {
        for exponent in [0.0, 0.7, 1.0, 1.3] {
            let (ranks, draws) = (50u64, 400_000u64);
            let zipf = Zipf::new(ranks, exponent);
            let mut random = Random::of(11, 0);
            let mut seen = vec![0u64; ranks as usize + 1];
            (0..draws).for_each(|_| seen[zipf.draw(&mut random) as usize] += 1);
            let whole: f64 = (1..=ranks).map(|rank| (rank as f64).powf(-exponent)).sum();
            for rank in 1..=ranks {
                let expected = (rank as f64).powf(-exponent) / whole * draws as f64;
                let off = (seen[rank as usize] as f64 - expected).abs();
                assert!(off < 5.0 * expected.sqrt(), "exponent {exponent}, rank {rank}: {off} off {expected}");
            }
        }
    }

    #[test]
    fn one_rank_is_always_drawn() {
        let zipf = Zipf::new(1, 1.0);
        let mut random = Random::of(1, 1);
        assert!((0..1000).all(|_| zipf.draw(&mut random) == 1));
    }
}

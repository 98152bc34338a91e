//! Chance for drawing plans: one stream per label.
//!
//! A draw never comes from a stream that another draw uses too, so that a new setting, or one more
//! draw for an old one, leaves everything else a seed decides as it was.

use std::time::Duration;

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::scenario::span::Span;
use crate::fingerprint::fold;

/// The streams of one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice {
    seed: u64,
}

impl Dice {
    /// Those of `seed`.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The streams of one of several that are alike, such as members.
    #[must_use]
    pub(super) fn of(self, number: u32) -> Self {
        let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { seed: self.seed ^ mixed }
    }

    /// The stream called `label`, from its beginning.
    #[must_use]
    pub(super) fn stream(self, label: &str) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(fold(label.as_bytes()));
        rng
    }

    /// One number of `span`, from the stream `label`.
    #[must_use]
    pub(super) fn pick(self, label: &str, span: Span) -> i64 {
        pick(span, &mut self.stream(label))
    }

    /// True in `percent` of a hundred seeds.
    #[must_use]
    pub(super) fn chance(self, label: &str, percent: i64) -> bool {
        self.stream(label).random_range(0..100) < percent
    }
}

/// One number of `span`.
pub(super) fn pick(span: Span, rng: &mut ChaCha8Rng) -> i64 {
    match span {
        Span::One(value) => value,
        Span::Range(least, most) => rng.random_range(least..=most),
        Span::LogUniform(least, most) => {
            let (low, high) = ((least as f64).ln(), (most as f64).ln());
            let drawn = (low + (high - low) * rng.random::<f64>()).exp().round() as i64;
            drawn.clamp(least, most)
        }
    }
}

/// One number of `span` that is not negative.
pub(super) fn pick_u64(span: Span, rng: &mut ChaCha8Rng) -> u64 {
    u64::try_from(pick(span, rng)).unwrap_or(0)
}

/// One number of `span` that is small and not negative.
pub(super) fn pick_u32(span: Span, rng: &mut ChaCha8Rng) -> u32 {
    u32::try_from(pick(span, rng).max(0)).unwrap_or(u32::MAX)
}

/// A time of so many milliseconds.
pub(super) fn pick_millis(span: Span, rng: &mut ChaCha8Rng) -> Duration {
    Duration::from_millis(pick_u64(span, rng))
}

/// One of `choices`, each as likely as its weight.
pub(super) fn choose<T: Copy>(choices: &[(T, u64)], rng: &mut ChaCha8Rng) -> Option<T> {
    choices.choose_weighted(rng, |(_, weight)| *weight).ok().map(|(choice, _)| *choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_its_own_numbers_and_a_seed_repeats_them() {
        let span = Span::Range(0, i64::MAX - 1);
        let drawn = Dice::new(7).pick("a", span);
        assert_eq!(drawn, Dice::new(7).pick("a", span));
        assert_ne!(drawn, Dice::new(7).pick("b", span));
        assert_ne!(drawn, Dice::new(8).pick("a", span));
    }

    #[test]
    fn log_uniform_draws_small_numbers_as_often_as_large_ones() {
        let drawn: Vec<i64> = (0..2000)
            .map(|seed| Dice::new(seed).pick("x", Span::LogUniform(1, 1_000_000)))
            .collect();
        assert!(drawn.iter().all(|value| (1..=1_000_000).contains(value)));
        let small = drawn.iter().filter(|value| **value < 1000).count();
        assert!((900..1100).contains(&small), "{small}");
    }
}

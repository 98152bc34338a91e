//! Values nobody else writes, and keys of which some are more popular than others.

use rand::{Rng, RngExt};

/// Makes values that no other client of the run writes: a checker tells from a value who wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    client: u32,
    written: u64,
    bytes_max: u64,
}

impl Values {
    /// For `client`; padding is at most `bytes_max` long.
    #[must_use]
    pub(crate) fn new(client: u32, bytes_max: u64) -> Self {
        Self { client, written: 0, bytes_max }
    }

    /// A new value without padding; a suffix may follow.
    pub(crate) fn tag(&mut self) -> String {
        self.written += 1;
        format!("{}.{}.", self.client, self.written)
    }

    /// A new value of some length.
    pub(crate) fn fresh(&mut self, rng: &mut impl Rng) -> String {
        let len = rng.random_range(0..=self.bytes_max);
        self.of_len(len)
    }

    /// A new value with `len` bytes of padding.
    pub(crate) fn of_len(&mut self, len: u64) -> String {
        let mut value = self.tag();
        value.extend(std::iter::repeat_n('v', usize::try_from(len).unwrap_or(0)));
        value
    }
}

/// Chooses among numbered keys by a Zipf distribution.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: &'static str,
    /// Sums of the weights up to each key.
    sums: Vec<f64>,
}

impl Keys {
    /// `count` keys (at least one) under `prefix`; `skew_percent` is the exponent of the
    /// distribution in hundredths, 0: all alike.
    #[must_use]
    pub(crate) fn new(prefix: &'static str, count: u64, skew_percent: u32) -> Self {
        let exponent = f64::from(skew_percent) / 100.0;
        let mut sum = 0.0;
        let weigh = |rank: u64| {
            sum += (rank as f64).powf(-exponent);
            sum
        };
        Self { prefix, sums: (1..=count.max(1)).map(weigh).collect() }
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.sums.len()
    }

    /// The key with this number.
    #[must_use]
    pub(crate) fn named(&self, number: usize) -> String {
        format!("{}{number:03}", self.prefix)
    }

    /// Their prefix.
    #[must_use]
    pub(crate) fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// One of them.
    pub(crate) fn pick(&self, rng: &mut impl Rng) -> String {
        let number = self.pick_number(rng);
        self.named(number)
    }

    /// One of them, by number.
    pub(crate) fn pick_number(&self, rng: &mut impl Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(1.0);
        let point = rng.random_range(0.0..total);
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len() - 1)
    }
}

/// The end of the range of all keys with a prefix of ours, which never ends in 0x7f.
#[must_use]
pub(crate) fn prefix_end(prefix: &str) -> String {
    let mut end: Vec<char> = prefix.chars().collect();
    let Some(last) = end.pop() else { return "\0".to_owned() };
    end.push(char::from_u32(u32::from(last) + 1).unwrap_or(char::MAX));
    end.into_iter().collect()
}

/// Picks a number by weight.
///
/// # Panics
/// If all weights are zero.
pub(crate) fn pick_weighted(weights: &[u32], rng: &mut impl Rng) -> usize {
    let total: u32 = weights.iter().sum();
    assert!(total > 0, "one of {weights:?} must have weight");
    let mut point = rng.random_range(0..total);
    for (place, weight) in weights.iter().enumerate() {
        if point < *weight {
            return place;
        }
        point -= weight;
    }
    unreachable!("the point lies below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn no_value_comes_twice_whoever_makes_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen = BTreeSet::new();
        for client in [1, 11] {
            let mut values = Values::new(client, 3);
            for _ in 0..100 {
                assert!(seen.insert(values.fresh(&mut rng)));
            }
        }
    }

    #[test]
    fn skew_makes_the_first_keys_popular_and_none_impossible() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut count = |skew: u32| {
            let keys = Keys::new("k/", 5, skew);
            let mut counts = [0; 5];
            for _ in 0..2000 {
                counts[keys.pick_number(&mut rng)] += 1;
            }
            counts
        };
        let even = count(0);
        assert!(even.iter().all(|times| (300..500).contains(times)), "{even:?}");
        let skewed = count(120);
        assert!(skewed.is_sorted_by(|a, b| a >= b) && skewed[0] > 800 && skewed[4] > 50);
    }

    #[test]
    fn weights_of_zero_are_never_picked() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        assert!((0..200).all(|_| pick_weighted(&[0, 3, 0, 1], &mut rng) % 2 == 1));
    }

    #[test]
    fn a_prefix_ends_where_its_last_letter_would_be_the_next() {
        assert_eq!(prefix_end("k/"), "k0");
        assert_eq!(prefix_end(""), "\0");
    }
}

//! One way of one link: how long segments take from one machine to another, and which are lost.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{HostId, Latency, Link};

/// No way loses more: something gets through in the end.
const LOSS_MAX: f64 = 0.9;

/// A way, with a stream of its own: traffic elsewhere moves nothing here.
#[derive(Debug)]
pub(super) struct Way {
    latency: Latency,
    loss: f64,
    rng: ChaCha8Rng,
}

impl Way {
    /// The way `from` one machine `to` another, as `link` says or up to `unevenness` times as bad.
    pub(super) fn new(
        link: &Link,
        unevenness: u32,
        rng: &ChaCha8Rng,
        (from, to): (HostId, HostId),
    ) -> Self {
        let mut rng = ChaCha8Rng::from_seed(rng.get_seed());
        // Addresses are small numbers: no two ways share a stream.
        rng.set_stream(from << 32 ^ to);
        let most = f64::from(unevenness);
        let latency = link.latency.times(rng.random_range(1.0..=most));
        let loss = (link.loss * rng.random_range(1.0..=most)).min(LOSS_MAX);
        Self { latency, loss, rng }
    }

    /// The time a segment takes, and whether it is lost on the way.
    pub(super) fn sample(&mut self) -> (Duration, bool) {
        let delay = self.latency.draw(&mut self.rng);
        (delay, self.loss > 0.0 && self.rng.random_bool(self.loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: HostId, to: HostId, unevenness: u32) -> Way {
        let link = Link { loss: 0.1, ..Link::default() };
        Way::new(&link, unevenness, &ChaCha8Rng::seed_from_u64(1), (from, to))
    }

    #[test]
    fn each_way_of_an_uneven_network_has_times_and_losses_of_its_own() {
        let even = [way(1, 2, 1), way(2, 1, 1)].map(|way| (way.latency, way.loss));
        assert_eq!(even[0], even[1]);
        assert_eq!(even[0], (Link::default().latency, 0.1));
        let [there, back] = [way(1, 2, 4), way(2, 1, 4)];
        assert_ne!(there.latency, back.latency);
        let usual = Link::default().latency.usual;
        for way in [&there, &back] {
            let factor = way.latency.usual.end.div_duration_f64(usual.end);
            assert!((1.0..=4.0).contains(&factor) && (0.1..=0.4).contains(&way.loss));
        }
        let draws = |mut way: Way| [(); 5].map(|()| way.sample());
        assert_eq!(draws(way(1, 2, 4)), draws(there), "a stream of its own");
    }
}

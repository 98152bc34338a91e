//! Chance: independent streams, one per use.
//!
//! Each caller forks a stream under its own label, so that drawing more in one place never shifts
//! the numbers of another. In production the root is the operating system's entropy; in
//! simulation it is the node's, so the same seed draws the same numbers. Core crates draw nothing:
//! what they need from here travels in the log entry.

use rand_chacha::rand_core::SeedableRng;
pub use rand_chacha::{ChaCha8Rng, rand_core};

use crate::imp;

/// A generator of its own for `label`. Two calls with one label give two different streams.
#[must_use]
pub fn fork(label: &'static str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::from_seed(imp::seed(label));
    rng.set_stream(hash(label));
    rng
}

/// One number, for whoever needs only one.
#[must_use]
pub fn u64() -> u64 {
    imp::draw()
}

/// FNV-1a, 64 bit: any hash that never changes would do.
pub(crate) fn hash(label: &str) -> u64 {
    label.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

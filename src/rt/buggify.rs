//! Points where the simulator may make life harder.
//!
//! `if buggify::point("wal.slow_sync") { … }` is constant `false` in production, so the branch is
//! compiled away. In simulation the run's seed decides which points are armed and how often they
//! fire. Bugs on purpose are not here but in `src/planted`.

use crate::imp;

/// Should the rare thing called `name` happen now?
#[inline(always)]
#[must_use]
pub fn point(name: &'static str) -> bool {
    imp::buggify(name)
}

//! Since when somebody has been waited for.

use std::time::Duration;

use parking_lot::Mutex;
use reseed_rt::clock::{self, Instant};

/// Since when the oldest thing has been waited for that has not come.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// From now on something is waited for, if nothing was.
    pub(super) fn begin(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    /// It has come.
    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    /// Returns once something has been waited for during `max`. One timer for all: it looks again
    /// when the oldest it knew of would have been waited for so long.
    pub(super) async fn for_longer_than(&self, max: Duration) {
        loop {
            let since = *self.0.lock();
            let left = since.map_or(max, |since| max.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return;
            }
            clock::sleep(left).await;
        }
    }
}

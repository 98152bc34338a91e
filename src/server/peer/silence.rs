//! Since when somebody has been waited for.

use std::sync::atomic::{AtomicU64, Ordering};
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

    /// Something has come, and more is waited for.
    pub(super) fn restart(&self) {
        *self.0.lock() = Some(Instant::now());
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

/// The batches of a stream that the other side has not said that it took.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    sent: AtomicU64,
    since: Silence,
}

impl Unanswered {
    /// One more is on its way, or waits for the connection to take it.
    pub(super) fn send(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.since.begin();
    }

    /// The other side has taken so many.
    pub(super) fn taken(&self, batches: u64) {
        if batches < self.sent.load(Ordering::Relaxed) {
            self.since.restart();
        } else {
            self.since.end();
        }
    }

    /// Returns once the other side has said nothing for `max` though it had reason to.
    pub(super) async fn for_longer_than(&self, max: Duration) {
        self.since.for_longer_than(max).await;
    }
}

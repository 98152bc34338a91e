//! When to tell idle watchers how far they are.
//!
//! One agenda for all streams. Each stream has its own rhythm with a tenth of jitter, so that ten
//! thousand watchers that came back together are not all told at the same moment.

use std::collections::BTreeSet;
use std::time::Duration;

use reseed_rt::clock::Instant;
use reseed_rt::rng::{self, ChaCha8Rng, rand_core::Rng as _};

use super::feed::StreamId;

/// Notifications come no closer than this; etcd: `minWatchProgressInterval`.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The streams with watchers that want to be told, by when.
#[derive(Debug)]
pub(crate) struct Agenda {
    due: BTreeSet<(Instant, StreamId)>,
    interval: Duration,
    rng: ChaCha8Rng,
}

impl Agenda {
    /// An empty agenda.
    pub(crate) fn new(interval: Duration) -> Self {
        let interval = interval.max(INTERVAL_MIN);
        Self { due: BTreeSet::new(), interval, rng: rng::fork("watch-progress") }
    }

    /// Puts a stream on the agenda; the caller keeps the time to take it off again.
    pub(crate) fn add(&mut self, stream: StreamId, now: Instant) -> Instant {
        let tenth_millis = u64::try_from(self.interval.as_millis() / 10).unwrap_or(u64::MAX);
        let jitter = Duration::from_millis(self.rng.next_u64() % tenth_millis.max(1));
        let at = now + self.interval + jitter;
        self.due.insert((at, stream));
        at
    }

    /// Takes a stream off the agenda.
    pub(crate) fn remove(&mut self, stream: StreamId, at: Instant) {
        self.due.remove(&(at, stream));
    }

    /// Takes off one stream whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<StreamId> {
        let first = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&first);
        Some(first.1)
    }

    /// When there will next be somebody to tell.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

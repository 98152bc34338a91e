//! How a member stops because it must: a failed fsync, a broken invariant, a damaged backend.
//!
//! The first reason wins and is what the operator reads; everybody else only sees the stop token.
//! Nothing is answered after a halt: a caller left without an answer knows that it knows nothing.

use parking_lot::Mutex;
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;

/// Stops the whole member and keeps why.
#[derive(Clone, Debug)]
pub(crate) struct Halt {
    stop: Stop,
    reason: std::sync::Arc<Mutex<Option<Halted>>>,
}

/// Why a member stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Halted {
    /// For operators.
    pub reason: String,
    /// It was removed from the cluster, and nothing is broken.
    pub has_left: bool,
}

impl Halt {
    pub(crate) fn new(stop: Stop) -> Self {
        Self { stop, reason: std::sync::Arc::default() }
    }

    /// Stops the member because of `reason`.
    pub(crate) fn halt(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::error!(%reason, "the member stops: it could no longer keep its promises");
        probe::hit(Probe::Halted);
        self.reason.lock().get_or_insert(Halted { reason, has_left: false });
        self.stop.cancel();
    }

    /// Stops the member because it has no place any more; nothing is broken.
    pub(crate) fn leave(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::warn!(%reason, "the member leaves");
        self.reason.lock().get_or_insert(Halted { reason, has_left: true });
        self.stop.cancel();
    }

    /// Why the member halted, if it did.
    pub(crate) fn reason(&self) -> Option<Halted> {
        self.reason.lock().clone()
    }
}

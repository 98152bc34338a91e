//! How a member stops because it must: a failed fsync, a broken invariant, a damaged backend.
//!
//! The first reason wins and is what the operator reads; everybody else only sees the stop token.
//! Nothing is answered after a halt: a caller left without an answer knows that it knows nothing.
//! A member that is merely outvoted goes on until whoever runs it stops it.

use parking_lot::Mutex;
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;

/// Stops the whole member and keeps why.
#[derive(Clone, Debug)]
pub(crate) struct Halt {
    stop: Stop,
    /// Cancelled when there is a reason.
    told: Stop,
    reason: std::sync::Arc<Mutex<Option<Halted>>>,
}

/// Why a member stopped by itself, or wants to be stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Halted {
    /// For operators.
    pub reason: String,
    /// What kind of reason it is.
    pub cause: Cause,
}

/// What is to be done about a member that stopped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It could no longer keep its promises: somebody must look why.
    Broken,
    /// It was removed from the cluster, and nothing is broken.
    Removed,
    /// A majority of the members holds something else than it does. It still runs; stopped and
    /// started again it begins anew with their data.
    Outvoted,
}

impl Halt {
    pub(crate) fn new(stop: Stop) -> Self {
        Self { stop, told: Stop::new(), reason: std::sync::Arc::default() }
    }

    /// Stops the member because of `reason`.
    pub(crate) fn halt(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::error!(%reason, "the member stops: it could no longer keep its promises");
        probe::hit(Probe::Halted);
        self.tell(reason, Cause::Broken);
        self.stop.cancel();
    }

    /// Stops the member because it has no place any more; nothing is broken.
    pub(crate) fn leave(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::warn!(%reason, "the member leaves");
        self.tell(reason, Cause::Removed);
        self.stop.cancel();
    }

    /// Asks whoever runs the member to start it again, so that it begins anew.
    pub(crate) fn begin_anew(&self) {
        let reason = "a majority of the members holds something else than this one".to_owned();
        tracing::error!(%reason, "the member is to begin anew with the others' data");
        probe::hit(Probe::Outvoted);
        self.tell(reason, Cause::Outvoted);
    }

    fn tell(&self, reason: String, cause: Cause) {
        let mut first = self.reason.lock();
        // Whoever is only outvoted runs on, and may break.
        if first.as_ref().is_none_or(|first| first.cause == Cause::Outvoted) {
            *first = Some(Halted { reason, cause });
        }
        drop(first);
        self.told.cancel();
    }

    /// Why the member halted, if it did.
    pub(crate) fn reason(&self) -> Option<Halted> {
        self.reason.lock().clone()
    }

    /// Returns when there is a reason.
    pub(crate) async fn told(&self) {
        self.told.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts_but_for_one_to_begin_anew() {
        let stop = Stop::new();
        let halt = Halt::new(stop.clone());
        let cause = || halt.reason().map(|halted| halted.cause);
        assert_eq!(cause(), None);
        halt.begin_anew();
        halt.told().await;
        assert_eq!((cause(), stop.is_cancelled()), (Some(Cause::Outvoted), false));
        halt.halt("a sync failed");
        assert_eq!((cause(), stop.is_cancelled()), (Some(Cause::Broken), true));
        halt.leave("removed");
        halt.begin_anew();
        assert_eq!(cause(), Some(Cause::Broken));
    }
}

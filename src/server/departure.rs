//! A member that was removed says so and stops.
//!
//! It learns of it from its own log, or from peers that refuse it: a removed member is not sent
//! the end of the log any more.

use std::sync::Arc;
use std::time::Duration;

use reseed_rt::clock;
use reseed_rt::task::Stop;
use tokio::sync::Notify;

use crate::halt::Halt;

/// What a removed member says, and what its peers tell it; etcd's words.
pub(crate) const REMOVED: &str = "the member has been permanently removed from the cluster";

/// Tells the member to leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departure {
    now: Arc<Notify>,
    later: Arc<Notify>,
}

impl Departure {
    /// Peers refuse this member: nothing is left to do.
    pub(crate) fn begin(&self) {
        self.now.notify_one();
    }

    /// This member has applied its own removal.
    pub(crate) fn begin_later(&self) {
        self.later.notify_one();
    }

    /// Waits for the removal and stops the member, `delay` after it was applied.
    pub(crate) async fn run(self, halt: Halt, delay: Duration, stop: Stop) {
        let removed = async {
            tokio::select! {
                biased;
                () = self.now.notified() => {}
                () = self.later.notified() => clock::sleep(delay).await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = removed => {
                halt.leave(format_args!(
                    "{REMOVED}; the data-dir used by this member must be removed"
                ));
            }
        }
    }
}

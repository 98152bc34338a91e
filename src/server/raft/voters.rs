//! Raft's configuration on its way from apply, which knows the members, to the driver.

use parking_lot::Mutex;
use raft::eraftpb::ConfState;
use tokio::sync::Notify;

/// Raft's configuration as of the last applied change, on its way to the driver.
#[derive(Debug, Default)]
pub(crate) struct Voters {
    wanted: Mutex<Option<ConfState>>,
    changed: Notify,
}

impl Voters {
    /// The configuration has changed.
    pub(crate) fn set(&self, wanted: ConfState) {
        *self.wanted.lock() = Some(wanted);
        self.changed.notify_one();
    }

    /// The configuration, if it has changed since it was taken last.
    pub(crate) fn take(&self) -> Option<ConfState> {
        self.wanted.lock().take()
    }

    /// Returns after a change. Cancel-safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

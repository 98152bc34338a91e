//! What follows from the members: raft's configuration, routes, who is refused, who only learns.

use std::sync::Arc;

use parking_lot::Mutex;
use raft::eraftpb::ConfState;
use reseed_core::id::MemberId;
use tokio::sync::Notify;

use super::{Departure, conf_state};
use crate::peer::Peers;
use crate::state::State;

/// Raft's configuration as of the last applied change, on its way to the driver.
#[derive(Debug, Default)]
pub(crate) struct Voters {
    wanted: Mutex<Option<ConfState>>,
    changed: Notify,
}

impl Voters {
    fn set(&self, wanted: ConfState) {
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

/// Carries the members to whoever follows them.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    pub(crate) state: Arc<State>,
    pub(crate) peers: Peers,
    pub(crate) voters: Arc<Voters>,
    pub(crate) departure: Departure,
}

impl Roster {
    /// The members have changed. Called before the change counts as applied, so that nobody who
    /// sees it applied meets a part of this member that does not know it.
    pub(crate) fn refresh(&self) {
        let me = MemberId(self.state.member_id);
        let machine = self.state.machine.read();
        let members = &machine.members;
        self.peers.follow(members);
        let learns = members.get(me).is_some_and(|member| member.is_learner);
        self.state.progress.set_learner(learns);
        self.voters.set(conf_state(members));
        if members.is_removed(me) {
            // Not at once: the others must hear that this change is committed.
            self.departure.begin_later();
        }
    }
}

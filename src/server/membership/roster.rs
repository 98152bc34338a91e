//! What follows from the members: raft's configuration, routes, who is refused, who only learns.

use std::sync::Arc;

use reseed_core::id::MemberId;

use crate::departure::Departure;
use crate::peer::Peers;
use crate::raft::changes::conf_state;
use crate::raft::voters::Voters;
use crate::state::State;

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

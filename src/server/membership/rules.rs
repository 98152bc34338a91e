//! When a change of the membership is wise, which is what `--strict-reconfig-check` asks, and when
//! it is done.
//!
//! Pure: who is there, who has started, who is connected goes in. What is refused here is refused
//! by the member asked, before the log; what may be done at all is core's to say, at apply. The
//! rules, their order and their words are etcd's (`server.go`, `cluster.go`).

use std::collections::{BTreeMap, BTreeSet};

use reseed_core::cluster::Members;
use reseed_core::error::Error;
use reseed_core::id::MemberId;
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::MemberRecord;

use crate::raft::node::Standing;

/// What a member knows when it is asked to change the membership.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The members.
    pub(super) members: &'a Members,
    /// Those that have been connected for a while, this member among them.
    pub(super) healthy: BTreeSet<u64>,
    /// Those that are connected, however short.
    pub(super) connected: BTreeSet<u64>,
    /// This member.
    pub(super) me: u64,
}

/// Whether it has ever run: it tells its name then.
fn is_started(member: &MemberRecord) -> bool {
    !member.name.is_empty()
}

impl View<'_> {
    fn count(&self, is: impl Fn(&MemberRecord) -> bool) -> usize {
        self.members.voters().filter(|member| is(member)).count()
    }

    /// Voters that are connected for a while.
    fn active(&self) -> usize {
        self.count(|member| self.healthy.contains(&member.id))
    }

    /// A member may be added, which cannot answer yet.
    ///
    /// # Errors
    /// `MemberNotEnoughStarted`, `Unhealthy`.
    pub(super) fn may_add(&self, is_learner: bool) -> Result<(), Error> {
        let voters = self.count(|_| true);
        let started = self.count(is_started);
        // The second member of a cluster: nothing could be added otherwise.
        let grows_from_one = voters == 1 && started == 1;
        if !is_learner && !grows_from_one && started < quorum(voters + 1) {
            return Err(Error::MemberNotEnoughStarted);
        }
        // The newcomer counts as down: enough must be left with it (etcd #21667). One that only
        // learns needs a working cluster all the same.
        let needed = if is_learner || grows_from_one { voters } else { voters + 1 };
        let everybody = planted::on(Bug::AddNeedsEverybody) && self.active() < voters;
        if everybody || self.active() < quorum(needed) { Err(Error::Unhealthy) } else { Ok(()) }
    }

    /// A member may be removed.
    ///
    /// # Errors
    /// As [`View::may_add`].
    pub(super) fn may_remove(&self, id: u64) -> Result<(), Error> {
        if self.members.get(MemberId(id)).is_some_and(|member| member.is_learner) {
            return Ok(());
        }
        let left = self.count(|member| member.id != id);
        let started = self.count(|member| member.id != id && is_started(member));
        if started < quorum(left) {
            return Err(Error::MemberNotEnoughStarted);
        }
        // One that is down is no part of the quorum there is.
        if id != self.me && !self.connected.contains(&id) {
            return Ok(());
        }
        let voters = self.count(|_| true);
        let active = self.active();
        if active.saturating_sub(1) < 1 + voters.saturating_sub(1) / 2 {
            return Err(Error::Unhealthy);
        }
        Ok(())
    }

    /// A learner may vote from now on.
    ///
    /// # Errors
    /// `MemberNotEnoughStarted`.
    pub(super) fn may_promote(&self) -> Result<(), Error> {
        // The learner counts as started: it has caught up.
        let (voters, started) = (self.count(|_| true) + 1, self.count(is_started) + 1);
        if started < quorum(voters) { Err(Error::MemberNotEnoughStarted) } else { Ok(()) }
    }
}

/// Whether those who elect know that the log is committed up to `index`: a quorum, and all whom the
/// leader hears and who have it so far. Who lacks the entry can keep nobody who has it from being
/// elected (Raft §5.4.1), so it may take its time. Who has not been heard of in this term does not
/// count: the second member of a cluster, say, which begins to run when it is added.
pub(super) fn is_known(index: u64, standings: &BTreeMap<u64, Standing>) -> bool {
    let heard = || standings.values().filter(|standing| standing.votes && standing.matched > 0);
    let knows = |standing: &&Standing| standing.committed >= index;
    heard().filter(knows).count() >= quorum(heard().count())
        && heard().all(|standing| {
            !standing.is_active || standing.matched < index || standing.committed >= index
        })
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

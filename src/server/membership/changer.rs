//! Changing the membership: asked of any member, judged and proposed by the leader.
//!
//! The leader alone knows how far a learner has come and is the one that raft lets change
//! anything, so a member that does not lead passes the change on. One change is under way at a
//! time. What may have been proposed is never tried again.
//!
//! Raft counts votes by the change that is *applied*, so members that have not heard that it is
//! committed go on electing among the members before it: of two, the one that is left would wait
//! for ever for the vote of a leader that was removed and switched off. So a change is answered
//! only when those who elect from now on know of it (etcd answers when the leader has applied it).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reseed_core::applied::Response;
use reseed_core::error::Error;
use reseed_core::id::MemberId;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::MemberChange;
use reseed_proto::log::member_change::Change;
use reseed_rt::chan::Sender;
use reseed_rt::clock;
use tokio::sync::{Semaphore, oneshot};

use super::rules::{View, is_known};
use crate::peer::{Peers, ask};
use crate::propose::Proposer;
use crate::raft::driver::Event;
use crate::raft::node::Standing;
use crate::state::State;

/// A peer counts as healthy when it has been connected for so long; etcd's.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// Between two attempts to find a leader that takes the change.
const RETRY: Duration = Duration::from_millis(50);
/// Between two looks whether the others know of a change.
const KNOWN_LOOK: Duration = Duration::from_millis(5);

/// Whether whoever repeats a change learns from this that the first attempt did it.
fn says_that_it_was_made(error: &Error) -> bool {
    matches!(
        error,
        Error::MemberNotFound | Error::MemberExist | Error::PeerUrlExist | Error::MemberNotLearner
    )
}

/// Changes the membership.
#[derive(Clone, Debug)]
pub(crate) struct Changer {
    pub(crate) state: Arc<State>,
    pub(crate) proposer: Proposer,
    pub(crate) peers: Peers,
    pub(crate) driver: Sender<Event>,
    pub(crate) turn: Arc<Semaphore>,
}

impl Changer {
    /// Carries out one change; the members afterwards.
    ///
    /// # Errors
    /// What the rules ([`super::rules`]) or the log refuse; `Timeout` if no leader took the change
    /// in time, or if one took it and then nothing was heard: it may be carried out then.
    pub(crate) async fn change(&self, change: MemberChange) -> Result<Vec<pb::Member>, Error> {
        let attempts = async {
            loop {
                match self.attempt(&change).await {
                    // Nothing was proposed: somebody else leads now, or is about to.
                    Err(Error::NotLeader | Error::NoLeader | Error::TooManyRequests) => {}
                    done => return done,
                }
                clock::sleep(RETRY).await;
            }
        };
        let timeout = self.state.config.request_timeout();
        clock::timeout(timeout, attempts).await.unwrap_or_else(|_elapsed| {
            let is_promotion = matches!(change.change, Some(Change::Promote(_)));
            let has_leader = self.state.progress.leader() != 0;
            Err(if is_promotion && !has_leader { Error::NoLeader } else { Error::Timeout })
        })
    }

    async fn attempt(&self, change: &MemberChange) -> Result<Vec<pb::Member>, Error> {
        let leader = self.state.progress.leader();
        if leader == self.state.member_id {
            return self.lead(change).await;
        }
        if leader == 0 && self.state.config.strict_reconfig_check {
            // Where no quorum is heard there will be no leader either.
            self.check(change)?;
        }
        let route = self.peers.route(leader).ok_or(Error::NoLeader)?;
        ask::change_members(&route, change.clone()).await
    }

    /// As [`Changer::change`], for whom a member that does not lead has asked.
    ///
    /// # Errors
    /// As there, and `NotLeader`, `TooManyRequests`: nothing was proposed.
    pub(crate) async fn lead(&self, change: &MemberChange) -> Result<Vec<pb::Member>, Error> {
        let changed = self.carry_out(change).await;
        if let Some(Change::Promote(_)) = change.change {
            let metrics = &self.state.metrics;
            match &changed {
                Ok(_) => metrics.promote_successes.inc(),
                // Asked again.
                Err(Error::NotLeader | Error::NoLeader | Error::TooManyRequests) => {}
                Err(error) => {
                    metrics.promote_failures.with_label_values(&[&error.to_string()]).inc();
                }
            }
        }
        changed
    }

    async fn carry_out(&self, change: &MemberChange) -> Result<Vec<pb::Member>, Error> {
        let turn = self.turn.acquire().await;
        let _turn = turn.map_err(|_closed| Error::Stopped)?;
        if let Some(Change::Promote(id)) = change.change
            && !planted::on(Bug::UnreadyPromoted)
        {
            self.check_in_sync(id).await?;
        }
        if self.state.config.strict_reconfig_check {
            self.check(change)?;
        }
        self.hand_over_before(change).await?;
        let answer = self.proposer.propose_change(change.clone()).await;
        if answer.as_ref().err().is_none_or(says_that_it_was_made) {
            let known = self.wait_until_known(self.state.progress.applied());
            let timeout = self.state.config.request_timeout();
            clock::timeout(timeout, known).await.unwrap_or(Err(Error::Timeout))?;
        }
        match answer? {
            Response::Members(members) => Ok(members),
            other => Err(Error::Broken(format!("a change of members applied as {other:?}"))),
        }
    }

    /// A leader that removes itself would leave the others without one for an election timeout,
    /// and could not tell whether they know: another one leads first, and removes it.
    async fn hand_over_before(&self, change: &MemberChange) -> Result<(), Error> {
        if change.change != Some(Change::Remove(self.state.member_id))
            // The log refuses to remove the only one.
            || self.state.progress.leads_alone()
        {
            return Ok(());
        }
        let limit = self.state.config.election_timeout * 2;
        // If nobody takes over in time, whoever leads by then is asked again.
        let _handed_over = clock::timeout(limit, self.proposer.hand_over(None)).await;
        Err(Error::NotLeader)
    }

    /// Waits until those who elect know that the log is committed up to `index`.
    ///
    /// # Errors
    /// [`Error::Timeout`] if another member leads by now: whether they know is not known.
    async fn wait_until_known(&self, index: u64) -> Result<(), Error> {
        while !is_known(index, &self.standings().await?.ok_or(Error::Timeout)?) {
            clock::sleep(KNOWN_LOOK).await;
        }
        Ok(())
    }

    /// How far the members have come, if this one leads.
    async fn standings(&self) -> Result<Option<BTreeMap<u64, Standing>>, Error> {
        let (asked, standings) = oneshot::channel();
        self.driver.send(Event::Standings(asked)).await.map_err(|_closed| Error::Stopped)?;
        standings.await.map_err(|_dropped| Error::Stopped)
    }

    fn check(&self, change: &MemberChange) -> Result<(), Error> {
        let me = self.state.member_id;
        let connected = self.peers.connected();
        let healthy = connected.iter().filter(|(_, since)| **since >= HEALTH_INTERVAL);
        let healthy = healthy.map(|(id, _)| *id).chain([me]).collect();
        let machine = self.state.machine.read();
        let members = &machine.members;
        let connected = connected.keys().copied().collect();
        let view = View { members, healthy, connected, me };
        match &change.change {
            Some(Change::Add(add)) => {
                view.may_add(add.member.as_ref().is_some_and(|member| member.is_learner))
            }
            Some(Change::Remove(id)) => view.may_remove(*id),
            Some(Change::Promote(_)) => view.may_promote(),
            Some(Change::Update(_)) | None => Ok(()),
        }
    }

    /// A learner that votes before it has the log takes part in every quorum and helps none.
    async fn check_in_sync(&self, id: u64) -> Result<(), Error> {
        let known = self.state.machine.read().members.get(MemberId(id)).is_some();
        if !known {
            return Err(Error::MemberNotFound);
        }
        let standings = self.standings().await?.ok_or(Error::NotLeader)?;
        let of = |id| standings.get(&id).map_or(0, |standing| standing.matched);
        // etcd: 90 % of what the leader itself has.
        if of(id) < of(self.state.member_id) - of(self.state.member_id) / 10 {
            return Err(Error::LearnerNotReady);
        }
        Ok(())
    }
}

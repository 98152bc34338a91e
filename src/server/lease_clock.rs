//! The clock of leases: what `core::lease::Expiry` finds due goes through the log from here.
//!
//! On the leader, and only once everything that was in the log when it became leader is applied,
//! deadlines run: what is over is revoked, what has been silent for long is written down. All
//! decisions are the pure agenda's; here are the pace and the order of proposals:
//!
//! - at most [`REVOKES_IN_FLIGHT_MAX`] revocations wait for their answer, and at most
//!   [`REVOKES_PER_WINDOW`] begin in one [`WINDOW`];
//! - checkpoints go in entries of up to [`LEASE_CHECKPOINTS_MAX`], one entry at a time;
//! - a reset (a checkpoint of 0 after a renewal) must come after every checkpoint from before that
//!   renewal. Checkpoints are drawn and proposed under the write side of `order`, resets are
//!   proposed under the read side, so no stale checkpoint can pass a reset;
//! - what is proposed is for the term in which this member's clock decided it, and never forwarded:
//!   a member that stands still with a revocation in its queue may follow when it goes on, and the
//!   leader it follows may have renewed that lease meanwhile (etcd #15247).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use reseed_core::applied::{Effect, Response};
use reseed_core::error::Error;
use reseed_core::id::{LeaseId, Millis};
use reseed_core::lease::expiry::{Checkpoint, Expiry, Granted, Renewal, TimeLeft};
use reseed_core::limits::LEASE_CHECKPOINTS_MAX;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;
use reseed_rt::buggify::{self, Point};
use reseed_rt::clock::{self, Instant};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;
use tokio::sync::{Notify, RwLock};

use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::propose::Proposer;
use crate::read::ReadIndex;
use crate::state::State;

/// The clock looks at least this often; the pace of revocations is counted in it.
const WINDOW: Duration = Duration::from_millis(500);
/// Revocations begun per window; etcd: `defaultLeaseRevokeRate` is 1000 per second.
const REVOKES_PER_WINDOW: usize = 500;
/// Revocations that wait for their answer; etcd: `maxPendingRevokes`.
const REVOKES_IN_FLIGHT_MAX: usize = 16;

/// Where proposals go: a port, so that the clock can be tested without a log.
pub(crate) trait Log: Send + Sync + std::fmt::Debug {
    /// Sends a request through the log, if this member leads in `term` when the log takes it, and
    /// returns what applying it answered. Without a term anybody may lead.
    fn propose(
        &self,
        request: Request,
        term: Option<u64>,
    ) -> BoxFuture<'static, Result<Response, Error>>;

    /// Returns once a quorum has confirmed, after the call, that there is a leader that this member
    /// follows or is, and this member has applied everything that was committed before the call.
    fn confirm(&self) -> BoxFuture<'static, Result<(), Error>>;
}

/// What the clock must know of its member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// This member.
    pub(crate) id: u64,
    /// Who leads, and what is applied.
    pub(crate) progress: Arc<Progress>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// How much longer leases live when this member begins to lead: the time clients need to find
    /// it. etcd: the election timeout.
    pub(crate) extend: Duration,
    /// One raft tick.
    pub(crate) tick: Duration,
}

impl Member {
    /// Whether others may have elected another leader without the driver having heard of it.
    fn is_stale(&self) -> bool {
        self.progress.is_stale(self.tick)
    }
}

/// The lease clock; clones are the same clock.
#[derive(Clone, Debug)]
pub(crate) struct LeaseClock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    expiry: Mutex<Expiry>,
    /// The term in which this member's clock began to decide; changes under the lock of `expiry`.
    promoted_in: AtomicU64,
    log: Arc<dyn Log>,
    member: Member,
    /// Told when a lease ends or this member begins to lead: whoever could not renew looks again.
    changed: Notify,
    /// Write: checkpoints. Read: resets.
    order: RwLock<()>,
}

/// The member's own log.
#[derive(Debug)]
struct Replicated {
    proposer: Proposer,
    read_index: ReadIndex,
}

impl Log for Replicated {
    fn propose(
        &self,
        request: Request,
        term: Option<u64>,
    ) -> BoxFuture<'static, Result<Response, Error>> {
        let proposer = self.proposer.clone();
        async move {
            match term {
                Some(term) => proposer.propose_leading(request, term).await,
                None => proposer.propose(request).await,
            }
        }
        .boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<(), Error>> {
        let read_index = self.read_index.clone();
        async move { read_index.wait().await }.boxed()
    }
}

impl LeaseClock {
    /// The clock of a member that has been opened and does not apply yet.
    pub(crate) fn new(state: Arc<State>, proposer: Proposer, read_index: ReadIndex) -> Self {
        let member = Member {
            id: state.member_id,
            progress: Arc::clone(&state.progress),
            metrics: Arc::clone(&state.metrics),
            request_timeout: state.config.request_timeout(),
            extend: state.config.election_timeout,
            tick: state.config.heartbeat_interval,
        };
        let leases = granted(&state);
        probe::hit_if(!leases.is_empty(), Probe::LeaseRestored);
        Self::over(Arc::new(Replicated { proposer, read_index }), member, leases)
    }

    /// Takes all leases anew from a state that was replaced as a whole. This member does not lead.
    pub(crate) fn reload(&self, state: &State) {
        if planted::on(Bug::InstallKeepsLeases) {
            return;
        }
        let leases = granted(state);
        *self.inner.expiry.lock() = agenda(leases);
        self.inner.changed.notify_waiters();
    }

    /// A clock for the leases that the table holds; effects tell it of changes from now on.
    pub(crate) fn over(
        log: Arc<dyn Log>,
        member: Member,
        leases: impl IntoIterator<Item = Granted>,
    ) -> Self {
        let expiry = agenda(leases);
        let (changed, order) = (Notify::new(), RwLock::new(()));
        let (expiry, promoted_in) = (Mutex::new(expiry), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { expiry, promoted_in, log, member, changed, order }) }
    }

    /// Follows what apply has done. Never waits.
    pub(crate) fn on_effect(&self, effect: &Effect) {
        let mut expiry = self.inner.expiry.lock();
        match *effect {
            Effect::LeaseGranted { id, ttl_secs } => {
                expiry.granted(Granted { id, ttl_secs, remaining_secs: 0 }, now());
            }
            Effect::LeaseRevoked { id } => {
                expiry.revoked(id);
                drop(expiry);
                self.inner.changed.notify_waiters();
            }
            Effect::LeaseCheckpointed { id, remaining_secs } => {
                probe::hit(Probe::LeaseCheckpoint);
                if planted::on(Bug::CheckpointUnheard) && !expiry.is_primary() {
                    return;
                }
                expiry.checkpointed(Checkpoint { id, remaining_secs });
            }
            Effect::CompactScheduled(_)
            | Effect::AlarmsChanged
            | Effect::MembersChanged
            | Effect::ClusterVersionChanged(_) => {}
        }
    }

    /// Gives a lease all of its time again: its seconds, or nothing if there is no such lease. One
    /// whose time is over is waited for until it is gone, so that what hung on it is gone too.
    ///
    /// # Errors
    /// [`Error::Timeout`] if this member does not lead or the log does not move; what the log
    /// answers to a reset, after which the lease is renewed but may not outlive a restart.
    pub(crate) async fn keep_alive(&self, id: LeaseId) -> Result<Option<i64>, Error> {
        let limit = self.inner.member.request_timeout;
        clock::timeout(limit, self.renew(id)).await.unwrap_or(Err(Error::Timeout))
    }

    /// Whether this member's clock is the one that counts.
    pub(crate) fn is_primary(&self) -> bool {
        self.inner.expiry.lock().is_primary()
    }

    /// What is left of a lease; nothing if there is no such lease.
    ///
    /// # Errors
    /// As [`LeaseClock::keep_alive`], where it would be nothing.
    pub(crate) async fn time_left(&self, id: LeaseId) -> Result<Option<TimeLeft>, Error> {
        if let Some(left) = self.known_time_left(id) {
            return Ok(Some(left));
        }
        self.inner.log.confirm().await?;
        Ok(self.known_time_left(id))
    }

    fn known_time_left(&self, id: LeaseId) -> Option<TimeLeft> {
        self.inner.expiry.lock().time_left(id, now())
    }

    /// All leases, the one that ends first in front.
    pub(crate) fn leases(&self) -> Vec<LeaseId> {
        self.inner.expiry.lock().ids_by_deadline()
    }

    async fn renew(&self, id: LeaseId) -> Result<Option<i64>, Error> {
        loop {
            // Registered before looking, so that no change falls in between.
            let mut changed = std::pin::pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            self.ensure_leading().await?;
            let (renewal, term) = self.renew_here(id);
            match renewal {
                Renewal::Renewed { ttl_secs, reset } => {
                    if reset && !planted::on(Bug::RenewalNotWritten) {
                        match self.reset(id, term).await {
                            // It leads no more: what it renewed is worth nothing.
                            Err(Error::NotLeader) => continue,
                            written => written?,
                        }
                    }
                    self.inner.member.metrics.lease_renewed.inc();
                    return Ok(Some(ttl_secs));
                }
                Renewal::NotFound => return Ok(None),
                Renewal::NotPrimary if planted::on(Bug::RenewedByFollower) => {
                    return Ok(self.known_time_left(id).map(|left| left.ttl_secs));
                }
                Renewal::Expired | Renewal::NotPrimary => {
                    probe::hit(Probe::LeaseRenewWaited);
                    changed.await;
                }
            }
        }
    }

    /// Returns once a quorum has said, after the call, that this member leads, and everything is
    /// applied here that was committed before. One that is cut off hears nothing of the next
    /// leader, which may have revoked what is renewed here (etcd's `ensureLeadership`); one that
    /// lags would renew what was revoked, and deny what was granted.
    ///
    /// # Errors
    /// [`Error::NotLeader`] if another leads or nobody does; those of the log.
    async fn ensure_leading(&self) -> Result<(), Error> {
        let Member { id, progress, .. } = &self.inner.member;
        if planted::on(Bug::RenewedUnasked) {
            progress.wait_applied(progress.committed()).await;
        } else if !planted::on(Bug::LaggardDeniesLease) && !planted::on(Bug::RenewedByFollower) {
            self.inner.log.confirm().await?;
            if progress.leader() != *id {
                return Err(Error::NotLeader);
            }
        }
        Ok(())
    }

    /// Renews, if this member leads in the term in which its clock began to decide; which one.
    fn renew_here(&self, id: LeaseId) -> (Renewal, Option<u64>) {
        let progress = &self.inner.member.progress;
        let mut expiry = self.inner.expiry.lock();
        let term = self.inner.promoted_in.load(Ordering::Relaxed);
        if expiry.is_primary() && progress.term() != term {
            return (Renewal::NotPrimary, None);
        }
        (expiry.renew(id, now()), Some(term))
    }

    /// The term for which what this member's clock decides now is proposed.
    fn term(&self) -> Option<u64> {
        let forwards = planted::on(Bug::StalePrimary) || planted::on(Bug::ExLeaderRevokes);
        (!forwards).then(|| self.inner.promoted_in.load(Ordering::Relaxed))
    }

    /// Whether this member's clock must not be acted upon before a quorum says that it leads. A
    /// member whose driver has stood still cannot know by itself: another leader may have renewed
    /// what is over by this clock (etcd #15247).
    fn is_unsure(&self) -> bool {
        let member = &self.inner.member;
        let leads = member.progress.leader() == member.id;
        leads && member.is_stale() && !planted::on(Bug::StalePrimary)
    }

    /// Asks a quorum whether this member leads; whether it has said who does. However long that
    /// takes, it is asked once.
    async fn make_sure(self) -> bool {
        let member = &self.inner.member;
        let (began, stood_still) = (member.progress.term(), member.progress.stood_still());
        tracing::info!("this member stood still: asking whether it still leads");
        if let Err(error) = self.inner.log.confirm().await {
            tracing::debug!(%error, "could not ask whether this member still leads");
            clock::sleep(WINDOW).await;
            return false;
        }
        if member.progress.leader() != member.id || member.progress.term() != began {
            self.inner.expiry.lock().demote();
        }
        member.progress.make_good(stood_still);
        true
    }

    async fn reset(&self, id: LeaseId, term: Option<u64>) -> Result<(), Error> {
        let _order = self.inner.order.read().await;
        let all_of_it = Checkpoint { id, remaining_secs: 0 };
        self.inner.log.propose(write_down(&[all_of_it]), term).await.map(drop)
    }

    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: Stop) {
        let mut revoking = FuturesUnordered::new();
        let mut checkpointing: Option<BoxFuture<'static, ()>> = None;
        let mut making_sure: Option<BoxFuture<'static, bool>> = None;
        let (mut is_sure, mut beginning) = (false, None);
        let mut pace = Pace { window: Instant::now(), begun: 0 };
        loop {
            self.follow_leadership(&mut beginning).await;
            // An answer is good for one turn, even if the driver stands still again, or still: one
            // that votes alone is answered without it.
            if making_sure.is_none() && !std::mem::take(&mut is_sure) && self.is_unsure() {
                making_sure = Some(self.clone().make_sure().boxed());
            }
            let in_flight_max = if making_sure.is_none() { REVOKES_IN_FLIGHT_MAX } else { 0 };
            let room = in_flight_max.saturating_sub(revoking.len());
            let (due, term) = self.due(&mut pace, room);
            for id in due {
                revoking.push(self.clone().revoke(id, term));
            }
            if checkpointing.is_none() && self.has_checkpoints() {
                checkpointing = Some(self.clone().checkpoint().boxed());
            }
            probe::hit_if(revoking.len() == REVOKES_IN_FLIGHT_MAX, Probe::LeaseRevokeFull);
            let room = in_flight_max.saturating_sub(revoking.len());
            let wake = self.next_wake(&pace, room, checkpointing.is_none());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(()) = revoking.next(), if !revoking.is_empty() => {}
                Some(()) = OptionFuture::from(checkpointing.as_mut()) => checkpointing = None,
                Some(sure) = OptionFuture::from(making_sure.as_mut()) => {
                    (making_sure, is_sure) = (None, sure);
                }
                () = clock::sleep(wake) => {}
            }
        }
    }

    /// Deadlines run while this member leads, from when it has applied all it found in the log
    /// when it began to: what is added since is not waited for, or a busy log would never end.
    async fn follow_leadership(&self, beginning: &mut Option<Beginning>) {
        let member = &self.inner.member;
        let term = member.progress.term();
        let leads = || member.progress.leader() == member.id && member.progress.term() == term;
        let is_primary = self.inner.expiry.lock().is_primary();
        if !leads() {
            if !planted::on(Bug::ExLeaderRevokes) {
                self.inner.expiry.lock().demote();
            }
            return;
        }
        if is_primary && self.inner.promoted_in.load(Ordering::Relaxed) == term {
            return;
        }
        // Another may have led between two terms of this member.
        self.inner.expiry.lock().demote();
        let found = match *beginning {
            Some(begun) if begun.term == term => begun.found,
            _ => member.progress.last_index(),
        };
        if found == 0 {
            return; // The driver has not told yet where the log ends.
        }
        *beginning = Some(Beginning { term, found });
        let applied = clock::timeout(WINDOW, member.progress.wait_applied(found)).await;
        if applied.is_ok() && leads() {
            let mut expiry = self.inner.expiry.lock();
            self.inner.promoted_in.store(term, Ordering::Relaxed);
            expiry.promote(now(), member.extend.into());
            drop(expiry);
            self.inner.changed.notify_waiters();
        }
    }

    /// What is over, and the term in which it is.
    fn due(&self, pace: &mut Pace, room: usize) -> (Vec<LeaseId>, Option<u64>) {
        let mut expiry = self.inner.expiry.lock();
        let due = expiry.due(now(), room.min(pace.left()));
        pace.begun += due.len();
        (due, self.term())
    }

    fn has_checkpoints(&self) -> bool {
        self.inner.expiry.lock().next_checkpoint().is_some_and(|at| at <= now())
    }

    /// How long nothing can happen but what is awaited anyway.
    fn next_wake(&self, pace: &Pace, room: usize, may_checkpoint: bool) -> Duration {
        let expiry = self.inner.expiry.lock();
        let due = expiry.next_due().filter(|_| room > 0 && pace.begun < REVOKES_PER_WINDOW);
        let checkpoint = expiry.next_checkpoint().filter(|_| may_checkpoint);
        let next = [due, checkpoint].into_iter().flatten().min();
        next.map_or(WINDOW, |at| Duration::from(at.saturating_sub(now())).min(WINDOW))
    }

    async fn revoke(self, id: LeaseId, term: Option<u64>) {
        let request = Request::LeaseRevoke(pb::LeaseRevokeRequest { id: id.0 });
        match self.inner.log.propose(request, term).await {
            Ok(_) => {
                probe::hit(Probe::LeaseExpired);
                self.inner.member.metrics.lease_expired.inc();
            }
            // A client was quicker.
            Err(Error::LeaseNotFound) => {}
            // The agenda names it again.
            Err(error) => tracing::debug!(lease = %id, %error, "could not revoke yet"),
        }
    }

    async fn checkpoint(self) {
        let _order = self.inner.order.write().await;
        if buggify::point(Point::LeaseCheckpointLate) {
            clock::sleep(WINDOW).await;
        }
        let (found, term) = {
            let mut expiry = self.inner.expiry.lock();
            (expiry.checkpoints(now(), LEASE_CHECKPOINTS_MAX), self.term())
        };
        if found.is_empty() {
            return;
        }
        if let Err(error) = self.inner.log.propose(write_down(&found), term).await {
            // Each is on the agenda again; until then a restart gives it more time.
            tracing::debug!(count = found.len(), %error, "could not write leases down");
        }
    }
}

/// The leases the machine knows.
fn granted(state: &State) -> Vec<Granted> {
    let machine = state.machine.read();
    let leases = machine.leases.iter().map(|lease| Granted {
        id: lease.id,
        ttl_secs: lease.ttl_secs,
        remaining_secs: if planted::on(Bug::RestartRestoresTtl) { 0 } else { lease.remaining_secs },
    });
    leases.collect()
}

/// The agenda of a member that does not lead.
fn agenda(leases: impl IntoIterator<Item = Granted>) -> Expiry {
    let mut expiry = Expiry::default();
    for lease in leases {
        expiry.granted(lease, Millis::default());
    }
    expiry
}

/// Where the log ended when this member was first seen to lead in a term.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    term: u64,
    found: u64,
}

/// How many revocations have begun in this window.
#[derive(Debug)]
struct Pace {
    window: Instant,
    begun: usize,
}

impl Pace {
    fn left(&mut self) -> usize {
        if self.window.elapsed() >= WINDOW {
            *self = Self { window: Instant::now(), begun: 0 };
        }
        REVOKES_PER_WINDOW - self.begun
    }
}

fn write_down(found: &[Checkpoint]) -> Request {
    let checkpoints = found
        .iter()
        .map(|found| pb::LeaseCheckpoint { id: found.id.0, remaining_ttl: found.remaining_secs });
    Request::LeaseCheckpoint(pb::LeaseCheckpointRequest { checkpoints: checkpoints.collect() })
}

fn now() -> Millis {
    Millis(Instant::now().as_millis())
}

#[cfg(test)]
mod tests;

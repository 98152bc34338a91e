//! When leases end: the volatile deadlines of the one member whose clock decides.
//!
//! # The problem
//!
//! A lease must end some time after its last renewal, but no two clocks agree, and the replicated
//! state must not depend on any. So the log says *that* a lease ended, and one member, the leader
//! (*primary*), says *when*, by its own monotonic clock. When it stops, its deadlines are lost:
//! somebody who knows only the table must not give every lease its whole time back.
//!
//! # The idea
//!
//! The primary keeps two agendas, ordered by time: whom to end, and whose remaining time to write
//! down in the log (a *checkpoint*). Everybody else only remembers what the log says.
//!
//! ```text
//!  granted / renewed                                       deadline        retry
//!     │          first checkpoint      every max(1 s, TTL/10), at most 5 min │
//!     ├───────────────┼────────┼────────┼────────┼────────┤─────────────────┤
//!     0           0.4 TTL                                TTL             + 7 s
//! ```
//!
//! A client that renews every TTL/3 never causes a checkpoint, so a healthy lease costs the log
//! nothing. Renewing after a checkpoint makes that checkpoint a lie that would end the lease early:
//! then [`Renewal::Renewed`] asks for a *reset*, a checkpoint of 0, which must be in the log before
//! the client is told.
//!
//! # Invariants
//!
//! 1. A lease is due only after its deadline, and after its deadline it can no longer be renewed:
//!    what has been proposed to end never comes back.
//! 2. A lease that is due is named again after [`REVOKE_RETRY`] until it is gone.
//! 3. Between a renewal and its first checkpoint lie at least 0.4 TTL; between two checkpoints at
//!    least one second.
//! 4. If the log may hold, now or later, a checkpoint from before the last renewal, the renewal has
//!    asked for a reset.
//!
//! # What it does not do
//!
//! It proposes nothing and never looks at a clock: `now` is an argument and must not go back. It
//! does not know keys.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use reseed_planted::{self as planted, Bug};

use crate::id::{LeaseId, Millis};

#[cfg(test)]
mod tests;

/// A revocation without effect is proposed again after this long: a request's time limit.
pub const REVOKE_RETRY: Millis = Millis(7_000);
/// Longest time between two checkpoints of a lease; etcd: `defaultLeaseCheckpointInterval`.
pub const CHECKPOINT_EVERY_MAX: Millis = Millis(5 * 60 * 1000);
/// Shortest time between two checkpoints of a lease: the log counts whole seconds.
pub const CHECKPOINT_EVERY_MIN: Millis = Millis(1_000);

/// What the log says of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Which.
    pub id: LeaseId,
    /// Seconds granted.
    pub ttl_secs: i64,
    /// Seconds left at the last checkpoint; 0 = none since the last reset.
    pub remaining_secs: i64,
}

/// How an attempt to renew went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Not the primary: this member's clock does not decide.
    NotPrimary,
    /// There is no such lease.
    NotFound,
    /// Its time is over; its revocation is only a matter of the log.
    Expired,
    /// All of its time lies ahead again.
    Renewed {
        /// Seconds granted.
        ttl_secs: i64,
        /// A checkpoint of 0 must be applied before the client is told.
        reset: bool,
    },
}

/// What to write down of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which.
    pub id: LeaseId,
    /// Seconds left, rounded up.
    pub remaining_secs: i64,
}

/// What is known of a lease's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft {
    /// Seconds granted.
    pub ttl_secs: i64,
    /// Milliseconds until the deadline, 0 when it has passed.
    pub left: Millis,
}

#[derive(Debug)]
struct Clock {
    ttl_secs: i64,
    /// Of the log.
    remaining_secs: i64,
    /// The rest has a meaning on the primary only.
    deadline: Millis,
    /// Its place in `due`: the deadline, or when to try again.
    due_at: Millis,
    /// Its place in `checkpoints`.
    checkpoint_at: Millis,
    /// A checkpoint has been handed out since the last reset: it is, or may yet be, in the log.
    is_checkpointed: bool,
}

/// The deadlines of all leases of a member.
#[derive(Debug, Default)]
pub struct Expiry {
    leases: BTreeMap<LeaseId, Clock>,
    /// Empty unless primary.
    due: BTreeSet<(Millis, LeaseId)>,
    /// Empty unless primary.
    checkpoints: BTreeSet<(Millis, LeaseId)>,
    is_primary: bool,
}

impl Expiry {
    /// The log granted a lease, or a restart has found one in the table.
    ///
    /// # Panics
    /// If the lease is known already.
    pub fn granted(&mut self, lease: Granted, now: Millis) {
        let clock = Clock {
            ttl_secs: lease.ttl_secs,
            remaining_secs: lease.remaining_secs,
            deadline: Millis::default(),
            due_at: Millis::default(),
            checkpoint_at: Millis::default(),
            is_checkpointed: false,
        };
        let before = self.leases.insert(lease.id, clock);
        assert!(before.is_none(), "lease {} is granted twice", lease.id);
        if self.is_primary {
            self.start(lease.id, now);
        }
    }

    /// The log ended a lease.
    pub fn revoked(&mut self, id: LeaseId) {
        if let Some(clock) = self.leases.remove(&id) {
            if !planted::on(Bug::RevokedStaysDue) {
                self.due.remove(&(clock.due_at, id));
            }
            self.checkpoints.remove(&(clock.checkpoint_at, id));
        }
    }

    /// The log wrote down how much of a lease was left; 0 = all of it.
    pub fn checkpointed(&mut self, checkpoint: Checkpoint) {
        if let Some(clock) = self.leases.get_mut(&checkpoint.id) {
            clock.remaining_secs = checkpoint.remaining_secs;
            clock.is_checkpointed = checkpoint.remaining_secs > 0;
        }
    }

    /// From now on this member's clock decides. Every lease gets what the log says is left of it
    /// and `extend` on top, the time its client may need to find the new primary.
    pub fn promote(&mut self, now: Millis, extend: Millis) {
        self.demote();
        self.is_primary = true;
        let ids: Vec<_> = self.leases.keys().copied().collect();
        for id in ids {
            if planted::on(Bug::HandOverRestoresTtl) {
                self.checkpointed(Checkpoint { id, remaining_secs: 0 });
            }
            self.start(id, now.saturating_add(extend));
        }
    }

    /// From now on another member's clock decides.
    pub fn demote(&mut self) {
        self.is_primary = false;
        self.due.clear();
        self.checkpoints.clear();
    }

    /// Whether this member's clock decides.
    pub fn is_primary(&self) -> bool {
        self.is_primary
    }

    /// Gives a lease all of its time again.
    pub fn renew(&mut self, id: LeaseId, now: Millis) -> Renewal {
        if !self.is_primary {
            return Renewal::NotPrimary;
        }
        let Some(clock) = self.leases.get(&id) else { return Renewal::NotFound };
        if clock.deadline <= now && !planted::on(Bug::KeepAliveTooLate) {
            return Renewal::Expired;
        }
        let (ttl_secs, reset) = (clock.ttl_secs, clock.is_checkpointed);
        let times = Times {
            deadline: now.saturating_add(Millis::from_secs(ttl_secs)),
            checkpoint: now.saturating_add(first_checkpoint_after(ttl_secs)),
        };
        self.schedule(id, times);
        Renewal::Renewed { ttl_secs, reset }
    }

    /// Up to `max` leases whose time is over, longest over first. Each is named again after
    /// [`REVOKE_RETRY`] if it is still there.
    pub fn due(&mut self, now: Millis, max: usize) -> Vec<LeaseId> {
        let due: Vec<_> = self.due.range(..=(now, LAST_ID)).take(max).copied().collect();
        for entry @ (_, id) in &due {
            let clock = self.leases.get_mut(id).expect("due leases are known");
            assert!(clock.deadline <= now, "lease {id} is due before its deadline");
            clock.due_at = now.saturating_add(REVOKE_RETRY);
            self.due.remove(entry);
            if !planted::on(Bug::RevokeNotRetried) {
                self.due.insert((clock.due_at, *id));
            }
        }
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Up to `max` leases whose remaining time should be written down now.
    pub fn checkpoints(&mut self, now: Millis, max: usize) -> Vec<Checkpoint> {
        let up: Vec<_> = self.checkpoints.range(..=(now, LAST_ID)).take(max).copied().collect();
        let mut found = Vec::with_capacity(up.len());
        for (at, id) in up {
            self.checkpoints.remove(&(at, id));
            let clock = self.leases.get_mut(&id).expect("leases on the agenda are known");
            if clock.deadline <= now {
                continue; // Over: what comes next in the log is its end.
            }
            clock.is_checkpointed = true;
            clock.checkpoint_at = now.saturating_add(checkpoint_every(clock.ttl_secs));
            self.checkpoints.insert((clock.checkpoint_at, id));
            found.push(Checkpoint { id, remaining_secs: secs_up(clock.deadline, now) });
        }
        found
    }

    /// When [`Expiry::due`] will next have something to say.
    pub fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// When [`Expiry::checkpoints`] will next have something to say.
    pub fn next_checkpoint(&self) -> Option<Millis> {
        self.checkpoints.first().map(|(at, _)| *at)
    }

    /// What is left of a lease; nothing if it is not known. Not the primary's answer is what the
    /// log says, as if it had begun `now`.
    pub fn time_left(&self, id: LeaseId, now: Millis) -> Option<TimeLeft> {
        let clock = self.leases.get(&id)?;
        let left = if self.is_primary {
            clock.deadline.saturating_sub(now)
        } else {
            Millis::from_secs(clock.secs_left())
        };
        Some(TimeLeft { ttl_secs: clock.ttl_secs, left })
    }

    /// All leases, the one that ends first in front; by id where nobody knows.
    pub fn ids_by_deadline(&self) -> Vec<LeaseId> {
        let mut ids: Vec<_> = self.leases.iter().map(|(id, c)| (c.deadline, *id)).collect();
        if self.is_primary {
            ids.sort_unstable();
        }
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Lets a lease run on from what the log says of it.
    fn start(&mut self, id: LeaseId, now: Millis) {
        let clock = self.leases.get_mut(&id).expect("the caller has it");
        clock.is_checkpointed = clock.remaining_secs > 0;
        let first = if clock.is_checkpointed {
            checkpoint_every(clock.ttl_secs)
        } else {
            first_checkpoint_after(clock.ttl_secs)
        };
        let times = Times {
            deadline: now.saturating_add(Millis::from_secs(clock.secs_left())),
            checkpoint: now.saturating_add(first),
        };
        self.schedule(id, times);
    }

    fn schedule(&mut self, id: LeaseId, times: Times) {
        let clock = self.leases.get_mut(&id).expect("the caller has it");
        self.due.remove(&(clock.due_at, id));
        self.checkpoints.remove(&(clock.checkpoint_at, id));
        clock.deadline = times.deadline;
        clock.due_at = times.deadline;
        clock.checkpoint_at = times.checkpoint;
        self.due.insert((clock.due_at, id));
        self.checkpoints.insert((clock.checkpoint_at, id));
    }
}

impl Clock {
    const fn secs_left(&self) -> i64 {
        if self.remaining_secs > 0 { self.remaining_secs } else { self.ttl_secs }
    }
}

struct Times {
    deadline: Millis,
    checkpoint: Millis,
}

/// Sorts after every lease of the same time.
const LAST_ID: LeaseId = LeaseId(i64::MAX);

/// 0.4 TTL, out of the reach of a client that renews every TTL/3.
fn first_checkpoint_after(ttl_secs: i64) -> Millis {
    Millis(Millis::from_secs(ttl_secs).0 / 5 * 2)
}

fn checkpoint_every(ttl_secs: i64) -> Millis {
    Millis(Millis::from_secs(ttl_secs).0 / 10).clamp(CHECKPOINT_EVERY_MIN, CHECKPOINT_EVERY_MAX)
}

fn secs_up(deadline: Millis, now: Millis) -> i64 {
    deadline.saturating_sub(now).saturating_add(Millis(999)).as_secs()
}

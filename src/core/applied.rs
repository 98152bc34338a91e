//! What applying one log entry gives back: the machine's only outlet.
//!
//! The caller persists the batch together with the entry's place in the log, answers whoever
//! waits, hands the events to the watchers and carries out the effects; the machine itself has
//! done nothing but change its memory.

use alloc::string::String;
use alloc::vec::Vec;

use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb;

use crate::error::Error;
use crate::id::LeaseId;
use crate::port::Batch;

/// An entry's place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Position, from 1.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
}

/// The outcome of one entry; the same on every member.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer. Headers carry the revision only; the server fills ids and term. An error here
    /// has [`Fate::Return`](crate::error::Fate::Return): it counts as applied.
    pub response: Result<Response, Error>,
    /// The store's revision afterwards.
    pub revision: i64,
    /// What watchers see, in revision order; `prev_kv` is never set.
    pub events: Vec<mvccpb::Event>,
    /// What to persist.
    pub batch: Batch,
    /// What others must be told.
    pub effects: Vec<Effect>,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To a put.
    Put(pb::PutResponse),
    /// To a delete range.
    DeleteRange(pb::DeleteRangeResponse),
    /// To a transaction.
    Txn(pb::TxnResponse),
    /// To a compaction, given when it is scheduled: physical removal follows in the background.
    Compaction(pb::CompactionResponse),
    /// To a lease grant.
    LeaseGrant(pb::LeaseGrantResponse),
    /// To a lease revocation.
    LeaseRevoke(pb::LeaseRevokeResponse),
    /// To checkpoints of remaining times.
    LeaseCheckpoint(pb::LeaseCheckpointResponse),
    /// To a look at, or change of, the alarms.
    Alarm(pb::AlarmResponse),
    /// To a change of the membership: the members afterwards.
    Members(Vec<pb::Member>),
    /// To an entry nobody waits for.
    None,
}

/// A change that something outside the machine must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Physical compaction to this revision may start (or goes on to it).
    CompactScheduled(i64),
    /// A lease exists from now on and lasts `ttl_secs`.
    LeaseGranted {
        /// Which.
        id: LeaseId,
        /// Seconds granted.
        ttl_secs: i64,
    },
    /// A lease is gone.
    LeaseRevoked {
        /// Which.
        id: LeaseId,
    },
    /// A lease had `remaining_secs` left when its checkpoint was proposed; 0 = it was renewed, so
    /// its whole time lies ahead.
    LeaseCheckpointed {
        /// Which.
        id: LeaseId,
        /// Seconds left.
        remaining_secs: i64,
    },
    /// An alarm was raised or cleared.
    AlarmsChanged,
    /// A member came, went, or its record changed.
    MembersChanged,
    /// The cluster agreed on another version.
    ClusterVersionChanged(String),
}

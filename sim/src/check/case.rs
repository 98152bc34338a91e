//! What there is to check, and what may be assumed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::{
    Change, Event,
    request::{Alarm, Pair},
};

/// A run, as seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What clients did and saw, in the order of time.
    pub history: &'a [Event],
    /// What was there in the end.
    pub audit: &'a Audit,
    /// What the world was allowed to do.
    pub rules: &'a Rules,
}

/// What an auditor found when everything was healed and quiet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Audit {
    /// True simulated time, nanoseconds, of the answer that gave `state`.
    pub at: u64,
    /// Every change from `changes_from` on, as a watcher with `prev_kv` saw them.
    pub changes: Vec<Change>,
    /// 1, or the oldest revision that was not compacted.
    pub changes_from: i64,
    /// Every key, read linearizably.
    pub state: Vec<Pair>,
    /// The store's revision.
    pub revision: i64,
    /// Compacted below; 0: never.
    pub compact_revision: i64,
    /// Every lease.
    pub leases: Vec<AuditedLease>,
    /// The hash of the keys at `revision`, of each member.
    pub hashes: Vec<u32>,
    /// What each member says of leases and alarms, which are not among the keys that are hashed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<View>,
}

/// What one member says of what is not a key, in the end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// Every lease, by id. How long each still lives is not compared: only a leader knows.
    #[serde(default)]
    pub leases: Vec<AuditedLease>,
    /// Every alarm, by member and name.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

impl View {
    /// Ids, seconds granted and keys of all leases: what every member has of them.
    pub fn lasting(&self) -> impl Iterator<Item = (i64, i64, &[String])> {
        self.leases.iter().map(|lease| (lease.id, lease.granted, lease.keys.as_slice()))
    }
}

/// A lease, in the end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AuditedLease {
    /// Its id.
    pub id: i64,
    /// Seconds left.
    pub ttl: i64,
    /// Seconds granted.
    pub granted: i64,
    /// Its keys, sorted.
    pub keys: Vec<String>,
}

/// What the world was allowed to do; promises that depend on clocks are checked within it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Slowest and fastest a member's monotonic clock ran, member seconds per true second.
    pub clock_rate: (f64, f64),
    /// A lease lives at least this long, whatever was asked for.
    pub lease_ttl_min: Duration,
    /// A lease that nobody renews is gone so long after its time, once everything is healed.
    pub lease_late_max: Duration,
    /// A member that begins to lead lets leases live so much longer than they were granted.
    pub lease_extended_max: Duration,
    /// Members of the cluster.
    pub members: u32,
    /// A transaction has so many conditions, or operations of one branch, with those inside it.
    pub txn_ops_max: u64,
    /// Members compact by themselves, so that a compaction nobody asked for is none of our
    /// business.
    pub compacts_itself: bool,
}

impl Default for Rules {
    /// One member with a true clock, leases of two seconds and more that end within ten.
    fn default() -> Self {
        Self {
            clock_rate: (1.0, 1.0),
            lease_ttl_min: Duration::from_secs(2),
            lease_late_max: Duration::from_secs(10),
            lease_extended_max: Duration::ZERO,
            members: 1,
            txn_ops_max: 128,
            compacts_itself: false,
        }
    }
}

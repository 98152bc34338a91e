//! The replicated table of leases: what was granted, what is left, which keys hang on it.
//!
//! A lease record lives in `Table::Lease`; which keys are attached is not stored there but in the
//! pairs themselves, so a restart finds it again from the live keys. The table never looks at a
//! clock and never draws an id. It changes keys of the store not at all: deleting what hangs on a
//! revoked lease is the machine's work.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use bytes::Bytes;
use prost::Message;
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::LeaseRecord;

use crate::error::Error;
use crate::id::LeaseId;
use crate::limits::{LEASE_TTL_SECS_MAX, LEASE_TTL_SECS_MIN};
use crate::port::{self, Batch, Read};

/// All leases, and the lease of each key that has one.
#[derive(Clone, Debug, Default)]
pub struct Table {
    leases: BTreeMap<LeaseId, Lease>,
    // The key is one allocation shared with the lease's own set.
    by_key: BTreeMap<Arc<[u8]>, LeaseId>,
}

/// One granted lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which.
    pub id: LeaseId,
    /// Seconds granted.
    pub ttl_secs: i64,
    /// Seconds left at the last checkpoint; 0 = no checkpoint since it was granted or renewed.
    pub remaining_secs: i64,
    keys: BTreeSet<Arc<[u8]>>,
}

impl Lease {
    /// The attached keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// Seconds a member that knows nothing better must give it: what the last checkpoint left, or
    /// all of it.
    pub const fn secs_left(&self) -> i64 {
        if self.remaining_secs > 0 { self.remaining_secs } else { self.ttl_secs }
    }

    fn record(&self) -> LeaseRecord {
        LeaseRecord { id: self.id.0, ttl: self.ttl_secs, remaining_ttl: self.remaining_secs }
    }
}

impl Table {
    /// The lease `id`, if granted.
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// All leases, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The lease `key` is attached to, or [`LeaseId::NONE`].
    pub fn of_key(&self, key: &[u8]) -> LeaseId {
        // Most stores attach few keys or none: then this costs nothing.
        if self.by_key.is_empty() {
            return LeaseId::NONE;
        }
        self.by_key.get(key).copied().unwrap_or(LeaseId::NONE)
    }

    /// Grants `id` for `ttl_secs`, raised to the shortest lease there is; returns what was granted.
    ///
    /// # Errors
    /// `LeaseNotFound` for id 0 (the proposer draws ids; etcd answers the same),
    /// `LeaseTtlTooLarge`, `LeaseExist`.
    pub(crate) fn grant(
        &mut self,
        id: LeaseId,
        ttl_secs: i64,
        batch: &mut Batch,
    ) -> Result<&Lease, Error> {
        if id.is_none() {
            return Err(Error::LeaseNotFound);
        }
        if ttl_secs > LEASE_TTL_SECS_MAX {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Error::LeaseExist);
        }
        let ttl_secs = ttl_secs.max(LEASE_TTL_SECS_MIN);
        let lease = Lease { id, ttl_secs, remaining_secs: 0, keys: BTreeSet::new() };
        persist(&lease, batch);
        Ok(self.leases.entry(id).or_insert(lease))
    }

    /// Forgets `id`, whose keys the caller has deleted (and so detached).
    ///
    /// # Panics
    /// If keys are still attached.
    pub(crate) fn revoke(&mut self, id: LeaseId, batch: &mut Batch) {
        let lease = self.leases.remove(&id);
        assert!(lease.is_none_or(|l| l.keys.is_empty()), "lease {id} revoked with its keys");
        if !planted::on(Bug::RevokedLeaseReturns) {
            batch.delete(port::Table::Lease, Bytes::copy_from_slice(&id.to_key()));
        }
    }

    /// Notes that `remaining_secs` were left of `id`, never more than were granted; returns what
    /// was noted, `None` if there is no such lease.
    pub(crate) fn checkpoint(
        &mut self,
        id: LeaseId,
        remaining_secs: i64,
        batch: &mut Batch,
    ) -> Option<i64> {
        let lease = self.leases.get_mut(&id)?;
        lease.remaining_secs = remaining_secs.clamp(0, lease.ttl_secs);
        if !planted::on(Bug::CheckpointNotPersisted) {
            persist(lease, batch);
        }
        Some(lease.remaining_secs)
    }

    /// Attaches `key` to `id`, or to nothing if that is [`LeaseId::NONE`]; whatever it hung on
    /// before lets go of it.
    ///
    /// # Panics
    /// If there is no such lease: the caller has checked.
    pub(crate) fn attach(&mut self, key: &[u8], id: LeaseId) {
        let before = self.of_key(key);
        if before == id {
            return;
        }
        self.detach(key);
        if id.is_none() {
            return;
        }
        let shared: Arc<[u8]> = Arc::from(key);
        let lease = self.leases.get_mut(&id);
        lease.expect("the lease was looked up before").keys.insert(Arc::clone(&shared));
        self.by_key.insert(shared, id);
    }

    /// Makes `key` hang on nothing.
    pub(crate) fn detach(&mut self, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        let Some(id) = self.by_key.remove(key) else { return };
        let removed = self.leases.get_mut(&id).is_some_and(|lease| lease.keys.remove(key));
        assert!(removed, "lease {id} did not know its key");
    }

    /// Reads the lease records; keys are attached afterwards, when the store finds them.
    ///
    /// # Errors
    /// The backend cannot be read, or holds something that is no lease.
    pub(crate) fn restore(read: &dyn Read) -> Result<Self, Error> {
        let mut table = Self::default();
        let mut damage = None;
        read.scan(port::Table::Lease, &[], None, &mut |key, value| match decode(key, value) {
            Some(lease) if lease.id.0 < 0 && planted::on(Bug::NegativeLeaseLost) => true,
            Some(lease) => {
                table.leases.insert(lease.id, lease);
                true
            }
            None => {
                damage = Some(Error::Broken(alloc::format!("lease record at {key:02x?}")));
                false
            }
        })?;
        damage.map_or(Ok(table), Err)
    }
}

fn persist(lease: &Lease, batch: &mut Batch) {
    let key = Bytes::copy_from_slice(&lease.id.to_key());
    batch.put(port::Table::Lease, key, lease.record().encode_to_vec());
}

fn decode(key: &[u8], value: &Bytes) -> Option<Lease> {
    let record = LeaseRecord::decode(value.clone()).ok()?;
    let id = LeaseId(record.id);
    let whole = key == id.to_key() && !id.is_none() && record.ttl > 0;
    whole.then(|| Lease {
        id,
        ttl_secs: record.ttl,
        remaining_secs: record.remaining_ttl,
        keys: BTreeSet::new(),
    })
}

//! HashKV: members in the same state have the same hash, whatever their disks look like.
//!
//! Fed to CRC-32C are the name of etcd's bucket, `key`, then each record's key and value in order
//! of revision, up to the revision asked for. Of the records at or below the compact revision only
//! those count that are visible at the revision asked for, so neither the progress of physical
//! removal nor a tombstone kept exactly at the bound shows. Records and rule are etcd's, so the
//! number is too (compared with etcd 3.4). One deviation: where nothing at all is visible etcd
//! stops filtering, and its hash then depends on how far each member has come; ours does not.
//!
//! The digest itself is the caller's: core carries no checksum.

use alloc::vec::Vec;

use reseed_planted::{self as planted, Bug};

use super::{Store, broken, revision};
use crate::error::Error;
use crate::id::Revision;
use crate::port::{Read, Table};

/// A hash whose extent is decided.
#[derive(Clone, Debug)]
pub struct HashPlan {
    hashed: Hashed,
    /// Records at or below the compact revision that count, in order.
    keep: Vec<Revision>,
}

/// What was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The revision hashed.
    pub revision: i64,
    /// The compact revision at that moment; -1 = never compacted.
    pub compact_revision: i64,
}

impl Store {
    /// Decides what a hash at `revision` (0 = now) covers. The view handed to
    /// [`HashPlan::finish`] must be taken while the machine is still locked.
    ///
    /// # Errors
    /// `Compacted`, `FutureRev`.
    pub fn plan_hash(&self, revision: i64) -> Result<HashPlan, Error> {
        let revision = self.readable(revision, self.revision)?;
        let compact_revision = self.compaction.scheduled;
        let visible = self.index.iter().filter_map(|(_, key)| key.at(revision));
        let mut keep: Vec<Revision> = visible.filter(|at| at.main <= compact_revision).collect();
        keep.sort_unstable();
        Ok(HashPlan { hashed: Hashed { revision, compact_revision }, keep })
    }
}

impl HashPlan {
    /// Feeds `digest` (CRC-32C, as etcd) with everything the hash covers, in order.
    ///
    /// # Errors
    /// The backend cannot be read or holds what is no record.
    pub fn finish(self, read: &dyn Read, digest: &mut dyn FnMut(&[u8])) -> Result<Hashed, Error> {
        digest(b"key");
        let beyond = self.hashed.revision.saturating_add(1);
        let to = revision::encode(Revision::new(beyond, 0));
        let mut damage = None;
        let to = (!planted::on(Bug::HashBeyondRevision)).then_some(&to[..]);
        read.scan(Table::Key, &[], to, &mut |key, value| {
            let Some(change) = revision::decode(key) else {
                damage = Some(broken(format_args!("{key:02x?} is no revision")));
                return false;
            };
            let is_below = change.at.main <= self.hashed.compact_revision;
            let counts = !is_below || planted::on(Bug::HashCountsCompacted);
            if counts || self.keep.binary_search(&change.at).is_ok() {
                digest(key);
                digest(value);
            }
            true
        })?;
        damage.map_or(Ok(self.hashed), Err)
    }
}

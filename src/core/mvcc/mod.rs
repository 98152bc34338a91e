//! The store: every key at every revision since the last compaction.

mod hash;
mod history;
mod key_range;
mod range;
mod txn;

use reseed_proto::etcdserverpb as pb;

use crate::error::Error;
use crate::id::Revision;
use crate::port::{Batch, Read};

pub use hash::{HashPlan, Hashed};
pub use history::{HistoryLimits, RevisionEvents};
pub use key_range::KeyRange;
pub use range::RangePlan;
pub use txn::{is_read_only, is_serializable};

/// The multi-version store.
#[derive(Clone, Debug, Default)]
pub struct Store {}

impl Store {
    /// The revision of the last write; 1 before the first.
    pub const fn revision(&self) -> i64 {
        1
    }

    /// The revision of the last compaction; -1 before the first, as etcd shows it. Revisions below
    /// cannot be read, the revision itself can.
    pub const fn compact_revision(&self) -> i64 {
        -1
    }

    /// The compaction whose physical removal is complete; -1 before the first.
    pub const fn compact_finished(&self) -> i64 {
        -1
    }

    /// Keys in the index, deleted ones that are not yet compacted away included.
    pub const fn key_count(&self) -> usize {
        0
    }

    /// The revision of `key` that is visible at `at`; `None` if it does not exist then.
    pub fn revision_of(&self, _key: &[u8], _at: i64) -> Option<Revision> {
        None
    }

    /// Decides what a range returns, from memory alone; [`RangePlan::finish`] fetches the values,
    /// without the machine's lock.
    ///
    /// # Errors
    /// `Compacted`, `FutureRev`.
    pub fn plan_range(&self, _request: &pb::RangeRequest) -> Result<RangePlan, Error> {
        Err(Error::Compacted)
    }

    /// Decides what a hash at `revision` (0 = now) covers. The view handed to
    /// [`HashPlan::finish`] must be taken while the machine is still locked.
    ///
    /// # Errors
    /// `Compacted`, `FutureRev`.
    pub fn plan_hash(&self, _revision: i64) -> Result<HashPlan, Error> {
        Err(Error::Compacted)
    }

    /// The events from revision `from` on, oldest first, whole revisions only.
    ///
    /// # Errors
    /// `Compacted` if `from` lies before the compact revision; the backend cannot be read.
    pub fn history(
        &self,
        _read: &dyn Read,
        _from: i64,
        _limits: HistoryLimits,
    ) -> Result<alloc::vec::Vec<RevisionEvents>, Error> {
        Err(Error::Compacted)
    }

    /// Whether physical compaction has work left.
    pub const fn is_scrub_pending(&self) -> bool {
        false
    }

    /// One bounded step of physical compaction: visits at most `keys_max` keys, returns what to
    /// delete, and whether that was all there is to do for now. Not through the log: persist the
    /// batch with the applied index unchanged.
    pub fn scrub_step(&mut self, _keys_max: usize) -> (Batch, bool) {
        (Batch::default(), true)
    }
}

//! The store: every key at every revision since the last compaction.
//!
//! # The idea
//!
//! Nothing is overwritten. Each write transaction takes the next *main revision*, each change in
//! it a *sub-revision*; the pair it makes is a record in the backend under that revision, and the
//! [index](index) remembers which revisions belong to which key. Reading at revision R is asking
//! the index for each key's last put at or before R and fetching those records. Deleting is a
//! record too, a tombstone. Compaction to C forgets what cannot be seen from C on.
//!
//! # Worked example
//!
//! ```text
//!                        main.sub  backend (Table::Key)             index
//! (empty store)          1
//! put a=1                2.0       2_0  a=1 created 2 version 1     a: 2
//! txn: put b=1, put a=2  3.0       3_0  b=1 created 3 version 1     b: 3
//!                        3.1       3_1  a=2 created 2 version 2     a: 2 3.1
//! delete b               4.0       4_0t b                           b: 3 4†
//! delete b               -         (finds nothing: no revision spent)
//! range at 3             →         a=2, b=1                         (2 keys exist at 3)
//! range at 2             →         a=1
//! range now              →         a=2                              header revision 4
//! compact 3              (range at 2 is refused from now on, at 3 it is not)
//! scrub_step             deletes   2_0                              a: 3.1   b: 3 4†
//! compact 4, scrub_step  deletes   3_0                              a: 3.1   b: 4†
//! put b=7                5.0       5_0  b=7 created 5 version 1     b: 4† 5
//! compact 5, scrub_step  deletes   4_0t                             a: 3.1   b: 5
//! ```
//!
//! # Invariants
//!
//! - Revisions never go back, not across restarts either: the compact revision counts.
//! - What a request sees depends on replicated state only: never on how far this member has
//!   scrubbed, never on a read that another member might fail.
//! - Every record the index knows is in the backend or in a batch already returned; what the index
//!   does not know is on its way to deletion.
//! - From the compact revision on, history is complete, tombstones included.
//! - A refusal changes nothing.
//!
//! # Who does what
//!
//! `key_index` one key's history; `index` all of them; `revision` and `record` the bytes; `range`
//! reads; `write` and `txn` change; `compact`, `hash`, `history`, `restore` as they say.

mod compact;
mod hash;
mod history;
mod index;
mod key_index;
mod key_range;
mod range;
mod record;
mod restore;
mod revision;
#[cfg(test)]
mod tests;
mod txn;
mod write;

use core::fmt;

use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb::KeyValue;

use crate::error::Error;
use crate::id::Revision;
use crate::port::Read;

pub use hash::{HashPlan, Hashed};
pub use history::{HistoryLimits, RevisionEvents, Span, events_between};
pub use key_range::KeyRange;
pub use range::RangePlan;
pub use txn::{TxnPlan, is_read_only, is_serializable};

pub(crate) use txn::{State, choose};
pub(crate) use write::Write;

/// The revision of an empty store; the first write makes the next.
const FIRST_REVISION: i64 = 1;

/// The multi-version store.
#[derive(Clone, Debug)]
pub struct Store {
    index: index::Index,
    revision: i64,
    compaction: compact::Progress,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            index: index::Index::default(),
            revision: FIRST_REVISION,
            compaction: compact::Progress::default(),
        }
    }
}

impl Store {
    /// The revision of the last write; 1 before the first.
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision of the last compaction; -1 before the first, as etcd shows it. Revisions below
    /// cannot be read, the revision itself can.
    pub const fn compact_revision(&self) -> i64 {
        self.compaction.scheduled
    }

    /// The compaction whose physical removal is complete; -1 before the first.
    pub const fn compact_finished(&self) -> i64 {
        self.compaction.finished
    }

    /// Keys in the index, deleted ones that are not yet compacted away included.
    pub fn key_count(&self) -> usize {
        self.index.len()
    }

    /// The put of `key` that is visible at revision `at`; `None` if the key does not exist then.
    pub fn revision_of(&self, key: &[u8], at: i64) -> Option<Revision> {
        self.index.get(key)?.at(at)
    }

    /// The pair a change of `key` at `revision` replaced, as a watcher with `prev_kv` gets it:
    /// what was visible one revision before; `None` if nothing was, or it is compacted.
    ///
    /// # Errors
    /// The backend cannot be read.
    pub fn previous(
        &self,
        key: &[u8],
        revision: i64,
        read: &dyn Read,
    ) -> Result<Option<KeyValue>, Error> {
        let before = revision.saturating_sub(1);
        if before < self.compaction.scheduled {
            return Ok(None);
        }
        self.revision_of(key, before).map_or(Ok(None), |at| range::fetch(at, read))
    }

    /// Decides what a range returns, from memory alone; [`RangePlan::finish`] fetches the values,
    /// without the machine's lock.
    ///
    /// # Errors
    /// `Compacted`, `FutureRev`.
    pub fn plan_range(&self, request: &pb::RangeRequest) -> Result<RangePlan, Error> {
        RangePlan::new(self, request, self.revision)
    }

    /// The revision that `asked` means where `now` is the current one: 0 or less is `now`.
    ///
    /// # Errors
    /// `FutureRev`, `Compacted`.
    fn readable(&self, asked: i64, now: i64) -> Result<i64, Error> {
        let compact::Progress { scheduled, finished, .. } = self.compaction;
        let compacted = if planted::on(Bug::CompactedByScrub) { finished } else { scheduled };
        match asked {
            ..=0 => Ok(now),
            _ if asked > now => Err(Error::FutureRev),
            _ if asked < compacted => Err(Error::Compacted),
            _ => Ok(asked),
        }
    }
}

/// A header that carries the revision only; ids and term are the server's to fill.
#[expect(clippy::unnecessary_wraps, reason = "headers are optional on the wire")]
pub(crate) fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..pb::ResponseHeader::default() })
}

fn broken(what: fmt::Arguments<'_>) -> Error {
    Error::Broken(alloc::format!("{what}"))
}

//! Compaction: the promise at once, the work later.
//!
//! Applying a compaction only moves the bound below which nothing may be read; that is replicated
//! and persisted, so it is the same everywhere. Removing what lies below is local work in bounded
//! steps, each a batch of its own: a pass over all keys in order, with the next one to visit as
//! the cursor. The history of one key may take many steps: the oldest changes go first, so what is
//! left of it at any moment reads the same. A crash forgets the cursor, not the bound: the marks
//! `scheduledCompactRev` and `finishedCompactRev` differ, and the pass begins again over what is
//! left. A compaction that arrives during a pass does not restart it; another pass follows, so that
//! frequent compactions cannot starve the last keys of the keyspace.
//!
//! Nothing a client or another member sees depends on how far the work has come: reads are refused
//! by the bound, hashes leave out by rule what is yet to be removed.

use alloc::boxed::Box;

use bytes::Bytes;

use reseed_planted::{self as planted, Bug};

use super::Store;
use super::index::Step;
use super::revision;
use crate::error::Error;
use crate::port::{Batch, Read, Table};

const SCHEDULED: &[u8] = b"scheduledCompactRev";
const FINISHED: &[u8] = b"finishedCompactRev";

/// What etcd shows as the compact revision of a store never compacted.
const NEVER: i64 = -1;

/// How far compaction is promised and done.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The bound: revisions below cannot be read.
    pub(crate) scheduled: i64,
    /// The last bound below which everything has been removed.
    pub(crate) finished: i64,
    pass: Option<Pass>,
}

/// A pass over all keys under way.
#[derive(Clone, Debug)]
struct Pass {
    target: i64,
    next: Box<[u8]>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { scheduled: NEVER, finished: NEVER, pass: None }
    }
}

impl Progress {
    /// # Errors
    /// The backend cannot be read, or a mark in it is no number.
    pub(crate) fn restore(read: &dyn Read) -> Result<Self, Error> {
        let finished = mark(read, FINISHED)?;
        // The bound is the larger of the two: etcd issue 17780 is what happens otherwise.
        let mut scheduled = mark(read, SCHEDULED)?.max(finished);
        if planted::on(Bug::BoundForgotten) {
            scheduled = finished;
        }
        Ok(Self { scheduled, finished, pass: None })
    }
}

impl Store {
    /// Moves the bound to `revision`.
    ///
    /// # Errors
    /// `Compacted` if it is there already, `FutureRev` if the store has not come so far.
    pub(crate) fn compact(&mut self, revision: i64, batch: &mut Batch) -> Result<(), Error> {
        if revision <= self.compaction.scheduled {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRev);
        }
        self.compaction.scheduled = revision;
        batch.put(Table::Meta, SCHEDULED, number(revision));
        Ok(())
    }

    /// Whether physical compaction has work left.
    pub const fn is_scrub_pending(&self) -> bool {
        self.compaction.finished < self.compaction.scheduled
    }

    /// One bounded step of physical compaction: visits at most `budget` keys and drops at most
    /// `budget` changes, returns what to delete, and whether there is nothing left to do. It is no
    /// entry of the log: persist the batch with the applied index unchanged, before the next step.
    ///
    /// # Panics
    /// If `budget` is 0.
    pub fn scrub_step(&mut self, budget: usize) -> (Batch, bool) {
        assert!(budget > 0, "a step visits at least one key");
        let mut batch = Batch::default();
        if !self.is_scrub_pending() {
            return (batch, true);
        }
        let (target, next) = match self.compaction.pass.take() {
            Some(pass) => (pass.target, Some(pass.next)),
            None => (self.compaction.scheduled, None),
        };
        let step = Step { next: next.as_deref(), budget, main: target };
        let go_on_with = self.index.compact(step, |change| {
            batch.delete(Table::Key, revision::key(change));
        });
        match go_on_with {
            Some(next) => self.compaction.pass = Some(Pass { target, next }),
            None => {
                self.compaction.finished = target;
                batch.put(Table::Meta, FINISHED, number(target));
            }
        }
        (batch, !self.is_scrub_pending())
    }
}

fn mark(read: &dyn Read, name: &[u8]) -> Result<i64, Error> {
    let Some(value) = read.get(Table::Meta, name)? else { return Ok(NEVER) };
    let bytes = value.as_ref().try_into();
    bytes.map(i64::from_be_bytes).map_err(|_| {
        Error::Broken(alloc::format!(
            "{} is {value:02x?}",
            alloc::string::String::from_utf8_lossy(name)
        ))
    })
}

fn number(revision: i64) -> Bytes {
    Bytes::copy_from_slice(&revision.to_be_bytes())
}

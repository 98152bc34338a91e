//! What a member lets its embedder see of consensus, as it happens.
//!
//! The simulator judges raft's promises by it; nothing of the member depends on it, and without an
//! observer it costs a look at an empty cell.

use std::fmt;
use std::sync::OnceLock;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// Where the member is now: told before anything it says to others leaves.
    Place {
        /// Raft term.
        term: u64,
        /// The leader it knows, or 0.
        leader: u64,
        /// Index up to which the log is committed.
        committed: u64,
        /// Index of the last entry in the log.
        last: u64,
    },
    /// Term and vote are durable: told before the messages that rely on it leave.
    Promised {
        /// Raft term.
        term: u64,
        /// The member it voted for in that term, or 0.
        vote: u64,
    },
    /// The member begins, with the term and the vote that it found on its disk.
    Recalled {
        /// Raft term.
        term: u64,
        /// The member it voted for in that term, or 0.
        vote: u64,
    },
    /// An entry is in the log: one that was there when the member began, or a new one about to be
    /// written, which replaces what was there and all behind it.
    Logged {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// The term of the entry before it, if the log still knows it.
        before: Option<u64>,
        /// A checksum of its data.
        digest: u32,
    },
    /// An entry is executed.
    Applied {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// A checksum of its data.
        digest: u32,
    },
    /// A state took the place of everything up to this entry.
    Installed {
        /// Its index.
        index: u64,
    },
}

/// Sees every [`Sight`]; must not block.
pub type Observer = Box<dyn Fn(Sight) + Send + Sync>;

/// Who looks, if anybody does.
#[derive(Default)]
pub(crate) struct Sights(OnceLock<Observer>);

impl Sights {
    /// From now on `observer` sees everything; a second one is ignored.
    pub(crate) fn show_to(&self, observer: Observer) {
        // One member, one observer: who asks again has it already.
        let _second = self.0.set(observer);
    }

    /// Shows what `sight` makes, if anybody looks.
    pub(crate) fn show(&self, sight: impl FnOnce() -> Sight) {
        if let Some(observer) = self.0.get() {
            observer(sight());
        }
    }
}

impl fmt::Debug for Sights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sights").field(&self.0.get().is_some()).finish()
    }
}

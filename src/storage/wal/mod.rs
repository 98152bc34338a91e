//! The write-ahead log: what was promised, before it is done.
//!
//! # Problem
//! A member answers only for what survives a crash at any instant: power may fail in the middle of
//! a write, the disk may keep any subset of what was written since the last sync, and whole sectors
//! of one write may be missing. After that, the log must give back every record that was synced,
//! must not give back half of one, and must never bring back what was written over. It must also
//! notice when the disk damaged what *was* synced, instead of quietly forgetting it.
//!
//! # What is durable when
//! [`Wal::append`] and [`Wal::mark`] put records into the file with one write and promise nothing.
//! [`Wal::sync`] is one fdatasync: when it returned, everything appended before is durable. An
//! error of a sync is final: the kernel may have dropped the pages, so the log is poisoned and
//! refuses everything from then on. [`Wal::release`] forgets whole segments that a *synced* mark
//! made unnecessary.
//!
//! # Idea
//! The log is one endless line of bytes; a *position* counts them, across segments. A segment is a
//! preallocated file holding a stretch of the line. A record carries a crc of itself, of its own
//! position, and of the crc of the record before it: a stale, misplaced or reordered record never
//! fits. It also carries the position up to which the log was *synced when the record was
//! written*. That settles the one hard question: a bad record at position P is
//!
//! - **a torn tail**, cut off, if no later intact record says that P was synced already: nobody
//!   can have been promised anything at or beyond P. Intact records may well follow (the disk kept
//!   a later sector of the same unsynced batch); they go too.
//! - **a damaged middle**, refused, if a later intact record does say so: the disk lost what it had
//!   confirmed. The error names file and offset; nothing is written.
//!
//! # Invariants
//! - A named segment begins with a durable header, hard state and mark: it is written under another
//!   name, synced, renamed, and the directory synced. So every segment can be the first.
//! - A segment gets a successor only after its end record is synced: in all but the last segment,
//!   any bad record is damage.
//! - Space is reserved before it is needed: the next segment is preallocated when the current one
//!   is half full, and a batch goes into one segment whole. Running out of space is found before
//!   anything is written ([`WalError::Full`]), and the log stays usable.
//! - Opening zeroes everything behind the tail and syncs before it returns. So old garbage never
//!   becomes reachable, and what a process read is what a later power failure leaves.
//! - An entry with an index the log already has replaces it and all after it (Raft §5.3).
//!
//! # Caveats
//! - Damage of the *last* synced batch looks like a torn tail while no later record vouches for it.
//!   The applied index of the backend catches part of that, other members the
//!   rest. The same goes for losing the whole last segment right after a rotation.
//! - The crc finds accidents, not forgeries.
//!
//! The byte tables are in docs/formats.md.

mod purge;
mod reader;
mod record;
mod segment;
mod writer;

use std::{io, path::Path};

use bytes::Bytes;
use reseed_rt::disk::Disk;

pub use reader::{Cut, inspect};
pub use record::{
    ENTRY_HEADER_BYTES, FRAME_ALIGN, FRAME_HEADER_BYTES, PAYLOAD_BYTES_MAX, RecordKind,
};
pub use segment::{MAGIC, SEGMENT_HEADER_BYTES, WAL_VERSION};
pub use writer::Wal;

/// One raft log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalEntry {
    /// Position in the raft log; the first is 1.
    pub index: u64,
    /// The leader's term.
    pub term: u64,
    /// Raft's entry type, kept as it is.
    pub kind: u8,
    /// The payload; empty in a new leader's first entry.
    pub data: Bytes,
    /// Raft's context, usually empty.
    pub context: Bytes,
}

/// What raft must not forget, besides entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term seen.
    pub term: u64,
    /// Whom this member voted for in it; 0 = nobody.
    pub vote: u64,
    /// A commit index; may lag behind.
    pub commit: u64,
}

/// A snapshot exists up to here: entries up to `index` are not needed for recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The last entry the snapshot contains; 0 = no snapshot yet.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The encoded configuration at that point.
    pub conf_state: Bytes,
}

/// Whose log it is; written into every segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The member.
    pub member_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// Bytes preallocated per segment; a larger batch gets a larger segment.
    pub segment_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// What a log said when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whose log it is.
    pub metadata: Metadata,
    /// The last hard state; all zero if none was written.
    pub hard_state: HardState,
    /// The last mark; index 0 if none was written.
    pub mark: Mark,
    /// The entries after the mark, without gaps.
    pub entries: Vec<WalEntry>,
    /// The torn tail that opening cut off, if there was one.
    pub cut: Option<Cut>,
}

/// Why a log cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// There is no room for the batch. Nothing was written; the log is usable.
    #[error("write-ahead log: the disk is full")]
    Full,
    /// An earlier write or sync failed; nothing may be promised any more.
    #[error("write-ahead log: refused after an earlier failure: {0}")]
    Poisoned(String),
    /// The log lost something it had confirmed, or holds something it never wrote.
    #[error("write-ahead log is damaged: {file} at offset {offset}: {reason}")]
    Damaged {
        /// The segment.
        file: String,
        /// The byte in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// There is no log.
    #[error("no write-ahead log in {0}")]
    Missing(String),
    /// The disk failed.
    #[error("write-ahead log: {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the disk said.
        source: io::Error,
    },
}

impl WalError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// As [`Self::io`], for what may fail for lack of space and be tried again.
    fn full_or(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::Full,
            _ => Self::Io { what, source },
        }
    }
}

/// Whether `dir` holds a log that can be opened: creating one is atomic, so it is there or not.
///
/// # Errors
/// If the directory cannot be listed.
pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    if !disk.exists(dir).map_err(WalError::io("look for the directory"))? {
        return Ok(false);
    }
    Ok(!segment::list(disk, dir)?.is_empty())
}

#[cfg(test)]
mod tests;

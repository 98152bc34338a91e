//! The applied state: cheap to change, durable a little later, never half.
//!
//! # Problem
//! Applying an entry must cost about a microsecond, but a durable transaction of a B-tree costs
//! milliseconds. The log already carries durability, so the tree may lag; after a crash it must
//! then hold exactly the effect of the first N entries and know N, or an entry would be applied
//! twice or never.
//!
//! # Idea
//! [`Backend::commit`] inserts a batch into a *layer* in memory, together with the applied index;
//! readers see it at once. A flush freezes the layer, writes it to the engine in one durable
//! transaction with the applied index of the moment of freezing, then drops it. Readers look into
//! the layers, newest first, then into a *view* of the engine: a read transaction, opened once per
//! flush and shared by all.
//!
//! ```text
//!  commit ──► active ──freeze──► frozen, frozen ──flush──► engine (redb | memory)
//!               │                    │                        │
//!  read ◄───────┴────────────────────┴────────────────────────┘ view of the last flush
//! ```
//!
//! # Invariants
//! - The engine holds the effect of exactly the entries up to [`Backend::persisted`], always: the
//!   layers and their applied index are taken in one critical section, and written in one
//!   transaction.
//! - A frozen layer stays readable until a view that contains it has replaced the old one.
//! - Layers hold at most about [`BackendOptions::overlay_bytes_max`] bytes, as long as the apply
//!   loop awaits [`Backend::room`] before it commits.
//! - A failed transaction is final ([`BackendError::Poisoned`]), except for lack of space: then the
//!   engine is reopened at its last transaction, the layers stay, and reads go on.
//!
//! # Defragmentation
//! The engine's tables are copied through a view into a second file while flushes go on into the
//! first; the layers flushed meanwhile are kept and written to the second file at the end, which
//! then takes the name of the first. Commits never wait for it; flushes only if what they keep
//! for it outgrows a bound.
//!
//! # Figures
//! One million revisions of 312 bytes, redb with 64 MiB of cache, two busy cores, CPU time:
//! commit of a put 0.1 µs, its share of the flushes 1.0 µs; a value from a layer 0.3 µs, from the
//! engine 4.8 µs; 1,000 values close to each other 0.9 ms, scattered 4.7 ms, read again (from the
//! value cache) 0.04 ms; a scan of everything 0.24 s; opening 3 ms; resident 90 MiB. Printed by
//! `cargo run --release -p reseed-storage --features testing --example backend_figures`.

mod cache;
mod defrag;
mod flush;
mod install;
mod keys;
mod layer;
mod memory;
mod merge;
mod overlay;
mod portable;
mod redb;
mod redb_disk;
mod redb_view;

use std::{fmt::Debug, io, path::Path, sync::Arc};

use reseed_core::port::{Read, ReadError};

pub use install::{damaged_path, finish_install, install_path, replace_unusable};
pub use keys::{APPLIED_INDEX, APPLIED_TERM, RevisionKey, decode_revision_key};
pub use layer::Layer;
pub use overlay::{Backend, Snapshot};
pub use portable::{
    CHECKSUM_BYTES, ExportInfo, Exported, FOOTER_BYTES, FRAME_HEADER_BYTES, Imported,
    SNAPSHOT_MAGIC, SNAPSHOT_VERSION, import_blocking, read_blocking,
};

/// What a pair costs on top of its bytes: offsets in the leaf, its share of inner pages and of
/// pages not quite full. 1 M pairs of 300 bytes take 303 MiB in redb.
const PAIR_OVERHEAD_BYTES: u64 = 17;

/// What a pair takes in the engine.
fn pair_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + PAIR_OVERHEAD_BYTES
}

/// The last entry whose effect is in the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppliedAt {
    /// Its index; 0 = none.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// How much room the state takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What the file took at its fullest; defragmentation gives back what is not in use.
    pub allocated: u64,
    /// What of that holds data; the rest is free for reuse or for defragmentation.
    pub in_use: u64,
}

/// How a backend is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendOptions {
    /// Pages the engine keeps in memory.
    pub cache_bytes: usize,
    /// What layers may hold before [`Backend::room`] waits. A flush is wanted at half of it.
    pub overlay_bytes_max: usize,
    /// Values of single revisions kept in memory once they were read; 0 = none.
    pub value_cache_bytes: usize,
}

impl Default for BackendOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, overlay_bytes_max: 32 << 20, value_cache_bytes: 32 << 20 }
    }
}

/// Why a backend cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The disk is full. Nothing is lost: what was not flushed stays in memory (and in the log),
    /// reads go on, and the flush can be tried again.
    #[error("backend: the disk is full")]
    Full,
    /// An earlier transaction failed; nothing may be written any more.
    #[error("backend: refused after an earlier failure: {0}")]
    Poisoned(String),
    /// The engine failed.
    #[error("backend: {0}")]
    Engine(String),
    /// A portable snapshot is not what it should be.
    #[error("snapshot {file}: {reason}")]
    Snapshot {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed.
    #[error("backend: {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the disk said.
        source: io::Error,
    },
}

impl BackendError {
    /// Lack of space keeps its own name.
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::Full,
            _ => Self::Io { what, source },
        }
    }
}

impl From<ReadError> for BackendError {
    fn from(error: ReadError) -> Self {
        Self::Engine(error.0)
    }
}

/// What keeps the state on disk. One transaction at a time; the flusher owns it.
pub(crate) trait Engine: Send + Debug {
    /// The state as of the last transaction. It stays as it is, whatever is written later.
    fn view(&self) -> Result<Arc<dyn View>, BackendError>;

    /// Writes layers, in order, and the applied index in one transaction; durable on return.
    /// After `Full` the engine is as of the transaction before, and older views may be unusable.
    fn write(&mut self, layers: &[Arc<Layer>], at: AppliedAt) -> Result<(), BackendError>;

    /// The entry of the last transaction.
    fn applied(&self) -> Result<AppliedAt, BackendError>;

    /// What it takes.
    fn size(&self) -> Result<Size, BackendError>;

    /// Puts the database in `from` in this one's place on disk, and opens it there.
    fn install(&self, from: &Path) -> Result<Box<dyn Engine>, BackendError>;

    /// Begins a copy of the engine without its holes; `None` if there is nothing to gain.
    fn rebuild(&self) -> Result<Option<Box<dyn Rebuild>>, BackendError>;
}

/// An engine's state at one instant.
pub(crate) trait View: Read + Send + Sync + Debug {}

/// A copy of an engine in the making.
pub(crate) trait Rebuild: Send + Debug {
    /// Copies everything.
    fn copy(&mut self, from: &dyn View) -> Result<(), BackendError>;

    /// Adds what was flushed meanwhile.
    fn catch_up(&mut self, layers: &[Arc<Layer>], at: AppliedAt) -> Result<(), BackendError>;

    /// Takes the old engine's place on disk. An error is final: which of them has it is not known.
    fn take_over(self: Box<Self>) -> Result<Box<dyn Engine>, BackendError>;

    /// Gives up.
    fn discard(self: Box<Self>);
}

#[cfg(test)]
pub(crate) use redb::table_name;
#[cfg(test)]
mod tests;

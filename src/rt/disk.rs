//! Files and directories, with durability said out loud.
//!
//! Synchronous on purpose: a WAL append or a backend commit is a straight line of code, run on a
//! thread that may block. Nothing written is durable before [`File::sync`] returns, and no name
//! (created, renamed, removed) before [`Disk::sync_dir`] of its directory does. The simulated disk
//! takes this literally when its power fails. An error of `sync` is final: the caller must not try
//! again, because the kernel may have dropped the pages it could not write.
//!
//! Not here: memory mapping, appending, metadata, permissions. The store needs none of them.

use std::{any::Any, fmt, io, path::Path, sync::Arc};

use crate::imp;

/// How [`Disk::open`] treats a file that is or is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Must exist; only reads are allowed.
    Read,
    /// Must exist.
    ReadWrite,
    /// Must not exist.
    Create,
    /// Created if missing.
    CreateOrOpen,
    /// Created if missing, emptied if not.
    CreateTruncate,
}

impl OpenMode {
    /// May the file be changed through this handle?
    #[must_use]
    pub fn is_writable(self) -> bool {
        self != Self::Read
    }
}

/// A machine's file system.
///
/// Errors are the operating system's, with the path added; `NotFound`, `AlreadyExists`,
/// `StorageFull` keep their kind.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file. Creating one makes its name durable only with [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound` or `AlreadyExists` as the mode demands.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Names in a directory, sorted.
    ///
    /// # Errors
    /// `NotFound` if the directory is missing.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Is there a file or directory of this name?
    ///
    /// # Errors
    /// If it cannot be found out.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Creates a directory and those above it that are missing.
    ///
    /// # Errors
    /// If something on the way is not a directory.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file, replacing what was called `to`, atomically.
    ///
    /// # Errors
    /// `NotFound` if there is no `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` if it is missing.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all below it.
    ///
    /// # Errors
    /// `NotFound` if it is missing.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    ///
    /// # Errors
    /// Final, see the module.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock called `path`, creating the file if needed.
    ///
    /// # Errors
    /// `WouldBlock` if another process (or this one) holds it.
    fn lock(&self, path: &Path) -> io::Result<Lock>;

    /// Bytes an unprivileged process may still write below `path`.
    ///
    /// # Errors
    /// If the file system does not say.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file, used at explicit offsets, from several threads if need be.
#[expect(clippy::len_without_is_empty, reason = "an I/O call, not a collection")]
pub trait File: Send + Sync + fmt::Debug {
    /// Length in bytes.
    ///
    /// # Errors
    /// If the file cannot be asked.
    fn len(&self) -> io::Result<u64>;

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before that.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `from` at `offset`, growing the file; a gap reads as zeros.
    ///
    /// # Errors
    /// `StorageFull`, or the device's; part of it may have been written.
    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// The device's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves space for the first `len` bytes, growing the file with zeros to that length; what
    /// is there stays. Later writes below `len` do not fail for lack of space.
    ///
    /// # Errors
    /// `StorageFull`.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes everything written so far durable (fdatasync: data and length, not times).
    ///
    /// # Errors
    /// Final, see the module.
    fn sync(&self) -> io::Result<()>;
}

/// An exclusive lock, held until dropped or the process ends.
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl Lock {
    /// Wraps whatever releases the lock when it is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// The disk of this machine, or of the simulated node this task runs on.
#[must_use]
pub fn disk() -> Arc<dyn Disk> {
    imp::disk()
}

/// Pays, in simulated time, for what the disk did for this node since the last call. Production
/// paid when it happened: there this does nothing.
pub async fn settle() {
    imp::settle().await;
}

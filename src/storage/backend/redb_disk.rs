//! redb's six functions of a file, over `rt::disk`.
//!
//! redb doubles its file when it grows; the length is only a length here, the disk's space is taken
//! as pages are written. So a write may run out of space; a sync that does is final like any failed
//! sync. A file that was given up ([`Gauge::give_up`]) refuses everything: an engine that failed
//! must not touch what its successor writes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use reseed_planted::{self as planted, Bug};
use reseed_rt::disk::File;

/// What an engine knows about its file without asking redb.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    full: AtomicBool,
    given_up: AtomicBool,
}

impl Gauge {
    /// Whether the file ran out of space since it was opened.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// From now on the file answers nothing.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }
}

/// A file as redb wants it.
#[derive(Debug)]
pub(crate) struct RedbFile {
    file: Arc<dyn File>,
    gauge: Arc<Gauge>,
}

impl RedbFile {
    pub(crate) fn new(file: Arc<dyn File>, gauge: Arc<Gauge>) -> Self {
        Self { file, gauge }
    }

    fn guarded<T>(&self, act: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        if self.gauge.given_up.load(Ordering::Acquire) {
            return Err(io::Error::other("the file was reopened after an error"));
        }
        act(self.file.as_ref())
    }

    /// Something that may be tried again after it ran out of space.
    fn changing(&self, act: impl FnOnce(&dyn File) -> io::Result<()>) -> io::Result<()> {
        self.guarded(act).inspect_err(|error| {
            if error.kind() == io::ErrorKind::StorageFull {
                self.gauge.full.store(true, Ordering::Release);
            }
        })
    }
}

impl redb::StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.guarded(|file| file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.guarded(|file| file.read_at(out, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        if planted::on(Bug::BackendUnsynced) {
            return Ok(());
        }
        self.guarded(|file| file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.changing(|file| file.write_at(data, offset))
    }
}

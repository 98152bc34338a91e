//! Taking over another member's state: a whole database in place of the one in use.
//!
//! The new database is imported beside the old one, under a name of its own, and is durable before
//! anything else happens ([`import_blocking`](super::import_blocking)). Then the log is told that
//! it begins after the new state, and only then does the new database take the old one's name. A
//! crash between the two leaves a log that is ahead of the backend, and the database that fits it
//! beside it: [`finish_install`] at boot makes the rename up for it. A crash before leaves a file
//! that nothing refers to, which boot removes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use reseed_rt::disk::Disk;
use reseed_rt::probe::{self, Probe};

use super::{AppliedAt, Backend, BackendError, BackendOptions, Engine, Layer, redb::RedbEngine};

/// What a database to be installed is called, beside the one called `db`.
#[must_use]
pub fn install_path(db: &Path) -> PathBuf {
    db.with_extension("install")
}

/// At boot: renames or removes what an interrupted installation left. The log begins after entry
/// `log_begins`. One that is damaged is set aside: if it was the one, the old database is behind
/// the log, which its opening shows.
///
/// # Errors
/// `Io`.
pub fn finish_install(
    disk: &Arc<dyn Disk>,
    db: &Path,
    log_begins: u64,
) -> Result<(), BackendError> {
    let waiting = install_path(db);
    if !disk.exists(&waiting).map_err(BackendError::io("look for a new database"))? {
        return Ok(());
    }
    let cache_bytes = BackendOptions::default().cache_bytes;
    let engine = match RedbEngine::checked(Arc::clone(disk), &waiting, cache_bytes) {
        Ok(engine) => engine,
        Err(error @ BackendError::Engine(_)) => {
            tracing::error!(%error, "a snapshot that was being installed is damaged");
            let aside = damaged_path(db);
            return disk.rename(&waiting, &aside).map_err(BackendError::io("set it aside"));
        }
        Err(error) => return Err(error),
    };
    let index = engine.applied()?.index;
    // The old one may have made way already ([`replace_unusable`]), and the log go on behind both.
    let is_only_one = !disk.exists(db).map_err(BackendError::io("look for the database"))?;
    if index == log_begins || (index > log_begins && is_only_one) {
        probe::hit(Probe::InstallFinished);
        tracing::info!(index, "finishing the installation of a snapshot");
        return engine.rename(db);
    }
    drop(engine);
    tracing::info!(index, log_begins, "removing a snapshot that was not installed");
    disk.remove(&waiting).map_err(BackendError::io("remove a new database"))
}

/// What a database that cannot be used is called, beside the one called `db`.
#[must_use]
pub fn damaged_path(db: &Path) -> PathBuf {
    db.with_extension("damaged")
}

/// Takes the name from a database that cannot be used; nothing is lost. One set aside before it
/// gives way.
///
/// # Errors
/// `Io`.
fn set_aside(disk: &Arc<dyn Disk>, db: &Path) -> Result<(), BackendError> {
    if !disk.exists(db).map_err(BackendError::io("look for the database"))? {
        return Ok(());
    }
    disk.rename(db, &damaged_path(db)).map_err(BackendError::io("rename the database"))?;
    let dir = db.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(BackendError::io("sync the directory"))
}

/// Gives the database that waits at [`install_path`] the name of one that cannot be used.
///
/// # Errors
/// `Io`, `Engine`.
pub fn replace_unusable(disk: &Arc<dyn Disk>, db: &Path) -> Result<(), BackendError> {
    let cache_bytes = BackendOptions::default().cache_bytes;
    let engine = RedbEngine::existing(Arc::clone(disk), &install_path(db), cache_bytes)?;
    set_aside(disk, db)?;
    engine.rename(db)
}

impl Backend {
    /// Replaces everything by the database in `from`, which was imported there, and whose name it
    /// loses. Whoever reads meanwhile sees the old state or the new one.
    ///
    /// # Errors
    /// Any is final: which of the two databases has the name is not known.
    ///
    /// # Panics
    /// If the new state is older than this one.
    pub fn install_blocking(&self, from: &Path) -> Result<AppliedAt, BackendError> {
        let mut flusher = self.shared.flusher.lock();
        while flusher.catch_up.is_some() {
            // A defragmentation would put the old state back in place.
            self.shared.rebuilt.wait(&mut flusher);
        }
        let installed = flusher.engine.install(from).and_then(|engine| {
            let (applied, view, size) = (engine.applied()?, engine.view()?, engine.size()?);
            flusher.engine = engine;
            let mut state = self.shared.state.write();
            let before = state.applied;
            assert!(applied >= before, "a snapshot of {applied:?} in place of {before:?}");
            state.active = Layer::default();
            state.frozen.clear();
            (state.view, state.size) = (view, size);
            (state.applied, state.persisted) = (applied, applied);
            state.full = false;
            // Under the lock, so that no reader of the old state puts a value back.
            self.shared.cache.clear();
            Ok(applied)
        });
        drop(flusher);
        self.shared.flushed.notify_waiters();
        installed.map_err(|error| self.poison(error))
    }
}

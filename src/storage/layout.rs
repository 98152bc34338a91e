//! The data directory: who owns it, which format it has, where things are.
//!
//! ```text
//! <dir>/LOCK              held while a process uses the directory
//! <dir>/FORMAT            "reseed data format 1\n"
//! <dir>/member/wal/       the write-ahead log
//! <dir>/member/snap/db    the backend
//! ```
//!
//! `FORMAT` is written (temporary file, sync, rename, sync of the directory) before anything else,
//! so a directory with members but without it was made by something else and is refused. Not here:
//! what the files below hold.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use reseed_planted::{self as planted, Bug};
use reseed_rt::disk::{Disk, Lock, OpenMode};

/// The version of everything below the directory (docs/formats.md).
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_PREFIX: &str = "reseed data format ";
/// A version file longer than this is not ours.
const FORMAT_BYTES_MAX: u64 = 64;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Another process holds the lock.
    #[error("data directory {dir} is in use by another process (its LOCK file is held)")]
    Locked {
        /// The directory.
        dir: String,
    },
    /// The directory was written by another version.
    #[error(
        "data directory {dir} has format version {found}; this reseed reads version \
         {FORMAT_VERSION} only"
    )]
    Version {
        /// The directory.
        dir: String,
        /// The version its FORMAT file names.
        found: u32,
    },
    /// The directory was not written by reseed.
    #[error("{dir} is not a reseed data directory: {reason}")]
    Foreign {
        /// The directory.
        dir: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed.
    #[error("data directory {dir}: {source}")]
    Io {
        /// The directory.
        dir: String,
        /// What it said.
        source: io::Error,
    },
}

/// A data directory that this process owns until it drops the value.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: Lock,
}

impl DataDir {
    /// Takes the directory, making it if it is missing or empty.
    ///
    /// # Errors
    /// `Locked`, `Version`, `Foreign` as they say; `Io` if the disk fails.
    pub fn open(disk: &Arc<dyn Disk>, root: &Path) -> Result<Self, LayoutError> {
        let dir = root.display().to_string();
        let io = |source| LayoutError::Io { dir: dir.clone(), source };
        disk.create_dir_all(root).map_err(io)?;
        let lock = disk.lock(&root.join("LOCK")).map_err(|source| {
            if source.kind() == io::ErrorKind::WouldBlock {
                return LayoutError::Locked { dir: dir.clone() };
            }
            LayoutError::Io { dir: dir.clone(), source }
        })?;
        let data_dir = Self { root: root.to_owned(), _lock: lock };
        if disk.exists(&root.join("FORMAT")).map_err(io)? {
            data_dir.check_format(disk.as_ref())?;
        } else {
            data_dir.write_format(disk.as_ref())?;
        }
        for dir in [data_dir.wal(), data_dir.snap()] {
            disk.create_dir_all(&dir).map_err(io)?;
        }
        sync_names(disk.as_ref(), root).map_err(io)?;
        Ok(data_dir)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the log's segments are.
    #[must_use]
    pub fn wal(&self) -> PathBuf {
        wal_dir(&self.root)
    }

    /// Where the backend and snapshots in the making are.
    #[must_use]
    pub fn snap(&self) -> PathBuf {
        snap_dir(&self.root)
    }

    /// The backend's file.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        db_file(&self.root)
    }

    fn check_format(&self, disk: &dyn Disk) -> Result<(), LayoutError> {
        match read_format(disk, &self.root)? {
            FORMAT_VERSION => Ok(()),
            found => Err(LayoutError::Version { dir: self.root.display().to_string(), found }),
        }
    }

    fn write_format(&self, disk: &dyn Disk) -> Result<(), LayoutError> {
        let dir = self.root.display().to_string();
        let io = |source| LayoutError::Io { dir: dir.clone(), source };
        if disk.exists(&self.root.join("member")).map_err(io)? {
            let reason = "it has a member directory but no FORMAT file".to_owned();
            return Err(LayoutError::Foreign { dir, reason });
        }
        let temporary = self.root.join("FORMAT.tmp");
        let file = disk.open(&temporary, OpenMode::CreateTruncate).map_err(io)?;
        file.write_at(format_text(FORMAT_VERSION).as_bytes(), 0).map_err(io)?;
        if !planted::on(Bug::FormatUnsynced) {
            file.sync().map_err(io)?;
        }
        disk.rename(&temporary, &self.root.join("FORMAT")).map_err(io)?;
        disk.sync_dir(&self.root).map_err(io)
    }
}

/// Where the log's segments are below the data directory `root`.
#[must_use]
pub fn wal_dir(root: &Path) -> PathBuf {
    root.join("member").join("wal")
}

/// Where the backend's directory is below the data directory `root`.
#[must_use]
pub fn snap_dir(root: &Path) -> PathBuf {
    root.join("member").join("snap")
}

/// The backend's file below the data directory `root`.
#[must_use]
pub fn db_file(root: &Path) -> PathBuf {
    snap_dir(root).join("db")
}

/// The version that the directory's `FORMAT` file names.
///
/// # Errors
/// `Foreign` if it is not a version file of ours; `Io` if it cannot be read.
pub fn read_format(disk: &dyn Disk, root: &Path) -> Result<u32, LayoutError> {
    let dir = root.display().to_string();
    let io = |source| LayoutError::Io { dir: dir.clone(), source };
    let file = disk.open(&root.join("FORMAT"), OpenMode::Read).map_err(io)?;
    let len = file.len().map_err(io)?.min(FORMAT_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(&mut bytes, 0).map_err(io)?;
    let text = String::from_utf8_lossy(&bytes);
    let version = text.trim_end().strip_prefix(FORMAT_PREFIX).and_then(|v| v.parse().ok());
    version.ok_or_else(|| {
        let reason = format!("its FORMAT file says {:?}", text.trim_end());
        LayoutError::Foreign { dir: dir.clone(), reason }
    })
}

fn format_text(version: u32) -> String {
    format!("{FORMAT_PREFIX}{version}\n")
}

/// Makes every name that opening may have created durable: the directory's own name too.
fn sync_names(disk: &dyn Disk, root: &Path) -> io::Result<()> {
    disk.sync_dir(&root.join("member"))?;
    disk.sync_dir(root)?;
    match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent),
        Some(_) => disk.sync_dir(Path::new(".")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

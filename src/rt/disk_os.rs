//! The real disk: positioned reads and writes, fdatasync, and directory syncs.
//!
//! No caching and no retrying of a failed sync: see `disk.rs` for what is promised.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, FlockOperation},
    io::Errno,
};

use crate::disk::{Disk, File, Lock, OpenMode};

/// Written at a time where space cannot be reserved by a call.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The machine's file system.
#[derive(Debug)]
pub(crate) struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(mode.is_writable())
            .create_new(mode == OpenMode::Create)
            .create(matches!(mode, OpenMode::CreateOrOpen | OpenMode::CreateTruncate))
            .truncate(mode == OpenMode::CreateTruncate)
            .open(path)
            .map_err(|error| at(path, &error))?;
        Ok(Arc::new(OsFile { path: path.to_owned(), file }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(|error| at(dir, &error))? {
            let name = entry.map_err(|error| at(dir, &error))?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path).map_err(|error| at(path, &error))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir).map_err(|error| at(dir, &error))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(|error| at(from, &error))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(|error| at(path, &error))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir).map_err(|error| at(dir, &error))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A relative file name has the empty path as its parent, which means the current one.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| at(dir, &error))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| at(path, &error))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| at(path, &errno.into()))?;
        Ok(Lock::new(file))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path).map_err(|errno| at(path, &errno.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct OsFile {
    path: PathBuf,
    file: fs::File,
}

impl OsFile {
    /// Reserves by writing: for file systems without fallocate. Never touches what is there.
    fn allocate_by_writing(&self, len: u64) -> io::Result<()> {
        let mut offset = self.file.metadata()?.len();
        while offset < len {
            let chunk = usize::try_from(len - offset).unwrap_or(usize::MAX).min(ZEROS.len());
            let zeros = ZEROS.get(..chunk).unwrap_or(&ZEROS);
            self.file.write_all_at(zeros, offset)?;
            offset += zeros.len() as u64;
        }
        Ok(())
    }

    fn at<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| at(&self.path, &error))
    }
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        self.at(self.file.metadata().map(|metadata| metadata.len()))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.at(self.file.read_exact_at(into, offset))
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        self.at(self.file.write_all_at(from, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.at(self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let reserve = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        match rustix::io::retry_on_intr(reserve) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.at(self.allocate_by_writing(len))
            }
            Err(errno) => self.at(Err(errno.into())),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.at(self.file.sync_data())
    }
}

/// The same error, saying where.
fn at(path: &Path, error: &io::Error) -> io::Error {
    let kind = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => ErrorKind::StorageFull,
        _ => error.kind(),
    };
    io::Error::new(kind, format!("{}: {error}", path.display()))
}

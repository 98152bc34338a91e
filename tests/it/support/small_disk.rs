//! A disk that can be filled.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Why there may be none.
pub(crate) const REFUSED: &str = "cannot mount a small file system here";

/// A small file system of its own, unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` if this user may not mount one.
    pub(crate) fn mount(mebibytes: usize) -> Option<Self> {
        let dir = TempDir::new().expect("a temporary directory");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let mut size = 64_usize << 20;
        while size > 4096 {
            let chunk = vec![1_u8; size];
            let filler = fs::File::options().create(true).append(true).open(self.filler());
            if filler.expect("room for a name").write_all(&chunk).is_err() {
                size /= 2;
            }
        }
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).expect("it is filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may still be dying.
        _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

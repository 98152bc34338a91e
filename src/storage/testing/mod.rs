//! A disk in memory that loses power, for tests and fuzz targets.
//!
//! It keeps what a reader sees (live) apart from what a power failure leaves (durable). Between
//! them are operations that were never synced: a failure keeps any of them, in any combination,
//! writes torn at sectors, names lost or kept each for itself. Everything follows from one seed.
//! Faults are armed by operation count: the power goes at the n-th change, a sync fails, space
//! runs out. Syncs that lie can be switched on, to prove that a test would notice.
//!
//! Not here: time, latency, several nodes; the simulator's own disk has those.

mod world;

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use reseed_rt::disk::{Disk, File, Lock, OpenMode};

use world::{NameOp, Op, World};

/// A small generator: same seed, same numbers (splitmix64, public domain).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own per seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemDisk {
    world: Arc<Mutex<World>>,
    locks: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl MemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed))), locks: Arc::default() }
    }

    /// This disk as everyone takes it.
    #[must_use]
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// How many changing operations there were.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.world.lock().changes
    }

    /// The power goes at the `n`-th changing operation from now (1 = the next): it may happen in
    /// part, it and everything after it fails, until [`Self::crash`].
    pub fn fail_power_after(&self, n: u64) {
        self.world.lock().power_left = Some(n);
    }

    /// The `n`-th sync of a file from now on fails (1 = the next), once.
    pub fn fail_sync_after(&self, n: u64) {
        self.world.lock().syncs_left = Some(n);
    }

    /// Files may hold this many bytes together, from now on; `None` = no limit.
    pub fn limit_bytes(&self, bytes: Option<u64>) {
        self.world.lock().capacity = bytes;
    }

    /// Claims endless free space, whatever the limit: running out comes as a surprise.
    pub fn pretend_free_space(&self) {
        self.world.lock().boasting = true;
    }

    /// Whether operations still work: no armed power failure has struck.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.world.lock().check_power().is_ok()
    }

    /// Syncs answer without doing anything.
    pub fn lie_about_syncs(&self) {
        self.world.lock().lying = true;
    }

    /// The power failed: what was not synced is kept or lost, bit by bit. Open files and locks are
    /// gone; armed faults too.
    pub fn crash(&self) {
        self.world.lock().crash();
        self.locks.lock().clear();
    }

    /// The process ended: locks and open files are gone, the page cache stays.
    pub fn exit(&self) {
        self.world.lock().exit();
        self.locks.lock().clear();
    }

    /// The contents of a file, as a reader sees it.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.world.lock().read(path)
    }

    /// Replaces a file, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.world.lock().put(path, bytes);
    }

    /// Removes a file, durably.
    pub fn erase(&self, path: &Path) {
        self.world.lock().erase(path);
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut world = self.world.lock();
        let there = world.find(path);
        let ino = match (mode, there) {
            (OpenMode::Create, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::Read | OpenMode::ReadWrite, None) => return Err(ErrorKind::NotFound.into()),
            (OpenMode::CreateTruncate, Some(ino)) => {
                world.change(ino, Op::SetLen(0))?;
                ino
            }
            (_, Some(ino)) => ino,
            (_, None) => world.create(path)?,
        };
        let epoch = world.epoch;
        Ok(Arc::new(MemFile {
            world: Arc::clone(&self.world),
            ino,
            epoch,
            writable: mode.is_writable(),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.world.lock().list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.world.lock();
        Ok(world.find(path).is_some() || world.list(path).is_ok())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.world.lock().create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        let ino = world.find(from).ok_or(ErrorKind::NotFound)?;
        world.rename(NameOp::Rename { from: from.to_owned(), to: to.to_owned(), ino })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.find(path).ok_or(ErrorKind::NotFound)?;
        world.rename(NameOp::Unlink(path.to_owned()))
    }

    fn remove_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.world.lock().sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        if !self.locks.lock().insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Lock::new(Held { locks: Arc::clone(&self.locks), path: path.to_owned() }))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let world = self.world.lock();
        Ok(if world.boasting { u64::MAX / 2 } else { world.free_bytes() })
    }
}

#[derive(Debug)]
struct Held {
    locks: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.path);
    }
}

#[derive(Debug)]
struct MemFile {
    world: Arc<Mutex<World>>,
    ino: u64,
    epoch: u64,
    writable: bool,
}

impl MemFile {
    fn with<T>(&self, what: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world.lock();
        if world.epoch != self.epoch {
            return Err(io::Error::other("a file of before the crash"));
        }
        what(&mut world)
    }

    fn change(&self, op: Op) -> io::Result<()> {
        if !self.writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.with(|world| world.change(self.ino, op))
    }
}

impl File for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|world| Ok(world.live(self.ino).len() as u64))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|world| {
            world.check_power()?;
            let from = usize::try_from(offset).map_err(io::Error::other)?;
            let bytes = world.live(self.ino).get(from..from.saturating_add(into.len()));
            into.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        self.change(Op::Write { offset, bytes: from.to_vec() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::SetLen(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len <= self.len()? { Ok(()) } else { self.change(Op::SetLen(len)) }
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|world| world.sync(self.ino))
    }
}

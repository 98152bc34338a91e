//! `rt::disk` over the simulated images: epochs, latency, faults and crash points.
//!
//! A kill can never interrupt a task in the middle of synchronous code, but a power failure can
//! hit a real machine in the middle of a commit. So the disk itself fails the power: armed with
//! [`Drives::crash_after`], it panics with [`POWER_FAILURE`] at the n-th change from then; the node
//! is built so that madsim answers this panic by killing and restarting it.
//!
//! Time cannot pass inside synchronous code either: each operation adds to a debt, which the
//! program pays at its next `rt::disk::settle`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use madsim::task::NodeId;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reseed_rt::disk::{Disk, File, Lock, OpenMode};

use super::{
    disk_image::{Change, Entry, Image, Inode, Stats},
    net::Crash,
    room::{Inner, host, lock, stream},
};

/// The panic message that means a planned power failure.
pub const POWER_FAILURE: &str = "simulated power failure";

/// Directories every machine has, durably, before reseed is installed on it.
const INSTALLED_DIRS: [&str; 2] = ["/var", "/var/lib"];
/// What a machine's disk holds unless a run says otherwise, bytes.
const CAPACITY: u64 = 64 << 30;

/// All nodes' disks.
pub struct Drives {
    seed: [u8; 32],
    nodes: BTreeMap<NodeId, Drive>,
}

struct Drive {
    image: Image,
    epoch: u64,
    /// The power is gone; nothing of this epoch works any more.
    failed: bool,
    changes: u64,
    crash_after: Option<u64>,
    sync_error_after: Option<u64>,
    capacity: u64,
    locks: BTreeSet<String>,
    debt: Duration,
    rng: ChaCha8Rng,
    refused: u64,
}

impl Drives {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, nodes: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, id: NodeId) {
        let rng = stream(self.seed, &format!("disk/{}", host(id)));
        self.nodes.entry(id).or_insert_with(|| Drive {
            image: Image::with_dirs(&INSTALLED_DIRS),
            epoch: 0,
            failed: false,
            changes: 0,
            crash_after: None,
            sync_error_after: None,
            capacity: CAPACITY,
            locks: BTreeSet::new(),
            debt: Duration::ZERO,
            rng,
            refused: 0,
        });
    }

    pub(super) fn reset(&mut self, id: NodeId, how: Crash) {
        let Some(drive) = self.nodes.get_mut(&id) else { return };
        drive.epoch += 1;
        drive.failed = false;
        drive.crash_after = None;
        drive.locks.clear();
        drive.debt = Duration::ZERO;
        match how {
            Crash::Power => drive.image.power_failure(&mut drive.rng),
            Crash::Process => drive.image.process_failure(),
        }
    }

    pub(super) fn take_debt(&mut self, id: NodeId) -> Duration {
        self.nodes.get_mut(&id).map(|drive| std::mem::take(&mut drive.debt)).unwrap_or_default()
    }

    /// The power of `id` fails at its `n`-th change of the disk from now.
    pub fn crash_after(&mut self, id: NodeId, n: u64) {
        self.drive(id).crash_after = Some(n);
    }

    /// The `n`-th sync of `id` from now fails.
    pub fn sync_error_after(&mut self, id: NodeId, n: u64) {
        self.drive(id).sync_error_after = Some(n);
    }

    /// The disk of `id` has no room for more from now on.
    pub fn fill(&mut self, id: NodeId) {
        let drive = self.drive(id);
        drive.capacity = drive.image.used_bytes();
    }

    /// The disk of `id` has room again.
    pub fn empty(&mut self, id: NodeId) {
        self.drive(id).capacity = CAPACITY;
    }

    /// No more faults of `id`.
    pub fn disarm(&mut self, id: NodeId) {
        let drive = self.drive(id);
        drive.crash_after = None;
        drive.sync_error_after = None;
        drive.capacity = CAPACITY;
    }

    /// Counters of `id`.
    #[must_use]
    pub fn stats(&self, id: NodeId) -> Stats {
        self.nodes.get(&id).map(|drive| drive.image.stats()).unwrap_or_default()
    }

    /// Operations of dead programs on `id` that were refused.
    #[must_use]
    pub fn refused(&self, id: NodeId) -> u64 {
        self.nodes.get(&id).map_or(0, |drive| drive.refused)
    }

    fn drive(&mut self, id: NodeId) -> &mut Drive {
        self.add(id);
        self.nodes.get_mut(&id).expect("added above")
    }
}

/// What an operation does, for latency and faults.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Look,
    Read,
    Change,
    Sync,
}

impl Drive {
    /// Charges the time an operation takes on a decent solid state disk.
    fn charge(&mut self, kind: Kind, bytes: usize) {
        let micros = match kind {
            Kind::Look => 2,
            Kind::Read | Kind::Change => 5 + bytes as u64 / 2_000,
            // Mostly quick, now and then much slower.
            Kind::Sync if self.rng.random_ratio(1, 50) => self.rng.random_range(2_000..20_000),
            Kind::Sync => self.rng.random_range(80..600),
        };
        self.debt += Duration::from_micros(micros);
    }

    /// Does the planned power failure come at this change?
    fn crashes_now(&mut self, kind: Kind) -> bool {
        if !matches!(kind, Kind::Change | Kind::Sync) {
            return false;
        }
        self.changes += 1;
        match &mut self.crash_after {
            None => false,
            Some(0) => true,
            Some(n) => {
                *n -= 1;
                false
            }
        }
    }

    fn check_room(&self, growth: u64) -> io::Result<()> {
        if self.image.used_bytes() + growth > self.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// A node's disk, as one incarnation of its program sees it.
#[derive(Clone)]
pub struct NodeDisk {
    room: Arc<Inner>,
    node: NodeId,
    epoch: u64,
}

impl fmt::Debug for NodeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeDisk({}, epoch {})", self.node, self.epoch)
    }
}

/// An operation on its way to a drive.
struct Op<'a> {
    kind: Kind,
    name: &'static str,
    path: &'a str,
    offset: u64,
    data: &'a [u8],
}

impl<'a> Op<'a> {
    fn new(kind: Kind, name: &'static str, path: &'a str) -> Self {
        Self { kind, name, path, offset: 0, data: &[] }
    }
}

impl NodeDisk {
    pub(super) fn of(room: Arc<Inner>, node: NodeId) -> Self {
        let epoch = lock(&room.drives).drive(node).epoch;
        Self { room, node, epoch }
    }

    /// Carries out one operation, if this incarnation still lives and its power holds.
    fn run<T>(&self, op: &Op<'_>, f: impl FnOnce(&mut Drive) -> io::Result<T>) -> io::Result<T> {
        let mut drives = lock(&self.room.drives);
        let drive = drives.drive(self.node);
        if drive.epoch != self.epoch || drive.failed {
            drive.refused += 1;
            return Err(io::Error::new(ErrorKind::BrokenPipe, "this machine has no power"));
        }
        let crash = drive.crashes_now(op.kind);
        // The failure comes before the change or right after it, before anyone hears of it.
        if crash && drive.rng.random_ratio(1, 2) {
            let _unheard = f(drive);
            drive.failed = true;
        } else if crash {
            drive.failed = true;
        } else {
            drive.charge(op.kind, op.data.len());
            let result = f(drive);
            drop(drives);
            self.trace(op, result.as_ref().err());
            return result.map_err(|error| at(op.path, &error));
        }
        drop(drives);
        self.trace(op, None);
        self.room.trace("power failure", host(self.node), &[]);
        self.room.end_life(self.node);
        panic!("{POWER_FAILURE}");
    }

    fn trace(&self, op: &Op<'_>, error: Option<&io::Error>) {
        if matches!(op.kind, Kind::Look | Kind::Read) {
            return;
        }
        let place = format!("{} {} {}", op.path, op.offset, op.data.len());
        let failed = error.map(ToString::to_string).unwrap_or_default();
        let parts = [place.as_bytes(), op.data, failed.as_bytes()];
        self.room.trace(op.name, host(self.node), &parts);
    }

    fn open_inode(drive: &mut Drive, path: &str, mode: OpenMode) -> io::Result<Inode> {
        match (drive.image.lookup(path), mode) {
            (Some(Entry::Dir), _) => Err(ErrorKind::IsADirectory.into()),
            (Some(Entry::File(_)), OpenMode::Create) => Err(ErrorKind::AlreadyExists.into()),
            (Some(Entry::File(inode)), OpenMode::CreateTruncate) => {
                drive.image.change(inode, Change::SetLen(0)).map(|()| inode)
            }
            (Some(Entry::File(inode)), _) => Ok(inode),
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(ErrorKind::NotFound.into()),
            (None, _) => drive.image.create(path),
        }
    }
}

/// The same error, saying where.
fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// A path as images know it. Relative ones are below the machine's root.
fn text(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.trim_end_matches('/');
    match text.strip_prefix("./").unwrap_or(text) {
        "" | "." => "/".to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("/{relative}"),
    }
}

impl Disk for NodeDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = text(path);
        let fresh = !matches!(mode, OpenMode::Read | OpenMode::ReadWrite);
        let kind = if fresh { Kind::Change } else { Kind::Look };
        let inode =
            self.run(&Op::new(kind, "open", &path), |drive| Self::open_inode(drive, &path, mode))?;
        Ok(Arc::new(NodeFile { disk: self.clone(), inode, path, writable: mode.is_writable() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = text(dir);
        self.run(&Op::new(Kind::Look, "list", &dir), |drive| drive.image.list(&dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = text(path);
        self.run(&Op::new(Kind::Look, "exists", &path), |drive| {
            Ok(drive.image.lookup(&path).is_some())
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = text(dir);
        self.run(&Op::new(Kind::Change, "mkdir", &dir), |drive| drive.image.create_dir_all(&dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (text(from), text(to));
        let op = Op { data: to.as_bytes(), ..Op::new(Kind::Change, "rename", &from) };
        self.run(&op, |drive| drive.image.rename(&from, &to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = text(path);
        self.run(&Op::new(Kind::Change, "remove", &path), |drive| drive.image.remove(&path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = text(dir);
        let op = Op::new(Kind::Change, "remove all", &dir);
        self.run(&op, |drive| drive.image.remove_dir_all(&dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = text(dir);
        self.run(&Op::new(Kind::Sync, "sync dir", &dir), |drive| drive.image.sync_dir(&dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let path = text(path);
        self.run(&Op::new(Kind::Change, "lock", &path), |drive| {
            if drive.locks.contains(&path) {
                return Err(ErrorKind::WouldBlock.into());
            }
            Self::open_inode(drive, &path, OpenMode::CreateOrOpen)?;
            drive.locks.insert(path.clone());
            Ok(())
        })?;
        Ok(Lock::new(Held { disk: self.clone(), path }))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = text(path);
        self.run(&Op::new(Kind::Look, "free", &path), |drive| {
            Ok(drive.capacity.saturating_sub(drive.image.used_bytes()))
        })
    }
}

/// A lock of this incarnation.
struct Held {
    disk: NodeDisk,
    path: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut drives = lock(&self.disk.room.drives);
        let drive = drives.drive(self.disk.node);
        if drive.epoch == self.disk.epoch {
            drive.locks.remove(&self.path);
        }
    }
}

struct NodeFile {
    disk: NodeDisk,
    inode: Inode,
    path: String,
    writable: bool,
}

impl fmt::Debug for NodeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeFile({})", self.path)
    }
}

impl NodeFile {
    fn change(&self, op: &Op<'_>, change: Change) -> io::Result<()> {
        if !self.writable {
            return Err(at(&self.path, &ErrorKind::PermissionDenied.into()));
        }
        self.disk.run(op, |drive| {
            let end = match &change {
                Change::Write { offset, data } => offset + data.len() as u64,
                Change::SetLen(len) | Change::Grow(len) => *len,
            };
            let growth = end.saturating_sub(drive.image.len(self.inode)?);
            if growth > 0 {
                drive.check_room(growth)?;
            }
            drive.image.change(self.inode, change)
        })
    }
}

impl File for NodeFile {
    fn len(&self) -> io::Result<u64> {
        let op = Op::new(Kind::Look, "len", &self.path);
        self.disk.run(&op, |drive| drive.image.len(self.inode))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let op = Op { offset, ..Op::new(Kind::Read, "read", &self.path) };
        self.disk.run(&op, |drive| drive.image.read_at(self.inode, into, offset))
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        let op = Op { offset, data: from, ..Op::new(Kind::Change, "write", &self.path) };
        let data = Bytes::copy_from_slice(from);
        self.change(&op, Change::Write { offset, data })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let op = Op { offset: len, ..Op::new(Kind::Change, "set len", &self.path) };
        self.change(&op, Change::SetLen(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let op = Op { offset: len, ..Op::new(Kind::Change, "allocate", &self.path) };
        self.change(&op, Change::Grow(len))
    }

    fn sync(&self) -> io::Result<()> {
        let op = Op::new(Kind::Sync, "sync", &self.path);
        self.disk.run(&op, |drive| {
            if let Some(n) = drive.sync_error_after {
                drive.sync_error_after = n.checked_sub(1);
                if n == 0 {
                    drive.image.sync_fails(self.inode);
                    return Err(io::Error::other("input/output error (simulated)"));
                }
            }
            drive.image.sync(self.inode)
        })
    }
}

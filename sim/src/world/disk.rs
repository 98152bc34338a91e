//! `rt::disk` over the simulated drives: epochs and crash points.
//!
//! A kill can never interrupt a task in the middle of synchronous code, but a power failure can
//! hit a real machine in the middle of a commit. So the drive itself takes it down: armed for
//! it, an operation ends with a panic, [`POWER_FAILURE`]; the node is built so that madsim answers
//! this panic by killing and restarting it.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use madsim::task::NodeId;
use reseed_rt::disk::{Disk, File, Lock, OpenMode};

use super::{
    disk_image::{Change, Inode, Stats},
    drive::{Crashed, Drive, Kind},
    net::Crash,
    room::{Inner, host, lock, stream},
    tally::{self, Counts},
};

pub use reseed_rt::sim::POWER_FAILURE;

/// All nodes' disks.
pub struct Drives {
    seed: [u8; 32],
    nodes: BTreeMap<NodeId, Bay>,
}

/// Where a node's drive is plugged in.
struct Bay {
    drive: Drive,
    epoch: u64,
    /// The power is gone; nothing of this epoch works any more.
    failed: bool,
    refused: u64,
}

impl Drives {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, nodes: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, id: NodeId) {
        self.bay(id);
    }

    pub(super) fn reset(&mut self, id: NodeId, how: Crash, now: Duration) {
        let Some(bay) = self.nodes.get_mut(&id) else { return };
        bay.epoch += 1;
        bay.failed = false;
        bay.drive.reset(how, now);
    }

    pub(super) fn settle(&mut self, id: NodeId, now: Duration) -> Duration {
        self.nodes.get_mut(&id).map(|bay| bay.drive.settle(now)).unwrap_or_default()
    }

    pub(super) fn end_syncs(&mut self, id: NodeId, now: Duration) {
        if let Some(bay) = self.nodes.get_mut(&id) {
            bay.drive.end_syncs(now);
        }
    }

    /// The drive of `id`, to arm faults and read counters.
    pub fn drive(&mut self, id: NodeId) -> &mut Drive {
        &mut self.bay(id).drive
    }

    /// Counters of `id`.
    #[must_use]
    pub fn stats(&self, id: NodeId) -> Stats {
        self.nodes.get(&id).map(|bay| bay.drive.image.stats()).unwrap_or_default()
    }

    /// How often each fault bit on any drive.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        self.nodes.values().for_each(|bay| tally::add(&mut counts, &bay.drive.counts()));
        counts
    }

    /// Operations of dead programs on `id` that were refused.
    #[must_use]
    pub fn refused(&self, id: NodeId) -> u64 {
        self.nodes.get(&id).map_or(0, |bay| bay.refused)
    }

    fn bay(&mut self, id: NodeId) -> &mut Bay {
        let seed = self.seed;
        self.nodes.entry(id).or_insert_with(|| {
            let drive = Drive::new(stream(seed, &format!("disk/{}", host(id))));
            Bay { drive, epoch: 0, failed: false, refused: 0 }
        })
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
        let epoch = lock(&room.drives).bay(node).epoch;
        Self { room, node, epoch }
    }

    /// Carries out one operation, if this incarnation still lives and its power holds.
    fn run<T>(&self, op: &Op<'_>, f: impl FnOnce(&mut Drive) -> io::Result<T>) -> io::Result<T> {
        let mut drives = lock(&self.room.drives);
        let bay = drives.bay(self.node);
        if bay.epoch != self.epoch || bay.failed {
            bay.refused += 1;
            return Err(io::Error::new(ErrorKind::BrokenPipe, "this machine has no power"));
        }
        let outcome = bay.drive.run((op.kind, op.data.len()), f);
        bay.failed = outcome.is_err();
        drop(drives);
        match outcome {
            Ok(result) => {
                self.trace(op, result.as_ref().err());
                result.map_err(|error| at(op.path, &error))
            }
            Err(Crashed(how)) => {
                self.trace(op, None);
                self.room.crash(self.node, how)
            }
        }
    }

    fn trace(&self, op: &Op<'_>, error: Option<&io::Error>) {
        if matches!(op.kind, Kind::Look | Kind::Read) && error.is_none() {
            return;
        }
        let place = format!("{} {} {}", op.path, op.offset, op.data.len());
        let failed = error.map(ToString::to_string).unwrap_or_default();
        let parts = [place.as_bytes(), op.data, failed.as_bytes()];
        self.room.trace(op.name, host(self.node), &parts);
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
        let kind = if fresh { Kind::Name } else { Kind::Look };
        let inode = self.run(&Op::new(kind, "open", &path), |drive| drive.open(&path, mode))?;
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
        self.run(&Op::new(Kind::Name, "mkdir", &dir), |drive| drive.image.create_dir_all(&dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (text(from), text(to));
        let op = Op { data: to.as_bytes(), ..Op::new(Kind::Name, "rename", &from) };
        self.run(&op, |drive| drive.image.rename(&from, &to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = text(path);
        self.run(&Op::new(Kind::Name, "remove", &path), |drive| drive.image.remove(&path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = text(dir);
        let op = Op::new(Kind::Name, "remove all", &dir);
        self.run(&op, |drive| drive.image.remove_dir_all(&dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = text(dir);
        self.run(&Op::new(Kind::Sync, "sync dir", &dir), |drive| drive.sync_dir(&dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let path = text(path);
        self.run(&Op::new(Kind::Name, "lock", &path), |drive| drive.lock(&path))?;
        Ok(Lock::new(Held { disk: self.clone(), path }))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = text(path);
        self.run(&Op::new(Kind::Look, "free", &path), |drive| Ok(drive.free_bytes()))
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
        let bay = drives.bay(self.disk.node);
        if bay.epoch == self.disk.epoch {
            bay.drive.unlock(&self.path);
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
        self.disk.run(op, |drive| drive.change(self.inode, &self.path, change))
    }
}

impl File for NodeFile {
    fn len(&self) -> io::Result<u64> {
        let op = Op::new(Kind::Look, "len", &self.path);
        self.disk.run(&op, |drive| drive.image.len(self.inode))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let op = Op { offset, ..Op::new(Kind::Read, "read", &self.path) };
        self.disk.run(&op, |drive| drive.read_at(self.inode, into, offset))
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        let op = Op { offset, data: from, ..Op::new(Kind::Write, "write", &self.path) };
        let data = Bytes::copy_from_slice(from);
        self.change(&op, Change::Write { offset, data })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let op = Op { offset: len, ..Op::new(Kind::Write, "set len", &self.path) };
        self.change(&op, Change::SetLen(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let op = Op { offset: len, ..Op::new(Kind::Write, "allocate", &self.path) };
        self.change(&op, Change::Grow(len))
    }

    fn sync(&self) -> io::Result<()> {
        let op = Op::new(Kind::Sync, "sync", &self.path);
        self.disk.run(&op, |drive| drive.sync(self.inode))
    }
}

//! What the disk in memory holds, and what a power failure does to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::Rng;

/// Writes are torn at multiples of this.
const SECTOR_BYTES: usize = 512;

/// A change of a file's contents.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link { path: PathBuf, ino: u64 },
    Rename { from: PathBuf, to: PathBuf, ino: u64 },
    Unlink(PathBuf),
    Dir(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Op>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug)]
pub(super) struct World {
    rng: Rng,
    pub(super) epoch: u64,
    pub(super) changes: u64,
    pub(super) power_left: Option<u64>,
    pub(super) syncs_left: Option<u64>,
    pub(super) capacity: Option<u64>,
    pub(super) lying: bool,
    pub(super) boasting: bool,
    inodes: Vec<Inode>,
    live: Names,
    durable: Names,
    pending: Vec<NameOp>,
}

fn apply(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::SetLen(len) => bytes.resize(*len as usize, 0),
        Op::Write { offset, bytes: from } => {
            let end = *offset as usize + from.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset as usize..end].copy_from_slice(from);
        }
    }
}

/// Applies a write, each sector kept or lost for itself.
fn apply_torn(bytes: &mut Vec<u8>, op: &Op, rng: &mut Rng) {
    let Op::Write { offset, bytes: from } = op else { return apply(bytes, op) };
    let mut at = 0;
    while at < from.len() {
        let start = *offset as usize + at;
        let len = (SECTOR_BYTES - start % SECTOR_BYTES).min(from.len() - at);
        if rng.chance(50) {
            let sector = Op::Write { offset: start as u64, bytes: from[at..at + len].to_vec() };
            apply(bytes, &sector);
        }
        at += len;
    }
}

impl NameOp {
    fn dir(&self) -> &Path {
        let path = match self {
            Self::Link { path, .. } | Self::Unlink(path) | Self::Dir(path) => path,
            Self::Rename { to, .. } => to,
        };
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { path, ino } => {
                names.files.insert(path.clone(), *ino);
            }
            Self::Rename { from, to, ino } => {
                names.files.remove(from);
                names.files.insert(to.clone(), *ino);
            }
            Self::Unlink(path) => {
                names.files.remove(path);
            }
            Self::Dir(path) => {
                names.dirs.insert(path.clone());
            }
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let dirs = BTreeSet::from([PathBuf::from("/"), PathBuf::new()]);
        let names = Names { files: BTreeMap::new(), dirs };
        Self {
            rng: Rng::new(seed),
            epoch: 0,
            changes: 0,
            power_left: None,
            syncs_left: None,
            capacity: None,
            lying: false,
            boasting: false,
            inodes: Vec::new(),
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
        }
    }

    pub(super) fn check_power(&self) -> io::Result<()> {
        match self.power_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }

    /// Counts a change; says whether the power goes during it.
    fn count_change(&mut self) -> io::Result<bool> {
        self.check_power()?;
        self.changes += 1;
        let Some(left) = &mut self.power_left else { return Ok(false) };
        *left -= 1;
        Ok(*left == 0)
    }

    fn answer(goes: bool) -> io::Result<()> {
        if goes { Err(io::Error::other("the power went")) } else { Ok(()) }
    }

    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        self.live.files.get(path).copied()
    }

    pub(super) fn live(&self, ino: u64) -> &[u8] {
        &self.inodes[ino as usize].live
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.live.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let files = self.live.files.keys().chain(&self.live.dirs);
        let here = files.filter(|path| path.parent() == Some(dir) && path.as_path() != dir);
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mut names: Vec<_> = here.filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        let dir = path.parent().unwrap_or(Path::new(""));
        if !self.live.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let ino = self.inodes.len() as u64;
        self.inodes.push(Inode::default());
        self.rename(NameOp::Link { path: path.to_owned(), ino })?;
        Ok(ino)
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        let mut above: Vec<_> = dir.ancestors().map(Path::to_owned).collect();
        while let Some(path) = above.pop() {
            if !self.live.dirs.contains(&path) {
                self.rename(NameOp::Dir(path))?;
            }
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, op: NameOp) -> io::Result<()> {
        let goes = self.count_change()?;
        op.apply(&mut self.live);
        self.pending.push(op);
        Self::answer(goes)
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.live.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let goes = self.count_change()?;
        if !self.lying && !goes {
            for op in self.pending.extract_if(.., |op| op.dir() == dir) {
                op.apply(&mut self.durable);
            }
        }
        Self::answer(goes)
    }

    pub(super) fn free_bytes(&self) -> u64 {
        let used = self.live.files.values().map(|ino| self.live(*ino).len() as u64).sum();
        self.capacity.map_or(u64::MAX / 2, |capacity| capacity.saturating_sub(used))
    }

    pub(super) fn change(&mut self, ino: u64, op: Op) -> io::Result<()> {
        let len = self.live(ino).len() as u64;
        let end = match &op {
            Op::SetLen(len) => *len,
            Op::Write { offset, bytes } => offset + bytes.len() as u64,
        };
        self.check_power()?;
        if end.saturating_sub(len) > self.free_bytes() {
            return Err(ErrorKind::StorageFull.into());
        }
        let goes = self.count_change()?;
        let inode = &mut self.inodes[ino as usize];
        apply(&mut inode.live, &op);
        inode.pending.push(op);
        Self::answer(goes)
    }

    pub(super) fn sync(&mut self, ino: u64) -> io::Result<()> {
        let goes = self.count_change()?;
        if let Some(left) = &mut self.syncs_left {
            *left -= 1;
            if *left == 0 {
                self.syncs_left = None;
                // As Linux does it: what could not be written stays in the page cache, counts as
                // clean, and no later sync writes it.
                self.inodes[ino as usize].pending.clear();
                return Err(io::Error::other("the disk could not sync"));
            }
        }
        let inode = &mut self.inodes[ino as usize];
        if !self.lying && !goes {
            for op in inode.pending.drain(..) {
                apply(&mut inode.durable, &op);
            }
        }
        Self::answer(goes)
    }

    pub(super) fn exit(&mut self) {
        self.epoch += 1;
        self.power_left = None;
        self.syncs_left = None;
    }

    pub(super) fn crash(&mut self) {
        self.exit();
        let rng = &mut self.rng;
        // Nothing, everything, or anything in between survives.
        let names_kept = [0, 50, 100][rng.below(3) as usize];
        for op in self.pending.drain(..) {
            if rng.chance(names_kept) {
                op.apply(&mut self.durable);
            }
        }
        let data_kept = [0, 50, 90, 100][rng.below(4) as usize];
        for inode in &mut self.inodes {
            for op in inode.pending.drain(..) {
                if rng.chance(data_kept) {
                    apply(&mut inode.durable, &op);
                } else if rng.chance(data_kept) {
                    apply_torn(&mut inode.durable, &op, rng);
                }
            }
            inode.live.clone_from(&inode.durable);
        }
        self.live = self.durable.clone();
    }

    pub(super) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.find(path).map(|ino| self.live(ino).to_vec())
    }

    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) {
        let ino = self.inodes.len() as u64;
        let (live, durable) = (bytes.to_vec(), bytes.to_vec());
        self.inodes.push(Inode { live, durable, pending: Vec::new() });
        for names in [&mut self.live, &mut self.durable] {
            names.files.insert(path.to_owned(), ino);
            names.dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
        }
    }

    pub(super) fn erase(&mut self, path: &Path) {
        for names in [&mut self.live, &mut self.durable] {
            names.files.remove(path);
        }
    }
}

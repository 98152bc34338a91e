//! What is on a simulated disk, and what a power failure leaves of it.
//!
//! Two images of everything: the *live* one, which is the page cache and what programs read, and
//! the *stable* one, which is on the platter. Every change goes to the live image at once and into
//! a list of pending changes; `sync` of a file moves its pending changes to stable, `sync_dir`
//! those of a directory's names. A power failure then keeps
//!
//! - of the names not synced, a prefix in the order they were made (a journalling file system
//!   orders its metadata), and nothing whose directory did not make it;
//! - of the writes not synced, none, all, or any subset (no order is promised without a sync), and
//!   a write longer than a sector may be torn at sector borders.
//!
//! Worse than most real disks and no worse than POSIX allows. A file's bytes are in
//! `disk_content.rs`, damage to what is durable in `disk_damage.rs`. Pure: no clock, no runtime,
//! chance is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    ops::{Bound, Range},
};

use rand::{Rng, RngExt};

pub use super::disk_content::Change;
use super::{
    disk_content::{Content, SECTOR, write_torn},
    disk_damage::Astray,
};

/// A file's number; names point to it.
pub type Inode = u64;

#[derive(Clone, Default, Debug)]
pub(super) struct FileData {
    pub(super) live: Content,
    pub(super) stable: Content,
    pending: Vec<Change>,
    /// Where the last sync that wrote anything but zeros wrote.
    pub(super) last_sync: Vec<Range<u64>>,
    pub(super) astray: Option<Astray>,
}

impl FileData {
    fn sync(&mut self) {
        let telling = |change: &Change| match change {
            Change::Write { offset, data } if data.iter().any(|byte| *byte != 0) => {
                Some(*offset..*offset + data.len() as u64)
            }
            Change::Write { .. } | Change::SetLen(_) | Change::Grow(_) => None,
        };
        let written: Vec<Range<u64>> = self.pending.iter().filter_map(telling).collect();
        if let Some(astray) = &mut self.astray {
            astray.before_sync(&self.stable);
        }
        for change in self.pending.drain(..) {
            self.stable.apply(&change);
        }
        if written.is_empty() {
            return;
        }
        self.last_sync = written;
        self.land_astray();
    }
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A file.
    File(Inode),
    /// A directory.
    Dir,
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum NameOp {
    Link { path: String, entry: Entry },
    Unlink { path: String },
    Rename { from: String, to: String, entry: Entry },
}

impl NameOp {
    fn touches_dir(&self, dir: &str) -> bool {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => parent(path) == dir,
            Self::Rename { from, to, .. } => parent(from) == dir || parent(to) == dir,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { path, entry } => {
                names.insert(path.clone(), *entry);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, entry } => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}

type Names = BTreeMap<String, Entry>;

/// The directory a path is in; `/` is in none but itself.
fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}

/// What was done to a disk and what power failures took from it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Writes and changes of length.
    pub writes: u64,
    /// Files synced.
    pub syncs: u64,
    /// Directories synced.
    pub dir_syncs: u64,
    /// Power failures.
    pub power_failures: u64,
    /// Unsynced changes that were lost.
    pub lost_writes: u64,
    /// Unsynced changes that made it.
    pub kept_writes: u64,
    /// Writes of which only some sectors made it.
    pub torn_writes: u64,
    /// Names whose change was lost.
    pub lost_names: u64,
}

/// One disk.
#[derive(Default, Debug)]
pub struct Image {
    pub(super) files: BTreeMap<Inode, FileData>,
    live: Names,
    pub(super) stable: Names,
    journal: Vec<NameOp>,
    next_inode: Inode,
    stats: Stats,
}

impl Image {
    /// A disk on which `dirs` are there, durably.
    #[must_use]
    pub fn with_dirs(dirs: &[&str]) -> Self {
        let mut image = Self::default();
        for dir in dirs {
            image.stable.insert((*dir).to_owned(), Entry::Dir);
        }
        image.live = image.stable.clone();
        image
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Bytes all files claim.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.files.values().map(|file| file.live.len).sum()
    }

    /// What `path` is, if anything.
    #[must_use]
    pub fn lookup(&self, path: &str) -> Option<Entry> {
        if path == "/" {
            return Some(Entry::Dir);
        }
        self.live.get(path).copied()
    }

    /// Names in `dir`, sorted.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let below = if dir == "/" { dir.to_owned() } else { format!("{dir}/") };
        self.expect_dir(dir)?;
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        let inside = self.live.range::<str, _>(from).map(|(path, _)| path);
        let own = inside.map_while(|path| path.strip_prefix(&below));
        Ok(own.filter(|own| !own.is_empty() && !own.contains('/')).map(str::to_owned).collect())
    }

    /// Makes a new empty file.
    ///
    /// # Errors
    /// `AlreadyExists`, or `NotFound` if the directory is missing.
    pub fn create(&mut self, path: &str) -> io::Result<Inode> {
        self.expect_dir(parent(path))?;
        if self.lookup(path).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.files.insert(inode, FileData::default());
        self.name(NameOp::Link { path: path.to_owned(), entry: Entry::File(inode) });
        Ok(inode)
    }

    /// Makes `dir` and what is missing above it.
    ///
    /// # Errors
    /// `NotADirectory`.
    pub fn create_dir_all(&mut self, dir: &str) -> io::Result<()> {
        match self.lookup(dir) {
            Some(Entry::Dir) => return Ok(()),
            Some(Entry::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            None => self.create_dir_all(parent(dir))?,
        }
        self.name(NameOp::Link { path: dir.to_owned(), entry: Entry::Dir });
        Ok(())
    }

    /// Renames a file over whatever file was called `to`.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` for directories.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.expect_dir(parent(to))?;
        let entry = self.lookup(from).ok_or(ErrorKind::NotFound)?;
        if entry == Entry::Dir || self.lookup(to) == Some(Entry::Dir) {
            return Err(ErrorKind::Unsupported.into());
        }
        self.name(NameOp::Rename { from: from.to_owned(), to: to.to_owned(), entry });
        Ok(())
    }

    /// Removes a file's name; handles that are open keep reading it.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`.
    pub fn remove(&mut self, path: &str) -> io::Result<()> {
        match self.lookup(path) {
            None => Err(ErrorKind::NotFound.into()),
            Some(Entry::Dir) => Err(ErrorKind::IsADirectory.into()),
            Some(Entry::File(_)) => {
                self.name(NameOp::Unlink { path: path.to_owned() });
                Ok(())
            }
        }
    }

    /// Removes a directory and all below it, deepest names first.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub fn remove_dir_all(&mut self, dir: &str) -> io::Result<()> {
        self.expect_dir(dir)?;
        let below = format!("{dir}/");
        let inside = self.live.keys().filter(|path| path.starts_with(&below));
        let mut doomed: Vec<String> = inside.cloned().collect();
        doomed.sort_by_key(|path| std::cmp::Reverse(path.len()));
        doomed.push(dir.to_owned());
        for path in doomed {
            self.name(NameOp::Unlink { path });
        }
        Ok(())
    }

    /// Makes the names in `dir` durable.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        self.expect_dir(dir)?;
        self.stats.dir_syncs += 1;
        let (durable, rest) =
            std::mem::take(&mut self.journal).into_iter().partition(|op| op.touches_dir(dir));
        self.journal = rest;
        let durable: Vec<NameOp> = durable;
        for op in durable {
            op.apply(&mut self.stable);
        }
        Ok(())
    }

    /// Length of a file.
    ///
    /// # Errors
    /// `NotFound` if the file went with a crash.
    pub fn len(&self, inode: Inode) -> io::Result<u64> {
        Ok(self.file(inode)?.live.len)
    }

    /// Reads exactly.
    ///
    /// # Errors
    /// `UnexpectedEof`.
    pub fn read_at(&self, inode: Inode, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.file(inode)?.live.read_at(into, offset)
    }

    /// Changes a file in the page cache.
    ///
    /// # Errors
    /// `NotFound` if the file went with a crash.
    pub fn change(&mut self, inode: Inode, change: Change) -> io::Result<()> {
        self.stats.writes += 1;
        let file = self.files.get_mut(&inode).ok_or(ErrorKind::NotFound)?;
        file.live.apply(&change);
        file.pending.push(change);
        Ok(())
    }

    /// Makes a file's bytes and length durable.
    ///
    /// # Errors
    /// `NotFound` if the file went with a crash.
    pub fn sync(&mut self, inode: Inode) -> io::Result<()> {
        self.stats.syncs += 1;
        self.files.get_mut(&inode).ok_or(ErrorKind::NotFound)?.sync();
        Ok(())
    }

    /// A sync that failed the way Linux fails it: the dirty pages are marked clean, so that the
    /// next sync succeeds and they are durable never.
    pub fn sync_fails(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            self.stats.lost_writes += file.pending.len() as u64;
            file.pending.clear();
        }
    }

    /// The power fails: what was not synced is lost in part.
    pub fn power_failure(&mut self, rng: &mut impl Rng) {
        self.stats.power_failures += 1;
        let kept = rng.random_range(0..=self.journal.len());
        self.stats.lost_names += (self.journal.len() - kept) as u64;
        for op in self.journal.drain(..).take(kept) {
            op.apply(&mut self.stable);
        }
        self.drop_unreachable_names();
        self.live = self.stable.clone();
        let chance_to_keep = [0.0, 0.5, 1.0][rng.random_range(0..3)];
        for file in self.files.values_mut() {
            let pending = std::mem::take(&mut file.pending);
            let last = pending.len();
            for (place, change) in pending.iter().enumerate() {
                if !rng.random_bool(chance_to_keep) {
                    self.stats.lost_writes += 1;
                    continue;
                }
                // The last write is the likeliest to have been under way.
                let chance_to_tear = if place + 1 == last { 0.5 } else { 0.1 };
                match change {
                    Change::Write { offset, data }
                        if data.len() > SECTOR && rng.random_bool(chance_to_tear) =>
                    {
                        self.stats.torn_writes += 1;
                        write_torn(&mut file.stable, data, *offset, rng);
                    }
                    whole => {
                        self.stats.kept_writes += 1;
                        file.stable.apply(whole);
                    }
                }
            }
            file.live = file.stable.clone();
            // What went astray unnoticed by anyone is as if it had not.
            file.astray = None;
        }
        self.drop_nameless_files();
    }

    /// The process dies and the machine stays up: the page cache survives.
    pub fn process_failure(&mut self) {
        self.drop_nameless_files();
    }

    fn drop_unreachable_names(&mut self) {
        let all = self.stable.clone();
        let reachable = |path: &str| {
            let mut dir = parent(path);
            while dir != "/" {
                if all.get(dir) != Some(&Entry::Dir) {
                    return false;
                }
                dir = parent(dir);
            }
            true
        };
        self.stable.retain(|path, _| reachable(path));
    }

    fn drop_nameless_files(&mut self) {
        let of = |entry: &Entry| match entry {
            Entry::File(inode) => Some(*inode),
            Entry::Dir => None,
        };
        let mut named: BTreeSet<Inode> = self.live.values().filter_map(of).collect();
        named.extend(self.stable.values().filter_map(of));
        self.files.retain(|inode, _| named.contains(inode));
    }

    fn name(&mut self, op: NameOp) {
        op.apply(&mut self.live);
        self.journal.push(op);
    }

    fn file(&self, inode: Inode) -> io::Result<&FileData> {
        self.files.get(&inode).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// That `dir` is one.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub fn expect_dir(&self, dir: &str) -> io::Result<()> {
        match self.lookup(dir) {
            Some(Entry::Dir) => Ok(()),
            Some(Entry::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}

#[cfg(test)]
#[path = "disk_image_tests.rs"]
mod tests;

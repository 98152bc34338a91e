//! One machine's disk drive: the image, its faults, and the time it takes.
//!
//! Each operation goes through [`Drive::run`], which decides what becomes of it: done, failed with
//! an error, or not heard of any more because the power failed. Pure: the glue to `rt::disk` is in
//! `disk.rs`, which also knows which incarnation of a program is asking.
//!
//! Time cannot pass inside synchronous code: each operation adds to a debt, and whoever calls
//! `rt::disk::settle` next waits until the drive has worked off everything. It does one thing after
//! the other, so whoever settles meanwhile waits as long. A sync that is waited for is under way
//! until then: if the power fails before, it never was.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    time::Duration,
};

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reseed_rt::disk::OpenMode;

use super::{
    disk_content::SECTOR,
    disk_image::{Change, Entry, Image, Inode},
    net::Crash,
    tally::{Counts, Tally, Token},
};
use crate::plan::fault::FileKind;

/// Directories every machine has, durably, before reseed is installed on it.
const INSTALLED_DIRS: [&str; 2] = ["/var", "/var/lib"];
/// What a machine's disk holds unless a run says otherwise, bytes.
const CAPACITY: u64 = 64 << 30;
/// A write that goes astray lands at most so many sectors from where it belongs.
const ASTRAY_SECTORS_MAX: u64 = 64;

/// What an operation does, for latency and faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Asks for names or lengths.
    Look,
    /// Reads a file.
    Read,
    /// Changes names.
    Name,
    /// Writes a file or changes its length.
    Write,
    /// Syncs a file or directory.
    Sync,
}

/// The machine went down during an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crashed(pub Crash);

/// What can go wrong, armed.
#[derive(Default, Debug)]
struct Faults {
    /// After so many more changes.
    /// What takes the machine down after so many more changes.
    crash: Option<(u64, Crash, Token)>,
    /// Errors after so many more operations of a kind.
    errors: Vec<(Kind, u64, Token)>,
    full: Option<Token>,
    slow: Option<(u32, Token)>,
    stalls: Vec<(Duration, Token)>,
    /// Writes that will go astray after so many more of a kind of file.
    astray: Vec<(FileKind, u64, Token)>,
    /// Writes that did, until somebody could notice.
    landing: Vec<(Inode, Token)>,
    /// Rot that nobody has read yet.
    rot: Vec<Token>,
}

/// What is made durable.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Synced {
    File(Inode),
    Dir(String),
}

/// A sync that has not taken its time yet.
#[derive(Clone, Debug)]
struct Syncing {
    what: Synced,
    /// When it is over, if the program waits for that. One that goes on without waiting has it
    /// behind it.
    until: Option<Duration>,
}

/// One drive.
#[derive(Debug)]
pub struct Drive {
    /// What is on it.
    pub image: Image,
    capacity: u64,
    locks: BTreeSet<String>,
    /// How many times as long everything takes as on a decent solid state disk.
    slowness: u32,
    debt: Duration,
    /// By when everything is worked off that was waited for, in true time.
    busy_until: Duration,
    syncing: Vec<Syncing>,
    rng: ChaCha8Rng,
    faults: Faults,
    /// What was armed and what bit.
    pub tally: Tally,
    errors_since_boot: u64,
    was_damaged: bool,
}

impl Drive {
    /// An empty drive whose chance is `rng`.
    #[must_use]
    pub fn new(rng: ChaCha8Rng) -> Self {
        Self {
            image: Image::with_dirs(&INSTALLED_DIRS),
            capacity: CAPACITY,
            locks: BTreeSet::new(),
            slowness: 1,
            debt: Duration::ZERO,
            busy_until: Duration::ZERO,
            syncing: Vec::new(),
            rng,
            faults: Faults::default(),
            tally: Tally::default(),
            errors_since_boot: 0,
            was_damaged: false,
        }
    }

    /// Everything takes so many times as long as on a decent solid state disk, at least 1.
    pub fn set_slowness(&mut self, slowness: u32) {
        self.slowness = slowness.max(1);
    }

    /// The machine goes down, at `now`.
    pub fn reset(&mut self, how: Crash, now: Duration) {
        self.end_syncs(match how {
            Crash::Power => now,
            // The system goes on with what the program asked for.
            Crash::Process => Duration::MAX,
        });
        self.syncing.clear();
        self.faults.crash = None;
        self.locks.clear();
        self.debt = Duration::ZERO;
        self.busy_until = Duration::ZERO;
        self.errors_since_boot = 0;
        match how {
            Crash::Power => {
                self.image.power_failure(&mut self.rng);
                self.faults.landing.clear();
            }
            Crash::Process => self.image.process_failure(),
        }
    }

    /// Everything on it is gone, as on a new disk. The machine must be down.
    pub fn wipe(&mut self) {
        self.image = Image::with_dirs(&INSTALLED_DIRS);
        self.faults = Faults::default();
        self.was_damaged = false;
    }

    /// How long the program has to wait from `now` until everything is worked off.
    pub fn settle(&mut self, now: Duration) -> Duration {
        let debt = std::mem::take(&mut self.debt);
        self.busy_until = self.busy_until.max(now) + debt;
        for syncing in &mut self.syncing {
            syncing.until.get_or_insert(self.busy_until);
        }
        self.busy_until - now
    }

    /// Ends the syncs whose time is over at `now`.
    pub fn end_syncs(&mut self, now: Duration) {
        let is_over = |syncing: &Syncing| syncing.until.is_none_or(|until| until <= now);
        let over: Vec<Syncing> = self.syncing.extract_if(.., |syncing| is_over(syncing)).collect();
        over.into_iter().for_each(|syncing| self.end_sync(&syncing.what));
    }

    fn end_sync(&mut self, what: &Synced) {
        let file = match what {
            Synced::File(file) => *file,
            // What was removed meanwhile has nothing to make durable; nor has a file, below.
            Synced::Dir(dir) => return drop(self.image.sync_dir(dir)),
        };
        drop(self.image.sync(file));
        if !self.faults.landing.is_empty() && self.image.take_landed(file) {
            self.was_damaged = true;
            let tally = &mut self.tally;
            self.faults.landing.retain(|(of, token)| {
                if *of == file {
                    tally.bite(*token);
                }
                *of != file
            });
        }
    }

    /// How often each fault bit, and what power failures took.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut tally = self.tally.clone();
        let stats = self.image.stats();
        tally.count("torn_write", stats.torn_writes);
        tally.count("lost_write", stats.lost_writes);
        tally.count("lost_name", stats.lost_names);
        tally.counts().clone()
    }

    /// Has an operation failed with an error since the machine booted?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.errors_since_boot > 0
    }

    /// Was anything durable damaged, and has not been mended?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.was_damaged
    }

    /// Is there no room at present?
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.faults.full.is_some()
    }

    // ---- faults ----

    /// The machine goes down at the `n`-th change from now.
    pub fn crash_after(&mut self, n: u64, how: Crash, kind: &'static str) {
        let token = self.tally.arm(kind);
        self.faults.crash = Some((n, how, token));
    }

    /// The `n`-th operation of this kind from now fails.
    pub fn fail_after(&mut self, of: Kind, n: u64, kind: &'static str) {
        let token = self.tally.arm(kind);
        self.faults.errors.push((of, n, token));
    }

    /// There is no room for more from now on.
    pub fn fill(&mut self, kind: &'static str) {
        self.faults.full = Some(self.tally.arm(kind));
        self.capacity = self.image.used_bytes();
    }

    /// There is room again.
    pub fn empty(&mut self) {
        self.faults.full = None;
        self.capacity = CAPACITY;
    }

    /// Operations take `factor` times as long, until [`Drive::hurry`].
    pub fn slow_down(&mut self, factor: u32, kind: &'static str) {
        self.faults.slow = Some((factor, self.tally.arm(kind)));
    }

    /// Operations take their usual time.
    pub fn hurry(&mut self) {
        self.faults.slow = None;
    }

    /// The next operation takes so much longer.
    pub fn stall(&mut self, lasting: Duration, kind: &'static str) {
        let token = self.tally.arm(kind);
        self.faults.stalls.push((lasting, token));
    }

    /// The `n`-th write of such a file from now lands elsewhere in it.
    pub fn misdirect_after(&mut self, file: FileKind, n: u64, kind: &'static str) {
        let token = self.tally.arm(kind);
        self.faults.astray.push((file, n, token));
    }

    /// Flips bits of what is durable in such files. For a machine that is down.
    pub fn rot(&mut self, file: FileKind, bits: u32, kind: &'static str) {
        if self.image.rot(|path| kind_of(path) == file, bits, &mut self.rng) > 0 {
            self.was_damaged = true;
            let token = self.tally.arm(kind);
            self.faults.rot.push(token);
        }
    }

    /// No more faults, except damage that is there.
    pub fn disarm(&mut self) {
        let rot = std::mem::take(&mut self.faults.rot);
        self.faults = Faults { rot, ..Faults::default() };
        self.capacity = CAPACITY;
    }

    /// Mends all damage. For a machine that is down.
    pub fn mend(&mut self) {
        self.image.mend();
        self.faults.rot.clear();
        self.was_damaged = false;
    }

    // ---- operations ----

    /// Carries out `operation` unless a fault comes before.
    ///
    /// # Errors
    /// The outer one when the machine went down, before the operation or right after it, before
    /// anyone heard of it.
    pub fn run<T>(
        &mut self,
        (kind, bytes): (Kind, usize),
        operation: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> Result<io::Result<T>, Crashed> {
        if !matches!(kind, Kind::Look | Kind::Read) {
            // Whoever does something else without waiting has its syncs behind it.
            self.end_syncs(Duration::ZERO);
        }
        if let Some(how) = self.crashes(kind) {
            if self.rng.random_ratio(1, 2) {
                let _unheard = operation(self);
            }
            return Err(Crashed(how));
        }
        self.charge(kind, bytes);
        Ok(operation(self))
    }

    fn crashes(&mut self, kind: Kind) -> Option<Crash> {
        if matches!(kind, Kind::Look | Kind::Read) {
            return None;
        }
        match self.faults.crash.as_mut()? {
            (0, how, token) => {
                self.tally.bite(*token);
                Some(*how)
            }
            (n, ..) => {
                *n -= 1;
                None
            }
        }
    }

    /// Charges the time an operation takes on a decent solid state disk, and what faults add.
    fn charge(&mut self, kind: Kind, bytes: usize) {
        let micros = match kind {
            Kind::Look => 2,
            Kind::Read | Kind::Name | Kind::Write => 5 + bytes as u64 / 2_000,
            // Mostly quick, now and then much slower.
            Kind::Sync if self.rng.random_ratio(1, 50) => self.rng.random_range(2_000..20_000),
            Kind::Sync => self.rng.random_range(80..600),
        };
        let mut time = Duration::from_micros(micros) * self.slowness;
        if let Some((factor, token)) = self.faults.slow {
            time *= factor;
            self.tally.bite(token);
        }
        for (stall, token) in self.faults.stalls.drain(..) {
            time += stall;
            self.tally.bite(token);
        }
        self.debt += time;
    }

    /// Does an armed error come at this operation?
    fn error(&mut self, kind: Kind) -> io::Result<()> {
        let mut fails = false;
        self.faults.errors.retain_mut(|(of, n, token)| {
            if *of != kind || fails {
                return true;
            }
            if *n > 0 {
                *n -= 1;
                return true;
            }
            fails = true;
            self.tally.bite(*token);
            false
        });
        if !fails {
            return Ok(());
        }
        self.errors_since_boot += 1;
        Err(io::Error::other("input/output error (simulated)"))
    }

    /// Opens or makes a file.
    ///
    /// # Errors
    /// As the mode demands.
    pub fn open(&mut self, path: &str, mode: OpenMode) -> io::Result<Inode> {
        match (self.image.lookup(path), mode) {
            (Some(Entry::Dir), _) => Err(ErrorKind::IsADirectory.into()),
            (Some(Entry::File(_)), OpenMode::Create) => Err(ErrorKind::AlreadyExists.into()),
            (Some(Entry::File(inode)), OpenMode::CreateTruncate) => {
                self.image.change(inode, Change::SetLen(0)).map(|()| inode)
            }
            (Some(Entry::File(inode)), _) => Ok(inode),
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(ErrorKind::NotFound.into()),
            (None, _) => self.image.create(path),
        }
    }

    /// Reads exactly.
    ///
    /// # Errors
    /// `UnexpectedEof`, and armed ones.
    pub fn read_at(&mut self, inode: Inode, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.error(Kind::Read)?;
        self.image.read_at(inode, into, offset)?;
        let range = offset..offset + into.len() as u64;
        if !self.faults.rot.is_empty() && self.image.reads_damage(inode, range) {
            self.faults.rot.drain(..).for_each(|token| self.tally.bite(token));
        }
        Ok(())
    }

    /// Changes a file called `path` in the page cache.
    ///
    /// # Errors
    /// `StorageFull`, and armed ones, after which a part may have been written.
    pub fn change(&mut self, inode: Inode, path: &str, change: Change) -> io::Result<()> {
        let end = match &change {
            Change::Write { offset, data } => offset + data.len() as u64,
            Change::SetLen(len) | Change::Grow(len) => *len,
        };
        let growth = end.saturating_sub(self.image.len(inode)?);
        if growth > 0 {
            self.check_room(growth)?;
        }
        if let Err(error) = self.error(Kind::Write) {
            if let Change::Write { offset, data } = change {
                let data = data.slice(..self.rng.random_range(0..=data.len()));
                self.image.change(inode, Change::Write { offset, data })?;
            }
            return Err(error);
        }
        let written = match &change {
            Change::Write { offset, data } => Some((*offset, data.clone())),
            Change::SetLen(_) | Change::Grow(_) => None,
        };
        self.image.change(inode, change)?;
        if let Some((offset, data)) = written
            && !self.faults.astray.is_empty()
        {
            self.maybe_go_astray(inode, path, (offset, data));
        }
        Ok(())
    }

    /// Makes a file durable, once its time is over.
    ///
    /// # Errors
    /// Armed ones; then what was written since the last sync is durable never. `NotFound` if the
    /// file went with a crash.
    pub fn sync(&mut self, inode: Inode) -> io::Result<()> {
        if let Err(error) = self.error(Kind::Sync) {
            self.image.sync_fails(inode);
            return Err(error);
        }
        self.image.len(inode)?;
        self.syncing.push(Syncing { what: Synced::File(inode), until: None });
        Ok(())
    }

    /// Makes the names in a directory durable, once its time is over.
    ///
    /// # Errors
    /// Armed ones, and those of the image.
    pub fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        self.error(Kind::Sync)?;
        self.image.expect_dir(dir)?;
        self.syncing.push(Syncing { what: Synced::Dir(dir.to_owned()), until: None });
        Ok(())
    }

    /// Takes the lock called `path`.
    ///
    /// # Errors
    /// `WouldBlock`.
    pub fn lock(&mut self, path: &str) -> io::Result<()> {
        if self.locks.contains(path) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.open(path, OpenMode::CreateOrOpen)?;
        self.locks.insert(path.to_owned());
        Ok(())
    }

    /// Gives it back.
    pub fn unlock(&mut self, path: &str) {
        self.locks.remove(path);
    }

    /// Room that is left, bytes. Who asks a full disk has felt that it is: what does not fit is
    /// not even tried.
    pub fn free_bytes(&mut self) -> u64 {
        if let Some(token) = self.faults.full {
            self.tally.bite(token);
        }
        self.capacity.saturating_sub(self.image.used_bytes())
    }

    fn check_room(&mut self, growth: u64) -> io::Result<()> {
        if self.image.used_bytes() + growth <= self.capacity {
            return Ok(());
        }
        if let Some(token) = self.faults.full {
            self.tally.bite(token);
        }
        Err(ErrorKind::StorageFull.into())
    }

    fn maybe_go_astray(&mut self, inode: Inode, path: &str, (offset, data): (u64, Bytes)) {
        let file = kind_of(path);
        let Some(place) = self.faults.astray.iter().position(|(of, _, _)| *of == file) else {
            return;
        };
        if self.faults.astray[place].1 > 0 {
            self.faults.astray[place].1 -= 1;
            return;
        }
        let len = self.image.len(inode).unwrap_or(0);
        let away = SECTOR as u64 * self.rng.random_range(1..=ASTRAY_SECTORS_MAX);
        let ahead = offset + away;
        let lands_at = match offset.checked_sub(away) {
            Some(back) if self.rng.random() || ahead + data.len() as u64 > len => back,
            _ => ahead,
        };
        let (_, _, token) = self.faults.astray.remove(place);
        self.faults.landing.push((inode, token));
        self.image.go_astray(inode, offset, data, lands_at);
    }
}

/// What a file of a member is, by its path below the data directory (`reseed_storage::layout`).
#[must_use]
pub fn kind_of(path: &str) -> FileKind {
    if path.contains("/member/wal/") {
        FileKind::Wal
    } else if path.ends_with("/member/snap/db") {
        FileKind::Backend
    } else {
        FileKind::Other
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;

//! The simulated disk beside the real one: the same operations, the same answers.
//!
//! Only what holds while nothing fails; what a power failure leaves cannot be tried on a real disk
//! here. A sequence of operations depends on its number alone.
#![cfg(not(madsim))]

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use reseed_rt::disk::{self, Disk, File, OpenMode};
use reseed_sim::world::{
    disk_image::{Change, Inode},
    drive::Drive,
};

const SEQUENCES: u64 = 60;
const STEPS: usize = 200;
const DIRS: [&str; 4] = ["", "/a", "/b", "/a/deep"];
const FILES: [&str; 3] = ["/one", "/two", "/three"];
const MODES: [OpenMode; 5] = [
    OpenMode::Read,
    OpenMode::ReadWrite,
    OpenMode::Create,
    OpenMode::CreateOrOpen,
    OpenMode::CreateTruncate,
];

/// A file open on both disks.
struct Open {
    real: Arc<dyn File>,
    simulated: Inode,
    is_writable: bool,
}

/// Both disks.
struct Pair {
    real: Arc<dyn Disk>,
    root: PathBuf,
    drive: Drive,
    open: Vec<Open>,
    rng: ChaCha8Rng,
}

/// What can be compared of an answer.
fn answer<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

impl Pair {
    fn new(number: u64) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{number}"));
        let real = disk::disk();
        if real.exists(&root).expect("it can be asked") {
            real.remove_dir_all(&root).expect("removed");
        }
        real.create_dir_all(&root).expect("made");
        let mut drive = Drive::new(ChaCha8Rng::seed_from_u64(number));
        drive.image.create_dir_all("/data").expect("made");
        let rng = ChaCha8Rng::seed_from_u64(number);
        Self { real, root, drive, open: Vec::new(), rng }
    }

    fn real_path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn dir(&mut self) -> &'static str {
        DIRS.choose(&mut self.rng).expect("some")
    }

    fn file(&mut self) -> String {
        format!("{}{}", self.dir(), FILES.choose(&mut self.rng).expect("some"))
    }

    /// One operation on both; what it was, and both answers as text.
    fn step(&mut self) -> (String, String, String) {
        match self.rng.random_range(0..16) {
            0 | 1 => self.names(),
            2..=4 => self.open_file(),
            _ if self.open.is_empty() => self.open_file(),
            5..=13 => self.use_file(),
            _ => self.look(),
        }
    }

    fn names(&mut self) -> (String, String, String) {
        let (what, one, two) = (self.rng.random_range(0..4), self.file(), self.file());
        let dir = self.dir();
        let (real, drive) = (self.real.clone(), &mut self.drive);
        let at = |path: &str| format!("/data{path}");
        let (name, real, simulated) = match what {
            0 => (
                format!("rename {one} {two}"),
                real.rename(&self.root.join(&one[1..]), &self.root.join(&two[1..])),
                drive.image.rename(&at(&one), &at(&two)),
            ),
            1 => (
                format!("remove {one}"),
                real.remove(&self.root.join(&one[1..])),
                drive.image.remove(&at(&one)),
            ),
            2 if !dir.is_empty() => (
                format!("remove all {dir}"),
                real.remove_dir_all(&self.root.join(&dir[1..])),
                drive.image.remove_dir_all(&at(dir)),
            ),
            _ => (
                format!("make {dir}"),
                real.create_dir_all(&self.root.join(dir.trim_start_matches('/'))),
                drive.image.create_dir_all(&at(dir)),
            ),
        };
        (name, format!("{:?}", answer(real)), format!("{:?}", answer(simulated)))
    }

    fn open_file(&mut self) -> (String, String, String) {
        let (path, mode) = (self.file(), *MODES.choose(&mut self.rng).expect("some"));
        let real = answer(self.real.open(&self.real_path(&path), mode));
        let simulated = answer(self.drive.open(&format!("/data{path}"), mode));
        let tell = |result: Result<(), ErrorKind>| format!("{result:?}");
        let both = (tell(real.as_ref().map(drop).map_err(|kind| *kind)), tell(simulated.map(drop)));
        if let (Ok(real), Ok(simulated)) = (real, simulated) {
            self.open.push(Open { real, simulated, is_writable: mode.is_writable() });
        }
        (format!("open {path} {mode:?}"), both.0, both.1)
    }

    fn use_file(&mut self) -> (String, String, String) {
        let place = self.rng.random_range(0..self.open.len());
        let Open { real, simulated, is_writable } = &self.open[place];
        let (what, at) = (self.rng.random_range(0..5), self.rng.random_range(0..20_000_u64));
        let len = if self.rng.random_ratio(1, 10) { 0 } else { self.rng.random_range(0..9_000) };
        let drive = &mut self.drive;
        let name = format!("file {place}: {what} at {at}, {len}");
        if what == 0 || !is_writable {
            let (mut one, mut two) = (vec![0; len], vec![0; len]);
            let real = answer(real.read_at(&mut one, at)).map(|()| one);
            let simulated = answer(drive.read_at(*simulated, &mut two, at)).map(|()| two);
            return (name, format!("{real:?}"), format!("{simulated:?}"));
        }
        let data: Vec<u8> = (0..len).map(|_| self.rng.random()).collect();
        let (real, change) = match what {
            1 => (real.set_len(at), Some(Change::SetLen(at))),
            2 if at > 0 => (real.allocate(at), Some(Change::Grow(at))),
            3 => (real.sync(), None),
            _ => {
                let change = Change::Write { offset: at, data: Bytes::from(data.clone()) };
                (real.write_at(&data, at), Some(change))
            }
        };
        let simulated = match change {
            Some(change) => drive.change(*simulated, "/data/file", change),
            None => drive.sync(*simulated),
        };
        (name, format!("{:?}", answer(real)), format!("{:?}", answer(simulated)))
    }

    fn look(&mut self) -> (String, String, String) {
        let (dir, path) = (self.dir(), self.file());
        let listed = answer(self.real.list(&self.real_path(dir)));
        let exists = answer(self.real.exists(&self.real_path(&path)));
        let synced = answer(self.real.sync_dir(&self.real_path(dir)));
        let lens: Vec<_> = self.open.iter().map(|open| answer(open.real.len())).collect();
        let real = format!("{listed:?} {exists:?} {synced:?} {lens:?}");
        let at = format!("/data{dir}");
        let listed = answer(self.drive.image.list(&at));
        let exists: Result<_, ErrorKind> =
            Ok(self.drive.image.lookup(&format!("/data{path}")).is_some());
        let synced = answer(self.drive.sync_dir(&at));
        let len = |open: &Open| answer(self.drive.image.len(open.simulated));
        let lens: Vec<_> = self.open.iter().map(len).collect();
        (
            format!("look at {dir}, {path}"),
            real,
            format!("{listed:?} {exists:?} {synced:?} {lens:?}"),
        )
    }
}

#[test]
fn the_simulated_disk_answers_as_the_real_one() {
    for number in 0..SEQUENCES {
        let mut pair = Pair::new(number);
        let mut told = Vec::new();
        for _ in 0..STEPS {
            let (name, real, simulated) = pair.step();
            told.push(name);
            let story = &told[told.len().saturating_sub(20)..];
            assert_eq!(simulated, real, "sequence {number}: {story:#?}");
        }
        pair.real.remove_dir_all(&pair.root).expect("removed");
    }
}

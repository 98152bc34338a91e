//! Each fault of a drive, and that it is counted when it is felt.

use std::path::Path;

use rand_chacha::rand_core::SeedableRng;
use reseed_storage::layout;

use super::*;

const PATH: &str = "/var/lib/file";
const SEEDS: u64 = 40;
/// When nothing is under way any more.
const LATER: Duration = Duration::from_secs(3600);

fn drive(seed: u64) -> (Drive, Inode) {
    let mut drive = Drive::new(ChaCha8Rng::seed_from_u64(seed));
    let inode = drive.open(PATH, OpenMode::Create).expect("made");
    drive.sync_dir("/var/lib").expect("synced");
    (drive, inode)
}

fn write(drive: &mut Drive, inode: Inode, offset: u64, data: &[u8]) -> io::Result<()> {
    // As `run` does for whoever goes through it.
    drive.end_syncs(Duration::ZERO);
    let data = Bytes::copy_from_slice(data);
    drive.change(inode, PATH, Change::Write { offset, data })
}

fn read(drive: &mut Drive, inode: Inode) -> Vec<u8> {
    let len = drive.image.len(inode).expect("there");
    let mut all = vec![0; usize::try_from(len).expect("small")];
    drive.read_at(inode, &mut all, 0).expect("readable");
    all
}

/// How often the fault called "it" was counted.
fn count(drive: &Drive) -> u64 {
    drive.counts().get("it").copied().unwrap_or(0)
}

#[test]
fn an_error_comes_at_the_operation_it_was_armed_for_and_once() {
    let (mut drive, inode) = drive(1);
    write(&mut drive, inode, 0, b"abc").expect("written");
    drive.fail_after(Kind::Read, 1, "it");
    drive.fail_after(Kind::Write, 0, "it");
    let mut byte = [0];
    drive.read_at(inode, &mut byte, 0).expect("the first");
    assert_eq!((count(&drive), drive.has_failed()), (0, false));
    drive.read_at(inode, &mut byte, 0).expect_err("the second");
    drive.read_at(inode, &mut byte, 0).expect("the third");
    write(&mut drive, inode, 0, b"xyz").expect_err("failed");
    write(&mut drive, inode, 0, b"xyz").expect("written");
    assert_eq!((count(&drive), drive.has_failed()), (2, true));
    drive.reset(Crash::Process, LATER);
    assert!(!drive.has_failed(), "another boot");
}

#[test]
fn a_failed_write_may_have_written_a_part() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut drive, inode) = drive(seed);
        drive.fail_after(Kind::Write, 0, "it");
        write(&mut drive, inode, 0, b"1234").expect_err("failed");
        lengths.insert(read(&mut drive, inode).len());
    }
    assert_eq!(lengths, BTreeSet::from([0, 1, 2, 3, 4]));
}

#[test]
fn a_failed_sync_loses_what_it_should_have_kept() {
    for seed in 0..SEEDS {
        let (mut drive, inode) = drive(seed);
        write(&mut drive, inode, 0, b"gone").expect("written");
        drive.fail_after(Kind::Sync, 0, "it");
        drive.sync(inode).expect_err("failed");
        drive.sync(inode).expect("succeeds");
        assert_eq!(read(&mut drive, inode), b"gone", "the page cache has it");
        drive.reset(Crash::Power, LATER);
        assert_eq!((read(&mut drive, inode), count(&drive)), (Vec::new(), 1));
    }
}

/// Writes, and asks for a sync that takes some time.
fn write_and_sync(drive: &mut Drive, inode: Inode, data: &[u8]) {
    write(drive, inode, 0, data).expect("written");
    drive.run((Kind::Sync, 0), |drive| drive.sync(inode)).expect("power").expect("synced");
}

/// What is left of "lost" over "kept" in all seeds, if the power fails when `until` says.
fn left_by(until: impl Fn(&mut Drive) -> Duration) -> BTreeSet<Vec<u8>> {
    let left = |seed| {
        let (mut drive, inode) = drive(seed);
        write_and_sync(&mut drive, inode, b"kept");
        let settled = drive.settle(Duration::ZERO);
        drive.end_syncs(settled);
        write_and_sync(&mut drive, inode, b"lost");
        let now = until(&mut drive);
        drive.reset(Crash::Power, now);
        read(&mut drive, inode)
    };
    (0..SEEDS).map(left).collect()
}

#[test]
fn a_sync_that_is_waited_for_never_was_if_the_power_fails_meanwhile() {
    let both = BTreeSet::from([b"kept".to_vec(), b"lost".to_vec()]);
    let done = BTreeSet::from([b"lost".to_vec()]);
    let soon = Duration::from_micros(1);
    let settle = |drive: &mut Drive| LATER + drive.settle(LATER);
    assert_eq!(left_by(|_| LATER), done, "the program went on without waiting: it was over");
    assert_eq!(left_by(|drive| settle(drive) - soon), both);
    assert_eq!(left_by(settle), done, "it took its time");
}

#[test]
fn whoever_waits_for_a_drive_waits_for_all_it_was_asked() {
    let longer = |drive: &mut Drive| {
        let first = drive.settle(LATER);
        let look = |drive: &mut Drive| drive.image.len(0);
        drive.run((Kind::Look, 0), look).expect("power").expect("there");
        let second = drive.settle(LATER);
        assert!(first > Duration::ZERO && second > first, "{first:?}, {second:?}");
        LATER + second
    };
    assert_eq!(left_by(longer), BTreeSet::from([b"lost".to_vec()]));
    let another = |drive: &mut Drive| {
        let until = drive.settle(LATER);
        // Another task changes something: what the first waits for is no sooner over.
        let change = |drive: &mut Drive| drive.image.create_dir_all("/var/other");
        drive.run((Kind::Name, 0), change).expect("power").expect("made");
        LATER + until / 2
    };
    assert_eq!(left_by(another).len(), 2);
}

#[test]
fn a_full_disk_takes_nothing_new_and_counts_when_felt() {
    let (mut drive, inode) = drive(1);
    write(&mut drive, inode, 0, b"abc").expect("written");
    drive.fill("it");
    write(&mut drive, inode, 0, b"xyz").expect("there is room for what is there");
    assert_eq!(count(&drive), 0);
    for _ in 0..2 {
        let full = write(&mut drive, inode, 3, b"d").expect_err("full");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
    assert_eq!(count(&drive), 1);
    drive.empty();
    assert!(drive.free_bytes() > 0);
    write(&mut drive, inode, 3, b"d").expect("room again");
    drive.fill("it");
    assert_eq!((drive.free_bytes(), count(&drive)), (0, 2), "who asks for room has felt it");
}

#[test]
fn a_slow_disk_and_a_stall_take_their_time() {
    let (mut drive, inode) = drive(1);
    let mut now = Duration::ZERO;
    let mut len = |drive: &mut Drive| {
        let done = drive.run((Kind::Read, 0), |drive| drive.image.len(inode));
        done.expect("power").expect("there");
        now += LATER;
        drive.settle(now)
    };
    let usual = len(&mut drive);
    drive.slow_down(100, "it");
    assert_eq!(len(&mut drive), usual * 100);
    drive.hurry();
    drive.stall(Duration::from_secs(3), "it");
    assert_eq!(count(&drive), 1);
    assert_eq!(len(&mut drive), usual + Duration::from_secs(3));
    assert_eq!((len(&mut drive), count(&drive)), (usual, 2), "over");
}

#[test]
fn the_power_fails_before_a_change_or_right_after() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut drive, inode) = drive(seed);
        drive.crash_after(1, Crash::Power, "it");
        let mut append = || {
            let len = drive.image.len(inode).expect("there");
            drive.run((Kind::Write, 1), |drive| write(drive, inode, len, b"x"))
        };
        append().expect("the first").expect("written");
        append().expect_err("the second");
        assert_eq!(count(&drive), 1);
        lengths.insert(read(&mut drive, inode).len());
    }
    assert_eq!(lengths, BTreeSet::from([1, 2]));
}

/// A drive with a file of two batches, each synced.
fn two_batches(seed: u64) -> (Drive, Inode) {
    let (mut drive, inode) = drive(seed);
    for (offset, byte) in [(0, 1), (4096, 2)] {
        write(&mut drive, inode, offset, &[byte; 4096]).expect("written");
        drive.sync(inode).expect("synced");
    }
    (drive, inode)
}

#[test]
fn rot_spares_the_last_batch_counts_when_it_is_read_and_can_be_mended() {
    for seed in 0..SEEDS {
        let (mut drive, inode) = two_batches(seed);
        let whole = read(&mut drive, inode);
        drive.reset(Crash::Power, LATER);
        drive.rot(FileKind::Wal, 3, "it");
        assert!(!drive.is_damaged(), "there is no log on this disk");
        drive.rot(FileKind::Other, 3, "it");
        assert!(drive.is_damaged() && count(&drive) == 0);
        let rotten = read(&mut drive, inode);
        assert_ne!(rotten, whole);
        assert_eq!(rotten[4096..], whole[4096..], "nobody can notice rot of the last batch");
        assert_eq!(count(&drive), 1);
        let place = rotten.iter().zip(&whole).position(|(is, was)| is != was).expect("rot");
        write(&mut drive, inode, place as u64, b"!").expect("written");
        drive.reset(Crash::Power, LATER);
        drive.mend();
        let mended = read(&mut drive, inode);
        let differs = |at: &usize| mended[*at] != whole[*at];
        let left: Vec<usize> = (0..whole.len()).filter(differs).collect();
        assert!(left.is_empty() || left == [place], "what was overwritten stays overwritten");
    }
}

#[test]
fn a_misdirected_write_shows_after_the_next_sync_and_a_reboot_and_can_be_mended() {
    let mut elsewhere = 0;
    for seed in 0..SEEDS {
        let (mut drive, inode) = two_batches(seed);
        drive.misdirect_after(FileKind::Other, 0, "it");
        write(&mut drive, inode, 2048, &[3; 512]).expect("written");
        drive.sync(inode).expect("synced");
        let whole = read(&mut drive, inode);
        assert_eq!(whole[2048..2560], [3; 512], "the page cache hides it");
        assert_eq!(count(&drive), 0, "nothing vouches for it yet");
        write(&mut drive, inode, 8192, b"next").expect("written");
        drive.sync(inode).expect("synced");
        drive.end_syncs(LATER);
        assert_eq!(count(&drive), 1);
        drive.reset(Crash::Power, LATER);
        let damaged = read(&mut drive, inode);
        assert_eq!(damaged[2048..2560], [1; 512], "the old bytes");
        elsewhere += usize::from(damaged.windows(512).any(|bytes| bytes == [3; 512]));
        drive.mend();
        assert_eq!(read(&mut drive, inode)[..8192], whole[..8192]);
    }
    assert!(elsewhere > 0, "it did land");
}

#[test]
fn a_misdirected_write_is_none_if_the_power_fails_before_anyone_relied_on_it() {
    for seed in 0..SEEDS {
        let (mut drive, inode) = two_batches(seed);
        drive.misdirect_after(FileKind::Other, 0, "it");
        write(&mut drive, inode, 2048, &[3; 512]).expect("written");
        drive.sync(inode).expect("synced");
        drive.reset(Crash::Power, LATER);
        assert_eq!(read(&mut drive, inode)[2048..2560], [3; 512]);
        assert!(count(&drive) == 0 && !drive.is_damaged());
    }
}

#[test]
fn files_are_known_by_where_the_layout_puts_them() {
    let root = Path::new("/var/lib/reseed");
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    assert_eq!(kind_of(&text(layout::wal_dir(root).join("0.wal"))), FileKind::Wal);
    assert_eq!(kind_of(&text(layout::db_file(root))), FileKind::Backend);
    assert_eq!(kind_of(&text(root.join("FORMAT"))), FileKind::Other);
}

//! The log under ordinary use, full disks, failing syncs and damage.

mod crash;
mod golden;

use std::path::{Path, PathBuf};

use super::*;
use crate::testing::MemDisk;

const DIR: &str = "/wal";
const SMALL: WalOptions = WalOptions { segment_bytes: 2048 };
const WHOSE: Metadata = Metadata { member_id: 7, cluster_id: 9 };

/// Hard state and mark at the beginning of a segment.
const OPENING_BYTES: usize = 48 + 40;

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn entry(index: u64, term: u64, data: &[u8]) -> WalEntry {
    let data = Bytes::copy_from_slice(data);
    WalEntry { index, term, kind: 0, data, context: Bytes::new() }
}

fn mark(index: u64, term: u64) -> Mark {
    Mark { index, term, conf_state: Bytes::from_static(b"conf") }
}

fn create(disk: &MemDisk) -> Wal {
    Wal::create(disk.disk(), dir(), WHOSE, &Mark::default(), SMALL).unwrap()
}

fn open(disk: &MemDisk) -> Result<(Wal, Recovered), WalError> {
    Wal::open(disk.disk(), dir(), SMALL)
}

/// A log of `count` entries of 100 bytes, each synced for itself.
fn filled(disk: &MemDisk, count: u64) -> Wal {
    let mut wal = create(disk);
    for index in 1..=count {
        wal.append(&[entry(index, 1, &[index as u8; 100])], None).unwrap();
        wal.sync().unwrap();
    }
    wal
}

fn segments(disk: &MemDisk) -> Vec<PathBuf> {
    let names = segment::list(disk.disk().as_ref(), dir()).unwrap();
    names.into_iter().map(|name| name.path(dir())).collect()
}

#[test]
fn what_was_appended_comes_back() {
    let disk = MemDisk::new(1);
    assert!(!exists(disk.disk().as_ref(), dir()).unwrap());
    let mut wal = create(&disk);
    assert!(exists(disk.disk().as_ref(), dir()).unwrap());
    let state = HardState { term: 3, vote: 7, commit: 2 };
    let mut odd = entry(2, 3, b"two");
    odd.kind = 2;
    odd.context = Bytes::from_static(b"why");
    wal.append(&[entry(1, 3, b""), odd.clone()], Some(state)).unwrap();
    assert!(wal.needs_sync());
    wal.sync().unwrap();
    assert!(!wal.needs_sync());
    disk.crash();
    let (wal, found) = open(&disk).unwrap();
    assert_eq!(found.metadata, WHOSE);
    assert_eq!(found.hard_state, state);
    assert_eq!(found.entries, [entry(1, 3, b""), odd]);
    assert_eq!((found.mark.index, found.cut, wal.last_index()), (0, None, 2));
}

#[test]
fn entries_of_a_new_leader_replace_those_behind_them() {
    let disk = MemDisk::new(1);
    let mut wal = filled(&disk, 9);
    wal.append(&[entry(4, 2, b"new"), entry(5, 2, b"er")], None).unwrap();
    wal.sync().unwrap();
    assert_eq!(wal.last_index(), 5);
    let (_, found) = open(&disk).unwrap();
    let terms: Vec<_> = found.entries.iter().map(|entry| (entry.index, entry.term)).collect();
    assert_eq!(terms, [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]);
}

#[test]
fn segments_below_a_synced_mark_are_released() {
    let disk = MemDisk::new(1);
    let mut wal = filled(&disk, 60);
    let before = wal.segment_count();
    assert!(before > 3, "{before} segments are too few to show anything");
    // Room for the mark, so that no rotation syncs it.
    wal.append(&[entry(61, 1, &[0; 1000])], None).unwrap();
    let before = before.max(wal.segment_count());
    wal.mark(mark(40, 1)).unwrap();
    wal.release(30).unwrap();
    assert_eq!(wal.segment_count(), before, "nothing goes before the mark is synced");
    wal.sync().unwrap();
    wal.release(30).unwrap();
    let kept = wal.segment_count();
    assert!(kept < before);
    wal.release(1000).unwrap();
    assert!(wal.segment_count() < kept, "everything the mark covers may go");
    let (_, found) = open(&disk).unwrap();
    assert_eq!(found.mark, mark(40, 1));
    let indexes: Vec<_> = found.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (41..=61).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_from_elsewhere_replaces_the_log() {
    for (at, term) in [(100, 5), (8, 4)] {
        let disk = MemDisk::new(1);
        let mut wal = filled(&disk, 9);
        wal.mark(mark(at, term)).unwrap();
        wal.append(&[entry(at + 1, 5, b"next")], None).unwrap();
        wal.sync().unwrap();
        wal.release(at + 1).unwrap();
        let (wal, found) = open(&disk).unwrap();
        assert_eq!(found.entries, [entry(at + 1, 5, b"next")]);
        assert_eq!(wal.last_index(), at + 1);
    }
}

#[test]
fn a_batch_larger_than_a_segment_gets_a_larger_one() {
    let disk = MemDisk::new(1);
    let mut wal = filled(&disk, 1);
    wal.append(&[entry(2, 1, &[2; 9000]), entry(3, 1, &[3; 9000])], None).unwrap();
    wal.append(&[entry(4, 1, b"4")], None).unwrap();
    wal.sync().unwrap();
    let (_, found) = open(&disk).unwrap();
    assert_eq!(found.entries.len(), 4);
}

#[test]
#[should_panic(expected = "leaves a gap")]
fn a_gap_is_the_callers_mistake() {
    let disk = MemDisk::new(1);
    _ = filled(&disk, 3).append(&[entry(5, 1, b"")], None);
}

#[test]
fn a_failed_sync_is_final() {
    let disk = MemDisk::new(1);
    let mut wal = filled(&disk, 1);
    wal.append(&[entry(2, 1, b"lost?")], None).unwrap();
    disk.fail_sync_after(1);
    assert!(matches!(wal.sync(), Err(WalError::Io { what: "sync", .. })));
    for result in [
        wal.sync(),
        wal.append(&[entry(3, 1, b"")], None),
        wal.mark(mark(1, 1)),
        wal.release(1),
        wal.reserve(1),
    ] {
        assert!(matches!(result, Err(WalError::Poisoned(_))), "{result:?}");
    }
}

/// After a failed sync the bytes are in the page cache, clean: the next program reads them, and a
/// sync of its own does not write them.
#[test]
fn what_a_restart_finds_after_a_failed_sync_outlives_the_power() {
    for seed in 0..20 {
        let disk = MemDisk::new(seed);
        let mut wal = filled(&disk, 1);
        wal.append(&[entry(2, 1, b"only cached")], None).unwrap();
        disk.fail_sync_after(1);
        assert!(wal.sync().is_err());
        disk.exit();
        let (mut wal, found) = open(&disk).unwrap();
        assert_eq!(found.entries.len(), 2);
        wal.append(&[entry(3, 1, b"goes on")], None).unwrap();
        wal.sync().unwrap();
        disk.crash();
        let (_, found) = open(&disk).unwrap();
        assert_eq!(found.entries.len(), 3);
    }
}

#[test]
fn a_full_disk_refuses_batches_whole_and_recovers() {
    let disk = MemDisk::new(1);
    let mut wal = filled(&disk, 1);
    disk.limit_bytes(Some(3 * SMALL.segment_bytes));
    let mut last = 1;
    let refused = loop {
        match wal.append(&[entry(last + 1, 1, &[1; 200]), entry(last + 2, 1, &[1; 200])], None) {
            Ok(()) => last += 2,
            Err(error) => break error,
        }
        wal.sync().unwrap();
    };
    assert!(matches!(refused, WalError::Full), "{refused}");
    assert!(last > 10, "segments reserved ahead were used up first");
    assert!(matches!(wal.reserve(500), Err(WalError::Full)));
    assert_eq!(wal.last_index(), last);
    let (mut wal, found) = open(&disk).unwrap();
    assert_eq!(found.entries.len() as u64, last);
    // A mark and a release make room without any new space.
    disk.limit_bytes(None);
    wal.reserve(500).unwrap();
    wal.append(&[entry(last + 1, 1, &[1; 400])], None).unwrap();
    wal.sync().unwrap();
    assert_eq!(open(&disk).unwrap().1.entries.len() as u64, last + 1);
}

#[test]
fn a_missing_segment_is_refused() {
    for gone in [0, 1] {
        let disk = MemDisk::new(1);
        drop(filled(&disk, 60));
        let files = segments(&disk);
        disk.erase(&files[gone]);
        let error = open(&disk).unwrap_err().to_string();
        assert!(error.contains("is missing: entries from 1 on"), "{error}");
        assert_eq!(segments(&disk).len() + 1, files.len(), "nothing was touched");
    }
}

#[test]
fn a_truncated_or_renamed_segment_is_refused() {
    let disk = MemDisk::new(1);
    drop(filled(&disk, 3));
    let [path] = segments(&disk).try_into().unwrap();
    let bytes = disk.read(&path).unwrap();
    disk.put(&path, &bytes[..bytes.len() - 8]);
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("has 2040 bytes, it was made with 2048"), "{error}");
    disk.erase(&path);
    disk.put(&dir().join("0000000000000000-0000000000000005.wal"), &bytes);
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("another one's name"), "{error}");
}

/// Flips each bit of a log in turn. Whatever was synced before the last sync is either read as it
/// was or refused, and refusing changes nothing.
#[test]
fn every_flipped_bit_of_the_synced_middle_is_noticed() {
    let disk = MemDisk::new(1);
    let mut wal = filled(&disk, 14);
    // The last batch is synced, too, but no later record vouches for it.
    let vouched = 14;
    wal.append(&[entry(15, 1, b"last"), entry(16, 1, b"batch")], None).unwrap();
    wal.sync().unwrap();
    let whole = open(&disk).unwrap().1;
    let files = segments(&disk);
    assert!(files.len() >= 2);
    let (mut refused, mut harmless, mut cut) = (0, 0, 0);
    for path in &files {
        let good = disk.read(path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            disk.put(path, &bad);
            match open(&disk) {
                Err(WalError::Damaged { .. }) => {
                    assert_eq!(disk.read(path).unwrap(), bad, "refusing must change nothing");
                    refused += 1;
                }
                Err(other) => panic!("bit {bit} of {}: {other}", path.display()),
                Ok((_, found)) if found.entries == whole.entries => harmless += 1,
                Ok((_, found)) => {
                    let kept = found.entries.len();
                    assert_eq!(found.entries, whole.entries[..kept], "bit {bit}");
                    assert!(kept >= vouched, "bit {bit}: synced entries are gone");
                    cut += 1;
                }
            }
            disk.put(path, &good);
        }
    }
    // 14 entries of 152 bytes, two headers of 72, opening records, and the end of one segment.
    let region = 8 * (14 * 152 + 2 * (72 + OPENING_BYTES) + 24);
    assert!(refused >= region - 8 * 16, "{refused} of {region} refused");
    assert!(harmless > 0 && cut > 0, "{harmless} harmless, {cut} cut");
}

#[test]
fn a_lost_sector_in_the_middle_is_noticed() {
    let disk = MemDisk::new(1);
    drop(filled(&disk, 10));
    let [path] = segments(&disk).try_into().unwrap();
    let mut bytes = disk.read(&path).unwrap();
    bytes[512..1024].fill(0);
    disk.put(&path, &bytes);
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("yet a later record"), "{error}");
    assert_eq!(disk.read(&path).unwrap(), bytes);
}

#[test]
fn garbage_behind_the_log_is_cut_and_named() {
    let disk = MemDisk::new(1);
    drop(filled(&disk, 3));
    let [path] = segments(&disk).try_into().unwrap();
    let good = disk.read(&path).unwrap();
    let end = SEGMENT_HEADER_BYTES + OPENING_BYTES + 3 * 152;
    let mut bytes = good.clone();
    bytes[end + 40..end + 300].fill(0xa5);
    disk.put(&path, &bytes);
    let (_, found) = open(&disk).unwrap();
    assert_eq!(found.cut.unwrap().offset, end as u64);
    assert_eq!(disk.read(&path).unwrap(), good);
}

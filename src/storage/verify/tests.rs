//! A sound directory passes; each way of being unsound is named.

use reseed_core::port::Batch;

use super::*;
use crate::{
    layout::DataDir,
    testing::MemDisk,
    wal::{Mark, Metadata, Wal, WalEntry, WalOptions},
};

const ROOT: &str = "/data";

struct Made {
    disk: MemDisk,
    _dir: DataDir,
    wal: Wal,
    backend: Backend,
}

/// Entries 1 to 5 in the log, 1 to 3 in the backend.
fn make() -> Made {
    let disk = MemDisk::new(1);
    let dir = DataDir::open(&disk.disk(), Path::new(ROOT)).unwrap();
    let options = WalOptions { segment_bytes: 4096 };
    let metadata = Metadata { member_id: 1, cluster_id: 2 };
    let mut wal =
        Wal::create(disk.disk(), &dir.wal(), metadata, &Mark::default(), options).unwrap();
    let entries: Vec<_> =
        (1..=5).map(|index| WalEntry { index, term: 1, ..WalEntry::default() }).collect();
    wal.append(&entries, None).unwrap();
    wal.sync().unwrap();
    let backend = Backend::open(disk.disk(), &dir.db(), BackendOptions::default()).unwrap();
    let made = Made { disk, _dir: dir, wal, backend };
    put(&made, 3, 1, 3);
    made
}

fn put(made: &Made, index: u64, term: u64, mod_revision: i64) {
    let pair = KeyValue { key: "k".into(), mod_revision, ..KeyValue::default() };
    let mut key = 3i64.to_be_bytes().to_vec();
    key.extend_from_slice(b"_\0\0\0\0\0\0\0\0");
    let mut batch = Batch::default();
    batch.put(Table::Key, key, pair.encode_to_vec());
    made.backend.commit(batch, AppliedAt { index, term }).unwrap();
    made.backend.flush_blocking().unwrap();
}

fn check(made: Made) -> Result<Report, String> {
    let Made { disk, .. } = made;
    disk.exit();
    verify_blocking(&disk.disk(), Path::new(ROOT)).map_err(|error| error.to_string())
}

#[test]
fn a_sound_directory_passes() {
    let report = check(make()).unwrap();
    assert_eq!(report.applied, AppliedAt { index: 3, term: 1 });
    assert_eq!((report.revisions, report.last_revision), (1, 3));
    assert_eq!(report.wal.entries.len(), 5);
}

#[test]
fn a_backend_ahead_of_the_log_is_named() {
    let made = make();
    put(&made, 6, 1, 3);
    let error = check(made).unwrap_err();
    assert_eq!(error, "unsound data directory: the backend contains entry 6, the log ends at 5");
}

#[test]
fn a_backend_behind_the_mark_is_named() {
    let mut made = make();
    made.wal.mark(Mark { index: 4, term: 1, ..Mark::default() }).unwrap();
    made.wal.sync().unwrap();
    let error = check(made).unwrap_err();
    assert_eq!(
        error,
        "unsound data directory: the backend ends at entry 3, the log begins behind 4"
    );
}

#[test]
fn contents_that_contradict_each_other_are_named() {
    let made = make();
    put(&made, 4, 2, 3);
    let error = check(made).unwrap_err();
    assert!(error.ends_with("entry 4 has term 1 in the log, 2 in the backend"), "{error}");
    let made = make();
    put(&made, 4, 1, 9);
    assert!(check(made).unwrap_err().ends_with("says revision 9"));
}

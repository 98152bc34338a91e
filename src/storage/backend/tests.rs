//! The backend under ordinary use, full disks and failing ones.

mod crash;
mod install;
mod portable;

use std::path::Path;

use bytes::Bytes;
use reseed_core::port::{Batch, Table, Visit};

use super::*;
use crate::testing::MemDisk;

const SMALL: BackendOptions = BackendOptions {
    cache_bytes: 1 << 20,
    overlay_bytes_max: 64 << 10,
    value_cache_bytes: 1 << 20,
};

fn path() -> &'static Path {
    Path::new("/db")
}

fn open(disk: &MemDisk) -> Backend {
    Backend::open(disk.disk(), path(), SMALL).unwrap()
}

fn at(index: u64) -> AppliedAt {
    AppliedAt { index, term: 1 }
}

fn key(revision: u64) -> Bytes {
    let mut key = revision.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend_from_slice(&0u64.to_be_bytes());
    key.into()
}

fn commit(backend: &Backend, index: u64, bytes: usize) {
    let mut batch = Batch::default();
    batch.put(Table::Key, key(index), vec![index as u8; bytes]);
    backend.commit(batch, at(index)).unwrap();
}

fn keys(read: &dyn Read) -> Vec<u64> {
    let mut keys = Vec::new();
    let scanned = read.scan(Table::Key, &[], None, &mut |key, _| {
        keys.push(decode_revision_key(key).unwrap().main as u64);
        true
    });
    scanned.unwrap();
    keys
}

#[test]
fn a_commit_is_visible_at_once_and_durable_after_a_flush() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    commit(&backend, 1, 10);
    assert_eq!(backend.get(Table::Key, &key(1)).unwrap().unwrap().len(), 10);
    assert_eq!((backend.applied(), backend.persisted()), (at(1), AppliedAt::default()));
    assert_eq!(backend.flush_blocking().unwrap(), at(1));
    commit(&backend, 2, 10);
    disk.crash();
    let backend = open(&disk);
    assert_eq!((backend.applied(), backend.persisted()), (at(1), at(1)));
    assert_eq!(keys(&backend), [1]);
}

#[test]
fn a_view_stays_as_it_was() {
    for backend in [Backend::memory(), open(&MemDisk::new(1))] {
        commit(&backend, 1, 10);
        let mut views = Vec::new();
        for index in 2..20 {
            views.push(backend.view());
            commit(&backend, index, 10);
            if index % 5 == 0 {
                backend.flush_blocking().unwrap();
            }
        }
        for (n, view) in views.iter().enumerate() {
            let last = n as u64 + 1;
            assert_eq!(view.applied(), at(last));
            assert_eq!(keys(view), (1..=last).collect::<Vec<_>>());
            assert_eq!(view.get(Table::Key, &key(last + 1)).unwrap(), None);
            let both = view.get_many(Table::Key, &[key(last + 1), key(last)]).unwrap();
            assert!(both[0].is_none() && both[1].is_some());
        }
    }
}

#[test]
fn a_scan_ends_where_it_should() {
    let backend = open(&MemDisk::new(1));
    for index in 1..=2000 {
        commit(&backend, index, 1);
        if index == 900 {
            backend.flush_blocking().unwrap();
        }
    }
    let scan = |from: u64, to: u64, limit: usize| {
        let mut found = Vec::new();
        let visit: &mut Visit<'_> = &mut |key, _| {
            found.push(decode_revision_key(key).unwrap().main as u64);
            found.len() < limit
        };
        backend.scan(Table::Key, &key(from), Some(&key(to)), visit).unwrap();
        found
    };
    assert_eq!(scan(850, 1950, usize::MAX), (850..1950).collect::<Vec<_>>());
    assert_eq!(scan(850, 1950, 1000), (850..1850).collect::<Vec<_>>());
    assert_eq!(scan(5, 5, 10), []);
    assert_eq!(scan(9, 5, 10), []);
}

#[test]
fn room_is_given_when_a_flush_made_it() {
    let backend = open(&MemDisk::new(1));
    let mut index = 0;
    while poll(backend.room()).is_some() {
        index += 1;
        commit(&backend, index, 1000);
    }
    assert!(index > 50, "64 KiB hold more than {index} KiB");
    assert!(poll(backend.flush_wanted()).is_some());
    backend.flush_blocking().unwrap();
    assert!(poll(backend.room()).is_some());
    assert!(poll(backend.flush_wanted()).is_none());
}

/// Polls once.
fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_full_disk_keeps_reads_and_loses_nothing() {
    for spare in [0, 3 << 20, 5 << 20, 9 << 20] {
        let disk = MemDisk::new(1);
        let backend = open(&disk);
        commit(&backend, 1, 1000);
        backend.flush_blocking().unwrap();
        let used = disk.read(path()).unwrap().len() as u64;
        disk.limit_bytes(Some(used + spare));
        let mut index = 1;
        let error = loop {
            for _ in 0..100 {
                index += 1;
                commit(&backend, index, 2000);
            }
            if let Err(error) = backend.flush_blocking() {
                break error;
            }
        };
        assert!(matches!(error, BackendError::Full), "{error}");
        assert!(backend.is_full());
        assert!(poll(backend.room()).is_some(), "what is under way may go on");
        assert!(matches!(backend.flush_blocking(), Err(BackendError::Full)));
        commit(&backend, index + 1, 10);
        assert_eq!(keys(&backend), (1..=index + 1).collect::<Vec<_>>());
        disk.limit_bytes(None);
        assert_eq!(backend.flush_blocking().unwrap(), at(index + 1));
        assert!(!backend.is_full());
        disk.crash();
        assert_eq!(keys(&open(&disk)), (1..=index + 1).collect::<Vec<_>>());
    }
}

/// The check of free space is not trusted: running out in the middle of a transaction is survived.
#[test]
fn running_out_in_the_middle_of_a_transaction_is_survived() {
    let disk = MemDisk::new(1);
    disk.pretend_free_space();
    let backend = open(&disk);
    commit(&backend, 1, 1000);
    backend.flush_blocking().unwrap();
    let used = disk.read(path()).unwrap().len() as u64;
    disk.limit_bytes(Some(used + 100_000));
    for index in 2..2000 {
        commit(&backend, index, 2000);
    }
    let view = backend.view();
    assert!(matches!(backend.flush_blocking(), Err(BackendError::Full)));
    assert_eq!(keys(&backend), (1..2000).collect::<Vec<_>>());
    assert!(backend.get(Table::Key, &key(1)).unwrap().is_some());
    drop(view);
    disk.limit_bytes(None);
    assert_eq!(backend.flush_blocking().unwrap(), at(1999));
}

#[test]
fn a_failed_sync_is_final() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    commit(&backend, 1, 10);
    disk.fail_sync_after(1);
    assert!(matches!(backend.flush_blocking(), Err(BackendError::Io { .. })));
    assert!(matches!(backend.flush_blocking(), Err(BackendError::Poisoned(_))));
    let refused = backend.commit(Batch::default(), at(2));
    assert!(matches!(refused, Err(BackendError::Poisoned(_))));
    assert!(matches!(poll(backend.room()), Some(Err(BackendError::Poisoned(_)))));
}

#[test]
fn deletions_take_no_room_before_they_are_flushed() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    let empty = backend.size().in_use;
    (1..=100).for_each(|index| commit(&backend, index, 200));
    let full = backend.size().in_use;
    backend.flush_blocking().unwrap();
    assert_eq!(backend.size().in_use, full, "a put takes before what it takes afterwards");
    let delete = |revisions: std::ops::RangeInclusive<u64>| {
        let mut batch = Batch::default();
        revisions.for_each(|n| batch.delete(Table::Key, key(n)));
        backend.commit(batch, at(100)).unwrap();
    };
    delete(1..=100);
    assert_eq!(backend.size().in_use, full, "until the engine has freed something");
    (101..=200).for_each(|index| {
        let mut batch = Batch::default();
        batch.put(Table::Key, key(index), vec![1; 200]);
        backend.commit(batch, at(100)).unwrap();
    });
    delete(101..=200);
    assert_eq!(backend.size().in_use, full, "what was put and deleted meanwhile");
    backend.flush_blocking().unwrap();
    assert_eq!(backend.size().in_use, empty);
}

#[test]
fn a_defragmentation_keeps_what_was_flushed_meanwhile() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    for index in 1..=3000 {
        commit(&backend, index, 1000);
    }
    backend.flush_blocking().unwrap();
    let mut batch = Batch::default();
    (1..=2900).for_each(|n| batch.delete(Table::Key, key(n)));
    backend.commit(batch, at(3000)).unwrap();
    backend.flush_blocking().unwrap();
    let before = backend.size();
    let mut running = backend.begin_defragmentation().unwrap().unwrap();
    commit(&backend, 3001, 10);
    backend.flush_blocking().unwrap();
    let copied = running.copy();
    let mut batch = Batch::default();
    batch.delete(Table::Key, key(2950));
    backend.commit(batch, at(3002)).unwrap();
    backend.flush_blocking().unwrap();
    commit(&backend, 3003, 10);
    assert!(backend.defragment_blocking().is_err(), "one at a time");
    let after = backend.end_defragmentation(running, copied).unwrap();
    assert!(after.allocated < before.allocated / 2, "{before:?} became {after:?}");
    let expected: Vec<_> = (2901..=3001).filter(|n| *n != 2950).chain([3003]).collect();
    assert_eq!(keys(&backend), expected);
    assert_eq!(backend.persisted(), at(3002));
    backend.flush_blocking().unwrap();
    disk.crash();
    assert_eq!(keys(&open(&disk)), expected);
    assert_eq!(disk.disk().list(Path::new("/")).unwrap(), ["db"]);
}

#[test]
fn a_defragmentation_without_room_leaves_everything_as_it_was() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    (1..=500).for_each(|index| commit(&backend, index, 1000));
    backend.flush_blocking().unwrap();
    let used = disk.read(path()).unwrap().len() as u64;
    disk.limit_bytes(Some(used + (1 << 20)));
    assert!(matches!(backend.defragment_blocking(), Err(BackendError::Full)));
    disk.limit_bytes(None);
    commit(&backend, 501, 10);
    assert_eq!(backend.flush_blocking().unwrap(), at(501));
    assert_eq!(keys(&backend), (1..=501).collect::<Vec<_>>());
}

#[test]
fn an_empty_or_foreign_file_is_refused() {
    for bytes in [&b""[..], b"not a database, for sure"] {
        let disk = MemDisk::new(1);
        disk.put(path(), bytes);
        let error = Backend::open(disk.disk(), path(), SMALL).unwrap_err();
        assert!(matches!(error, BackendError::Engine(_)), "{error}");
    }
}

#[test]
fn a_flipped_bit_of_a_value_is_refused_and_left_as_it_is() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    for index in 1..50 {
        commit(&backend, index, 300);
    }
    backend.flush_blocking().unwrap();
    drop(backend);
    disk.exit();
    let whole = disk.read(path()).unwrap();
    let value = [33; 300];
    let found = whole.windows(value.len()).position(|bytes| bytes == value.as_slice()).unwrap();
    let mut damaged = whole.clone();
    damaged[found + 100] ^= 4;
    disk.put(path(), &damaged);
    let error = Backend::open(disk.disk(), path(), SMALL).unwrap_err();
    assert!(matches!(error, BackendError::Engine(_)), "{error}");
    assert_eq!(disk.read(path()).unwrap()[found + 100], 33 ^ 4);
    disk.put(path(), &whole);
    assert_eq!(keys(&open(&disk)).len(), 49);
}

#[test]
fn revision_keys_are_told_from_others() {
    let good = key(5);
    let expected = RevisionKey { main: 5, sub: 0, tombstone: false };
    assert_eq!(decode_revision_key(&good), Some(expected));
    let tombstone = [&good[..], b"t"].concat();
    let expected = RevisionKey { tombstone: true, ..expected };
    assert_eq!(decode_revision_key(&tombstone), Some(expected));
    for bad in [&good[..16], &[&good[..], b"x"].concat(), &[0xff; 17], b""] {
        assert_eq!(decode_revision_key(bad), None, "{bad:?}");
    }
}

/// Dense, scattered, in any order, asked for twice, and not there: many look-ups at once say what
/// single ones say.
#[test]
fn many_look_ups_at_once_agree_with_single_ones() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    for (index, revision) in
        (0..400).filter(|n| n % 7 != 3).chain((1000..9000).step_by(97)).enumerate()
    {
        let mut batch = Batch::default();
        batch.put(Table::Key, key(revision), vec![revision as u8; 3]);
        backend.commit(batch, at(index as u64 + 1)).unwrap();
    }
    backend.flush_blocking().unwrap();
    let dense = 0..60;
    let scattered = (0..80).rev().map(|n| 1000 + n * 97);
    let missing = [3, 10, 500, 20_000];
    let wanted: Vec<Bytes> =
        dense.chain(scattered).chain(missing).chain([5, 5, 390]).map(key).collect();
    let single: Vec<Option<Bytes>> =
        wanted.iter().map(|key| backend.get(Table::Key, key).unwrap()).collect();
    assert_eq!(backend.get_many(Table::Key, &wanted).unwrap(), single);
    assert!(single.iter().filter(|value| value.is_none()).count() > 8, "{single:?}");
}

//! The portable snapshot: round trip, golden bytes, and what is refused.

use reseed_core::port::Op;

use super::*;

fn snapshot() -> &'static Path {
    Path::new("/snapshot")
}

fn info() -> ExportInfo {
    ExportInfo {
        server_version: "1.2.3".to_owned(),
        cluster_id: 9,
        member_id: 7,
        revision: 3,
        compact_revision: 1,
    }
}

/// A backend with a little of everything, partly flushed.
fn filled(disk: &MemDisk) -> Backend {
    let backend = open(disk);
    commit(&backend, 1, 3000);
    let mut batch = Batch::default();
    batch.put(Table::Lease, &b"lease"[..], &b"record"[..]);
    batch.put(Table::AuthRoles, &b"root"[..], &b""[..]);
    backend.commit(batch, at(2)).unwrap();
    backend.flush_blocking().unwrap();
    (3..600).for_each(|index| commit(&backend, index, 1000));
    backend
}

fn pairs(read: &dyn Read) -> Vec<(Table, Bytes, Bytes)> {
    let mut pairs = Vec::new();
    for table in Table::ALL {
        let scanned = read.scan(table, &[], None, &mut |key, value| {
            pairs.push((table, Bytes::copy_from_slice(key), value.clone()));
            true
        });
        scanned.unwrap();
    }
    pairs.retain(|(table, key, _)| {
        *table != Table::Meta || ![APPLIED_INDEX, APPLIED_TERM].contains(&key.as_ref())
    });
    pairs
}

fn read(disk: &MemDisk) -> Result<Imported, BackendError> {
    read_blocking(disk.disk().as_ref(), snapshot(), &mut |_| Ok(()))
}

#[test]
fn what_is_exported_can_be_imported() {
    let disk = MemDisk::new(1);
    let backend = filled(&disk);
    let exported = backend.export_blocking(snapshot(), &info()).unwrap();
    assert_eq!(exported.bytes % 512, 32);
    assert_eq!(exported.applied, at(599));
    let bytes = disk.read(snapshot()).unwrap();
    assert_eq!(bytes.len() as u64, exported.bytes);
    assert_eq!(bytes[bytes.len() - 32..], exported.sha256);
    let into = Path::new("/imported");
    let imported = import_blocking(&disk.disk(), snapshot(), into, at(5)).unwrap();
    disk.crash();
    assert_eq!((imported.sha256, imported.bytes), (exported.sha256, exported.bytes));
    let header = imported.header;
    assert_eq!((header.revision, header.applied_index), (3, 599));
    assert_eq!((header.server_version.as_str(), header.cluster_id), ("1.2.3", 9));
    let copy = Backend::open(disk.disk(), into, SMALL).unwrap();
    assert_eq!(copy.applied(), at(5));
    assert_eq!(pairs(&copy), pairs(&open(&disk_with(&backend))));
}

/// The same pairs in a backend of their own.
fn disk_with(backend: &Backend) -> MemDisk {
    let disk = MemDisk::new(2);
    let other = open(&disk);
    let mut batch = Batch::default();
    for (table, key, value) in pairs(backend) {
        batch.put(table, key, value);
    }
    other.commit(batch, at(1)).unwrap();
    other.flush_blocking().unwrap();
    disk.exit();
    disk
}

#[test]
fn the_format_is_what_it_was() {
    let disk = MemDisk::new(1);
    let backend = Backend::memory();
    let mut batch = Batch::default();
    batch.put(Table::Lease, &b"k"[..], &b"v"[..]);
    backend.commit(batch, at(4)).unwrap();
    let exported =
        backend.view().export_blocking(disk.disk().as_ref(), snapshot(), &info()).unwrap();
    assert_eq!(exported.bytes, 544);
    let bytes = disk.read(snapshot()).unwrap();
    let hex: String = bytes[..91].iter().map(|byte| format!("{byte:02x}")).collect();
    let magic_and_header = "7273656564534e50150000001fb746170100000008011205312e322e3318092007280\
                            33001380440"
        .to_owned();
    let chunk = "010a0000003767d0f202000000080312060a016b120176";
    let footer = "10000000203e315e0300000001000000000000000100000000000000";
    let expected = magic_and_header + chunk + footer;
    assert_eq!(hex, expected);
    assert!(bytes[91..512].iter().all(|byte| *byte == 0));
}

#[test]
fn a_snapshot_with_any_byte_changed_is_refused() {
    let disk = MemDisk::new(1);
    let backend = Backend::memory();
    (1..40).for_each(|index| commit(&backend, index, 20));
    backend.view().export_blocking(disk.disk().as_ref(), snapshot(), &info()).unwrap();
    let good = disk.read(snapshot()).unwrap();
    assert_eq!(read(&disk).unwrap().pairs, 39);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        disk.put(snapshot(), &bad);
        assert!(matches!(read(&disk), Err(BackendError::Snapshot { .. })), "byte {at}");
    }
    for len in [0, 31, 32, 512, good.len() - 512, good.len() - 1] {
        disk.put(snapshot(), &good[..len]);
        assert!(matches!(read(&disk), Err(BackendError::Snapshot { .. })), "{len} bytes");
    }
}

#[test]
fn an_import_that_is_cut_off_leaves_no_database() {
    let into = Path::new("/imported");
    let disk = MemDisk::new(1);
    filled(&disk).export_blocking(snapshot(), &info()).unwrap();
    let bytes = disk.read(snapshot()).unwrap();
    for n in (1..).step_by(3) {
        let disk = MemDisk::new(n);
        disk.put(snapshot(), &bytes);
        disk.fail_power_after(n);
        let done = import_blocking(&disk.disk(), snapshot(), into, at(5)).is_ok();
        disk.crash();
        if disk.read(into).is_some() {
            let copy = Backend::open(disk.disk(), into, SMALL).unwrap();
            assert_eq!(keys(&copy).len(), 598);
        } else {
            assert!(!done, "a finished import is durable");
        }
        if done {
            break;
        }
    }
}

#[test]
fn an_export_without_room_leaves_nothing() {
    let disk = MemDisk::new(1);
    let backend = filled(&disk);
    let used = disk.read(path()).unwrap().len() as u64;
    disk.limit_bytes(Some(used + 100_000));
    assert!(matches!(backend.export_blocking(snapshot(), &info()), Err(BackendError::Full)));
    assert_eq!(disk.read(snapshot()), None);
    let refused = read_blocking(disk.disk().as_ref(), snapshot(), &mut |_: Op| Ok(()));
    assert!(matches!(refused, Err(BackendError::Io { .. })));
}

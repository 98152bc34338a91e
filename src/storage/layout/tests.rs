//! Who may use a data directory, and what a crash while making one leaves.

use super::*;
use crate::testing::MemDisk;

fn root() -> &'static Path {
    Path::new("/data")
}

fn open(disk: &MemDisk) -> Result<DataDir, LayoutError> {
    DataDir::open(&disk.disk(), root())
}

#[test]
fn a_new_directory_is_made_and_found_again() {
    let disk = MemDisk::new(1);
    let dir = open(&disk).unwrap();
    assert_eq!(dir.db(), Path::new("/data/member/snap/db"));
    assert_eq!(disk.read(&root().join("FORMAT")).unwrap(), b"reseed data format 1\n");
    disk.crash();
    drop(dir);
    let dir = open(&disk).unwrap();
    assert_eq!(disk.disk().list(&dir.wal()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_second_process_is_refused_until_the_first_lets_go() {
    let disk = MemDisk::new(1);
    let first = open(&disk).unwrap();
    let error = open(&disk).unwrap_err().to_string();
    assert_eq!(error, "data directory /data is in use by another process (its LOCK file is held)");
    drop(first);
    open(&disk).unwrap();
}

#[test]
fn another_version_is_refused_naming_both() {
    let disk = MemDisk::new(1);
    drop(open(&disk).unwrap());
    disk.put(&root().join("FORMAT"), b"reseed data format 2\n");
    let error = open(&disk).unwrap_err().to_string();
    assert_eq!(
        error,
        "data directory /data has format version 2; this reseed reads version 1 only"
    );
}

#[test]
fn what_others_made_is_refused() {
    let disk = MemDisk::new(1);
    disk.put(&root().join("member/snap/db"), b"bolt");
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("a member directory but no FORMAT file"), "{error}");
    disk.put(&root().join("FORMAT"), b"\xff\xfe");
    assert!(matches!(open(&disk), Err(LayoutError::Foreign { .. })));
}

#[test]
fn a_power_failure_at_any_point_leaves_a_directory_that_opens() {
    for seed in 0..20 {
        for n in 1.. {
            let disk = MemDisk::new(seed);
            disk.fail_power_after(n);
            let done = open(&disk).is_ok();
            disk.crash();
            open(&disk).unwrap();
            if done {
                break;
            }
        }
    }
}

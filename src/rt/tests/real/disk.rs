//! The real disk keeps the promises of `rt::disk` that can be seen without cutting the power.

use std::{io::ErrorKind, path::PathBuf};

use reseed_rt::disk::{OpenMode, disk};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_owned();
    (dir, path)
}

#[test]
fn open_modes_say_what_may_exist() {
    let (_dir, root) = scratch();
    let (disk, path) = (disk(), root.join("f"));
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        let error = disk.open(&path, mode).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("/f: "), "the path is named: {error}");
    }
    let file = disk.open(&path, OpenMode::Create).expect("created");
    file.write_at(b"abc", 2).expect("written");
    let error = disk.open(&path, OpenMode::Create).expect_err("there is one");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let kept = disk.open(&path, OpenMode::CreateOrOpen).expect("opened");
    assert_eq!(kept.len().expect("a length"), 5);
    let read_only = disk.open(&path, OpenMode::Read).expect("opened");
    read_only.write_at(b"x", 0).expect_err("not through this handle");
    disk.open(&path, OpenMode::CreateTruncate).expect("emptied");
    assert_eq!(kept.len().expect("a length"), 0);
}

#[test]
fn files_read_back_what_was_written_and_zeros_between() {
    let (_dir, root) = scratch();
    let file = disk().open(&root.join("f"), OpenMode::Create).expect("created");
    file.write_at(b"tail", 6).expect("written");
    file.write_at(b"he", 0).expect("written");
    let mut all = [1; 10];
    file.read_at(&mut all, 0).expect("read");
    assert_eq!(&all, b"he\0\0\0\0tail");
    let error = file.read_at(&mut all, 1).expect_err("the file is shorter");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    file.allocate(4096).expect("reserved");
    file.sync().expect("synced");
    assert_eq!(file.len().expect("a length"), 4096);
    file.read_at(&mut all, 0).expect("read");
    assert_eq!(&all, b"he\0\0\0\0tail", "allocation keeps what is there");
    file.allocate(16).expect("nothing to do");
    assert_eq!(file.len().expect("a length"), 4096, "allocation never shrinks");
    file.set_len(2).expect("cut");
    assert_eq!(file.len().expect("a length"), 2);
}

#[test]
fn directories_are_listed_in_order_and_renaming_replaces() {
    let (_dir, root) = scratch();
    let (disk, dir) = (disk(), root.join("a/b"));
    disk.create_dir_all(&dir).expect("created");
    disk.create_dir_all(&dir).expect("there already");
    for name in ["2", "10", "1"] {
        let file = disk.open(&dir.join(name), OpenMode::Create).expect("created");
        file.write_at(name.as_bytes(), 0).expect("written");
    }
    assert_eq!(disk.list(&dir).expect("listed"), ["1", "10", "2"]);
    disk.rename(&dir.join("10"), &dir.join("1")).expect("renamed");
    disk.sync_dir(&dir).expect("synced");
    assert_eq!(disk.list(&dir).expect("listed"), ["1", "2"]);
    let renamed = disk.open(&dir.join("1"), OpenMode::Read).expect("opened");
    assert_eq!(renamed.len().expect("a length"), 2, "the renamed one replaced the other");
    disk.remove(&dir.join("2")).expect("removed");
    assert!(!disk.exists(&dir.join("2")).expect("found out"));
    disk.remove_dir_all(&root.join("a")).expect("removed");
    assert_eq!(disk.list(&dir).expect_err("gone").kind(), ErrorKind::NotFound);
    assert!(disk.free_bytes(&root).expect("known") > 0);
}

#[test]
fn a_lock_excludes_until_it_is_dropped() {
    let (_dir, root) = scratch();
    let (disk, path) = (disk(), root.join("LOCK"));
    let held = disk.lock(&path).expect("free");
    let error = disk.lock(&path).expect_err("held");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(held);
    disk.lock(&path).expect("free again");
}

//! What survives a power failure, tried on many seeds.

use bytes::Bytes;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;

const SEEDS: u64 = 200;

fn write(image: &mut Image, inode: Inode, offset: u64, data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    image.change(inode, Change::Write { offset, data }).expect("the file is there");
}

fn read(image: &Image, path: &str) -> Option<Vec<u8>> {
    let Some(Entry::File(inode)) = image.lookup(path) else { return None };
    let mut all = vec![0; usize::try_from(image.len(inode).ok()?).ok()?];
    image.read_at(inode, &mut all, 0).ok()?;
    Some(all)
}

/// Prepares an image, fails its power, and says what `path` holds, for many seeds.
fn survivors(path: &str, prepare: impl Fn(&mut Image)) -> Vec<Option<Vec<u8>>> {
    (0..SEEDS)
        .map(|seed| {
            let mut image = Image::with_dirs(&["/d"]);
            prepare(&mut image);
            image.power_failure(&mut ChaCha8Rng::seed_from_u64(seed));
            read(&image, path)
        })
        .collect()
}

#[test]
fn what_was_synced_always_survives() {
    let found = survivors("/d/f", |image| {
        let inode = image.create("/d/f").expect("created");
        write(image, inode, 0, b"hello");
        image.sync(inode).expect("synced");
        image.sync_dir("/d").expect("synced");
    });
    assert!(found.iter().all(|content| content.as_deref() == Some(b"hello")));
}

#[test]
fn a_name_without_a_directory_sync_may_be_gone() {
    let found = survivors("/d/f", |image| {
        let inode = image.create("/d/f").expect("created");
        write(image, inode, 0, b"hello");
        image.sync(inode).expect("synced");
    });
    assert!(found.iter().any(Option::is_none) && found.iter().any(Option::is_some));
    assert!(found.iter().flatten().all(|content| content == b"hello"));
}

#[test]
fn a_directory_that_is_gone_takes_its_files_along() {
    let found = survivors("/d/new/f", |image| {
        image.create_dir_all("/d/new").expect("created");
        let inode = image.create("/d/new/f").expect("created");
        image.sync(inode).expect("synced");
        image.sync_dir("/d/new").expect("synced");
    });
    assert!(found.iter().any(Option::is_none), "nobody synced /d");
    assert!(found.iter().any(Option::is_some));
}

#[test]
fn unsynced_writes_survive_whole_torn_or_not_at_all() {
    let data = [7_u8; 2048];
    let found = survivors("/d/f", |image| {
        let inode = image.create("/d/f").expect("created");
        image.sync_dir("/d").expect("synced");
        write(image, inode, 0, &data);
    });
    let contents: Vec<&Vec<u8>> = found.iter().flatten().collect();
    assert!(contents.iter().any(|content| content.is_empty()), "lost");
    assert!(contents.iter().any(|content| content.as_slice() == data), "kept");
    let torn = |content: &&&Vec<u8>| content.contains(&7) && content.as_slice() != data;
    let torn: Vec<_> = contents.iter().filter(torn).collect();
    assert!(!torn.is_empty(), "torn");
    for content in torn {
        for sector in content.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "torn at sectors only");
        }
    }
}

#[test]
fn later_writes_may_survive_earlier_ones() {
    let found = survivors("/d/f", |image| {
        let inode = image.create("/d/f").expect("created");
        image.sync_dir("/d").expect("synced");
        write(image, inode, 0, b"a");
        write(image, inode, 1, b"b");
    });
    assert!(found.iter().flatten().any(|content| content == b"\0b"), "no order without a sync");
}

#[test]
fn a_rename_is_old_or_new_and_never_neither() {
    let found = survivors("/d/f", |image| {
        for (path, data) in [("/d/f", b"old"), ("/d/tmp", b"new")] {
            let inode = image.create(path).expect("created");
            write(image, inode, 0, data);
            image.sync(inode).expect("synced");
        }
        image.sync_dir("/d").expect("synced");
        image.rename("/d/tmp", "/d/f").expect("renamed");
    });
    assert!(found.iter().all(|content| {
        let content = content.as_deref();
        content == Some(b"old") || content == Some(b"new")
    }));
    assert!(found.iter().any(|content| content.as_deref() == Some(b"old")));
    assert!(found.iter().any(|content| content.as_deref() == Some(b"new")));
}

#[test]
fn after_a_failed_sync_the_pages_are_lost_though_the_next_sync_succeeds() {
    let found = survivors("/d/f", |image| {
        let inode = image.create("/d/f").expect("created");
        image.sync_dir("/d").expect("synced");
        write(image, inode, 0, b"gone");
        image.sync_fails(inode);
        assert_eq!(read(image, "/d/f").as_deref(), Some(b"gone".as_slice()), "still cached");
        image.sync(inode).expect("synced");
    });
    assert!(found.iter().all(|content| content.as_deref() == Some(b"")));
}

#[test]
fn a_dead_process_loses_nothing_it_wrote() {
    let mut image = Image::with_dirs(&["/d"]);
    let inode = image.create("/d/f").expect("created");
    write(&mut image, inode, 0, b"cached");
    image.process_failure();
    assert_eq!(read(&image, "/d/f").as_deref(), Some(b"cached".as_slice()));
}

#[test]
fn files_are_sparse_and_cut_clean() {
    let mut image = Image::with_dirs(&["/d"]);
    let inode = image.create("/d/f").expect("created");
    write(&mut image, inode, 10_000, b"end");
    image.change(inode, Change::SetLen(10_001)).expect("cut");
    image.change(inode, Change::Grow(10_003)).expect("grown");
    image.change(inode, Change::Grow(5)).expect("long enough");
    let content = read(&image, "/d/f").expect("there");
    assert_eq!(&content[9_999..], b"\0e\0\0", "what was cut reads as zeros");
    assert_eq!(image.used_bytes(), 10_003);
    assert_eq!(image.list("/d").expect("listed"), ["f"]);
    image.remove_dir_all("/d").expect("removed");
    assert_eq!(image.list("/d").expect_err("gone").kind(), ErrorKind::NotFound);
}

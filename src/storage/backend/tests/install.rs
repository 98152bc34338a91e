//! A snapshot that takes the place of the state: all of it, once, whatever crashes in between.

use std::path::PathBuf;

use reseed_rt::disk::OpenMode;

use super::*;

const FROM: &str = "/install-source";

/// Another member's state after 50 entries, exported, and imported beside this disk's database.
fn waiting(disk: &MemDisk) -> PathBuf {
    let other = Backend::memory();
    (1..=50).for_each(|index| commit(&other, index, 200));
    let info = ExportInfo { revision: 50, ..ExportInfo::default() };
    let from = Path::new(FROM);
    other.view().export_blocking(disk.disk().as_ref(), from, &info).expect("exported");
    let into = install_path(path());
    import_blocking(&disk.disk(), from, &into, at(50)).expect("imported");
    into
}

#[test]
fn an_installed_state_replaces_what_was_flushed_and_what_was_not() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    (1..=10).for_each(|index| commit(&backend, index, 100));
    backend.flush_blocking().expect("flushed");
    (11..=20).for_each(|index| commit(&backend, index, 100));
    let old = backend.view();
    let from = waiting(&disk);
    assert_eq!(backend.install_blocking(&from).expect("installed"), at(50));
    assert_eq!(
        (backend.applied(), backend.persisted(), keys(&backend).len()),
        (at(50), at(50), 50)
    );
    // Who looks at the old state still sees it.
    assert_eq!(old.applied(), at(20));
    assert!(old.get(Table::Meta, APPLIED_INDEX).expect("readable").is_some());
    commit(&backend, 51, 100);
    backend.flush_blocking().expect("flushed");
    drop((old, backend));
    let again = open(&disk);
    assert_eq!((again.applied(), keys(&again).len()), (at(51), 51));
}

#[test]
fn an_interrupted_installation_is_finished_if_the_log_waits_for_it_and_undone_if_not() {
    for (log_begins, applied) in [(50, at(50)), (0, at(10))] {
        let disk = MemDisk::new(1);
        let backend = open(&disk);
        (1..=10).for_each(|index| commit(&backend, index, 100));
        backend.flush_blocking().expect("flushed");
        drop(backend);
        let from = waiting(&disk);
        finish_install(&disk.disk(), path(), log_begins).expect("readable");
        assert!(!disk.disk().exists(&from).expect("readable"), "nothing is left behind");
        assert_eq!(open(&disk).applied(), applied);
        finish_install(&disk.disk(), path(), log_begins).expect("nothing to do");
    }
}

#[test]
fn a_damaged_installation_is_set_aside() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    (1..=10).for_each(|index| commit(&backend, index, 100));
    backend.flush_blocking().expect("flushed");
    drop(backend);
    let from = waiting(&disk);
    let file = disk.disk().open(&from, OpenMode::ReadWrite).expect("it is there");
    file.write_at(&[0x55; 4096], 0).expect("memory");
    drop(file);
    finish_install(&disk.disk(), path(), 50).expect("readable");
    assert!(!disk.disk().exists(&from).expect("readable"));
    assert!(disk.disk().exists(&damaged_path(path())).expect("readable"));
    assert_eq!(open(&disk).applied(), at(10), "behind the log, which says so");
}

#[test]
fn a_database_that_was_to_replace_an_unusable_one_is_not_lost_between_the_two_names() {
    let disk = MemDisk::new(1);
    let backend = open(&disk);
    (1..=10).for_each(|index| commit(&backend, index, 100));
    backend.flush_blocking().expect("flushed");
    drop(backend);
    waiting(&disk);
    // A crash after the first of `replace_unusable`'s two renames; the log has both entries.
    disk.disk().rename(path(), &damaged_path(path())).expect("memory");
    finish_install(&disk.disk(), path(), 5).expect("readable");
    assert_eq!(open(&disk).applied(), at(50));
}

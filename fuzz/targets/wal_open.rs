//! Bytes that claim to be a log.

use std::path::Path;

use reseed_storage::{
    testing::MemDisk,
    wal::{Mark, Metadata, Wal, WalEntry, WalOptions},
};

const DIR: &str = "/wal";
const OPTIONS: WalOptions = WalOptions { segment_bytes: 2048 };

/// The first byte chooses. Even: the rest is the one segment of a log. Odd: the rest is written
/// over a good log, from an offset in the next two bytes. Opening either fails and changes
/// nothing, or gives entries that a second opening gives again and that can be continued.
pub fn wal_open(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let disk = MemDisk::new(0);
    let path = Path::new(DIR).join("0000000000000000-0000000000000001.wal");
    if choice % 2 == 0 {
        disk.put(&path, rest);
    } else {
        let Some((offset, rest)) = rest.split_first_chunk() else { return };
        let mut bytes = good_log(&disk, &path);
        let from = usize::from(u16::from_le_bytes(*offset)) % bytes.len();
        bytes.iter_mut().skip(from).zip(rest).for_each(|(byte, new)| *byte = *new);
        disk.put(&path, &bytes);
    }
    let before = disk.read(&path);
    match Wal::open(disk.disk(), Path::new(DIR), OPTIONS) {
        Err(_) => assert_eq!(disk.read(&path), before, "refusing must change nothing"),
        Ok((wal, found)) => {
            let indexes = found.entries.iter().map(|entry| entry.index);
            assert!(indexes.eq(found.mark.index + 1..=wal.last_index()), "entries have no gaps");
            go_on(&disk, wal, found.entries);
        }
    }
}

fn good_log(disk: &MemDisk, path: &Path) -> Vec<u8> {
    let metadata = Metadata { member_id: 1, cluster_id: 2 };
    let wal = Wal::create(disk.disk(), Path::new(DIR), metadata, &Mark::default(), OPTIONS);
    let mut wal = wal.expect("a new disk takes a log");
    for index in 1..8 {
        let entry = WalEntry { index, term: 1, data: vec![7; 100].into(), ..WalEntry::default() };
        wal.append(&[entry], None).expect("append");
        wal.sync().expect("sync");
    }
    disk.read(path).expect("the segment")
}

fn go_on(disk: &MemDisk, mut wal: Wal, mut expected: Vec<WalEntry>) {
    let index = wal.last_index() + 1;
    let next = WalEntry { index, term: u64::MAX, ..WalEntry::default() };
    wal.append(std::slice::from_ref(&next), None).expect("an opened log goes on");
    wal.sync().expect("sync");
    expected.push(next);
    let (_, found) = Wal::open(disk.disk(), Path::new(DIR), OPTIONS).expect("opens again");
    assert_eq!(found.entries, expected, "what was read stays");
}

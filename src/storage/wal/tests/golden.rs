//! The bytes of a small log, written down: they are the format.

use super::*;

/// Sixteen bytes a line, runs of equal zero lines as one.
fn dump(bytes: &[u8]) -> String {
    let mut lines = Vec::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("{:04x} {}", at * 16, hex.join(" ")));
    }
    lines.join("\n")
}

#[test]
fn the_format_is_what_it_was() {
    let disk = MemDisk::new(1);
    let mut wal = create(&disk);
    let mut first = entry(1, 2, b"data");
    first.context = Bytes::from_static(b"ctx");
    first.kind = 1;
    wal.append(&[first], Some(HardState { term: 2, vote: 7, commit: 1 })).unwrap();
    wal.sync().unwrap();
    wal.mark(mark(1, 2)).unwrap();
    wal.sync().unwrap();
    let [path] = segments(&disk).try_into().unwrap();
    assert_eq!(path, dir().join("0000000000000000-0000000000000001.wal"));
    let bytes = disk.read(&path).unwrap();
    let found = dump(&bytes[..312]);
    assert_eq!(found, include_str!("golden.txt").trim_end(), "found:\n{found}");
    assert!(bytes[312..].iter().all(|byte| *byte == 0));
}

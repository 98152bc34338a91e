//! docs/formats.md against the constants of the code.

use reseed_core::port::Table;

use crate::{backend, layout, wal};

const FORMATS: &str = include_str!("../../docs/formats.md");

#[test]
fn the_page_names_the_constants() {
    let constants = [
        ("FORMAT_VERSION", layout::FORMAT_VERSION as usize),
        ("WAL_VERSION", wal::WAL_VERSION as usize),
        ("SEGMENT_HEADER_BYTES", wal::SEGMENT_HEADER_BYTES),
        ("FRAME_HEADER_BYTES", wal::FRAME_HEADER_BYTES),
        ("FRAME_ALIGN", wal::FRAME_ALIGN),
        ("ENTRY_HEADER_BYTES", wal::ENTRY_HEADER_BYTES),
        ("PAYLOAD_BYTES_MAX", wal::PAYLOAD_BYTES_MAX),
        ("SNAPSHOT_VERSION", backend::SNAPSHOT_VERSION as usize),
        ("SNAPSHOT_FRAME_HEADER_BYTES", backend::FRAME_HEADER_BYTES),
        ("FOOTER_BYTES", backend::FOOTER_BYTES),
        ("CHECKSUM_BYTES", backend::CHECKSUM_BYTES as usize),
    ];
    for (name, value) in constants {
        let row = format!("\n| {name} | {value} |\n");
        assert!(FORMATS.contains(&row), "docs/formats.md lacks {row:?}");
    }
}

#[test]
fn the_page_names_kinds_tables_and_magics() {
    use wal::RecordKind;
    let kinds = [RecordKind::Entry, RecordKind::HardState, RecordKind::Mark, RecordKind::End];
    for kind in kinds {
        let row = format!("| {} | `{kind:?}` |", kind as u8);
        assert!(FORMATS.contains(&row), "docs/formats.md lacks {row:?}");
    }
    for table in Table::ALL {
        let row = format!("| {} | `{table:?}` | `{}` |", table as u8, backend::table_name(table));
        assert!(FORMATS.contains(&row), "docs/formats.md lacks {row:?}");
    }
    for magic in [wal::MAGIC, backend::SNAPSHOT_MAGIC] {
        let magic = String::from_utf8_lossy(&magic).into_owned();
        assert!(FORMATS.contains(&format!("`{magic}`")), "docs/formats.md lacks {magic}");
    }
}

/// Offsets in the tables add up, and end where the constants say.
#[test]
fn the_pages_offsets_add_up() {
    let ends = [
        ("### Segment header", wal::SEGMENT_HEADER_BYTES),
        ("### Record", wal::FRAME_HEADER_BYTES),
        ("## Portable snapshot", backend::FRAME_HEADER_BYTES),
    ];
    for (title, end) in ends {
        let section = FORMATS.split(title).nth(1).expect(title);
        let table = section.split("| offset | bytes |").nth(1).expect(title);
        let mut at = 0;
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let mut cells = row.split('|').skip(1).map(str::trim);
            let offset: usize = cells.next().and_then(|cell| cell.parse().ok()).expect(row);
            assert_eq!(offset, at, "{title}: {row}");
            let Some(Ok(bytes)) = cells.next().map(str::parse::<usize>) else { break };
            at += bytes;
        }
        assert_eq!(at, end, "{title}");
    }
}

//! Bytes that claim to be a portable snapshot.

use std::path::Path;

use reseed_core::port::Table;
use reseed_storage::{backend::read_blocking, testing::MemDisk};
use sha2::{Digest, Sha256};

/// Reads a snapshot: garbage is an error, and pairs come out in strictly ascending order. The
/// bytes get the padding and the hash that a fuzzer would never guess, unless the first is odd.
pub fn snapshot_open(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if choice % 2 == 0 {
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
    }
    let disk = MemDisk::new(0);
    let path = Path::new("/snapshot");
    disk.put(path, &bytes);
    let mut last: Option<(Table, Vec<u8>)> = None;
    let mut pairs = 0;
    let read = read_blocking(disk.disk().as_ref(), path, &mut |op| {
        let place = Some((op.table, op.key.to_vec()));
        assert!(last < place, "{place:?} after {last:?}");
        last = place;
        pairs += 1;
        Ok(())
    });
    if let Ok(found) = read {
        assert_eq!(found.pairs, pairs, "as many pairs as the footer counts");
    }
}

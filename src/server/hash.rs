//! Hashes of the store, by which members and operators compare what they hold.

use reseed_core::error::Error;
use reseed_core::port::{Read as _, Table};
use reseed_proto::etcdserverpb::HashKvResponse;

use crate::state::State;

/// CRC-32C over every table but `Meta`, whose content differs between members.
///
/// # Errors
/// The backend cannot be read.
pub(crate) fn everything(state: &State) -> Result<u32, Error> {
    let view = state.backend.view();
    let mut hash = 0;
    for table in Table::ALL {
        if table == Table::Meta {
            continue;
        }
        hash = crc32c::crc32c_append(hash, &[table as u8]);
        view.scan(table, &[], None, &mut |key, value| {
            hash = crc32c::crc32c_append(hash, key);
            hash = crc32c::crc32c_append(hash, value);
            true
        })?;
    }
    Ok(hash)
}

/// CRC-32C over every pair up to `revision` (0 = now) that compaction keeps: the same on every
/// member that is at the same compact revision.
///
/// # Errors
/// `Compacted`, `FutureRev`; the backend cannot be read.
pub(crate) fn by_revision(state: &State, revision: i64) -> Result<HashKvResponse, Error> {
    let (plan, view) = {
        let machine = state.machine.read();
        (machine.mvcc.plan_hash(revision)?, state.backend.view())
    };
    let mut hash = 0;
    let hashed = plan.finish(&view, &mut |bytes| hash = crc32c::crc32c_append(hash, bytes))?;
    Ok(HashKvResponse {
        header: None,
        hash,
        compact_revision: hashed.compact_revision,
        hash_revision: hashed.revision,
    })
}

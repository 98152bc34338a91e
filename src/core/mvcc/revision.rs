//! A revision as the key of `Table::Key`: 8 bytes main, `_`, 8 bytes sub, and `t` for a tombstone.
//!
//! Numbers are big endian, so the order of the keys is the order of history, and the layout is
//! etcd's: a hash over the table is the same number. This is the only place that knows it.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::Revision;

/// Length of the key of a put; a tombstone's is one longer.
pub(crate) const PUT_LEN: usize = 17;
const SEPARATOR: u8 = b'_';
const TOMBSTONE: u8 = b't';

/// One change of one key: when, and whether it put or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Revision,
    pub(crate) is_tombstone: bool,
}

/// The key of a put at `at`.
pub(crate) fn put_key(at: Revision) -> Bytes {
    Bytes::copy_from_slice(&encode(at))
}

/// The key of a tombstone at `at`.
pub(crate) fn tombstone_key(at: Revision) -> Bytes {
    let mut key = Vec::with_capacity(PUT_LEN + 1);
    key.extend_from_slice(&encode(at));
    key.push(TOMBSTONE);
    key.into()
}

/// The key of either.
pub(crate) fn key(change: Change) -> Bytes {
    if change.is_tombstone { tombstone_key(change.at) } else { put_key(change.at) }
}

/// The 17 bytes every key of `at` begins with; also the lower bound of a scan from `at` on.
pub(crate) fn encode(at: Revision) -> [u8; PUT_LEN] {
    let mut key = [SEPARATOR; PUT_LEN];
    key[..8].copy_from_slice(&at.main.to_be_bytes());
    key[9..].copy_from_slice(&u64::from(at.sub).to_be_bytes());
    key
}

/// What a key means; `None` if it is no revision key.
pub(crate) fn decode(key: &[u8]) -> Option<Change> {
    let (main, rest) = key.split_first_chunk::<8>()?;
    let (&[SEPARATOR], rest) = rest.split_first_chunk::<1>()? else { return None };
    let (sub, rest) = rest.split_first_chunk::<8>()?;
    let is_tombstone = match rest {
        [] => false,
        [TOMBSTONE] => true,
        _ => return None,
    };
    let main = i64::from_be_bytes(*main);
    let sub = u32::try_from(u64::from_be_bytes(*sub)).ok()?;
    (main > 0).then_some(Change { at: Revision { main, sub }, is_tombstone })
}

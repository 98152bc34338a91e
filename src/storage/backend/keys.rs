//! Keys that the backend itself knows: the applied index, and what a revision key looks like.
//!
//! Not here: making revision keys, which is core's business; this only tells good ones from bad.

/// In `Table::Meta`: index of the last applied entry, 8 bytes, big endian. etcd's name.
pub const APPLIED_INDEX: &[u8] = b"consistent_index";
/// In `Table::Meta`: its term, 8 bytes, big endian. etcd's name.
pub const APPLIED_TERM: &[u8] = b"term";

/// Between main and sub revision.
const SEPARATOR: u8 = b'_';
/// Behind the key of a deletion.
const TOMBSTONE: u8 = b't';

/// A decoded key of `Table::Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionKey {
    /// The main revision.
    pub main: i64,
    /// The change within it.
    pub sub: i64,
    /// Whether it is a deletion.
    pub tombstone: bool,
}

/// Reads a key of `Table::Key`: main revision (8 bytes, big endian), `_`, sub revision, and `t`
/// for a deletion. `None` if it is none.
#[must_use]
pub fn decode_revision_key(key: &[u8]) -> Option<RevisionKey> {
    let tombstone = match key {
        [_, .., TOMBSTONE] if key.len() == 18 => true,
        _ if key.len() == 17 => false,
        _ => return None,
    };
    let main = i64::from_be_bytes(key.get(..8)?.try_into().ok()?);
    let sub = i64::from_be_bytes(key.get(9..17)?.try_into().ok()?);
    if *key.get(8)? != SEPARATOR || main < 0 || sub < 0 {
        return None;
    }
    Some(RevisionKey { main, sub, tombstone })
}

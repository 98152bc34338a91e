//! Bytes that claim to be a revision key.

use reseed_storage::backend::decode_revision_key;

/// Decodes a revision key: garbage is `None`, and what decodes is exactly what encodes to it.
pub fn backend_key(data: &[u8]) {
    let Some(key) = decode_revision_key(data) else { return };
    let mut again = key.main.to_be_bytes().to_vec();
    again.push(b'_');
    again.extend_from_slice(&key.sub.to_be_bytes());
    if key.tombstone {
        again.push(b't');
    }
    assert_eq!(again, data, "decoding {key:?}");
}

//! Bytes that claim to be a log entry.

use bytes::Bytes;
use reseed_core::codec;

/// Decodes a log entry: garbage is an error, and what decodes is exactly what encodes to it.
pub fn entry_decode(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(entry) = codec::decode(&bytes) {
        let again = codec::encode(&entry);
        assert_eq!(again.len(), codec::encoded_len(&entry), "encoded length");
        let twice = codec::decode(&again).expect("what was encoded decodes");
        assert_eq!(twice, entry, "decoding what was encoded");
    }
}

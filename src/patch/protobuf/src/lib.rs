//! The part of the `protobuf` 2 interface that raft 0.7.0 calls, over `prost` messages.
//!
//! raft 0.7.0 depends on `protobuf` 2 whichever codec feature is chosen, and calls three methods
//! of its `Message` trait. The published crate cannot be made safe against deeply nested input
//! (RUSTSEC-2024-0437) and brings a second codec into the tree. This crate takes its name and
//! version through `[patch.crates-io]` and gives each `prost` message those three methods, so
//! there is one codec.
//!
//! It deliberately has nothing else: no reflection, no code generation, no streams, no
//! descriptors. A crate that needs the real `protobuf` 2 fails to compile against this one,
//! which is how we would notice it entering the tree.

use std::fmt;

/// What raft asks of a message: its size, its bytes, and to be read from bytes.
///
/// Implemented for every [`prost::Message`]; the names are those of `protobuf` 2.
pub trait Message {
    /// The encoded length in bytes; `u32::MAX` for a message longer than that.
    fn compute_size(&self) -> u32;

    /// Encodes the message.
    ///
    /// # Errors
    ///
    /// Never: a `prost` message always encodes. The `Result` is part of the replaced interface.
    fn write_to_bytes(&self) -> ProtobufResult<Vec<u8>>;

    /// Decodes `bytes` over the message: scalars are replaced, repeated fields appended.
    ///
    /// # Errors
    ///
    /// If `bytes` is not a valid encoding. Fields decoded before the error keep their new value.
    fn merge_from_bytes(&mut self, bytes: &[u8]) -> ProtobufResult<()>;
}

impl<M: prost::Message> Message for M {
    fn compute_size(&self) -> u32 {
        // raft uses the size to cut batches, so a saturated size still cuts before the message.
        u32::try_from(self.encoded_len()).unwrap_or(u32::MAX)
    }

    fn write_to_bytes(&self) -> ProtobufResult<Vec<u8>> {
        Ok(self.encode_to_vec())
    }

    fn merge_from_bytes(&mut self, bytes: &[u8]) -> ProtobufResult<()> {
        self.merge(bytes).map_err(ProtobufError)
    }
}

/// The result of reading or writing a message.
pub type ProtobufResult<T> = Result<T, ProtobufError>;

/// Bytes that are not the encoding of the message they were read as.
///
/// raft carries it in `raft::Error::CodecError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtobufError(prost::DecodeError);

impl fmt::Display for ProtobufError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl std::error::Error for ProtobufError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    // prost implements its Message for u64 as a message with that one field, number 1.

    #[test]
    fn size_is_the_length_of_the_bytes() {
        let bytes = 300_u64.write_to_bytes().expect("encoding cannot fail");
        assert_eq!(bytes, [0x08, 0xAC, 0x02]);
        assert_eq!(300_u64.compute_size(), 3);
        assert_eq!(0_u64.compute_size(), 0);
    }

    #[test]
    fn merge_replaces_a_scalar() {
        let mut value = 7_u64;
        value.merge_from_bytes(&[]).expect("no fields, no change");
        assert_eq!(value, 7);
        value.merge_from_bytes(&[0x08, 0xAC, 0x02]).expect("a valid encoding");
        assert_eq!(value, 300);
    }

    #[test]
    fn truncated_bytes_are_an_error_with_a_source() {
        let error = 0_u64.merge_from_bytes(&[0x08, 0xAC]).expect_err("the varint has no end");
        assert!(std::error::Error::source(&error).is_some());
        assert!(!error.to_string().is_empty());
    }
}

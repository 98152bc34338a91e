//! A log entry as bytes: one version byte, then a `reseed.log.LogEntry` (docs/formats.md).
//!
//! Reading is strict: an unknown version, a byte too many or too few, a field this version does
//! not know, nesting deeper than any checked request's are errors, never panics. A log is only
//! read by code that understands all of it, or not at all.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::{Buf, Bytes};
use prost::Message;
use reseed_proto::log::LogEntry;

#[cfg(test)]
mod tests;

/// The first byte of every entry.
pub const LOG_ENTRY_VERSION: u8 = 1;

/// Why bytes are no log entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There is not even a version.
    #[error("log entry is empty")]
    Empty,
    /// Written by another version of reseed.
    #[error("log entry has format version {0}, this reseed reads {LOG_ENTRY_VERSION}")]
    Version(u8),
    /// Not a message, or nested too deeply.
    #[error("log entry is malformed: {0}")]
    Malformed(String),
    /// A message and then something else, or fields unknown here.
    #[error("log entry has {actual} bytes where its content takes {expected}")]
    Trailing {
        /// Bytes given.
        actual: usize,
        /// Bytes the content encodes to.
        expected: usize,
    },
}

/// The bytes of `entry`.
pub fn encode(entry: &LogEntry) -> Bytes {
    let mut bytes = Vec::with_capacity(encoded_len(entry));
    bytes.push(LOG_ENTRY_VERSION);
    entry.encode_raw(&mut bytes);
    bytes.into()
}

/// How many bytes [`encode`] makes of `entry`.
pub fn encoded_len(entry: &LogEntry) -> usize {
    1 + entry.encoded_len()
}

/// The entry in `bytes`; keys and values in it share their memory.
///
/// # Errors
/// The bytes are not exactly what [`encode`] makes of some entry.
pub fn decode(bytes: &Bytes) -> Result<LogEntry, DecodeError> {
    let mut rest = bytes.clone();
    match rest.first() {
        None => return Err(DecodeError::Empty),
        Some(&LOG_ENTRY_VERSION) => rest.advance(1),
        Some(&other) => return Err(DecodeError::Version(other)),
    }
    let entry = LogEntry::decode(rest).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    // Bytes that decode but were not written by `encode` (appended fields, repeated fields) give
    // themselves away by their length.
    let expected = encoded_len(&entry);
    if expected != bytes.len() {
        return Err(DecodeError::Trailing { actual: bytes.len(), expected });
    }
    Ok(entry)
}

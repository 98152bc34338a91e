//! Which keys a request means: etcd's reading of `key` and `range_end`.
//!
//! Pure interpretation; whether somebody may see the keys is decided elsewhere, on the same range.

use bytes::Bytes;

/// A set of keys that are next to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRange {
    /// One key.
    Key(Bytes),
    /// Keys with `from <= key < to`; never empty.
    Span {
        /// The first key.
        from: Bytes,
        /// The first key after the range.
        to: Bytes,
    },
    /// Every key from this one on.
    From(Bytes),
}

/// The range holds no key: `key >= range_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeEmpty;

impl KeyRange {
    /// What a watch request with these fields watches.
    ///
    /// etcd: an empty `key` is the smallest key, `"\0"`; no `range_end` means that one key; a
    /// `range_end` of `"\0"` means everything from `key` on.
    ///
    /// # Errors
    /// [`RangeEmpty`] if there is a `range_end` that is not after `key`.
    pub fn new(key: Bytes, range_end: Bytes) -> Result<Self, RangeEmpty> {
        let key = if key.is_empty() { Bytes::from_static(b"\0") } else { key };
        if range_end.is_empty() {
            return Ok(Self::Key(key));
        }
        if range_end.as_ref() == b"\0" {
            return Ok(Self::From(key));
        }
        if key >= range_end {
            return Err(RangeEmpty);
        }
        Ok(Self::Span { from: key, to: range_end })
    }

    /// Whether `key` belongs to the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(only) => only == key,
            Self::Span { from, to } => from.as_ref() <= key && key < to.as_ref(),
            Self::From(from) => from.as_ref() <= key,
        }
    }
}

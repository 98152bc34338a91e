//! Which keys a request means: etcd's `key` and `range_end`, read once.

use core::ops::Bound;

use bytes::Bytes;

/// The bounds of a walk over an ordered map.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Some keys, in order and without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRange<'a> {
    /// One key.
    One(&'a [u8]),
    /// From the first key (included) to the second (excluded); empty if that is not larger.
    Span(&'a [u8], &'a [u8]),
    /// From a key on.
    From(&'a [u8]),
}

impl<'a> KeyRange<'a> {
    /// What `key` and `range_end` mean: no `range_end` is one key, `"\0"` is everything from `key`
    /// on.
    pub fn of(key: &'a Bytes, range_end: &'a Bytes) -> Self {
        match range_end.as_ref() {
            [] => Self::One(key),
            [0] => Self::From(key),
            end => Self::Span(key, end),
        }
    }

    /// Whether `key` is meant.
    pub fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Self::One(one) => key == one,
            Self::Span(from, to) => from <= key && key < to,
            Self::From(from) => from <= key,
        }
    }

    /// The bounds of a walk over an ordered map; `None` if the range is empty (a map would panic).
    pub(crate) fn bounds(&self) -> Option<Bounds<'a>> {
        match *self {
            Self::One(one) => Some((Bound::Included(one), Bound::Included(one))),
            Self::Span(from, to) if from >= to => None,
            Self::Span(from, to) => Some((Bound::Included(from), Bound::Excluded(to))),
            Self::From(from) => Some((Bound::Included(from), Bound::Unbounded)),
        }
    }
}

//! A pair as the value in `Table::Key`: an encoded `mvccpb.KeyValue`.
//!
//! Writing encodes once, into one buffer of the right size. A tombstone's record holds the key and
//! nothing else, as etcd's does. [`Peek`] reads what the index needs without decoding the value:
//! a restart looks at every record there is.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;
use reseed_proto::mvccpb::KeyValue;

/// The record of a put.
pub(crate) fn encode(kv: &KeyValue) -> Bytes {
    let mut bytes = Vec::with_capacity(kv.encoded_len());
    kv.encode_raw(&mut bytes);
    bytes.into()
}

/// The record of a tombstone.
pub(crate) fn encode_tombstone(key: Bytes) -> Bytes {
    encode(&KeyValue { key, ..KeyValue::default() })
}

/// The pair in a record, sharing its memory; `None` if it is no pair.
pub(crate) fn decode(record: &Bytes) -> Option<KeyValue> {
    KeyValue::decode(record.clone()).ok()
}

/// What a restart wants to know of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peek<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) create_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

impl<'a> Peek<'a> {
    /// Reads the fields of `record`; `None` if it is no pair.
    pub(crate) fn of(record: &'a [u8]) -> Option<Self> {
        let mut peek = Self::default();
        let mut rest = record;
        while !rest.is_empty() {
            let tag = varint(&mut rest)?;
            match (tag >> 3, tag & 7) {
                (1, 2) => peek.key = slice(&mut rest)?,
                (2, 0) => peek.create_revision = varint(&mut rest)?.cast_signed(),
                (4, 0) => peek.version = varint(&mut rest)?.cast_signed(),
                (6, 0) => peek.lease = varint(&mut rest)?.cast_signed(),
                (_, 0) => _ = varint(&mut rest)?,
                (_, 2) => _ = slice(&mut rest)?,
                _ => return None,
            }
        }
        Some(peek)
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn slice<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint(rest)?).ok()?;
    rest.split_off(..len)
}

//! A log entry survives its bytes; anything else is an error.

use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::request_op;
use reseed_proto::log::LogEntry;
use reseed_proto::log::log_entry::Request;

use super::{DecodeError, decode, encode};
use crate::check;
use crate::error::Error;
use crate::limits::{Limits, TXN_DEPTH_MAX};

fn entry(request: Request) -> LogEntry {
    LogEntry { id: 7, request: Some(request), ..LogEntry::default() }
}

fn put() -> LogEntry {
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), ..pb::PutRequest::default() };
    entry(Request::Put(put))
}

/// `depth` transactions, one inside the other.
fn nested(depth: usize) -> pb::TxnRequest {
    (1..depth).fold(pb::TxnRequest::default(), |inner, _| pb::TxnRequest {
        success: alloc::vec![pb::RequestOp {
            request: Some(request_op::Request::RequestTxn(inner))
        }],
        ..pb::TxnRequest::default()
    })
}

#[test]
fn what_was_encoded_decodes_and_nothing_shorter_or_longer_does() {
    let bytes = encode(&put());
    assert_eq!(decode(&bytes), Ok(put()));
    for len in 0..bytes.len() {
        assert_ne!(decode(&bytes.slice(..len)), Ok(put()), "cut to {len}");
    }
    for extra in 0..=u8::MAX {
        let longer: Bytes = [bytes.as_ref(), &[extra]].concat().into();
        assert!(decode(&longer).is_err(), "{extra} appended");
    }
    // A whole unknown field (number 50, varint 1) appended.
    let longer: Bytes = [bytes.as_ref(), &[0x90, 0x03, 0x01]].concat().into();
    assert!(matches!(decode(&longer), Err(DecodeError::Trailing { .. })));
}

#[test]
fn another_version_is_named() {
    assert_eq!(decode(&Bytes::new()), Err(DecodeError::Empty));
    assert_eq!(decode(&Bytes::from_static(&[2, 8, 1])), Err(DecodeError::Version(2)));
}

#[test]
fn whatever_passes_the_checks_can_be_read_back() {
    let deepest = nested(TXN_DEPTH_MAX);
    assert_eq!(check::txn(&deepest, &Limits::default()), Ok(()));
    let bytes = encode(&entry(Request::Txn(deepest.clone())));
    assert_eq!(decode(&bytes), Ok(entry(Request::Txn(deepest))));

    let deeper = nested(TXN_DEPTH_MAX + 1);
    assert_eq!(check::txn(&deeper, &Limits::default()), Err(Error::TooManyOps));
    let bytes = encode(&entry(Request::Txn(nested(500))));
    assert!(matches!(decode(&bytes), Err(DecodeError::Malformed(_))));
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes: Vec<u8>, whole: bool) {
        if whole {
            bytes.insert(0, super::LOG_ENTRY_VERSION);
        }
        let bytes = Bytes::from(bytes);
        if let Ok(entry) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&entry)), Ok(entry));
        }
    }

    #[test]
    fn a_damaged_entry_does_not_panic(at: prop::sample::Index, flip in 1..=u8::MAX) {
        let mut bytes = encode(&entry(Request::Txn(nested(5)))).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        drop(decode(&bytes.into()));
    }
}

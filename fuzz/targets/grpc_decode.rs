//! Every request message of the API, decoded from bytes as tonic's codec does it.
//!
//! Decoding must not panic, and what decodes must encode to something that decodes to the same.

use bytes::Bytes;
use prost::Message;
use reseed_proto::{etcdserverpb as pb, mvccpb, snapshot};

/// Decodes the rest of `data` as the message its first byte names.
pub fn grpc_decode(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let rest = Bytes::copy_from_slice(rest);
    match kind % 22 {
        0 => round_trip::<pb::RangeRequest>(rest),
        1 => round_trip::<pb::PutRequest>(rest),
        2 => round_trip::<pb::DeleteRangeRequest>(rest),
        3 => round_trip::<pb::TxnRequest>(rest),
        4 => round_trip::<pb::CompactionRequest>(rest),
        5 => round_trip::<pb::WatchRequest>(rest),
        6 => round_trip::<pb::LeaseGrantRequest>(rest),
        7 => round_trip::<pb::LeaseRevokeRequest>(rest),
        8 => round_trip::<pb::LeaseKeepAliveRequest>(rest),
        9 => round_trip::<pb::LeaseTimeToLiveRequest>(rest),
        10 => round_trip::<pb::LeaseLeasesRequest>(rest),
        11 => round_trip::<pb::AlarmRequest>(rest),
        12 => round_trip::<pb::StatusRequest>(rest),
        13 => round_trip::<pb::DefragmentRequest>(rest),
        14 => round_trip::<pb::HashRequest>(rest),
        15 => round_trip::<pb::HashKvRequest>(rest),
        16 => round_trip::<pb::SnapshotRequest>(rest),
        17 => round_trip::<pb::MoveLeaderRequest>(rest),
        18 => round_trip::<pb::MemberListRequest>(rest),
        19 => round_trip::<pb::WatchResponse>(rest),
        20 => round_trip::<mvccpb::KeyValue>(rest),
        _ => round_trip::<snapshot::Header>(rest),
    }
}

fn round_trip<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: Bytes) {
    let Ok(message) = M::decode(bytes) else { return };
    let encoded = Bytes::from(message.encode_to_vec());
    assert_eq!(encoded.len(), message.encoded_len(), "encoded length");
    let again = M::decode(encoded).expect("what was encoded decodes");
    assert!(again == message, "decoding what was encoded: {message:?}");
}

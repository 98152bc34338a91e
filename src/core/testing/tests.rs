//! The machine against the oracle: every short sequence over a tiny world, then random long ones.
//!
//! Small scopes are enumerated fully, because a wrong rule nearly always shows within four steps on
//! two keys; long random ones look for what only many generations, compactions and restarts bring
//! about. `PROPTEST_CASES` raises the number of the latter.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;

use super::generate::Step;
use super::pair::Pair;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest { key: bytes(key), value: bytes("v"), lease, prev_kv: true, ..<_>::default() }
}

fn delete(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: bytes(key), range_end: bytes(range_end), prev_kv: true }
}

fn in_txn(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// Puts `a` if it was never created, else deletes it, puts `b` and reads both.
fn toggle() -> pb::TxnRequest {
    use pb::request_op::Request as Op;
    pb::TxnRequest {
        compare: vec![pb::Compare {
            key: bytes("a"),
            target: pb::compare::CompareTarget::Create as i32,
            ..Default::default()
        }],
        success: vec![in_txn(Op::RequestPut(put("a", 0)))],
        failure: vec![
            in_txn(Op::RequestDeleteRange(delete("a", ""))),
            in_txn(Op::RequestPut(put("b", 0))),
            in_txn(Op::RequestRange(pb::RangeRequest {
                key: bytes("a"),
                range_end: bytes("c"),
                ..Default::default()
            })),
        ],
    }
}

/// `a` is put in one nested transaction and deleted in the next: two changes of one key at one
/// revision, which only nesting allows.
fn put_then_delete() -> pb::TxnRequest {
    use pb::request_op::Request as Op;
    let nested = |op| {
        in_txn(Op::RequestTxn(pb::TxnRequest { success: vec![in_txn(op)], ..Default::default() }))
    };
    pb::TxnRequest {
        success: vec![
            nested(Op::RequestPut(put("a", 0))),
            nested(Op::RequestDeleteRange(delete("a", "b"))),
        ],
        ..Default::default()
    }
}

fn compact(revision: i64) -> Step {
    Step::Apply(Request::Compaction(pb::CompactionRequest { revision, physical: false }))
}

/// What can happen in the tiny world when the store is at `now`.
fn steps(now: i64) -> Vec<Step> {
    vec![
        Step::Apply(Request::Put(put("a", 0))),
        Step::Apply(Request::Put(put("b", 1))),
        Step::Apply(Request::DeleteRange(delete("a", ""))),
        Step::Apply(Request::DeleteRange(delete("a", "\0"))),
        Step::Apply(Request::Txn(toggle())),
        Step::Apply(Request::Txn(put_then_delete())),
        Step::Apply(Request::LeaseGrant(pb::LeaseGrantRequest { ttl: 5, id: 1 })),
        Step::Apply(Request::LeaseRevoke(pb::LeaseRevokeRequest { id: 1 })),
        compact(now),
        compact(now - 1),
        Step::Scrub(1),
        Step::Restart,
    ]
}

fn explore(pair: &Pair, depth: usize) -> usize {
    let mut visited = 0;
    for step in steps(pair.oracle().revision()) {
        let mut next = pair.clone();
        next.step(&step);
        next.audit();
        visited += 1;
        if depth > 1 {
            visited += explore(&next, depth - 1);
        }
    }
    visited
}

#[test]
fn every_short_sequence_agrees_with_the_oracle() {
    assert_eq!(explore(&Pair::default(), 4), 12 + 144 + 1_728 + 20_736);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_sequences_agree_with_the_oracle(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        Pair::run(&bytes);
    }

    #[test]
    fn long_random_sequences_agree(bytes in prop::collection::vec(any::<u8>(), 2_000..3_000)) {
        Pair::run(&bytes);
    }
}

//! Txn.
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::request_op::Request;

/// Whether a transaction only reads, so that it needs no entry in the log: nothing but ranges on
/// both branches (etcd: a nested transaction always goes through the log).
pub fn is_read_only(txn: &pb::TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Whether a read-only transaction is content with this member's own state: every range says so.
pub fn is_serializable(txn: &pb::TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.all(|op| matches!(&op.request, Some(Request::RequestRange(r)) if r.serializable))
}

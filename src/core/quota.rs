//! What a request costs against the space quota: etcd's model, an estimate made before the write.
//!
//! Whether there is room is decided elsewhere: the server compares with the backend's size before
//! proposing, the machine only asks whether a request costs anything while an alarm is active.

use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::request_op::Request;

use crate::limits::{QUOTA_LEASE_BYTES, QUOTA_PUT_BYTES};

/// Bytes a put may add.
pub fn put(request: &pb::PutRequest) -> u64 {
    QUOTA_PUT_BYTES + request.key.len() as u64 + request.value.len() as u64
}

/// Bytes a transaction may add: its dearer branch, nested transactions included.
pub fn txn(request: &pb::TxnRequest) -> u64 {
    branch(&request.success).max(branch(&request.failure))
}

/// Bytes a lease adds.
pub const fn lease_grant() -> u64 {
    QUOTA_LEASE_BYTES
}

fn branch(ops: &[pb::RequestOp]) -> u64 {
    let costs = ops.iter().map(|op| match &op.request {
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestTxn(request)) => txn(request),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
    });
    costs.fold(0, u64::saturating_add)
}

//! Which requests etcd refuses before they reach the log, in the order in which it looks.
//!
//! The naive twin of `core/check.rs`: what is wrong with the request alone, whatever the state.
//! Limits on size are not here; the number of operations is, as an argument.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;

use super::oracle::{KEY_NOT_FOUND, Refusal};

const EMPTY_KEY: Refusal = "etcdserver: key is not provided";
const VALUE_PROVIDED: Refusal = "etcdserver: value is provided";
const LEASE_PROVIDED: Refusal = "etcdserver: lease is provided";
const TOO_MANY_OPS: Refusal = "etcdserver: too many operations in txn request";
const DUPLICATE_KEY: Refusal = "etcdserver: duplicate key given in txn request";
const SORT_OPTION: Refusal = "etcdserver: invalid sort option";

/// Whether etcd's API layer lets a request through.
///
/// # Errors
/// It does not, whatever the state of the store.
pub fn check(request: &Request, txn_ops_max: usize) -> Result<(), Refusal> {
    match request {
        Request::Put(put) => self::put(put),
        Request::DeleteRange(delete) => key(&delete.key),
        Request::Txn(txn) => {
            self::txn(txn, txn_ops_max)?;
            overlaps(&txn.success)?;
            overlaps(&txn.failure)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether etcd's API layer lets a range through.
///
/// # Errors
/// It does not, whatever the state of the store.
pub fn range(range: &pb::RangeRequest) -> Result<(), Refusal> {
    key(&range.key)?;
    let order = pb::range_request::SortOrder::try_from(range.sort_order);
    let target = pb::range_request::SortTarget::try_from(range.sort_target);
    if order.is_ok() && target.is_ok() { Ok(()) } else { Err(SORT_OPTION) }
}

fn key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() { Err(EMPTY_KEY) } else { Ok(()) }
}

fn put(put: &pb::PutRequest) -> Result<(), Refusal> {
    key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(VALUE_PROVIDED);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(LEASE_PROVIDED);
    }
    Ok(())
}

fn txn(txn: &pb::TxnRequest, ops_max: usize) -> Result<(), Refusal> {
    use pb::request_op::Request as Op;
    let ops = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let left = ops_max.checked_sub(ops).ok_or(TOO_MANY_OPS)?;
    txn.compare.iter().try_for_each(|compare| key(&compare.key))?;
    for op in txn.success.iter().chain(&txn.failure) {
        match op.request.as_ref().ok_or(KEY_NOT_FOUND)? {
            Op::RequestRange(range) => self::range(range)?,
            Op::RequestPut(put) => self::put(put)?,
            Op::RequestDeleteRange(delete) => key(&delete.key)?,
            Op::RequestTxn(nested) => self::txn(nested, left)?,
        }
    }
    Ok(())
}

/// A deletion as the overlap rule sees it: first key, and end unless it is one key.
type Deleted = (Bytes, Bytes);

/// The keys put and ranges deleted by a branch, unless two of them clash.
///
/// etcd goes through nested transactions in order and compares the puts of each with the deletions
/// of the branch and of the nested ones *before* it; so a deletion in a later sibling is not held
/// against an earlier put. And it takes an open end (`"\0"`) for the literal key, so that such a
/// deletion covers nothing. Both checked against etcd 3.4.
fn overlaps(ops: &[pb::RequestOp]) -> Result<(BTreeSet<Bytes>, Vec<Deleted>), Refusal> {
    use pb::request_op::Request as Op;
    let mut puts = BTreeSet::new();
    let mut deletes: Vec<Deleted> = Vec::new();
    for op in ops {
        if let Some(Op::RequestDeleteRange(delete)) = &op.request {
            deletes.push((delete.key.clone(), delete.range_end.clone()));
        }
    }
    for op in ops {
        let Some(Op::RequestTxn(nested)) = &op.request else { continue };
        let (then_puts, then_deletes) = overlaps(&nested.success)?;
        let (else_puts, else_deletes) = overlaps(&nested.failure)?;
        let either: BTreeSet<Bytes> = then_puts.union(&else_puts).cloned().collect();
        for key in either {
            claim(&mut puts, &deletes, key)?;
        }
        deletes.extend(then_deletes);
        deletes.extend(else_deletes);
    }
    for op in ops {
        if let Some(Op::RequestPut(put)) = &op.request {
            claim(&mut puts, &deletes, put.key.clone())?;
        }
    }
    Ok((puts, deletes))
}

fn claim(puts: &mut BTreeSet<Bytes>, deletes: &[Deleted], key: Bytes) -> Result<(), Refusal> {
    let deleted = deletes.iter().any(|(from, end)| match end.as_ref() {
        [] => *from == key,
        end => *from <= key && key.as_ref() < end,
    });
    if deleted || !puts.insert(key) { Err(DUPLICATE_KEY) } else { Ok(()) }
}

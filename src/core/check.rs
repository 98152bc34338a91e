//! What may enter: total validation of every request, before it is proposed.
//!
//! Answers are etcd's, in etcd's order: the first thing wrong is what the client is told. What
//! passes here cannot make apply fail in a way that depends on a member: apply either answers or
//! refuses for a reason that is part of the replicated state (a lease that is gone, a revision
//! compacted away). Nothing here looks at state.

use alloc::collections::{BTreeMap, BTreeSet};

use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use reseed_proto::etcdserverpb::request_op::Request;

use crate::error::Error;
use crate::limits::{LEASE_CHECKPOINTS_MAX, LEASE_TTL_SECS_MAX, Limits, TXN_DEPTH_MAX};
use crate::mvcc::KeyRange;

#[cfg(test)]
mod tests;

/// # Errors
/// `EmptyKey`, `InvalidSortOption`.
pub fn range(request: &pb::RangeRequest) -> Result<(), Error> {
    key(&request.key)?;
    let order = SortOrder::try_from(request.sort_order);
    let target = SortTarget::try_from(request.sort_target);
    if order.is_err() || target.is_err() {
        return Err(Error::InvalidSortOption);
    }
    Ok(())
}

/// # Errors
/// `EmptyKey`, `ValueProvided`, `LeaseProvided`.
pub fn put(request: &pb::PutRequest) -> Result<(), Error> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// # Errors
/// `EmptyKey`.
pub fn delete_range(request: &pb::DeleteRangeRequest) -> Result<(), Error> {
    key(&request.key)
}

/// # Errors
/// `TooManyOps`, `EmptyKey`, `KeyNotFound` (an operation that is none), what the operations'
/// own checks say, `DuplicateKey`.
pub fn txn(request: &pb::TxnRequest, limits: &Limits) -> Result<(), Error> {
    txn_level(request, limits.txn_ops_max, TXN_DEPTH_MAX)?;
    Writes::default().collect(&request.success)?;
    Writes::default().collect(&request.failure)
}

/// Nothing can be wrong with a compaction request in itself; its revision is judged at apply.
///
/// # Errors
/// None today.
pub fn compaction(_request: &pb::CompactionRequest) -> Result<(), Error> {
    Ok(())
}

/// # Errors
/// `LeaseTtlTooLarge`.
pub fn lease_grant(request: &pb::LeaseGrantRequest) -> Result<(), Error> {
    if request.ttl > LEASE_TTL_SECS_MAX {
        return Err(Error::LeaseTtlTooLarge);
    }
    Ok(())
}

/// # Errors
/// `TooManyRequests` for more checkpoints than one entry may carry: the proposer splits them.
pub fn lease_checkpoint(request: &pb::LeaseCheckpointRequest) -> Result<(), Error> {
    if request.checkpoints.len() > LEASE_CHECKPOINTS_MAX {
        return Err(Error::TooManyRequests);
    }
    Ok(())
}

/// Judges the size of an encoded log entry.
///
/// # Errors
/// `RequestTooLarge`.
pub fn request_bytes(bytes: usize, limits: &Limits) -> Result<(), Error> {
    if bytes > limits.request_bytes_max {
        return Err(Error::RequestTooLarge);
    }
    Ok(())
}

fn key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::EmptyKey);
    }
    Ok(())
}

/// Checks one transaction and those inside it. Each level may spend what the levels above left of
/// the operations (etcd: `checkTxnRequest`).
fn txn_level(request: &pb::TxnRequest, ops_max: usize, depth_max: usize) -> Result<(), Error> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > ops_max || depth_max == 0 {
        return Err(Error::TooManyOps);
    }
    for compare in &request.compare {
        key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => txn_level(request, ops_max - ops, depth_max - 1)?,
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What one branch writes: no key may be put twice, nor put and deleted (etcd: `checkIntervals`).
///
/// Both branches of a nested transaction count as written by the branch it stands in, but not
/// against each other: only one of them runs. Two oddities are etcd's own, so requests it accepts
/// are accepted here: a deletion in a nested transaction counts against puts of later siblings
/// only, and a deletion of everything from a key on (`range_end` is `"\0"`) covers no put at all.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Deletes<'a>,
}

impl<'a> Writes<'a> {
    fn collect(&mut self, ops: &'a [pb::RequestOp]) -> Result<(), Error> {
        for op in ops {
            if let Some(Request::RequestDeleteRange(delete)) = &op.request {
                self.deletes.insert(KeyRange::of(&delete.key, &delete.range_end));
            }
        }
        for op in ops {
            if let Some(Request::RequestTxn(txn)) = &op.request {
                self.collect_nested(txn)?;
            }
        }
        for op in ops {
            if let Some(Request::RequestPut(put)) = &op.request {
                self.put(&put.key)?;
            }
        }
        Ok(())
    }

    fn collect_nested(&mut self, txn: &'a pb::TxnRequest) -> Result<(), Error> {
        let (mut then, mut otherwise) = (Self::default(), Self::default());
        then.collect(&txn.success)?;
        otherwise.collect(&txn.failure)?;
        for key in &then.puts {
            self.put(key)?;
        }
        for key in otherwise.puts {
            if !then.puts.contains(key) {
                self.put(key)?;
            }
        }
        self.deletes.append(then.deletes);
        self.deletes.append(otherwise.deletes);
        Ok(())
    }

    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        if self.deletes.contains(key) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}

/// Deleted keys. A request of a megabyte can hold a hundred thousand puts and as many deletions,
/// so asking must not mean walking over them.
#[derive(Default)]
struct Deletes<'a> {
    keys: BTreeSet<&'a [u8]>,
    /// First key to end; none overlaps or touches another.
    spans: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deletes<'a> {
    fn insert(&mut self, range: KeyRange<'a>) {
        match range {
            KeyRange::One(key) => _ = self.keys.insert(key),
            KeyRange::Span(from, to) if from < to => self.insert_span(from, to),
            KeyRange::Span(..) | KeyRange::From(_) => {}
        }
    }

    fn insert_span(&mut self, mut from: &'a [u8], mut to: &'a [u8]) {
        if let Some((&start, &end)) = self.spans.range(..=from).next_back()
            && from <= end
        {
            from = start;
        }
        while let Some((&start, &end)) = self.spans.range(from..=to).next() {
            self.spans.remove(start);
            to = to.max(end);
        }
        self.spans.insert(from, to);
    }

    fn append(&mut self, other: Self) {
        self.keys.extend(other.keys);
        for (from, to) in other.spans {
            self.insert_span(from, to);
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        let before = self.spans.range(..=key).next_back();
        self.keys.contains(key) || before.is_some_and(|(_, end)| key < *end)
    }
}

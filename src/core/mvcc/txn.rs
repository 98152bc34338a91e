//! Transactions: compare, take a branch, carry it out.
//!
//! As in etcd, *all* compares, those of nested transactions too, look at the state before the
//! whole transaction; operations see what earlier ones have done. So a transaction goes in three
//! steps: [`choose`] every branch, [`Chosen::check`] everything on the chosen path that could be
//! refused, then run. A refused transaction has changed nothing.
//!
//! A compare needs a value from the backend only if it compares values: the index knows revisions
//! and versions, the lease table knows leases.

use alloc::vec::Vec;
use core::cmp::Ordering;

use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use reseed_proto::etcdserverpb::request_op::Request;
use reseed_proto::etcdserverpb::response_op::Response;

use super::key_index::Live;
use super::key_range::KeyRange;
use super::range::{RangePlan, fetch};
use super::write::Write;
use super::{Store, broken, header};
use crate::error::Error;
use crate::id::LeaseId;
use crate::lease;
use crate::port::Read;

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

/// What a transaction is decided by: the state before it.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) store: &'a Store,
    pub(crate) leases: &'a lease::Table,
    pub(crate) read: &'a dyn Read,
}

/// A transaction whose branches are decided.
pub(crate) struct Chosen<'r> {
    succeeded: bool,
    ops: &'r [pb::RequestOp],
    /// Those among the operations that are transactions, in order.
    nested: Vec<Self>,
}

/// A read-only transaction that is decided; only the values of its ranges are missing.
#[derive(Clone, Debug)]
pub struct TxnPlan {
    revision: i64,
    succeeded: bool,
    ranges: Vec<RangePlan>,
}

impl TxnPlan {
    /// How many values will be fetched.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(RangePlan::len).sum()
    }

    /// Whether no value will be fetched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fetches the values and finishes the answer; its header carries the revision only.
    ///
    /// # Errors
    /// `Compacted` if a value vanished since the plan was made; the backend cannot be read.
    pub fn finish(self, read: &dyn Read) -> Result<pb::TxnResponse, Error> {
        let mut responses = Vec::with_capacity(self.ranges.len());
        for plan in self.ranges {
            let response = Some(Response::ResponseRange(plan.finish(read)?));
            responses.push(pb::ResponseOp { response });
        }
        Ok(pb::TxnResponse { header: header(self.revision), succeeded: self.succeeded, responses })
    }
}

/// Decides every branch of `request`.
pub(crate) fn choose<'r>(
    request: &'r pb::TxnRequest,
    state: State<'_>,
) -> Result<Chosen<'r>, Error> {
    let mut succeeded = true;
    for compare in &request.compare {
        succeeded = state.holds(compare)?;
        if !succeeded && !planted::on(Bug::LastCompareDecides) {
            break;
        }
    }
    let ops = if succeeded { &request.success } else { &request.failure };
    let mut nested = Vec::new();
    for op in ops {
        if let Some(Request::RequestTxn(inner)) = &op.request {
            let mut inner = choose(inner, state)?;
            if planted::on(Bug::NestedAnswersOuter) {
                inner.succeeded = succeeded;
            }
            nested.push(inner);
        }
    }
    Ok(Chosen { succeeded, ops, nested })
}

impl Chosen<'_> {
    /// Whether everything on the path can be carried out; puts are asked before ranges, as etcd
    /// does.
    ///
    /// # Errors
    /// `KeyNotFound`, `LeaseNotFound`, `FutureRev`, `Compacted`.
    pub(crate) fn check(&self, state: State<'_>) -> Result<(), Error> {
        self.each(&mut |op| match op {
            Request::RequestPut(put) => state.check_put(put),
            _ => Ok(()),
        })?;
        self.check_ranges(state)
    }

    /// The part of [`Self::check`] that a transaction without writes needs.
    pub(crate) fn check_ranges(&self, state: State<'_>) -> Result<(), Error> {
        let now = state.store.revision;
        let compacted = state.store.compact_revision();
        self.each(&mut |op| match op {
            // Alone, a negative revision means now; in a transaction etcd compares it like any
            // other (checkRequestRange; seen on etcd 3.4).
            Request::RequestRange(range) if range.revision < 0 && range.revision < compacted => {
                Err(Error::Compacted)
            }
            Request::RequestRange(range) => state.store.readable(range.revision, now).map(|_| ()),
            _ => Ok(()),
        })
    }

    /// Carries out the path. The header of the outermost answer is the caller's to fill.
    pub(crate) fn run(&self, write: &mut Write<'_>) -> Result<pb::TxnResponse, Error> {
        let mut nested = self.nested.iter();
        let mut responses = Vec::with_capacity(self.ops.len());
        for op in self.ops {
            let response = match op.request.as_ref().ok_or(Error::KeyNotFound)? {
                Request::RequestRange(range) => Response::ResponseRange(write.range(range)?),
                Request::RequestPut(put) => Response::ResponsePut(write.put(put)?),
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(write.delete_range(delete)?)
                }
                Request::RequestTxn(_) => {
                    let inner = nested.next().expect("one choice for each nested transaction");
                    Response::ResponseTxn(inner.run(write)?)
                }
            };
            responses.push(pb::ResponseOp { response: Some(response) });
        }
        // The header of a nested answer is there and empty, as in etcd.
        Ok(pb::TxnResponse { header: header(0), succeeded: self.succeeded, responses })
    }

    /// Plans a path on which there are only ranges.
    pub(crate) fn plan_ranges(&self, state: State<'_>) -> Result<TxnPlan, Error> {
        let mut ranges = Vec::with_capacity(self.ops.len());
        for op in self.ops {
            let Some(Request::RequestRange(range)) = &op.request else {
                return Err(broken(format_args!("a read-only transaction holds {op:?}")));
            };
            ranges.push(RangePlan::new(state.store, range, state.store.revision)?);
        }
        Ok(TxnPlan { revision: state.store.revision, succeeded: self.succeeded, ranges })
    }

    fn each(&self, check: &mut dyn FnMut(&Request) -> Result<(), Error>) -> Result<(), Error> {
        let mut nested = self.nested.iter();
        for op in self.ops {
            match op.request.as_ref().ok_or(Error::KeyNotFound)? {
                Request::RequestTxn(_) => {
                    nested.next().map_or(Ok(()), |inner| inner.each(check))?;
                }
                op => check(op)?,
            }
        }
        Ok(())
    }
}

impl State<'_> {
    /// Whether a put inside a transaction can be carried out: first the key, then the lease.
    fn check_put(&self, put: &pb::PutRequest) -> Result<(), Error> {
        self.check_put_key(put)?;
        if planted::on(Bug::TxnLeaseUnchecked) {
            return Ok(());
        }
        self.check_put_lease(put)
    }

    /// # Errors
    /// `KeyNotFound` if the put wants to keep something of a key that does not exist.
    pub(crate) fn check_put_key(&self, put: &pb::PutRequest) -> Result<(), Error> {
        let keeps = put.ignore_value || put.ignore_lease;
        let exists = || self.store.index.get(&put.key).is_some_and(|key| key.live().is_some());
        if keeps && !exists() { Err(Error::KeyNotFound) } else { Ok(()) }
    }

    /// # Errors
    /// `LeaseNotFound` if the put names a lease that does not exist.
    pub(crate) fn check_put_lease(&self, put: &pb::PutRequest) -> Result<(), Error> {
        let id = LeaseId(put.lease);
        let known = id.is_none() || self.leases.get(id).is_some();
        if known { Ok(()) } else { Err(Error::LeaseNotFound) }
    }

    /// Whether a compare holds for every existing key of its range; if there is none, for a pair
    /// of zeros, except that no value is ever equal, greater or less than that of a missing key.
    fn holds(&self, compare: &pb::Compare) -> Result<bool, Error> {
        let range = KeyRange::of(&compare.key, &compare.range_end);
        let mut is_missing = true;
        for (key, index) in self.store.index.range(range) {
            let Some(live) = index.live() else { continue };
            is_missing = false;
            if !self.holds_for(compare, key, live)? {
                return Ok(false);
            }
        }
        Ok(!is_missing || holds_for_missing(compare))
    }

    fn holds_for(&self, compare: &pb::Compare, key: &[u8], live: Live) -> Result<bool, Error> {
        let ordering = match CompareTarget::try_from(compare.target) {
            Ok(CompareTarget::Version) => live.version.cmp(&number(compare)),
            Ok(CompareTarget::Create) => live.created.cmp(&number(compare)),
            Ok(CompareTarget::Mod) => live.at.main.cmp(&number(compare)),
            Ok(CompareTarget::Lease) => self.leases.of_key(key).0.cmp(&number(compare)),
            Ok(CompareTarget::Value) => {
                let kv = fetch(live.at, self.read)?
                    .ok_or_else(|| broken(format_args!("record {} is missing", live.at)))?;
                match &compare.target_union {
                    Some(TargetUnion::Value(value)) => kv.value.cmp(value),
                    _ => kv.value.as_ref().cmp(&[]),
                }
            }
            Err(_) => Ordering::Equal,
        };
        Ok(is_result(compare.result, ordering))
    }
}

fn holds_for_missing(compare: &pb::Compare) -> bool {
    match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => false,
        Ok(CompareTarget::Mod) if planted::on(Bug::GuardHoldsForMissing) => true,
        Ok(_) => is_result(compare.result, 0.cmp(&number(compare))),
        Err(_) => is_result(compare.result, Ordering::Equal),
    }
}

/// The number a compare names; 0 if it names another target's, or none.
fn number(compare: &pb::Compare) -> i64 {
    match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(n)))
        | (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(n)))
        | (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(n)))
        | (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(n))) => *n,
        _ => 0,
    }
}

/// Whether `ordering` is what was asked for. etcd lets an unknown result hold, always.
fn is_result(result: i32, ordering: Ordering) -> bool {
    match CompareResult::try_from(result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}

//! Errors that are answers: a refusal must have its reason, and what has one is refused.
//!
//! Refusals for compaction are with `compaction`, for leases with `lease`, those for the future
//! with `order`. Refusals for lack of room, time or a leader need no reason that clients could see.

use super::{
    Rules,
    exec::wrote,
    model::covers,
    ops::{Op, Outcome, Parts},
    order::Bounds,
    timeline::Timeline,
    told::Told,
};
use crate::history::{
    Request,
    request::{Body, Put, Range, Step, Txn},
};

/// Text of a read or compaction below the compacted revision.
pub(super) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
/// Text of a read or compaction above the current revision.
pub(super) const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
/// Text of anything that names a lease that is not there.
pub(super) const LEASE_NOT_FOUND: &str = "etcdserver: requested lease not found";
/// Text of a grant under an id in use.
pub(super) const LEASE_EXISTS: &str = "etcdserver: lease already exists";
const LEASE_TTL_TOO_LARGE: &str = "etcdserver: too large lease TTL";
const KEY_NOT_FOUND: &str = "etcdserver: key not found";
const EMPTY_KEY: &str = "etcdserver: key is not provided";
const VALUE_PROVIDED: &str = "etcdserver: value is provided";
const LEASE_PROVIDED: &str = "etcdserver: lease is provided";
const DUPLICATE_KEY: &str = "etcdserver: duplicate key given in txn request";
const TOO_MANY_OPS: &str = "etcdserver: too many operations in txn request";
const SORT_OPTION: &str = "etcdserver: invalid sort option";
/// The longest lease, in seconds.
const LEASE_TTL_SECS_MAX: i64 = 9_000_000_000;

/// Checks every refusal that has its reason in the request or in the store, and that no answer was
/// given to what must be refused.
pub(super) fn check(
    rules: &Rules,
    parts: &Parts<'_>,
    (bounds, timeline): (&Bounds, &Timeline<'_>),
    told: &mut Told,
) {
    for op in &parts.ops {
        match op.outcome {
            Outcome::Ok(response) => {
                if let Some(reason) = first_fault(op.request, rules) {
                    let story = || format!("answered, though {reason:?} was due");
                    told.tell("answers.accepted", &[op.id], story);
                }
                if !is_of_kind(op.request, &response.body) {
                    let story = || format!("answered by {:?}", response.body);
                    told.tell("answers.kind", &[op.id], story);
                }
            }
            Outcome::Fail(error) => {
                if !has_reason(op, error, rules, (bounds, timeline)) {
                    let story = || format!("refused with {error:?} for no reason");
                    told.tell("answers.refused", &[op.id], story);
                }
            }
            Outcome::Unknown(_) => {}
        }
    }
}

fn has_reason(
    op: &Op<'_>,
    error: &str,
    rules: &Rules,
    (bounds, timeline): (&Bounds, &Timeline<'_>),
) -> bool {
    match error {
        TOO_MANY_OPS | EMPTY_KEY | VALUE_PROVIDED | LEASE_PROVIDED | DUPLICATE_KEY
        | LEASE_TTL_TOO_LARGE => faults(op.request, rules).contains(&error),
        SORT_OPTION => false,
        FUTURE => names_future(op.request),
        KEY_NOT_FOUND => {
            let (from, to) = (bounds.surely(op.invoked), bounds.possibly(op.returned));
            let to = timeline.unknown_from().map_or(to, |unknown| to.min(unknown - 1));
            let mut keeps = Vec::new();
            each_keeping_put(op.request, &mut keeps);
            from > to || keeps.iter().any(|put| was_absent(&put.key, from, to, timeline))
        }
        _ => true,
    }
}

/// Whether a request names a revision that could be in the future at all.
fn names_future(request: &Request) -> bool {
    fn of_txn(txn: &Txn) -> bool {
        txn.then.iter().chain(&txn.otherwise).any(|step| match step {
            Step::Range(range) => range.revision > 0,
            Step::Txn(nested) => of_txn(nested),
            Step::Put(_) | Step::Delete(_) => false,
        })
    }
    match request {
        Request::Range(Range { revision, .. })
        | Request::HashKv { revision }
        | Request::Compact { revision, .. } => *revision > 0,
        Request::Txn(txn) => of_txn(txn),
        _ => false,
    }
}

/// Whether a key was not there at any revision of a span.
fn was_absent(key: &str, from: i64, to: i64, timeline: &Timeline<'_>) -> bool {
    let facts = timeline.of_key(key).iter().map(|index| timeline.fact(*index));
    let mut within = facts.filter(|fact| (from + 1..=to).contains(&fact.revision));
    timeline.state(key, from).is_none() || within.any(|fact| fact.now.is_none())
}

fn each_keeping_put<'a>(request: &'a Request, found: &mut Vec<&'a Put>) {
    fn of_txn<'a>(txn: &'a Txn, found: &mut Vec<&'a Put>) {
        for step in txn.then.iter().chain(&txn.otherwise) {
            match step {
                Step::Put(put) if put.ignore_value || put.ignore_lease => found.push(put),
                Step::Txn(nested) => of_txn(nested, found),
                _ => {}
            }
        }
    }
    match request {
        Request::Put(put) if put.ignore_value || put.ignore_lease => found.push(put),
        Request::Txn(txn) => of_txn(txn, found),
        _ => {}
    }
}

/// Why a request must be refused, whatever the store holds.
fn first_fault(request: &Request, rules: &Rules) -> Option<&'static str> {
    faults(request, rules).into_iter().next()
}

fn faults(request: &Request, rules: &Rules) -> Vec<&'static str> {
    let mut found = Vec::new();
    match request {
        Request::Range(range) => key_fault(&range.key, &mut found),
        Request::Put(put) => put_faults(put, &mut found),
        Request::Delete(delete) => key_fault(&delete.key, &mut found),
        Request::Txn(txn) => {
            if has_too_many_ops(txn, rules.txn_ops_max) {
                found.push(TOO_MANY_OPS);
            }
            txn_faults(txn, &mut found);
            if found.is_empty()
                && (overlaps(&txn.then).is_none() || overlaps(&txn.otherwise).is_none())
            {
                found.push(DUPLICATE_KEY);
            }
        }
        Request::Grant { ttl, .. } if *ttl > LEASE_TTL_SECS_MAX => found.push(LEASE_TTL_TOO_LARGE),
        _ => {}
    }
    found
}

fn key_fault(key: &str, found: &mut Vec<&'static str>) {
    if key.is_empty() {
        found.push(EMPTY_KEY);
    }
}

fn put_faults(put: &Put, found: &mut Vec<&'static str>) {
    key_fault(&put.key, found);
    if put.ignore_value && !put.value.is_empty() {
        found.push(VALUE_PROVIDED);
    }
    if put.ignore_lease && put.lease != 0 {
        found.push(LEASE_PROVIDED);
    }
}

/// Each level may spend what the levels above it left (etcd: `checkTxnRequest`).
fn has_too_many_ops(txn: &Txn, max: u64) -> bool {
    let longest = txn.compare.len().max(txn.then.len()).max(txn.otherwise.len());
    let Some(left) = max.checked_sub(longest as u64) else { return true };
    txn.then.iter().chain(&txn.otherwise).any(|step| match step {
        Step::Txn(nested) => has_too_many_ops(nested, left),
        Step::Range(_) | Step::Put(_) | Step::Delete(_) => false,
    })
}

fn txn_faults(txn: &Txn, found: &mut Vec<&'static str>) {
    for compare in &txn.compare {
        key_fault(&compare.key, found);
    }
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Step::Range(range) => key_fault(&range.key, found),
            Step::Put(put) => put_faults(put, found),
            Step::Delete(delete) => key_fault(&delete.key, found),
            Step::Txn(nested) => txn_faults(nested, found),
        }
    }
}

/// The keys put and the ranges deleted by a branch.
type Named<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

/// The keys put and ranges deleted by a branch; `None` if two of them clash: a key put twice, or
/// put and deleted.
///
/// Branches of a nested transaction may name the same keys, since only one is taken. etcd looks at
/// nested transactions in order and holds their puts against the deletions of the branch and of
/// the nested ones before, so a deletion in a later one goes unnoticed. It takes the end `"\0"`
/// literally, so an open deletion clashes with nothing.
fn overlaps(steps: &[Step]) -> Option<Named<'_>> {
    let mut puts: Vec<&str> = Vec::new();
    let mut deletes = Vec::new();
    for step in steps {
        if let Step::Delete(delete) = step {
            deletes.push((delete.key.as_str(), delete.end.as_str()));
        }
    }
    for step in steps {
        let Step::Txn(nested) = step else { continue };
        let (mut inner, inner_deletes) = overlaps(&nested.then)?;
        let (other, other_deletes) = overlaps(&nested.otherwise)?;
        inner.extend(other);
        inner.sort_unstable();
        inner.dedup();
        claim(&mut puts, &deletes, &inner)?;
        deletes.extend(inner_deletes);
        deletes.extend(other_deletes);
    }
    for step in steps {
        if let Step::Put(put) = step {
            claim(&mut puts, &deletes, &[put.key.as_str()])?;
        }
    }
    Some((puts, deletes))
}

fn claim<'a>(puts: &mut Vec<&'a str>, deletes: &[(&str, &str)], keys: &[&'a str]) -> Option<()> {
    for key in keys {
        let gone = |(from, end): &(&str, &str)| *end != "\0" && covers(from, end, key);
        if puts.contains(key) || deletes.iter().any(gone) {
            return None;
        }
        puts.push(key);
    }
    Some(())
}

/// Whether an answer is one to that request. Those of keys are compared in full elsewhere.
fn is_of_kind(request: &Request, body: &Body) -> bool {
    match request {
        Request::Range(_) | Request::Put(_) | Request::Delete(_) | Request::Txn(_) => true,
        Request::Grant { .. } | Request::KeepAlive { .. } => matches!(body, Body::Lease { .. }),
        Request::TimeToLive { .. } => matches!(body, Body::TimeToLive { .. }),
        Request::Leases => matches!(body, Body::Leases { .. }),
        Request::HashKv { .. } => matches!(body, Body::Hash { .. }),
        Request::Snapshot => matches!(body, Body::Snapshot { .. }),
        Request::Alarm { .. } => matches!(body, Body::Alarms { .. } | Body::Done),
        Request::Compact { .. }
        | Request::Revoke { .. }
        | Request::Status
        | Request::Defragment => !wrote(body),
    }
}

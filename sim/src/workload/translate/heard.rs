//! What the client crate sends and hears, from the wire to the history.
//!
//! The other way round than `ask`, for whoever listens to a client that makes requests by itself.

use std::any::Any;

use reseed_proto::etcdserverpb::{
    self as pb,
    compare::{CompareResult, TargetUnion},
    range_request::{SortOrder as WireOrder, SortTarget},
    request_op,
};

use super::{answer, revision, text};
use crate::history::{
    Body, Request, Response,
    request::{Compare, Delete, Put, Range, Relation, Sort, SortBy, SortOrder, Step, Target, Txn},
};

/// A request of keys or leases; `None` for any other message.
pub(in crate::workload) fn request(message: &dyn Any) -> Option<Request> {
    if let Some(ask) = message.downcast_ref::<pb::RangeRequest>() {
        return Some(Request::Range(range(ask)));
    }
    if let Some(ask) = message.downcast_ref::<pb::PutRequest>() {
        return Some(Request::Put(put(ask)));
    }
    if let Some(ask) = message.downcast_ref::<pb::DeleteRangeRequest>() {
        return Some(Request::Delete(delete(ask)));
    }
    if let Some(ask) = message.downcast_ref::<pb::TxnRequest>() {
        return txn(ask).map(Request::Txn);
    }
    if let Some(ask) = message.downcast_ref::<pb::LeaseGrantRequest>() {
        return Some(Request::Grant { id: ask.id, ttl: ask.ttl });
    }
    if let Some(ask) = message.downcast_ref::<pb::LeaseRevokeRequest>() {
        return Some(Request::Revoke { id: ask.id });
    }
    let ask = message.downcast_ref::<pb::LeaseKeepAliveRequest>()?;
    Some(Request::KeepAlive { id: ask.id })
}

/// The answer to such a request.
pub(in crate::workload) fn response(message: &dyn Any) -> Option<Response> {
    if let Some(said) = message.downcast_ref::<pb::RangeResponse>() {
        return Some(answer::range(said));
    }
    if let Some(said) = message.downcast_ref::<pb::PutResponse>() {
        return Some(answer::put(said));
    }
    if let Some(said) = message.downcast_ref::<pb::DeleteRangeResponse>() {
        return Some(answer::deletion(said));
    }
    if let Some(said) = message.downcast_ref::<pb::TxnResponse>() {
        return Some(answer::txn(said));
    }
    let (header, body) = if let Some(said) = message.downcast_ref::<pb::LeaseGrantResponse>() {
        (said.header, Body::Lease { id: said.id, ttl: said.ttl })
    } else if let Some(said) = message.downcast_ref::<pb::LeaseKeepAliveResponse>() {
        (said.header, Body::Lease { id: said.id, ttl: said.ttl })
    } else {
        (message.downcast_ref::<pb::LeaseRevokeResponse>()?.header, Body::Done)
    };
    Some(Response { revision: revision(header.as_ref()), body })
}

fn range(ask: &pb::RangeRequest) -> Range {
    let order = match ask.sort_order() {
        WireOrder::None => SortOrder::None,
        WireOrder::Ascend => SortOrder::Ascend,
        WireOrder::Descend => SortOrder::Descend,
    };
    let by = match ask.sort_target() {
        SortTarget::Key => SortBy::Key,
        SortTarget::Version => SortBy::Version,
        SortTarget::Create => SortBy::Create,
        SortTarget::Mod => SortBy::Mod,
        SortTarget::Value => SortBy::Value,
    };
    Range {
        key: text(&ask.key),
        end: text(&ask.range_end),
        revision: ask.revision,
        limit: ask.limit,
        sort: Sort { by, order },
        serializable: ask.serializable,
        keys_only: ask.keys_only,
        count_only: ask.count_only,
        min_mod: ask.min_mod_revision,
        max_mod: ask.max_mod_revision,
        min_create: ask.min_create_revision,
        max_create: ask.max_create_revision,
    }
}

fn put(ask: &pb::PutRequest) -> Put {
    Put {
        key: text(&ask.key),
        value: text(&ask.value),
        lease: ask.lease,
        prev_kv: ask.prev_kv,
        ignore_value: ask.ignore_value,
        ignore_lease: ask.ignore_lease,
    }
}

fn delete(ask: &pb::DeleteRangeRequest) -> Delete {
    Delete { key: text(&ask.key), end: text(&ask.range_end), prev_kv: ask.prev_kv }
}

fn txn(ask: &pb::TxnRequest) -> Option<Txn> {
    Some(Txn {
        compare: ask.compare.iter().map(compare).collect::<Option<_>>()?,
        then: ask.success.iter().map(step).collect::<Option<_>>()?,
        otherwise: ask.failure.iter().map(step).collect::<Option<_>>()?,
    })
}

fn compare(ask: &pb::Compare) -> Option<Compare> {
    let is = match ask.result() {
        CompareResult::Equal => Relation::Equal,
        CompareResult::NotEqual => Relation::NotEqual,
        CompareResult::Greater => Relation::Greater,
        CompareResult::Less => Relation::Less,
    };
    let target = match ask.target_union.as_ref()? {
        TargetUnion::Version(version) => Target::Version(*version),
        TargetUnion::CreateRevision(revision) => Target::Create(*revision),
        TargetUnion::ModRevision(revision) => Target::Mod(*revision),
        TargetUnion::Value(value) => Target::Value(text(value)),
        TargetUnion::Lease(lease) => Target::Lease(*lease),
    };
    Some(Compare { key: text(&ask.key), end: text(&ask.range_end), is, target })
}

fn step(ask: &pb::RequestOp) -> Option<Step> {
    Some(match ask.request.as_ref()? {
        request_op::Request::RequestRange(ask) => Step::Range(range(ask)),
        request_op::Request::RequestPut(ask) => Step::Put(put(ask)),
        request_op::Request::RequestDeleteRange(ask) => Step::Delete(delete(ask)),
        request_op::Request::RequestTxn(ask) => Step::Txn(txn(ask)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::translate::{Wire, wire};

    #[test]
    fn what_is_sent_is_heard_as_it_was_said() {
        let put = Put { key: "a".into(), value: "v".into(), lease: 7, ..Put::default() };
        let target = Target::Create(3);
        let compare =
            Compare { key: "b".into(), end: String::new(), is: Relation::Greater, target };
        let by_create = Sort { by: SortBy::Create, order: SortOrder::Descend };
        let range = Range { key: "c".into(), sort: by_create, max_create: 9, ..Range::default() };
        let delete = Delete { key: "d".into(), ..Delete::default() };
        let txn = Txn {
            compare: vec![compare],
            then: vec![Step::Put(put), Step::Range(range.clone())],
            otherwise: vec![Step::Delete(delete), Step::Txn(Txn::default())],
        };
        for said in [
            Request::Txn(txn),
            Request::Range(range),
            Request::Grant { id: 0, ttl: 5 },
            Request::Revoke { id: 7 },
            Request::KeepAlive { id: 7 },
        ] {
            let heard = match wire(&said) {
                Wire::Txn(ask) => request(&ask),
                Wire::Range(ask) => request(&ask),
                Wire::Grant(ask) => request(&ask),
                Wire::Revoke(ask) => request(&ask),
                Wire::KeepAlive(ask) => request(&ask),
                other => panic!("{other:?}"),
            };
            assert_eq!(heard, Some(said));
        }
        assert_eq!(request(&pb::StatusRequest {}), None);
    }
}

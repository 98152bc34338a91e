//! Requests, from the history to the wire.

use reseed_proto::etcdserverpb::{
    self as pb,
    compare::{CompareResult, CompareTarget, TargetUnion},
    range_request::{SortOrder as WireOrder, SortTarget},
    request_op,
};

use super::bytes;
use crate::history::request::{
    Compare, Delete, Put, Range, Relation, Request, SortBy, SortOrder, Step, Target, Txn,
};

/// A request as its service takes it.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::workload) enum Wire {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    KeepAlive(pb::LeaseKeepAliveRequest),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    Leases(pb::LeaseLeasesRequest),
    Status(pb::StatusRequest),
    HashKv(pb::HashKvRequest),
    Defragment(pb::DefragmentRequest),
    Snapshot(pb::SnapshotRequest),
    Alarm(pb::AlarmRequest),
}

/// The wire's form of `request`.
pub(in crate::workload) fn wire(request: &Request) -> Wire {
    match request {
        Request::Range(ask) => Wire::Range(range(ask)),
        Request::Put(ask) => Wire::Put(put(ask)),
        Request::Delete(ask) => Wire::Delete(delete(ask)),
        Request::Txn(ask) => Wire::Txn(txn(ask)),
        Request::Compact { revision, physical } => {
            Wire::Compact(pb::CompactionRequest { revision: *revision, physical: *physical })
        }
        Request::Grant { id, ttl } => Wire::Grant(pb::LeaseGrantRequest { ttl: *ttl, id: *id }),
        Request::Revoke { id } => Wire::Revoke(pb::LeaseRevokeRequest { id: *id }),
        Request::KeepAlive { id } => Wire::KeepAlive(pb::LeaseKeepAliveRequest { id: *id }),
        Request::TimeToLive { id, keys } => {
            Wire::TimeToLive(pb::LeaseTimeToLiveRequest { id: *id, keys: *keys })
        }
        Request::Leases => Wire::Leases(pb::LeaseLeasesRequest {}),
        Request::Status => Wire::Status(pb::StatusRequest {}),
        Request::HashKv { revision } => Wire::HashKv(pb::HashKvRequest { revision: *revision }),
        Request::Defragment => Wire::Defragment(pb::DefragmentRequest {}),
        Request::Snapshot => Wire::Snapshot(pb::SnapshotRequest {}),
        Request::Alarm { action, alarm, member } => {
            Wire::Alarm(alarm_request(action, alarm, *member))
        }
    }
}

fn range(ask: &Range) -> pb::RangeRequest {
    let order = match ask.sort.order {
        SortOrder::None => WireOrder::None,
        SortOrder::Ascend => WireOrder::Ascend,
        SortOrder::Descend => WireOrder::Descend,
    };
    let target = match ask.sort.by {
        SortBy::Key => SortTarget::Key,
        SortBy::Version => SortTarget::Version,
        SortBy::Create => SortTarget::Create,
        SortBy::Mod => SortTarget::Mod,
        SortBy::Value => SortTarget::Value,
    };
    pb::RangeRequest {
        key: bytes(&ask.key),
        range_end: bytes(&ask.end),
        limit: ask.limit,
        revision: ask.revision,
        sort_order: order.into(),
        sort_target: target.into(),
        serializable: ask.serializable,
        keys_only: ask.keys_only,
        count_only: ask.count_only,
        min_mod_revision: ask.min_mod,
        max_mod_revision: ask.max_mod,
        min_create_revision: ask.min_create,
        max_create_revision: ask.max_create,
    }
}

fn put(ask: &Put) -> pb::PutRequest {
    pb::PutRequest {
        key: bytes(&ask.key),
        value: bytes(&ask.value),
        lease: ask.lease,
        prev_kv: ask.prev_kv,
        ignore_value: ask.ignore_value,
        ignore_lease: ask.ignore_lease,
    }
}

fn delete(ask: &Delete) -> pb::DeleteRangeRequest {
    let (key, range_end) = (bytes(&ask.key), bytes(&ask.end));
    pb::DeleteRangeRequest { key, range_end, prev_kv: ask.prev_kv }
}

fn txn(ask: &Txn) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: ask.compare.iter().map(compare).collect(),
        success: ask.then.iter().map(step).collect(),
        failure: ask.otherwise.iter().map(step).collect(),
    }
}

fn compare(ask: &Compare) -> pb::Compare {
    let result = match ask.is {
        Relation::Equal => CompareResult::Equal,
        Relation::NotEqual => CompareResult::NotEqual,
        Relation::Greater => CompareResult::Greater,
        Relation::Less => CompareResult::Less,
    };
    let (target, with) = match &ask.target {
        Target::Version(version) => (CompareTarget::Version, TargetUnion::Version(*version)),
        Target::Create(revision) => (CompareTarget::Create, TargetUnion::CreateRevision(*revision)),
        Target::Mod(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(*revision)),
        Target::Value(value) => (CompareTarget::Value, TargetUnion::Value(bytes(value))),
        Target::Lease(lease) => (CompareTarget::Lease, TargetUnion::Lease(*lease)),
    };
    pb::Compare {
        result: result.into(),
        target: target.into(),
        key: bytes(&ask.key),
        range_end: bytes(&ask.end),
        target_union: Some(with),
    }
}

fn step(ask: &Step) -> pb::RequestOp {
    let request = match ask {
        Step::Range(ask) => request_op::Request::RequestRange(range(ask)),
        Step::Put(ask) => request_op::Request::RequestPut(put(ask)),
        Step::Delete(ask) => request_op::Request::RequestDeleteRange(delete(ask)),
        Step::Txn(ask) => request_op::Request::RequestTxn(txn(ask)),
    };
    pb::RequestOp { request: Some(request) }
}

fn alarm_request(action: &str, alarm: &str, member: u64) -> pb::AlarmRequest {
    let action = match action {
        "activate" => pb::alarm_request::AlarmAction::Activate,
        "deactivate" => pb::alarm_request::AlarmAction::Deactivate,
        _ => pb::alarm_request::AlarmAction::Get,
    };
    let alarm = match alarm {
        "nospace" => pb::AlarmType::Nospace,
        "corrupt" => pb::AlarmType::Corrupt,
        _ => pb::AlarmType::None,
    };
    pb::AlarmRequest { action: action.into(), member_id: member, alarm: alarm.into() }
}

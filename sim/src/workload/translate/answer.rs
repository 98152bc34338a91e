//! Answers, from the wire to the history.

use reseed_proto::etcdserverpb::{self as pb, response_op};

use super::{pair, revision, text};
use crate::history::{Body, Response, request::Alarm};

pub(in crate::workload) fn range(answer: &pb::RangeResponse) -> Response {
    Response { revision: revision(answer.header.as_ref()), body: range_body(answer) }
}

pub(in crate::workload) fn put(answer: &pb::PutResponse) -> Response {
    Response { revision: revision(answer.header.as_ref()), body: put_body(answer) }
}

pub(in crate::workload) fn deletion(answer: &pb::DeleteRangeResponse) -> Response {
    Response { revision: revision(answer.header.as_ref()), body: deletion_body(answer) }
}

pub(in crate::workload) fn txn(answer: &pb::TxnResponse) -> Response {
    Response { revision: revision(answer.header.as_ref()), body: txn_body(answer) }
}

fn range_body(answer: &pb::RangeResponse) -> Body {
    let kvs = answer.kvs.iter().map(pair).collect();
    Body::Range { kvs, count: answer.count, more: answer.more }
}

fn put_body(answer: &pb::PutResponse) -> Body {
    Body::Put { prev: answer.prev_kv.as_ref().map(pair) }
}

fn deletion_body(answer: &pb::DeleteRangeResponse) -> Body {
    let prev = answer.prev_kvs.iter().map(pair).collect();
    Body::Delete { deleted: answer.deleted, prev }
}

fn txn_body(answer: &pb::TxnResponse) -> Body {
    let step = |op: &pb::ResponseOp| match op.response.as_ref() {
        Some(response_op::Response::ResponseRange(answer)) => range_body(answer),
        Some(response_op::Response::ResponsePut(answer)) => put_body(answer),
        Some(response_op::Response::ResponseDeleteRange(answer)) => deletion_body(answer),
        Some(response_op::Response::ResponseTxn(answer)) => txn_body(answer),
        None => Body::Done,
    };
    Body::Txn { succeeded: answer.succeeded, steps: answer.responses.iter().map(step).collect() }
}

pub(in crate::workload) fn time_to_live(answer: &pb::LeaseTimeToLiveResponse) -> Response {
    let mut keys: Vec<String> = answer.keys.iter().map(|key| text(key)).collect();
    keys.sort();
    let body = Body::TimeToLive { ttl: answer.ttl, granted: answer.granted_ttl, keys };
    Response { revision: revision(answer.header.as_ref()), body }
}

pub(in crate::workload) fn leases(answer: &pb::LeaseLeasesResponse) -> Response {
    let mut ids: Vec<i64> = answer.leases.iter().map(|lease| lease.id).collect();
    ids.sort_unstable();
    Response { revision: revision(answer.header.as_ref()), body: Body::Leases { ids } }
}

pub(in crate::workload) fn hash(answer: &pb::HashKvResponse) -> Response {
    let body = Body::Hash {
        hash: answer.hash,
        compact_revision: answer.compact_revision,
        hash_revision: answer.hash_revision,
    };
    Response { revision: revision(answer.header.as_ref()), body }
}

pub(in crate::workload) fn alarms(answer: &pb::AlarmResponse) -> Response {
    let alarm = |it: &pb::AlarmMember| Alarm {
        member: it.member_id,
        alarm: it.alarm().as_str_name().to_lowercase(),
    };
    let alarms = answer.alarms.iter().map(alarm).collect();
    Response { revision: revision(answer.header.as_ref()), body: Body::Alarms { alarms } }
}

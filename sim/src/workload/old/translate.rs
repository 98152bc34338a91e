//! Between the history's words and the wire's.

use bytes::Bytes;
use reseed_proto::{
    etcdserverpb::{
        Compare, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op, response_op,
    },
    mvccpb::{Event, KeyValue, event::EventType},
};

use crate::kv_history::{Change, Version};

/// The whole key space, as a range.
pub(super) const EVERYTHING: (Bytes, Bytes) =
    (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));

pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn version(kv: &KeyValue) -> Version {
    Version {
        value: text(&kv.value),
        mod_revision: kv.mod_revision,
        create_revision: kv.create_revision,
        version: kv.version,
    }
}

pub(super) fn change(event: &Event) -> Option<Change> {
    let kv = event.kv.as_ref()?;
    let now = (event.r#type() == EventType::Put).then(|| version(kv));
    Some(Change { key: text(&kv.key), revision: kv.mod_revision, now })
}

/// The revision of an answer. Every answer has a header; 0 stands out if one has not.
pub(super) fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

pub(super) fn get(key: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), ..RangeRequest::default() }
}

pub(super) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

/// Writes if the key's mod revision is `expected`, reads it otherwise.
pub(super) fn swap(key: &str, expected: i64, value: &str) -> TxnRequest {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: bytes(key),
        target_union: Some(TargetUnion::ModRevision(expected)),
        ..Compare::default()
    };
    let op = |request| RequestOp { request: Some(request) };
    TxnRequest {
        compare: vec![compare],
        success: vec![op(request_op::Request::RequestPut(put(key, value)))],
        failure: vec![op(request_op::Request::RequestRange(get(key)))],
    }
}

/// What the reading branch of a swap found.
pub(super) fn found(responses: &[reseed_proto::etcdserverpb::ResponseOp]) -> Option<Version> {
    match responses.first()?.response.as_ref()? {
        response_op::Response::ResponseRange(range) => range.kvs.first().map(version),
        response_op::Response::ResponsePut(_)
        | response_op::Response::ResponseDeleteRange(_)
        | response_op::Response::ResponseTxn(_) => None,
    }
}

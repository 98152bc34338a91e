//! What golden traces show: answers, events and effects, one a line.
//!
//! A pair is `key=value (created modified version)`, with `lease N` if it has one; a revision key
//! of the backend is `main.sub`, with a dagger if it is a tombstone.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::response_op::Response as Op;
use reseed_proto::mvccpb::{Event, KeyValue};

use crate::applied::{Applied, Response};
use crate::error::Error;
use crate::lease;
use crate::mvcc::{Hashed, RevisionEvents};

pub(super) fn applied(applied: &Applied) -> String {
    let mut lines = match &applied.response {
        Ok(response) => answer(response),
        Err(error) => alloc::vec![format!("refused: {error}")],
    };
    lines.extend(applied.events.iter().map(event));
    lines.extend(applied.effects.iter().map(|effect| format!("effect {effect:?}")));
    lines.join("\n")
}

pub(super) fn range(response: &Result<pb::RangeResponse, Error>) -> String {
    text(response, |response| range_lines(response).join("\n"))
}

pub(super) fn read_txn(response: &Result<pb::TxnResponse, Error>) -> String {
    text(response, |response| txn_lines(response).join("\n"))
}

pub(super) fn history(history: &Result<Vec<RevisionEvents>, Error>) -> String {
    text(history, |revisions| {
        let lines = revisions.iter().flat_map(|r| r.events.iter().map(event));
        lines.collect::<Vec<_>>().join("\n")
    })
}

pub(super) fn hashed(hashed: &Result<(u32, Hashed), Error>) -> String {
    text(hashed, |(hash, Hashed { revision, compact_revision })| {
        format!("{hash} at {revision}, compacted {compact_revision}")
    })
}

pub(super) fn leases(table: &lease::Table) -> String {
    let line = |lease: &lease::Lease| {
        let keys: Vec<_> = lease.keys().map(String::from_utf8_lossy).collect();
        let (id, ttl) = (lease.id.0, lease.ttl_secs);
        format!("{id}: {ttl} s, {} left, keys [{}]", lease.secs_left(), keys.join(" "))
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Revision keys of the backend.
pub(super) fn names(keys: &[Bytes]) -> String {
    let name = |key: &Bytes| {
        let number = |part: &[u8]| u64::from_be_bytes(part.try_into().expect("eight bytes"));
        let dagger = if key.len() == 18 { "†" } else { "" };
        format!("{}.{}{dagger}", number(&key[..8]), number(&key[9..17]))
    };
    let names: Vec<String> = keys.iter().map(name).collect();
    if names.is_empty() { "nothing".into() } else { names.join(" ") }
}

fn text<T>(result: &Result<T, Error>, show: impl FnOnce(&T) -> String) -> String {
    result.as_ref().map_or_else(|error| format!("refused: {error}"), show)
}

fn answer(response: &Response) -> Vec<String> {
    match response {
        Response::Put(put) => put_lines(put),
        Response::DeleteRange(delete) => delete_lines(delete),
        Response::Txn(txn) => txn_lines(txn),
        Response::Compaction(r) => alloc::vec![format!("ok{}", at(r.header))],
        Response::LeaseGrant(r) => {
            alloc::vec![format!("granted {} for {} s{}", r.id, r.ttl, at(r.header))]
        }
        Response::LeaseRevoke(r) => alloc::vec![format!("revoked{}", at(r.header))],
        Response::LeaseCheckpoint(r) => alloc::vec![format!("ok{}", at(r.header))],
        Response::Alarm(r) => {
            let alarms = r.alarms.iter().map(|a| format!("{} {:?}", a.member_id, a.alarm()));
            alloc::vec![format!(
                "alarms [{}]{}",
                alarms.collect::<Vec<_>>().join(", "),
                at(r.header)
            )]
        }
        Response::Members(members) => alloc::vec![format!("{} members", members.len())],
        Response::None => alloc::vec!["nothing".to_string()],
    }
}

fn put_lines(response: &pb::PutResponse) -> Vec<String> {
    let mut lines = alloc::vec![format!("ok{}", at(response.header))];
    lines.extend(response.prev_kv.iter().map(|kv| format!("before {}", pair(kv))));
    lines
}

fn delete_lines(response: &pb::DeleteRangeResponse) -> Vec<String> {
    let mut lines = alloc::vec![format!("deleted {}{}", response.deleted, at(response.header))];
    lines.extend(response.prev_kvs.iter().map(|kv| format!("before {}", pair(kv))));
    lines
}

fn range_lines(response: &pb::RangeResponse) -> Vec<String> {
    let more = if response.more { ", more" } else { "" };
    let mut lines = alloc::vec![format!("count {}{more}{}", response.count, at(response.header))];
    lines.extend(response.kvs.iter().map(pair));
    lines
}

fn txn_lines(response: &pb::TxnResponse) -> Vec<String> {
    let verdict = if response.succeeded { "then" } else { "else" };
    let mut lines = alloc::vec![format!("{verdict}{}", at(response.header))];
    for op in &response.responses {
        let inner = match op.response.as_ref().expect("every operation answers") {
            Op::ResponseRange(range) => range_lines(range),
            Op::ResponsePut(put) => put_lines(put),
            Op::ResponseDeleteRange(delete) => delete_lines(delete),
            Op::ResponseTxn(txn) => txn_lines(txn),
        };
        lines.extend(inner.into_iter().map(|line| format!("| {line}")));
    }
    lines
}

fn event(event: &Event) -> String {
    let kv = event.kv.as_ref().expect("an event is about a key");
    match event.r#type() {
        reseed_proto::mvccpb::event::EventType::Put => format!("event put {}", pair(kv)),
        reseed_proto::mvccpb::event::EventType::Delete => {
            format!("event delete {} at {}", String::from_utf8_lossy(&kv.key), kv.mod_revision)
        }
    }
}

fn pair(kv: &KeyValue) -> String {
    let (key, value) = (String::from_utf8_lossy(&kv.key), String::from_utf8_lossy(&kv.value));
    let (created, modified, version) = (kv.create_revision, kv.mod_revision, kv.version);
    let lease = if kv.lease == 0 { String::new() } else { format!(" lease {}", kv.lease) };
    format!("{key}={value} ({created} {modified} {version}){lease}")
}

fn at(header: Option<pb::ResponseHeader>) -> String {
    match header.expect("every answer has a header") {
        pb::ResponseHeader { revision: 0, .. } => ", no revision".into(),
        header => format!(" at {}", header.revision),
    }
}

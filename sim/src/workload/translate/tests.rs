//! What goes over the wire and comes back as the history says it.

use reseed_proto::etcdserverpb::{self as pb, compare::TargetUnion, request_op, response_op};

use super::*;
use crate::history::{
    Body, Request, WatchSpec,
    request::{Compare, Delete, Put, Range, Relation, Sort, SortBy, SortOrder, Step, Target, Txn},
};

fn kv() -> KeyValue {
    KeyValue {
        key: bytes("k"),
        create_revision: 2,
        mod_revision: 5,
        version: 3,
        value: bytes("v"),
        lease: 9,
    }
}

fn known() -> Version {
    Version { value: "v".to_owned(), mod_revision: 5, create_revision: 2, version: 3, lease: 9 }
}

#[test]
fn every_field_of_a_range_reaches_the_wire() {
    let ask = Range {
        key: "a".to_owned(),
        end: "b".to_owned(),
        revision: 3,
        limit: 4,
        sort: Sort { by: SortBy::Value, order: SortOrder::Descend },
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod: 5,
        max_mod: 6,
        min_create: 7,
        max_create: 8,
    };
    let expected = pb::RangeRequest {
        key: bytes("a"),
        range_end: bytes("b"),
        limit: 4,
        revision: 3,
        sort_order: 2,
        sort_target: 4,
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod_revision: 5,
        max_mod_revision: 6,
        min_create_revision: 7,
        max_create_revision: 8,
    };
    assert_eq!(wire(&Request::Range(ask)), Wire::Range(expected));
}

#[test]
fn a_transaction_keeps_its_conditions_and_both_branches() {
    let put = Put {
        key: "k".to_owned(),
        value: "v".to_owned(),
        lease: 1,
        prev_kv: true,
        ignore_value: true,
        ignore_lease: true,
    };
    let delete = Delete { key: "k".to_owned(), end: "l".to_owned(), prev_kv: true };
    let nested = Txn { then: vec![Step::Delete(delete)], ..Txn::default() };
    let ask = Txn {
        compare: vec![Compare {
            key: "k".to_owned(),
            end: "z".to_owned(),
            is: Relation::Less,
            target: Target::Mod(7),
        }],
        then: vec![Step::Put(put)],
        otherwise: vec![Step::Txn(nested)],
    };
    let Wire::Txn(txn) = wire(&Request::Txn(ask)) else { panic!("a transaction") };
    let compare = &txn.compare[0];
    assert_eq!((compare.result, compare.target), (2, 2));
    assert_eq!(compare.target_union, Some(TargetUnion::ModRevision(7)));
    assert_eq!((compare.key.as_ref(), compare.range_end.as_ref()), (&b"k"[..], &b"z"[..]));
    let Some(request_op::Request::RequestPut(put)) = &txn.success[0].request else {
        panic!("a put")
    };
    assert!(put.prev_kv && put.ignore_value && put.ignore_lease && put.lease == 1);
    let Some(request_op::Request::RequestTxn(nested)) = &txn.failure[0].request else {
        panic!("a nested transaction")
    };
    assert!(matches!(
        &nested.success[0].request,
        Some(request_op::Request::RequestDeleteRange(delete)) if delete.prev_kv
    ));
}

#[test]
fn answers_keep_what_they_say() {
    let header = Some(ResponseHeader { revision: 12, ..ResponseHeader::default() });
    let ranged = pb::RangeResponse { header, kvs: vec![kv()], more: true, count: 4 };
    let pair = Pair { key: "k".to_owned(), version: known() };
    let body = Body::Range { kvs: vec![pair.clone()], count: 4, more: true };
    assert_eq!(range(&ranged).revision, 12);
    assert_eq!(range(&ranged).body, body);
    let op = |response| pb::ResponseOp { response: Some(response) };
    let deleted = pb::DeleteRangeResponse { header: None, deleted: 1, prev_kvs: vec![kv()] };
    let answer = pb::TxnResponse {
        header,
        succeeded: true,
        responses: vec![
            op(response_op::Response::ResponseRange(ranged)),
            op(response_op::Response::ResponseDeleteRange(deleted)),
            op(response_op::Response::ResponsePut(pb::PutResponse {
                header: None,
                prev_kv: Some(kv()),
            })),
        ],
    };
    let steps = vec![
        body,
        Body::Delete { deleted: 1, prev: vec![pair.clone()] },
        Body::Put { prev: Some(pair) },
    ];
    assert_eq!(txn_answer(&answer).body, Body::Txn { succeeded: true, steps });
}

#[test]
fn an_event_is_a_change() {
    let put = Event { r#type: 0, kv: Some(kv()), prev_kv: Some(kv()) };
    let change_of = |event: &Event| change(event).expect("an event with a key");
    assert_eq!(change_of(&put).now, Some(known()));
    assert_eq!(change_of(&put).prev, Some(known()));
    let delete = Event { r#type: 1, kv: Some(kv()), prev_kv: None };
    let gone = change_of(&delete);
    assert_eq!((gone.key.as_str(), gone.revision, gone.now), ("k", 5, None));
}

#[test]
fn every_wish_of_a_watch_reaches_the_wire() {
    let spec = WatchSpec {
        key: "a".to_owned(),
        end: "b".to_owned(),
        start_revision: 3,
        prev_kv: true,
        progress_notify: true,
        no_put: true,
        no_delete: true,
        fragment: true,
    };
    let request = create(&spec, 6);
    assert!(request.prev_kv && request.progress_notify && request.fragment);
    assert_eq!((request.start_revision, request.watch_id), (3, 6));
    assert_eq!(request.filters, [0, 1]);
    assert_eq!(create(&WatchSpec { no_delete: true, ..spec }, 6).filters, [0, 1]);
    assert_eq!(create(&WatchSpec { no_delete: true, ..WatchSpec::default() }, 1).filters, [1]);
}

//! The queue's requests and what it reads in their answers.

use reseed_proto::etcdserverpb::{RangeResponse, ResponseHeader, TxnRequest};

use super::*;

fn kv(key: &str, create_revision: i64) -> KeyValue {
    KeyValue { key: key.to_owned().into(), create_revision, ..KeyValue::default() }
}

fn range(kvs: Vec<KeyValue>) -> ResponseOp {
    let range = RangeResponse { kvs, ..RangeResponse::default() };
    ResponseOp { response: Some(Response::ResponseRange(range)) }
}

fn answer(succeeded: bool, responses: Vec<ResponseOp>) -> TxnResponse {
    let header = Some(ResponseHeader { revision: 9, ..ResponseHeader::default() });
    TxnResponse { header, succeeded, responses }
}

#[test]
fn keys_are_named_as_etcd_names_them() {
    assert_eq!(key(&prefix("lock"), 0x7fed_cba9), "lock/7fedcba9");
    // etcd prints a negative lease with a sign (Go's %x); the two's complement is a key as well,
    // and no server draws such a lease.
    assert_eq!(key(&prefix("lock"), 10), "lock/a");
}

#[test]
fn entering_puts_only_if_the_key_is_not_there() {
    let txn = TxnRequest::from(entering("l/", "l/7", "v", 7));
    assert_eq!((txn.compare.len(), txn.success.len(), txn.failure.len()), (1, 2, 2));
    let fresh = answer(true, vec![ResponseOp::default(), range(vec![kv("l/3", 4)])]);
    let found = entered("l/7".to_owned(), &fresh).expect("complete");
    assert_eq!((found.place.token, found.is_new, found.is_first), (9, true, false));
    let own = || range(vec![kv("l/7", 5)]);
    let again = answer(false, vec![own(), own()]);
    let found = entered("l/7".to_owned(), &again).expect("complete");
    assert_eq!((found.place.token, found.is_new, found.is_first), (5, false, true));
}

#[test]
fn an_answer_without_what_was_asked_for_is_no_place() {
    assert_eq!(entered("k".to_owned(), &answer(true, Vec::new())), None);
    assert_eq!(entered("k".to_owned(), &answer(false, vec![range(Vec::new())])), None);
}

#[test]
fn one_waits_for_the_youngest_of_the_older_ones() {
    let request = RangeRequest::from(right_before("l/", 12));
    assert_eq!((request.max_create_revision, request.limit), (11, 1));
    assert_eq!(request.sort_order, i32::from(SortOrder::Descend));
    assert_eq!(request.sort_target, i32::from(SortTarget::Create));
}

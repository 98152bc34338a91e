//! Errors as clients see them: the whole table, and every refusal one member can be brought to.
//!
//! Clients turn the text back into typed errors, so text and code are compared letter by letter.
//! `tests/data/errors.txt` was written from etcd's table, not from ours.

use std::collections::BTreeMap;

use reseed_core::Error;
use reseed_proto::etcdserverpb as pb;
use tonic::{Code, Status};

use crate::support::api::{all_keys, assert_refused, bytes};
use crate::support::{Api, Node, Options, wait};

#[test]
fn the_table_is_etcds() {
    let table = include_str!("../data/errors.txt");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let etcd: BTreeMap<String, i32> = rows
        .map(|row| row.trim_start().split_once(' ').expect("code and text"))
        .map(|(code, text)| (text.to_owned(), code.parse().expect("a code")))
        .collect();
    let ours: BTreeMap<String, i32> =
        Error::ALL.iter().map(|error| (error.to_string(), error.code())).collect();
    for (text, code) in &etcd {
        assert_eq!(ours.get(text), Some(code), "{text}");
    }
    // Beyond the table are only errors that etcd sends as raw text, code Unknown, and that of Go's
    // contexts, which has a code of its own.
    for (text, code) in ours.iter().filter(|(text, _)| !etcd.contains_key(*text)) {
        let is_go = text == "context deadline exceeded";
        assert_eq!(*code, if is_go { 4 } else { 2 }, "{text}");
    }
}

async fn refused_txn(api: &Api, success: Vec<pb::RequestOp>) -> Result<pb::TxnResponse, Status> {
    let txn = pb::TxnRequest { success, ..Default::default() };
    api.kv().txn(txn).await.map(tonic::Response::into_inner)
}

fn op(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn put(key: &str) -> pb::PutRequest {
    pb::PutRequest { key: bytes(key), ..Default::default() }
}

#[tokio::test]
async fn refusals_of_the_request_alone() {
    use pb::request_op::Request as Op;
    let node = Node::start();
    let api = Api::connect(&node).await;
    let invalid = Code::InvalidArgument;
    let no_key = "etcdserver: key is not provided";
    assert_refused(api.kv().put(put("")).await, invalid, no_key);
    assert_refused(api.kv().range(pb::RangeRequest::default()).await, invalid, no_key);
    assert_refused(api.kv().delete_range(pb::DeleteRangeRequest::default()).await, invalid, no_key);
    assert_refused(refused_txn(&api, vec![op(Op::RequestPut(put("")))]).await, invalid, no_key);
    let value = pb::PutRequest { ignore_value: true, value: bytes("v"), ..put("k") };
    assert_refused(api.kv().put(value).await, invalid, "etcdserver: value is provided");
    let lease = pb::PutRequest { ignore_lease: true, lease: 1, ..put("k") };
    assert_refused(api.kv().put(lease).await, invalid, "etcdserver: lease is provided");
    for (sort_order, sort_target) in [(3, 0), (0, 5), (-1, 0)] {
        let range = pb::RangeRequest { sort_order, sort_target, ..all_keys() };
        assert_refused(api.kv().range(range).await, invalid, "etcdserver: invalid sort option");
    }
    let twice = vec![op(Op::RequestPut(put("k"))); 2];
    let duplicate = "etcdserver: duplicate key given in txn request";
    assert_refused(refused_txn(&api, twice).await, invalid, duplicate);
    let many = (0..129).map(|i| op(Op::RequestPut(put(&i.to_string())))).collect();
    let too_many = "etcdserver: too many operations in txn request";
    assert_refused(refused_txn(&api, many).await, invalid, too_many);
    let nothing = vec![pb::RequestOp::default()];
    assert_refused(refused_txn(&api, nothing).await, invalid, "etcdserver: key not found");
    assert_eq!(api.everything().await.header.expect("a header").revision, 1);
}

#[tokio::test]
async fn refusals_that_depend_on_the_store() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let keep = pb::PutRequest { ignore_value: true, ..put("missing") };
    let not_found = "etcdserver: key not found";
    assert_refused(api.kv().put(keep).await, Code::InvalidArgument, not_found);
    let leased = pb::PutRequest { lease: 7, ..put("k") };
    let no_lease = "etcdserver: requested lease not found";
    assert_refused(api.kv().put(leased).await, Code::NotFound, no_lease);
    let revoke = pb::LeaseRevokeRequest { id: 7 };
    assert_refused(api.lease().lease_revoke(revoke).await, Code::NotFound, no_lease);
    api.grant(7, 600).await.expect("a lease");
    let exists = "etcdserver: lease already exists";
    assert_refused(api.grant(7, 600).await, Code::FailedPrecondition, exists);
    let large = "etcdserver: too large lease TTL";
    assert_refused(api.grant(8, 9_000_000_001).await, Code::OutOfRange, large);
    for _ in 0..5 {
        api.put("k", "v").await;
    }
    let future = "etcdserver: mvcc: required revision is a future revision";
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_refused(api.compact(100).await, Code::OutOfRange, future);
    api.compact(4).await.expect("compaction");
    assert_refused(api.compact(4).await, Code::OutOfRange, compacted);
    let at = |revision| pb::RangeRequest { revision, ..all_keys() };
    assert_refused(api.kv().range(at(3)).await, Code::OutOfRange, compacted);
    assert_refused(api.kv().range(at(100)).await, Code::OutOfRange, future);
    let hash = |revision| pb::HashKvRequest { revision };
    assert_refused(api.maintenance().hash_kv(hash(3)).await, Code::OutOfRange, compacted);
    assert_refused(api.maintenance().hash_kv(hash(100)).await, Code::OutOfRange, future);
}

#[tokio::test]
async fn alarms_refuse_what_they_must() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", "v").await;
    let member = api.everything().await.header.expect("a header").member_id;
    let alarm = |action: pb::alarm_request::AlarmAction, alarm: pb::AlarmType| pb::AlarmRequest {
        action: action as i32,
        member_id: member,
        alarm: alarm as i32,
    };
    use pb::alarm_request::AlarmAction::{Activate, Deactivate, Get};
    let on = alarm(Activate, pb::AlarmType::Nospace);
    api.maintenance().alarm(on).await.expect("an alarm");
    let no_space = "etcdserver: mvcc: database space exceeded";
    assert_refused(api.kv().put(put("k")).await, Code::ResourceExhausted, no_space);
    assert_refused(api.grant(1, 10).await, Code::ResourceExhausted, no_space);
    assert_eq!(api.get("k").await.as_deref(), Some("v"));
    assert_eq!(api.delete("k").await, 1, "deletions make room");
    let status = api.maintenance().status(pb::StatusRequest {}).await.expect("status");
    let errors = status.into_inner().errors;
    assert!(errors.iter().any(|e| e.contains("NOSPACE")), "{errors:?}");
    let off = alarm(Deactivate, pb::AlarmType::Nospace);
    api.maintenance().alarm(off).await.expect("no alarm");
    api.put("k", "v").await;
    let corrupt = alarm(Activate, pb::AlarmType::Corrupt);
    api.maintenance().alarm(corrupt).await.expect("an alarm");
    let text = "etcdserver: corrupt cluster";
    assert_refused(api.kv().put(put("k")).await, Code::DataLoss, text);
    assert_eq!(api.get("k").await.as_deref(), Some("v"), "ordinary reads are still served");
    let list = alarm(Get, pb::AlarmType::None);
    let list = api.maintenance().alarm(list).await.expect("alarms").into_inner().alarms;
    assert_eq!(list, vec![pb::AlarmMember { member_id: member, alarm: 2 }]);
}

#[tokio::test]
async fn a_full_quota_raises_the_alarm_and_room_does_not_clear_it() {
    let node = Node::start_with(Options::flags(&["--quota-backend-bytes=2000000"]));
    let api = Api::connect(&node).await;
    let value = "x".repeat(100_000);
    let refusal = wait::until_async("the quota to be reached", || async {
        let big = pb::PutRequest { key: bytes("k"), value: bytes(&value), ..Default::default() };
        api.kv().put(big).await.err()
    });
    let refusal = refusal.await;
    let no_space = "etcdserver: mvcc: database space exceeded";
    assert_eq!((refusal.code(), refusal.message()), (Code::ResourceExhausted, no_space));
    let list = pb::AlarmRequest::default();
    wait::until_async("the alarm", || async {
        let alarms = api.maintenance().alarm(list).await.expect("alarms").into_inner().alarms;
        alarms.iter().any(|a| a.alarm == pb::AlarmType::Nospace as i32).then_some(())
    })
    .await;
    // What is small is refused too, until an operator disarms the alarm.
    assert_refused(api.kv().put(put("small")).await, Code::ResourceExhausted, no_space);
}

#[tokio::test]
async fn what_one_member_cannot_do() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let transfer = pb::MoveLeaderRequest { target_id: 12_345 };
    let refused = api.maintenance().move_leader(transfer).await;
    assert_refused(refused, Code::FailedPrecondition, "etcdserver: bad leader transferee");
}

#[tokio::test]
async fn claims_of_the_client_are_checked() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut request = tonic::Request::new(all_keys());
    let opaque = tonic::metadata::MetadataValue::try_from(&[0xfe_u8, 0xff][..]).expect("opaque");
    request.metadata_mut().insert("client-api-version", opaque);
    let refused = api.kv().range(request).await;
    let text = "etcdserver: invalid client api version";
    assert_refused(refused, Code::InvalidArgument, text);
    let mut auth = pb::auth_client::AuthClient::new(api.channel());
    let user = pb::AuthenticateRequest { name: "root".into(), password: "x".into() };
    let text = "etcdserver: authentication is not enabled";
    assert_refused(auth.authenticate(user).await, Code::FailedPrecondition, text);
    // A member with a leader serves those who insist on one.
    let mut request = tonic::Request::new(all_keys());
    request.metadata_mut().insert("hasleader", "true".parse().expect("ASCII"));
    api.kv().range(request).await.expect("there is a leader");
}

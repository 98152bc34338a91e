//! Leases over a real socket: the table of answers, expiry, and time that a restart does not reset.

use std::time::{Duration, Instant};

use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb::event::EventType;

use crate::support::api::bytes;
use crate::support::{Api, Node, wait};

async fn left(api: &Api, id: i64) -> pb::LeaseTimeToLiveResponse {
    let request = pb::LeaseTimeToLiveRequest { id, keys: true };
    api.lease().lease_time_to_live(request).await.expect("time to live").into_inner()
}

async fn keep_alive(api: &Api, id: i64) -> pb::LeaseKeepAliveResponse {
    let requests = futures::stream::iter([pb::LeaseKeepAliveRequest { id }]);
    let responses = api.lease().lease_keep_alive(requests).await.expect("a stream");
    let first = wait::within("a renewal", responses.into_inner().message()).await;
    first.expect("an answer").expect("an answer")
}

#[tokio::test]
async fn granting_draws_an_id_and_raises_short_times() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let drawn = api.grant(0, 100).await.expect("a lease");
    assert!(drawn.id > 0 && drawn.ttl == 100 && drawn.error.is_empty(), "{drawn:?}");
    for ttl in [1, 0, -5] {
        assert_eq!(api.grant(0, ttl).await.expect("a lease").ttl, 2, "asked for {ttl}");
    }
    assert_eq!(api.grant(i64::MIN, 100).await.expect("a lease").id, i64::MIN);
}

#[tokio::test]
async fn revoking_deletes_the_keys_in_one_revision() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.grant(7, 600).await.expect("a lease");
    for key in ["b", "a", "c"] {
        api.put_leased(key, 7).await;
    }
    // Putting again without the lease lets go of it.
    api.put("c", "kept").await;
    assert_eq!(left(&api, 7).await.keys, vec![bytes("a"), bytes("b")]);
    let mut stream = api.watch_stream().await;
    let all =
        pb::WatchCreateRequest { key: bytes("\0"), range_end: bytes("\0"), ..Default::default() };
    stream.created(all).await;
    let revoke = pb::LeaseRevokeRequest { id: 7 };
    let response = api.lease().lease_revoke(revoke).await.expect("revoked").into_inner();
    assert_eq!(response.header.expect("a header").revision, 6);
    let response = stream.next().await;
    let deleted: Vec<_> = response.events.iter().map(|e| e.kv.clone().expect("a pair")).collect();
    assert!(response.events.iter().all(|e| e.r#type == EventType::Delete as i32));
    let keys: Vec<_> = deleted.iter().map(|kv| kv.key.clone()).collect();
    assert_eq!(keys, vec![bytes("a"), bytes("b")], "in order, in one response");
    assert!(deleted.iter().all(|kv| kv.mod_revision == 6));
    assert_eq!(api.get("c").await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn unknown_leases_are_no_errors_where_etcd_has_none() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let unknown = left(&api, 99).await;
    assert_eq!((unknown.id, unknown.ttl, unknown.granted_ttl), (99, -1, 0));
    let renewal = keep_alive(&api, 99).await;
    assert_eq!((renewal.id, renewal.ttl), (99, 0));
}

#[tokio::test]
async fn leases_are_listed() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for (id, ttl) in [(3, 900), (1, 300), (2, 600)] {
        api.grant(id, ttl).await.expect("a lease");
    }
    let list = api.lease().lease_leases(pb::LeaseLeasesRequest {}).await.expect("a list");
    let ids: Vec<_> = list.into_inner().leases.iter().map(|lease| lease.id).collect();
    assert_eq!(ids, [1, 2, 3], "by expiry");
}

#[tokio::test]
async fn a_lease_expires_and_not_before_its_time() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let granted = Instant::now();
    api.grant(7, 2).await.expect("a lease");
    api.put_leased("k", 7).await;
    let mut stream = api.watch_stream().await;
    stream.created(pb::WatchCreateRequest { key: bytes("k"), ..Default::default() }).await;
    let events = stream.events(1).await;
    assert_eq!(events[0].r#type, EventType::Delete as i32);
    assert!(granted.elapsed() >= Duration::from_secs(2), "after {:?}", granted.elapsed());
    assert_eq!(left(&api, 7).await.ttl, -1);
}

#[tokio::test]
async fn a_renewed_lease_lives_on() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.grant(7, 2).await.expect("a lease");
    api.grant(8, 2).await.expect("a lease");
    api.put_leased("renewed", 7).await;
    api.put_leased("left", 8).await;
    let mut stream = api.watch_stream().await;
    stream.created(pb::WatchCreateRequest { key: bytes("left"), ..Default::default() }).await;
    // Renewed over and over until the other one is gone, which takes at least the time of both.
    let expired = stream.events(1);
    tokio::pin!(expired);
    loop {
        let renewed = keep_alive(&api, 7);
        tokio::select! {
            biased;
            _ = &mut expired => break,
            renewal = renewed => assert_eq!((renewal.id, renewal.ttl), (7, 2)),
        }
    }
    assert_eq!(api.get("renewed").await.as_deref(), Some(""));
}

#[tokio::test]
async fn a_restart_does_not_give_a_lease_its_time_back() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    api.grant(7, 10).await.expect("a lease");
    api.put_leased("k", 7).await;
    // The first checkpoint is due when 6 seconds are left, the next each second after it.
    wait::until_async("most of the time to pass", || async {
        (left(&api, 7).await.ttl <= 4).then_some(())
    })
    .await;
    node.kill();
    node.start_again();
    let api = Api::connect(&node).await;
    let after = left(&api, 7).await;
    assert_eq!((after.granted_ttl, after.keys.len()), (10, 1));
    assert!(after.ttl <= 6, "time came back: {after:?}");
    // Renewing does give it back, also across the next restart.
    assert_eq!(keep_alive(&api, 7).await.ttl, 10);
    node.kill();
    node.start_again();
    let renewed = left(&Api::connect(&node).await, 7).await;
    assert!(renewed.ttl > 6, "the renewal was forgotten: {renewed:?}");
}

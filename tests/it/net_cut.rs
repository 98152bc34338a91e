//! Members that do not hear each other, over the sockets of a real kernel.

use std::time::Duration;

use reseed_client::{Client, ClientOptions, Watch};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb::Event;

use crate::cluster::{others, put_until_done};
use crate::support::api::bytes;
use crate::support::{Cluster, CutNet, Options, tools, wait};

/// Everybody's ports: each machine has an address of its own.
const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;

fn start(net: &CutNet) -> Cluster {
    let member = |n: u8| Options {
        peer: Some((net.address(n), PEERS).into()),
        client: Some((net.address(n), CLIENTS).into()),
        space: Some(net.space(n)),
        ..Options::default()
    };
    Cluster::start_with((0..3).map(member).collect())
}

/// A read of `key` that everybody would agree with, if there is an answer in time.
async fn read(cluster: &Cluster, n: usize, key: &str) -> Option<String> {
    let request = pb::RangeRequest { key: bytes(key), ..Default::default() };
    let mut kv = cluster.api(n).await.kv();
    let answer = tokio::time::timeout(Duration::from_secs(3), kv.range(request)).await;
    let kvs = answer.ok()?.ok()?.into_inner().kvs;
    kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

#[tokio::test]
async fn a_leader_cut_off_is_replaced_and_serves_nothing_stale() {
    let net = match CutNet::new(3) {
        Ok(net) => net,
        Err(why) => {
            let test = "a_leader_cut_off_is_replaced_and_serves_nothing_stale";
            return tools::skip_unprivileged(test, &format!("no network can be cut here: {why}"));
        }
    };
    let cluster = start(&net);
    put_until_done(&cluster, &[0, 1, 2], "k", "before").await;
    for round in 0..2_u32 {
        let leader = cluster.leader(&[0, 1, 2]).await;
        let left = others(leader);
        let number = |n: usize| u8::try_from(n).expect("three members");
        // A client that watches at the leader first, and knows the others.
        let endpoints = [leader, left[0], left[1]].map(|n| cluster.members[n].endpoint());
        let client = Client::connect(ClientOptions::new(endpoints)).expect("endpoints");
        let mut watcher = client.watch(Watch::key("k")).await.expect("a watcher");
        for other in &left {
            net.cut(number(leader), number(*other));
        }
        let value = format!("during {round}");
        put_until_done(&cluster, &left, "k", &value).await;
        // Its member is silent, not gone: it must say itself that it has no leader. A put that was
        // given up in the round before may have come through late, and twice.
        let value_of = |event: &Event| event.kv.as_ref().map(|kv| kv.value.clone());
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| *last != value) {
            let batch = wait::within("the event", watcher.next()).await.expect("it goes on");
            seen.extend(batch.expect("a batch").events.iter().filter_map(value_of));
        }
        let late = round.checked_sub(1).map(|before: u32| format!("during {before}"));
        let is_late = |seen: &[u8]| late.as_ref().is_some_and(|late| late.as_bytes() == seen);
        assert!(seen.iter().all(|seen| *seen == value || is_late(seen)), "{seen:?}");
        // The one that led is reached by clients, and by nobody else: it knows no newer value and
        // must not answer with the old one.
        assert_eq!(read(&cluster, leader, "k").await, None, "{leader} is cut off");
        assert_ne!(cluster.leader(&left).await, leader);
        for other in &left {
            net.join(number(leader), number(*other));
        }
        wait::until_async("the member to be back", || async {
            (read(&cluster, leader, "k").await? == value).then_some(())
        })
        .await;
        cluster.converged(&[0, 1, 2]).await;
    }
}

#[tokio::test]
async fn a_member_between_two_that_do_not_hear_each_other_keeps_the_cluster_going() {
    let test = "a_member_between_two_that_do_not_hear_each_other_keeps_the_cluster_going";
    let net = match CutNet::new(3) {
        Ok(net) => net,
        Err(why) => {
            return tools::skip_unprivileged(test, &format!("no network can be cut here: {why}"));
        }
    };
    let cluster = start(&net);
    put_until_done(&cluster, &[0, 1, 2], "k", "before").await;
    net.cut(0, 2);
    for round in 0..20 {
        // The one between is asked first: of the others, one may have no leader and wait for it.
        put_until_done(&cluster, &[1, 0, 2], "k", &format!("during {round}")).await;
    }
    net.join(0, 2);
    cluster.converged(&[0, 1, 2]).await;
}

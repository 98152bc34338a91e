//! Members come, learn, vote and go while the cluster serves; who was removed stays away.

use reseed_proto::etcdserverpb as pb;
use tonic::{Code, Status};

use crate::cluster::{members, others, put_until_done};
use crate::support::api::bytes;
use crate::support::cluster::joining;
use crate::support::{Cluster, Node, Options, node::free_address, wait};

const REMOVED: &str = "the member has been permanently removed from the cluster";
const UNHEALTHY: &str = "etcdserver: unhealthy cluster";
const NOT_ENOUGH: &str = "etcdserver: re-configuration failed due to not enough started members";

pub(crate) async fn id(cluster: &Cluster, n: usize) -> u64 {
    let status = cluster.api(n).await.maintenance().status(pb::StatusRequest {}).await;
    status.expect("a status").into_inner().header.expect("a header").member_id
}

pub(crate) async fn remove(cluster: &Cluster, at: usize, id: u64) -> Result<usize, Status> {
    let request = pb::MemberRemoveRequest { id };
    let removed = cluster.api(at).await.cluster().member_remove(request).await?;
    Ok(removed.into_inner().members.len())
}

/// Promotes once it is in sync.
pub(crate) async fn promote(cluster: &Cluster, at: usize, id: u64) {
    let api = cluster.api(at).await.cluster();
    wait::until_async("a learner in sync", || async {
        match api.clone().member_promote(pb::MemberPromoteRequest { id }).await {
            Ok(_) => Some(()),
            Err(status) if status.message().contains("in sync with leader") => None,
            Err(status) => panic!("{status}"),
        }
    })
    .await;
}

/// Ids of the members, learners with a question mark, as member `n` sees them.
async fn listed(cluster: &Cluster, n: usize) -> Vec<String> {
    let members = members(&cluster.api(n).await).await;
    let shown = |m: &pb::Member| format!("{:x}{}", m.id, if m.is_learner { "?" } else { "" });
    members.iter().map(shown).collect()
}

#[tokio::test]
async fn a_cluster_grows_from_one_member_and_outlives_it() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.api(0).await.put("before", "1").await;
    let (learner, learner_id) = cluster.add(0, true).await;
    cluster.members[learner].launch();
    assert!(cluster.members[learner].wait_until_serving());
    let api = cluster.api(learner).await;
    let get = |serializable| pb::RangeRequest {
        key: bytes("before"),
        serializable,
        ..pb::RangeRequest::default()
    };
    let refused = api.kv().range(get(false)).await.expect_err("it only learns");
    assert_eq!(refused.message(), "etcdserver: rpc not supported for learner");
    let put = pb::PutRequest { key: bytes("k"), ..pb::PutRequest::default() };
    let refused = api.kv().put(put).await.expect_err("it only learns");
    assert_eq!(refused.message(), "etcdserver: rpc not supported for learner");
    wait::until_async("the learner to learn", || async {
        let read = api.kv().range(get(true)).await.expect("serves what it has").into_inner();
        (read.kvs.len() == 1).then_some(())
    })
    .await;
    promote(&cluster, 0, learner_id).await;
    // Asked of one that does not lead.
    let (third, _) = cluster.add(learner, false).await;
    cluster.members[third].launch();
    cluster.wait_until_all_serve();
    cluster.converged(&[0, 1, 2]).await;

    cluster.members[0].kill();
    put_until_done(&cluster, &[1, 2], "after", "2").await;
    cluster.members[1].kill();
    cluster.members[2].kill();
    for n in 0..3 {
        cluster.members[n].launch();
    }
    cluster.wait_until_all_serve();
    put_until_done(&cluster, &[0, 1, 2], "again", "3").await;
    cluster.converged(&[0, 1, 2]).await;
    let seen = listed(&cluster, 0).await;
    assert_eq!(seen.len(), 3);
    for n in [1, 2] {
        assert_eq!(listed(&cluster, n).await, seen);
        assert_eq!(cluster.api(n).await.get("before").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_removed_member_says_so_and_stops_each_time_it_is_started() {
    let mut cluster = Cluster::start(3, &["--strict-reconfig-check=false"]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let gone = others(leader)[0];
    let gone_id = id(&cluster, gone).await;
    // By itself. The others may refuse it before it has heard that it is removed: then it stops
    // without an answer.
    match remove(&cluster, gone, gone_id).await {
        Ok(left) => assert_eq!(left, 2),
        Err(status) => assert!(matches!(status.code(), Code::Unavailable | Code::Unknown)),
    }
    // Nothing failed, so that no supervisor takes it for a failure; after that, nothing starts.
    assert_eq!(cluster.members[gone].wait_until_stopped().code(), Some(0));
    for _ in 0..2 {
        assert!(cluster.members[gone].log().contains(REMOVED));
        cluster.members[gone].launch();
        cluster.members[gone].wait_until_stopped();
    }
    cluster.members[gone].launch();
    cluster.members[gone].wait_until_stopped();
    let again = remove(&cluster, leader, gone_id).await.expect_err("is gone");
    assert_eq!(again.message(), "etcdserver: member not found");
    put_until_done(&cluster, &others(gone), "k", "2").await;
}

#[tokio::test]
async fn a_member_removed_while_it_was_down_is_told_by_the_others() {
    let mut cluster = Cluster::start(3, &["--strict-reconfig-check=false"]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let gone = others(leader)[0];
    let gone_id = id(&cluster, gone).await;
    cluster.members[gone].kill();
    remove(&cluster, leader, gone_id).await.expect("is allowed");
    cluster.members[gone].launch();
    cluster.members[gone].wait_until_stopped();
    assert!(cluster.members[gone].log().contains(REMOVED));
}

#[tokio::test]
async fn a_leader_can_be_removed_and_replaced() {
    let mut cluster = Cluster::start(3, &["--strict-reconfig-check=false"]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let left = others(leader);
    let leader_id = id(&cluster, leader).await;
    assert_eq!(remove(&cluster, left[0], leader_id).await.expect("is allowed"), 2);
    cluster.members[leader].wait_until_stopped();
    put_until_done(&cluster, &left, "k", "2").await;
    let (new, _) = cluster.add(left[1], false).await;
    cluster.members[new].launch();
    assert!(cluster.members[new].wait_until_serving());
    let now = [left[0], left[1], new];
    cluster.converged(&now).await;
    assert_eq!(cluster.api(new).await.get("k").await.as_deref(), Some("2"));
    cluster.members[left[0]].kill();
    put_until_done(&cluster, &[left[1], new], "k", "3").await;
}

#[tokio::test]
async fn another_peer_url_is_followed() {
    let mut cluster = Cluster::start(3, &[]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    let moved = others(cluster.leader(&[0, 1, 2]).await)[0];
    let moved_id = id(&cluster, moved).await;
    cluster.members[moved].kill();
    let peer = free_address();
    let url = format!("http://{peer}");
    let request = pb::MemberUpdateRequest { id: moved_id, peer_ur_ls: vec![url.clone()] };
    let other = others(moved)[0];
    cluster.api(other).await.cluster().member_update(request).await.expect("is allowed");
    let taken = pb::MemberUpdateRequest { id: id(&cluster, other).await, peer_ur_ls: vec![url] };
    let refused = cluster.api(other).await.cluster().member_update(taken).await;
    let refused = refused.expect_err("it is another's");
    assert_eq!(refused.message(), "etcdserver: Peer URLs already exists");
    let mut options = joining(moved, peer, &members(&cluster.api(other).await).await);
    options.data_dir = Some(cluster.members[moved].data_dir().to_owned());
    let old = std::mem::replace(&mut cluster.members[moved], Node::prepare(options));
    cluster.members[moved].launch();
    cluster.wait_until_all_serve();
    // Its vote is needed now.
    cluster.members[other].kill();
    let left: Vec<usize> = (0..3).filter(|n| *n != other).collect();
    put_until_done(&cluster, &left, "k", "2").await;
    drop(old);
}

#[tokio::test]
async fn strict_checks_keep_the_quorum() {
    let mut cluster = Cluster::start(3, &[]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    let add = pb::MemberAddRequest {
        peer_ur_ls: vec![format!("http://{}", free_address())],
        ..pb::MemberAddRequest::default()
    };
    let leader = cluster.leader(&[0, 1, 2]).await;
    let [down, up] = others(leader)[..] else { panic!("two of three do not lead") };
    let (down_id, up_id) = (id(&cluster, down).await, id(&cluster, up).await);
    cluster.members[down].kill();
    let api = cluster.api(leader).await.cluster();
    let refused = api.clone().member_add(add).await.expect_err("one of four would be too few");
    assert_eq!(refused.message(), UNHEALTHY);
    let refused = remove(&cluster, up, up_id).await.expect_err("nobody would be left to agree");
    assert_eq!(refused.message(), UNHEALTHY);
    assert_eq!(remove(&cluster, up, down_id).await.expect("is down anyway"), 2);
    for bad in [vec![], vec!["ftp://a:1".to_owned()], vec!["http://a".to_owned()]] {
        let add = pb::MemberAddRequest { peer_ur_ls: bad, ..pb::MemberAddRequest::default() };
        let refused = api.clone().member_add(add).await.expect_err("no address");
        assert_eq!(refused.message(), "etcdserver: given member URLs are invalid");
    }
    let unknown = api.clone().member_promote(pb::MemberPromoteRequest { id: 9 }).await;
    assert_eq!(unknown.expect_err("unknown").message(), "etcdserver: member not found");
    let voter = api.clone().member_promote(pb::MemberPromoteRequest { id: up_id }).await;
    let text = "etcdserver: can only promote a learner member";
    assert_eq!(voter.expect_err("it votes").message(), text);
}

#[tokio::test]
async fn the_last_voter_stays_and_learners_are_few() {
    let mut cluster = Cluster::start(1, &[]);
    let me = id(&cluster, 0).await;
    let refused = remove(&cluster, 0, me).await.expect_err("nobody would be left");
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unknown, NOT_ENOUGH));
    let (_, learner) = cluster.add(0, true).await;
    let api = cluster.api(0).await.cluster();
    let add = pb::MemberAddRequest {
        peer_ur_ls: vec![format!("http://{}", free_address())],
        is_learner: true,
    };
    let refused = api.clone().member_add(add).await.expect_err("one is the most");
    assert_eq!(refused.message(), "etcdserver: too many learner members in cluster");
    let refused = api.clone().member_promote(pb::MemberPromoteRequest { id: learner }).await;
    let text = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!(refused.expect_err("it never ran").message(), text);
    assert_eq!(remove(&cluster, 0, learner).await.expect("is allowed"), 1);
}

#[tokio::test]
async fn who_has_no_place_in_a_cluster_is_told_why() {
    let mut cluster = Cluster::start(3, &[]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    let api = cluster.api(0).await;
    let known = members(&api).await;
    let own = free_address();
    let at = |peer| pb::Member { peer_ur_ls: vec![format!("http://{peer}")], ..Default::default() };
    let says = |others: &[pb::Member]| {
        let all = [others, &[at(own)]].concat();
        Node::start_and_fail(joining(9, own, &all)).1
    };
    let log = says(&known[..1]);
    assert!(log.contains("member count is unequal"), "{log}");
    let log = says(&known[..2]);
    assert!(log.contains("no match found for existing member"), "{log}");
    let log = says(&[at(free_address())]);
    assert!(log.contains("cannot fetch cluster info from peer urls"), "{log}");

    // A founder that lost its data may not begin anew: it has voted before.
    cluster.members[2].kill();
    std::fs::remove_dir_all(cluster.members[2].data_dir()).expect("its directory");
    cluster.members[2].launch();
    cluster.members[2].wait_until_stopped();
    assert!(cluster.members[2].log().contains("has already been bootstrapped"));
}

#[tokio::test]
async fn a_disaster_leaves_one_member_that_goes_on_alone() {
    let mut cluster = Cluster::start(3, &[]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    cluster.converged(&[0, 1, 2]).await;
    for member in &mut cluster.members {
        member.kill();
    }
    let options = |flags: &[&str]| Options {
        data_dir: Some(cluster.members[1].data_dir().to_owned()),
        name: Some("m1".into()),
        peer: Some(free_address()),
        ..Options::flags(flags)
    };
    let alone = ["--initial-cluster=m1=http://localhost:2380", "--force-new-cluster"];
    for flags in [&alone[..], &alone[..], &alone[..1]] {
        let mut node = Node::start_with(options(flags));
        let api = crate::support::Api::connect(&node).await;
        assert_eq!(api.get("k").await.as_deref(), Some("1"));
        api.put("alone", "2").await;
        let names: Vec<String> = members(&api).await.into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["m1"]);
        node.stop("TERM");
    }
}

//! Who is let in, and what.

use reseed_proto::log::member_change::Change;
use reseed_rt::chan;

use super::super::outbox;
use super::*;
use crate::membership::tests::Applied;

fn door() -> Door {
    let (driver, _events) = chan::bounded("driver", 1);
    Door { cluster: 0xc1, member: 0xa, peers: outbox::tests::peers(), driver }
}

fn metadata(cluster: &str, to: &str, version: &str) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    let fields = [
        (header::CLUSTER, cluster),
        (header::FROM, "b"),
        (header::TO, to),
        (header::VERSION, version),
    ];
    for (name, value) in fields {
        metadata.insert(name, value.parse().expect("ASCII"));
    }
    metadata
}

#[tokio::test]
async fn who_was_removed_is_told_so() {
    let door = door();
    let call = || door.check(&metadata("c1", "a", PEER_VERSION)).map_err(|status| status.code());
    let mut log = Applied::default();
    log.add(&[0xa, 0xb]);
    door.peers.follow(log.members());
    assert_eq!(call(), Ok(0xb));
    log.change(Change::Remove(0xb)).expect("is allowed");
    door.peers.follow(log.members());
    assert_eq!(call(), Err(tonic::Code::PermissionDenied));
}

#[tokio::test]
async fn a_caller_that_is_no_known_member_gets_its_answers() {
    let door = door();
    let mut metadata = metadata("c1", "a", PEER_VERSION);
    metadata.insert(header::URLS, "http://b:1,http://c:1".parse().expect("ASCII"));
    door.check(&metadata).expect("let in");
    let route = door.peers.route(0xb).expect("a way back");
    assert_eq!(route.urls, ["http://b:1", "http://c:1"]);
}

#[test]
fn a_peer_of_this_cluster_is_let_in_and_strangers_are_told_why_not() {
    let check = |cluster, to, version| door().check(&metadata(cluster, to, version));
    assert_eq!(check("c1", "a", PEER_VERSION).expect("let in"), 0xb);
    let refused = |cluster, to, version| check(cluster, to, version).expect_err("refused");
    assert!(refused("c2", "a", PEER_VERSION).message().contains("cluster c1, not c2"));
    assert!(refused("c1", "d", PEER_VERSION).message().contains("member a, not d"));
    assert!(refused("c1", "a", "0").message().contains("version"));
    assert!(refused("", "a", PEER_VERSION).message().contains("missing"));
}

#[test]
fn what_raft_would_choke_on_or_another_sent_is_refused() {
    let batch =
        |message: &Message| RaftBatch { messages: vec![message.encode_to_vec().into()], probe: 0 };
    let sound = Message { from: 0xb, ..Message::default() };
    assert_eq!(decode(&batch(&sound), 0xb).expect("sound"), std::slice::from_ref(&sound));
    let foreign = Message { from: 0xd, ..Message::default() };
    let bare = Message { msg_type: MessageType::MsgSnapshot as i32, ..sound.clone() };
    let unknown = Message { msg_type: 99, ..sound };
    let garbage = RaftBatch { messages: vec![bytes::Bytes::from_static(b"\xff\xff")], probe: 0 };
    for bad in [batch(&foreign), batch(&bare), batch(&unknown), garbage] {
        assert!(decode(&bad, 0xb).is_err());
    }
}

//! Who is let in, and what.

use reseed_rt::chan;

use super::*;

fn service() -> PeerService {
    let (driver, _events) = chan::bounded("driver", 1);
    PeerService::new((0xc1, 0xa), driver, "/db".into(), LeaseClock::idle())
}

fn metadata(cluster: &str, to: &str, version: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
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

#[test]
fn a_peer_of_this_cluster_is_let_in_and_strangers_are_told_why_not() {
    let check = |cluster, to, version| service().check(&metadata(cluster, to, version));
    assert_eq!(check("c1", "a", PEER_VERSION).expect("let in"), 0xb);
    let refused = |cluster, to, version| check(cluster, to, version).expect_err("refused");
    assert!(refused("c2", "a", PEER_VERSION).message().contains("cluster c1, not c2"));
    assert!(refused("c1", "d", PEER_VERSION).message().contains("member a, not d"));
    assert!(refused("c1", "a", "0").message().contains("version"));
    assert!(refused("", "a", PEER_VERSION).message().contains("missing"));
}

#[test]
fn what_raft_would_choke_on_or_another_sent_is_refused() {
    let batch = |message: &Message| RaftBatch { messages: vec![message.encode_to_vec().into()] };
    let sound = Message { from: 0xb, ..Message::default() };
    assert_eq!(decode(&batch(&sound), 0xb).expect("sound"), std::slice::from_ref(&sound));
    let foreign = Message { from: 0xd, ..Message::default() };
    let bare = Message { msg_type: MessageType::MsgSnapshot as i32, ..sound.clone() };
    let unknown = Message { msg_type: 99, ..sound };
    let garbage = RaftBatch { messages: vec![bytes::Bytes::from_static(b"\xff\xff")] };
    for bad in [batch(&foreign), batch(&bare), batch(&unknown), garbage] {
        assert!(decode(&bad, 0xb).is_err());
    }
}

//! Members as entries of the log change them and a restart finds them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use reseed_proto::log::log_entry::Request;
use reseed_proto::log::{ClusterVersion, MemberAttributes, MemberRecord};

use super::members::{cluster_id_input, member_id_input};
use crate::applied::Effect;
use crate::harness::Host;
use crate::id::MemberId;
use crate::port::Batch;

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn attributes(member_id: u64, name: &str) -> Request {
    let client_urls = strings(&["http://c:2379"]);
    Request::MemberAttributes(MemberAttributes { member_id, name: name.into(), client_urls })
}

#[test]
fn a_member_tells_its_name_once() {
    let mut host = Host::default();
    let record = MemberRecord {
        id: 0x1f,
        peer_urls: strings(&["http://p:2380"]),
        ..MemberRecord::default()
    };
    let mut batch = Batch::default();
    host.machine.members.bootstrap(record, &mut batch);
    host.memory.commit(batch);
    host.check_restart();

    let mut tell = |member, name| {
        let applied = host.apply(attributes(member, name)).expect("applies");
        host.check_restart();
        applied.effects
    };
    assert_eq!(tell(0x1f, "one"), [Effect::MembersChanged]);
    assert_eq!(tell(0x1f, "one"), []);
    assert_eq!(tell(0x20, "two"), []);
    let listed = host.machine.members.list();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), listed[0].id), ("one", 0x1f));
    assert_eq!(listed[0].peer_ur_ls, ["http://p:2380"]);
    assert_eq!(listed[0].client_ur_ls, ["http://c:2379"]);
    assert_eq!(MemberId(0x1f).to_string(), "1f");
}

#[test]
fn the_cluster_version_survives() {
    let mut host = Host::default();
    let request = Request::ClusterVersion(ClusterVersion { version: "3.7.0".into() });
    let applied = host.apply(request).expect("applies");
    assert_eq!(applied.effects, [Effect::ClusterVersionChanged("3.7.0".into())]);
    host.check_restart();
}

#[test]
fn ids_do_not_depend_on_the_order_of_what_they_are_made_of() {
    let one = member_id_input(&strings(&["http://b:1", "http://a:1"]), "token");
    assert_eq!(one, b"http://a:1http://b:1token");
    let two = cluster_id_input(&[MemberId(2), MemberId(1)]);
    assert_eq!(two, [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 2]].concat());
}

//! Members as entries of the log change them and a restart finds them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use reseed_proto::log::log_entry::Request;
use reseed_proto::log::member_change::Change;
use reseed_proto::log::{
    ClusterVersion, MemberAdd, MemberAttributes, MemberChange, MemberRecord, MemberUpdate,
};

use super::members::{added_id_input, cluster_id_input, member_id_input};
use crate::applied::{Effect, Response};
use crate::error::Error;
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

/// Changes the membership; the ids afterwards, learners with a question mark.
fn change(host: &mut Host, change: Change) -> Result<String, Error> {
    let before = host.machine.members.clone();
    let request = Request::MemberChange(MemberChange { change: Some(change) });
    let applied = host.apply(request).expect("no change of the membership halts");
    host.check_restart();
    match applied.response {
        Ok(Response::Members(members)) => {
            assert_eq!(applied.effects, [Effect::MembersChanged]);
            assert_eq!(members, host.machine.members.list());
            let shown =
                members.iter().map(|m| format!("{}{}", m.id, if m.is_learner { "?" } else { "" }));
            Ok(shown.collect::<Vec<_>>().join(" "))
        }
        Ok(other) => panic!("answered as {other:?}"),
        Err(error) => {
            assert_eq!(host.machine.members, before, "{error} changed something");
            Err(error)
        }
    }
}

fn add(id: u64, url: &str, is_learner: bool) -> Change {
    let peer_urls = strings(&[url]);
    let member = MemberRecord { id, peer_urls, is_learner, ..MemberRecord::default() };
    Change::Add(MemberAdd { member: Some(member), learners_max: 1 })
}

fn update(id: u64, url: &str) -> Change {
    Change::Update(MemberUpdate { id, peer_urls: strings(&[url]) })
}

#[test]
fn members_come_learn_vote_and_go() {
    let mut host = Host::default();
    let mut says = |wanted| change(&mut host, wanted).expect("is allowed");
    assert_eq!(says(add(1, "http://a:1", false)), "1");
    assert_eq!(says(add(3, "http://c:1", false)), "1 3");
    assert_eq!(says(add(2, "http://b:1", true)), "1 2? 3");
    assert_eq!(says(Change::Promote(2)), "1 2 3");
    assert_eq!(says(add(4, "http://d:1", true)), "1 2 3 4?");
    assert_eq!(says(Change::Remove(1)), "2 3 4?");
    assert_eq!(says(Change::Remove(4)), "2 3");
    assert!(host.machine.members.is_removed(MemberId(4)));
    assert_eq!(host.machine.members.removed().collect::<Vec<_>>(), [MemberId(1), MemberId(4)]);
}

#[test]
fn who_was_removed_never_returns() {
    let mut host = Host::default();
    change(&mut host, add(1, "http://a:1", false)).expect("is allowed");
    change(&mut host, add(2, "http://b:1", false)).expect("is allowed");
    change(&mut host, Change::Remove(2)).expect("is allowed");
    let again = [add(2, "http://b:1", false), Change::Remove(2), Change::Promote(2)];
    for wanted in again.into_iter().chain([update(2, "http://x:1")]) {
        assert_eq!(change(&mut host, wanted), Err(Error::MemberNotFound));
    }
    // Its address may return, under another id.
    assert_eq!(change(&mut host, add(5, "http://b:1", false)), Ok("1 5".into()));
}

#[test]
fn changes_that_make_no_sense_are_refused_as_etcd_refuses_them() {
    let mut host = Host::default();
    change(&mut host, add(1, "http://a:1", false)).expect("is allowed");
    change(&mut host, add(2, "http://b:1", true)).expect("is allowed");
    let refused = [
        (add(1, "http://x:1", false), Error::MemberExist),
        (add(3, "http://a:1", false), Error::PeerUrlExist),
        (add(3, "http://b:1", false), Error::PeerUrlExist),
        (add(3, "http://c:1", true), Error::TooManyLearners),
        (add(0, "http://c:1", false), Error::MemberNotFound),
        (Change::Remove(9), Error::MemberNotFound),
        (Change::Remove(1), Error::MemberNotEnoughStarted),
        (update(9, "http://c:1"), Error::MemberNotFound),
        (update(2, "http://a:1"), Error::PeerUrlExist),
        (Change::Promote(1), Error::MemberNotLearner),
        (Change::Promote(9), Error::MemberNotFound),
    ];
    for (wanted, error) in refused {
        let shown = format!("{wanted:?}");
        assert_eq!(change(&mut host, wanted), Err(error), "{shown}");
    }
}

#[test]
fn another_address_makes_no_voter_of_a_learner() {
    let mut host = Host::default();
    change(&mut host, add(1, "http://a:1", false)).expect("is allowed");
    change(&mut host, add(2, "http://b:1", true)).expect("is allowed");
    host.apply(attributes(2, "two")).expect("applies");
    assert_eq!(change(&mut host, update(2, "http://z:1")), Ok("1 2?".into()));
    // Its own address is no other member's.
    assert_eq!(change(&mut host, update(2, "http://z:1")), Ok("1 2?".into()));
    let record = host.machine.members.get(MemberId(2)).expect("a member");
    assert_eq!((record.name.as_str(), record.peer_urls.join(",")), ("two", "http://z:1".into()));
    assert_eq!(host.machine.members.voters().map(|m| m.id).collect::<Vec<_>>(), [1]);
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
    let later = added_id_input(&strings(&["http://b:1", "http://a:1"]), 1_700_000_000);
    assert_eq!(later, b"http://a:1http://b:11700000000");
    let two = cluster_id_input(&[MemberId(2), MemberId(1)]);
    assert_eq!(two, [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 2]].concat());
}

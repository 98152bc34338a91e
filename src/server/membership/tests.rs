//! Changes as raft and apply see them, and who this member may be.

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState};
use reseed_core::applied::{At, Response};
use reseed_core::cluster::Members;
use reseed_core::error::Error;
use reseed_core::id::MemberId;
use reseed_core::port::{Read, ReadError, Table, Visit};
use reseed_core::{Machine, codec};
use reseed_proto::log::log_entry::Request;
use reseed_proto::log::member_change::Change;
use reseed_proto::log::{
    LogEntry, MemberAdd, MemberAttributes, MemberChange, MemberRecord, MemberUpdate,
};
use reseed_proto::peer::ClusterMembers;

use super::join::{check_new, find, find_in, founders};
use super::rules::{View, is_known};
use crate::config::{Config, InitialMember};
use crate::raft::changes::*;
use crate::raft::node::Standing;

/// A machine that only members change in.
#[derive(Default)]
pub(crate) struct Applied {
    machine: Machine,
    index: u64,
}

/// Nothing is stored.
struct Nothing;

impl Read for Nothing {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(None)
    }

    fn scan(
        &self,
        _: Table,
        _: &[u8],
        _: Option<&[u8]>,
        _: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        Ok(())
    }
}

impl Applied {
    pub(crate) fn members(&self) -> &Members {
        &self.machine.members
    }

    fn apply(&mut self, entry: &LogEntry) -> Result<Response, Error> {
        self.index += 1;
        let at = At { index: self.index, term: 1 };
        self.machine.apply(at, entry, &Nothing).expect("does not halt").response
    }

    /// Through the log, where raft's part of it matters.
    pub(crate) fn change(&mut self, change: Change) -> Result<Response, Error> {
        let change = MemberChange { change: Some(change) };
        let entry = match entry_data(5, &change) {
            Some(data) => log_entry(&data).expect("what was written reads"),
            None => LogEntry {
                id: 5,
                request: Some(Request::MemberChange(change)),
                ..LogEntry::default()
            },
        };
        assert_eq!(entry.id, 5);
        self.apply(&entry)
    }

    /// Voters at `http://ID:1`.
    pub(crate) fn add(&mut self, ids: &[u64]) {
        for id in ids {
            self.change(add(*id, false)).expect("is allowed");
        }
    }

    fn start(&mut self, ids: &[u64]) {
        for id in ids {
            let name = format!("m{id}");
            let told = MemberAttributes { member_id: *id, name, client_urls: vec![] };
            let request = Some(Request::MemberAttributes(told));
            self.apply(&LogEntry { id: 6, request, ..LogEntry::default() }).expect("applies");
        }
    }
}

fn record(id: u64, is_learner: bool) -> MemberRecord {
    let peer_urls = vec![format!("http://{id}:1")];
    MemberRecord { id, peer_urls, is_learner, ..MemberRecord::default() }
}

fn add(id: u64, is_learner: bool) -> Change {
    Change::Add(MemberAdd { member: Some(record(id, is_learner)), learners_max: 2 })
}

fn state(voters: &[u64], learners: &[u64]) -> ConfState {
    let (voters, learners) = (voters.to_vec(), learners.to_vec());
    ConfState { voters, learners, ..ConfState::default() }
}

#[test]
fn rafts_configuration_follows_from_the_members_step_by_step() {
    let mut log = Applied::default();
    log.add(&[1, 3]);
    let before = conf_state(log.members());
    assert_eq!(before, state(&[1, 3], &[]));
    log.change(add(2, true)).expect("is allowed");
    log.change(add(4, true)).expect("is allowed");
    log.change(Change::Promote(2)).expect("is allowed");
    log.change(Change::Remove(1)).expect("is allowed");
    let after = conf_state(log.members());
    assert_eq!(after, state(&[2, 3], &[4]));
    let taken: Vec<_> =
        steps(&before, &after).iter().map(|step| (step.change_type(), step.node_id)).collect();
    use ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};
    assert_eq!(taken, [(AddNode, 2), (AddLearnerNode, 4), (RemoveNode, 1)]);
    assert_eq!(steps(&state(&[1], &[2]), &state(&[1, 2], &[])).len(), 1);
    assert!(steps(&after, &after).is_empty());
}

#[test]
fn an_entry_whose_two_parts_differ_is_not_applied() {
    let data = entry_data(9, &MemberChange { change: Some(add(2, false)) }).expect("raft's");
    let sound = ConfChange::decode(data).expect("ours");
    let bad = [
        ConfChange { node_id: 3, ..sound.clone() },
        ConfChange { change_type: ConfChangeType::RemoveNode as i32, ..sound.clone() },
        ConfChange { context: Bytes::new(), ..sound.clone() },
        ConfChange { context: codec::encode(&LogEntry::default()), ..sound },
    ];
    for change in bad {
        assert!(log_entry(&change.encode_to_vec().into()).is_err(), "{change:?}");
    }
    let update = MemberUpdate { id: 2, peer_urls: vec!["http://x:1".into()] };
    assert!(entry_data(9, &MemberChange { change: Some(Change::Update(update)) }).is_none());
}

#[test]
fn founders_write_the_same_first_entries_whatever_the_order_of_their_flags() {
    let member = |name: &str, urls: &[&str]| InitialMember {
        name: name.into(),
        peer_urls: urls.iter().map(ToString::to_string).collect(),
    };
    let of = |name: &str, initial_cluster| {
        founders(&Config { name: name.into(), initial_cluster, ..Config::default() })
    };
    let (a, b) = (member("a", &["http://a:1", "http://a:2"]), member("b", &["http://b:1"]));
    let (one, first) = of("a", vec![a, b.clone()]);
    // Another member may even call it otherwise.
    let (two, second) = of("b", vec![b, member("x", &["http://a:2", "http://a:1"])]);
    assert_eq!(one.cluster_id, two.cluster_id);
    assert_ne!(one.member_id, two.member_id);
    let entries = first_entries(first);
    assert_eq!(entries, first_entries(second));
    let mut log = Applied::default();
    for entry in &entries {
        log.apply(&log_entry(&entry.data).expect("reads")).expect("is allowed");
    }
    assert!(conf_state(log.members()).voters.contains(&one.member_id));
    assert_eq!(
        entries.iter().map(|entry| (entry.index, entry.term)).collect::<Vec<_>>(),
        [(1, 1), (2, 1)]
    );
}

#[test]
fn a_member_left_alone_removes_everybody_the_log_names() {
    let mut log = Applied::default();
    log.add(&[1, 2]);
    log.change(add(3, true)).expect("is allowed");
    let tail = entries_behind((7, 2), [add(4, false)]);
    let learner = log.members().get(MemberId(3)).cloned().expect("a member");
    for change in alone(&learner, &log.members().clone(), &tail) {
        // What does not fit is refused.
        let _refused = log.change(change);
    }
    assert_eq!(conf_state(log.members()), state(&[3], &[]));
    assert!(alone(&learner, log.members(), &[]).is_empty(), "once is enough");
}

#[test]
fn strict_checks_ask_what_etcd_asks() {
    let mut log = Applied::default();
    let may = |log: &Applied, healthy: &[u64], ask: fn(&View<'_>) -> Result<(), Error>| {
        let healthy: std::collections::BTreeSet<u64> = healthy.iter().copied().collect();
        ask(&View { members: log.members(), connected: healthy.clone(), healthy, me: 1 })
    };
    log.add(&[1]);
    assert_eq!(may(&log, &[1], |v| v.may_add(false)), Err(Error::MemberNotEnoughStarted));
    log.start(&[1]);
    assert_eq!(may(&log, &[1], |v| v.may_add(false)), Ok(()));
    assert_eq!(may(&log, &[1], |v| v.may_remove(1)), Err(Error::MemberNotEnoughStarted));
    log.add(&[2]);
    // Two of three would be needed, and one of them has never been seen.
    assert_eq!(may(&log, &[1], |v| v.may_add(false)), Err(Error::MemberNotEnoughStarted));
    log.start(&[2]);
    assert_eq!(may(&log, &[1], |v| v.may_add(false)), Err(Error::Unhealthy));
    assert_eq!(may(&log, &[1], |v| v.may_add(true)), Err(Error::Unhealthy));
    assert_eq!(may(&log, &[1, 2], |v| v.may_add(true)), Ok(()));
    log.add(&[3]);
    log.start(&[3]);
    assert_eq!(may(&log, &[1, 2], |v| v.may_remove(3)), Ok(()), "it is down");
    assert_eq!(may(&log, &[1, 2], |v| v.may_remove(2)), Err(Error::Unhealthy));
    assert_eq!(may(&log, &[1, 2, 3], |v| v.may_remove(2)), Ok(()));
    assert_eq!(may(&log, &[1, 2, 3], |v| v.may_promote()), Ok(()));
    log.add(&[4, 5]);
    assert_eq!(may(&log, &[1, 2, 3], |v| v.may_remove(3)), Err(Error::MemberNotEnoughStarted));
    log.add(&[6, 7]);
    assert_eq!(may(&log, &[1, 2, 3], |v| v.may_promote()), Err(Error::MemberNotEnoughStarted));
}

#[test]
fn a_change_is_known_when_all_who_are_heard_and_a_quorum_know_it() {
    // Who votes, is heard, has (part of) the log, knows that entry 5 is committed.
    let known = |members: &[(bool, bool, bool, bool)]| {
        let standing = |(votes, is_active, has_log, knows): &(bool, bool, bool, bool)| Standing {
            votes: *votes,
            is_active: *is_active,
            matched: if *has_log { 5 } else { 0 },
            committed: if *knows { 5 } else { 4 },
        };
        is_known(5, &(1..).zip(members.iter().map(standing)).collect())
    };
    let leader = (true, true, true, true);
    assert!(known(&[leader]));
    assert!(known(&[leader, (true, true, false, false)]), "the second has not begun to run");
    assert!(!known(&[leader, (true, true, true, false)]));
    assert!(!known(&[leader, (true, false, true, false)]), "no quorum knows");
    assert!(known(&[leader, leader, (true, false, true, false)]), "the third is down");
    assert!(!known(&[leader, leader, (true, true, true, false)]), "its log may be longer");
    assert!(known(&[leader, (false, true, true, false)]), "it learns");
    let behind = Standing { votes: true, is_active: true, matched: 4, committed: 4 };
    let knows = Standing { matched: 5, committed: 5, ..behind };
    assert!(is_known(5, &[(1, knows), (2, knows), (3, behind)].into()), "it catches up");
    assert!(!is_known(5, &[(1, knows), (3, behind)].into()), "no quorum without it");
}

#[test]
fn who_joins_finds_itself_by_its_urls_or_is_told_why_not() {
    let named = |id: u64| InitialMember {
        name: format!("m{id}"),
        peer_urls: vec![format!("http://{id}:1")],
    };
    let config = |ids: &[u64]| Config {
        name: "m3".into(),
        initial_cluster: ids.iter().map(|id| named(*id)).collect(),
        ..Config::default()
    };
    let members = vec![record(1, false), record(2, false), record(3, true)];
    let cluster = ClusterMembers { cluster_id: 0xc1, members };
    let found = find_in(&config(&[3, 1, 2]), &cluster).expect("is in it");
    assert_eq!((found.member_id, found.cluster_id), (3, 0xc1));
    let refused = |ids: &[u64]| find_in(&config(ids), &cluster).expect_err("must be refused");
    assert!(refused(&[3, 1]).ends_with("member count is unequal"), "{}", refused(&[3, 1]));
    assert!(refused(&[3, 1, 4]).contains("no match found for existing member (2, [http://2:1])"));
}

#[test]
fn who_has_run_before_does_not_return_without_its_data() {
    let named = |id: u64| InitialMember {
        name: format!("m{id}"),
        peer_urls: vec![format!("http://{id}:1")],
    };
    let initial_cluster = [1, 2].map(named).to_vec();
    let config = Config { name: "m2".into(), initial_cluster, ..Config::default() };
    let mut second = record(2, false);
    let cluster = |second: &MemberRecord| ClusterMembers {
        cluster_id: 0xc1,
        members: vec![record(1, false), second.clone()],
    };
    let behind = cluster(&second);
    assert_eq!(find(&config, std::slice::from_ref(&behind)).map(|me| me.member_id), Ok(2));
    second.client_urls = vec!["http://c:1".into()];
    let refused = find(&config, &[behind, cluster(&second)]).expect_err("somebody knows");
    assert!(refused.starts_with("member 2 has run before"), "{refused}");
}

#[test]
fn a_founder_that_has_run_before_does_not_begin_anew() {
    let config = Config::default();
    let (me, records) = founders(&config);
    let answer = |client_urls: &[&str], cluster_id| {
        let client_urls = client_urls.iter().map(ToString::to_string).collect();
        let members = vec![MemberRecord { client_urls, ..records[0].clone() }];
        [ClusterMembers { cluster_id, members }]
    };
    assert!(check_new(me, &answer(&[], me.cluster_id)).is_ok());
    assert!(check_new(me, &answer(&["http://c:1"], 1)).is_ok(), "another cluster's");
    let refused = check_new(me, &answer(&["http://c:1"], me.cluster_id)).expect_err("refused");
    assert_eq!(refused.to_string(), "member 8e9e05c52164694d has already been bootstrapped");
}

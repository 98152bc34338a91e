//! The pure step, without a disk: what may happen before `persisted`, and what only after.

use bytes::Bytes;
use raft::Storage as _;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType};

use super::log_view::LogView;
use super::node::{Node, Output};

const ME: u64 = 7;

fn lone_voter() -> Node {
    let conf_state = ConfState { voters: vec![ME], ..ConfState::default() };
    let log = LogView::new(0, 0, conf_state, HardState::default());
    let config =
        raft::Config { id: ME, election_tick: 10, heartbeat_tick: 1, ..raft::Config::default() };
    let mut node = Node::new(&config, log).expect("a valid configuration");
    node.campaign_if_alone().expect("nobody objects");
    node
}

/// Persists outputs until there are none; returns the data of what was committed, in order.
fn settle(node: &mut Node) -> Vec<Bytes> {
    let mut committed = Vec::new();
    while node.has_output() {
        let output = node.output();
        committed.extend(output.committed.clone());
        committed.extend(node.persisted(&output).committed);
    }
    committed.into_iter().map(|entry| entry.data).filter(|data| !data.is_empty()).collect()
}

fn next_output_with_entries(node: &mut Node) -> Output {
    let output = node.output();
    assert!(!output.entries.is_empty(), "expected entries: {output:?}");
    output
}

#[test]
fn a_lone_voter_leads_at_once() {
    let mut node = lone_voter();
    settle(&mut node);
    assert!(node.is_leader());
    assert_eq!((node.leader(), node.term(), node.committed()), (ME, 1, 1));
}

#[test]
fn nothing_is_committed_before_it_is_persisted() {
    let mut node = lone_voter();
    settle(&mut node);
    node.propose(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]).expect("it leads");
    let output = next_output_with_entries(&mut node);
    assert!(output.must_sync, "entries must be durable");
    assert!(output.committed.is_empty(), "etcd #14370: committed on an unsynced entry");
    assert_eq!(node.committed(), 1);
    let persisted = node.persisted(&output);
    let data: Vec<&[u8]> = persisted.committed.iter().map(|entry| entry.data.as_ref()).collect();
    assert_eq!(data, [b"a", b"b"]);
}

#[test]
fn a_proposal_batch_keeps_its_order_and_its_bytes() {
    let mut node = lone_voter();
    settle(&mut node);
    let payloads: Vec<Bytes> = (0..100u8).map(|i| Bytes::from(vec![i; 40])).collect();
    node.propose(payloads.clone()).expect("it leads");
    assert_eq!(settle(&mut node), payloads);
}

#[test]
fn without_a_leader_proposals_are_refused_whole() {
    let conf_state = ConfState { voters: vec![ME, ME + 1], ..ConfState::default() };
    let log = LogView::new(0, 0, conf_state, HardState::default());
    let config = raft::Config { id: ME, ..raft::Config::default() };
    let mut node = Node::new(&config, log).expect("a valid configuration");
    node.campaign_if_alone().expect("it is not alone, so it does not");
    assert!(node.propose(vec![Bytes::from_static(b"a")]).is_err());
    assert!(!node.is_leader());
}

#[test]
fn a_read_is_answered_with_the_commit_index() {
    let mut node = lone_voter();
    settle(&mut node);
    node.propose(vec![Bytes::from_static(b"a")]).expect("it leads");
    settle(&mut node);
    node.read_index(b"round".to_vec());
    let output = node.output();
    let [state] = output.reads.as_slice() else { panic!("one answer: {output:?}") };
    assert_eq!((state.index, state.request_ctx.as_slice()), (2, b"round".as_slice()));
}

#[test]
fn a_restart_replays_what_was_committed_but_not_applied() {
    let mut node = lone_voter();
    settle(&mut node);
    node.propose(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]).expect("it leads");
    settle(&mut node);
    let log = node.log().clone();
    let config = raft::Config { id: ME, applied: 2, ..raft::Config::default() };
    let mut restarted = Node::new(&config, log).expect("a valid log");
    assert_eq!(settle(&mut restarted), [Bytes::from_static(b"b")]);
}

#[test]
fn a_restarted_member_can_offer_what_it_has_applied_at_once() {
    let mut node = lone_voter();
    settle(&mut node);
    node.propose(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]).expect("it leads");
    settle(&mut node);
    let config = raft::Config { id: ME, applied: 3, ..raft::Config::default() };
    let mut restarted = Node::new(&config, node.log().clone()).expect("a valid log");
    restarted.truncate_to(2);
    let offered = restarted.log().snapshot(0, ME + 1).expect("there is a state to send");
    assert_eq!(offered.get_metadata().index, 3);
}

#[test]
fn the_commit_index_is_stored_with_the_next_entries() {
    let mut node = lone_voter();
    settle(&mut node);
    node.propose(vec![Bytes::from_static(b"a")]).expect("it leads");
    settle(&mut node);
    node.propose(vec![Bytes::from_static(b"b")]).expect("it leads");
    let output = next_output_with_entries(&mut node);
    assert_eq!(output.hard_state.as_ref().map(|hs| (hs.term, hs.commit)), Some((1, 2)));
}

#[test]
fn the_members_decide_who_votes_and_one_change_is_under_way_at_a_time() {
    let conf_state = |voters: &[u64]| ConfState { voters: voters.to_vec(), ..Default::default() };
    let change =
        || Bytes::from(prost::Message::encode_to_vec(&raft::eraftpb::ConfChange::default()));
    let mut node = lone_voter();
    settle(&mut node);
    node.applied(node.committed());
    assert!(node.leads_alone());
    node.propose_change(change()).expect("none is under way");
    assert_eq!(node.propose_change(change()), Err(super::node::Refused::ChangePending));
    settle(&mut node);
    assert_eq!(node.propose_change(change()), Err(super::node::Refused::ChangePending));
    node.set_members(&conf_state(&[ME, ME + 1])).expect("one member more");
    node.applied(node.committed());
    assert!(node.is_leader() && !node.leads_alone());
    let standings = node.standings().expect("it leads");
    let come = standings.iter().map(|(id, it)| (*id, it.votes, it.matched, it.committed));
    assert_eq!(come.collect::<Vec<_>>(), [(ME, true, 2, 2), (ME + 1, true, 0, 0)]);
    assert_eq!(node.log().conf_state().voters, [ME, ME + 1]);
    node.propose(vec![Bytes::from_static(b"a")]).expect("it leads");
    assert!(settle(&mut node).is_empty(), "committed without the other voter");
}

#[test]
fn a_leader_that_is_removed_follows_and_tells_who_is_furthest_to_campaign() {
    let conf_state = |voters: &[u64]| ConfState { voters: voters.to_vec(), ..Default::default() };
    let other = ME + 1;
    let mut node = lone_voter();
    settle(&mut node);
    node.set_members(&conf_state(&[ME, other])).expect("one member more");
    let taken = |index| Message {
        msg_type: MessageType::MsgAppendResponse as i32,
        from: other,
        to: ME,
        term: 1,
        index,
        ..Message::default()
    };
    settle(&mut node);
    node.step(taken(1)).expect("it goes on");
    node.propose(vec![Bytes::from_static(b"a")]).expect("it leads");
    settle(&mut node);
    node.step(taken(2)).expect("it goes on");
    settle(&mut node);
    assert_eq!(node.committed(), 2);
    node.set_members(&conf_state(&[other])).expect("one member less");
    assert!(!node.is_leader());
    let output = node.output();
    let told = output.send_now.iter().chain(&output.send_after_sync).any(|message| {
        message.msg_type == MessageType::MsgTimeoutNow as i32 && message.to == other
    });
    assert!(told, "{output:?}");
    node.persisted(&output);
    // What would have made it commit.
    node.step(taken(3)).expect("it goes on");
    assert!(!node.has_output());
}

#[test]
fn who_asks_for_votes_before_an_election_heeds_the_leaders_call() {
    let voters = vec![ME, ME + 1, ME + 2];
    let conf_state = ConfState { voters, ..ConfState::default() };
    let hard_state = HardState { term: 3, ..HardState::default() };
    let log = LogView::new(0, 0, conf_state, hard_state);
    let config = raft::Config {
        id: ME,
        election_tick: 10,
        heartbeat_tick: 1,
        pre_vote: true,
        ..raft::Config::default()
    };
    let mut node = Node::new(&config, log).expect("a valid configuration");
    (0..20).for_each(|_| node.tick());
    settle(&mut node);
    assert_eq!(node.term(), 3, "it has asked whether it might, no more");
    let msg_type = MessageType::MsgTimeoutNow as i32;
    node.step(Message { msg_type, from: ME + 1, to: ME, term: 3, ..Message::default() })
        .expect("it goes on");
    assert_eq!(node.term(), 4, "it campaigns");
}

#[test]
fn a_change_is_not_applied_before_it_is_known_after_a_restart_that_it_is_committed() {
    let change =
        || Bytes::from(prost::Message::encode_to_vec(&raft::eraftpb::ConfChange::default()));
    let mut leader = lone_voter();
    settle(&mut leader);
    leader.propose_change(change()).expect("none is under way");
    let output = next_output_with_entries(&mut leader);
    let persisted = leader.persisted(&output);
    assert_eq!(persisted.committed.len(), 1);
    assert_eq!(persisted.hard_state.map(|state| state.commit), Some(2));
    // Its commit index needs no second writing.
    leader.propose(vec![Bytes::from_static(b"a")]).expect("it leads");
    let output = next_output_with_entries(&mut leader);
    assert_eq!(output.hard_state, None);
    assert_eq!(leader.persisted(&output).hard_state, None, "an ordinary entry");

    let conf_state = ConfState { voters: vec![ME, ME + 1], ..ConfState::default() };
    let log = LogView::new(0, 0, conf_state, HardState::default());
    let config = raft::Config { id: ME, ..raft::Config::default() };
    let mut follower = Node::new(&config, log).expect("a valid configuration");
    let append = |commit, entries| Message {
        msg_type: MessageType::MsgAppend as i32,
        from: ME + 1,
        to: ME,
        term: 1,
        commit,
        entries,
        ..Message::default()
    };
    let entry_type = EntryType::EntryConfChange as i32;
    let entry = Entry { entry_type, index: 1, term: 1, data: change(), ..Entry::default() };
    follower.step(append(0, vec![entry])).expect("it goes on");
    settle(&mut follower);
    follower.step(Message { index: 1, log_term: 1, ..append(1, Vec::new()) }).expect("it goes on");
    let output = follower.output();
    assert_eq!(output.hard_state.map(|state| state.commit), Some(1));
    assert!(output.must_sync && output.entries.is_empty());
    assert!(output.send_now.is_empty(), "it answers when it will remember");
    assert_eq!(output.send_after_sync.len(), 1);
}

#[test]
fn a_member_that_lacks_what_it_had_does_not_go_on() {
    let mut node = lone_voter();
    settle(&mut node);
    let heartbeat = |term, commit| Message {
        msg_type: MessageType::MsgHeartbeat as i32,
        from: ME + 1,
        to: ME,
        term,
        commit,
        ..Message::default()
    };
    assert_eq!(node.step(heartbeat(0, 9)), Ok(()), "of an earlier term");
    let said = node.step(heartbeat(2, 9)).expect_err("it has one entry").to_string();
    assert!(said.contains("had entry 9, and its log ends at 1"), "{said}");
}

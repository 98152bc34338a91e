//! The bytes of each message, the accessors, configuration changes, and what is refused.
//!
//! Expected bytes are computed by hand from the proto3 encoding: a tag is `number << 3 | type`
//! with type 0 for varints and 2 for anything with a length.

use bytes::Bytes;

use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    Entry, EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata,
};
use crate::{ConfChangeI, InvalidMessage, conf_state_eq, new_conf_change_single};

/// The message encodes to exactly these bytes and decodes from them, and from nothing less.
fn check_wire<M>(message: &M, bytes: &[u8])
where
    M: prost::Message + Default + PartialEq + std::fmt::Debug,
{
    assert_eq!(message.encode_to_vec(), bytes);
    assert_eq!(message.encoded_len(), bytes.len());
    assert_eq!(&M::decode(bytes).expect("the encoding of this message"), message);
    assert!(M::decode(&bytes[..bytes.len() - 1]).is_err(), "a cut encoding must not decode");
}

fn conf_state() -> ConfState {
    ConfState {
        voters: vec![1, 2, 300],
        learners: vec![4],
        voters_outgoing: vec![5],
        learners_next: vec![6],
        auto_leave: true,
    }
}

#[test]
fn entry_has_its_published_bytes() {
    let entry = Entry {
        entry_type: EntryType::EntryConfChangeV2.into(),
        term: 5,
        index: 300,
        data: Bytes::from_static(b"ab"),
        sync_log: true,
        context: Bytes::from_static(b"c"),
    };
    let bytes = b"\x08\x02\x10\x05\x18\xAC\x02\x22\x02ab\x28\x01\x32\x01c";
    check_wire(&entry, bytes);
}

#[test]
fn message_has_its_published_bytes() {
    let message = Message {
        msg_type: MessageType::MsgAppend.into(),
        to: 2,
        from: 1,
        term: 7,
        log_term: 6,
        index: 150,
        entries: vec![Entry { term: 7, index: 151, ..Entry::default() }],
        commit: 149,
        snapshot: Some(Snapshot::default()),
        reject: true,
        reject_hint: 9,
        context: Bytes::from_static(b"x"),
        request_snapshot: 4,
        deprecated_priority: 3,
        commit_term: 6,
        priority: -1,
    };
    let mut bytes = vec![0x08, 3, 0x10, 2, 0x18, 1, 0x20, 7, 0x28, 6, 0x30, 0x96, 0x01];
    bytes.extend([0x3A, 5, 0x10, 7, 0x18, 0x97, 0x01]);
    bytes.extend([0x40, 0x95, 0x01, 0x4A, 0, 0x50, 1, 0x58, 9, 0x62, 1, b'x', 0x68, 4, 0x70, 3]);
    bytes.extend([0x78, 6, 0x80, 0x01]);
    bytes.extend([0xFF; 9]);
    bytes.push(0x01);
    check_wire(&message, &bytes);
}

#[test]
fn snapshot_has_its_published_bytes() {
    let metadata = SnapshotMetadata { conf_state: Some(conf_state()), index: 9, term: 2 };
    let snapshot = Snapshot { data: Bytes::from_static(b"s"), metadata: Some(metadata) };
    let mut bytes = vec![0x0A, 1, b's', 0x12, 23, 0x0A, 17];
    bytes.extend([0x0A, 4, 1, 2, 0xAC, 0x02, 0x12, 1, 4, 0x1A, 1, 5, 0x22, 1, 6, 0x28, 1]);
    bytes.extend([0x10, 9, 0x18, 2]);
    check_wire(&snapshot, &bytes);
}

#[test]
fn hard_state_has_its_published_bytes() {
    let state = HardState { term: 3, vote: 2, commit: 300 };
    check_wire(&state, &[0x08, 3, 0x10, 2, 0x18, 0xAC, 0x02]);
}

#[test]
fn conf_changes_have_their_published_bytes() {
    let change = ConfChange {
        id: 7,
        change_type: ConfChangeType::RemoveNode.into(),
        node_id: 3,
        context: Bytes::from_static(b"k"),
    };
    check_wire(&change, &[0x08, 7, 0x10, 1, 0x18, 3, 0x22, 1, b'k']);

    let changes = ConfChangeV2 {
        transition: ConfChangeTransition::Explicit.into(),
        changes: vec![
            new_conf_change_single(4, ConfChangeType::AddLearnerNode),
            new_conf_change_single(5, ConfChangeType::AddNode),
        ],
        context: Bytes::from_static(b"z"),
    };
    let bytes = [0x08, 2, 0x12, 4, 0x08, 2, 0x10, 4, 0x12, 2, 0x10, 5, 0x1A, 1, b'z'];
    check_wire(&changes, &bytes);
}

#[test]
fn unpacked_lists_and_unknown_fields_decode() {
    // Voters 1 and 2 each with a tag of their own, then field 99 with value 5.
    let bytes: &[u8] = &[0x08, 1, 0x08, 2, 0x98, 0x06, 5];
    let state = <ConfState as prost::Message>::decode(bytes).expect("valid proto3");
    assert_eq!(state, ConfState::from(([1, 2], [])));
}

#[test]
fn decoding_from_bytes_shares_the_payload() {
    let entry = Entry { data: Bytes::from(vec![7; 1000]), ..Entry::default() };
    let frame = Bytes::from(prost::Message::encode_to_vec(&entry));
    let decoded = <Entry as prost::Message>::decode(frame.clone()).expect("just encoded");
    assert!(frame.as_ptr_range().contains(&decoded.data.as_ptr()));
}

#[test]
fn enums_have_their_published_numbers() {
    assert_eq!(i32::from(MessageType::MsgRequestPreVoteResponse), 18);
    assert!((0..19).all(|value| MessageType::try_from(value).is_ok()));
    assert!(MessageType::try_from(19).is_err());
    assert!((0..3).all(|value| EntryType::try_from(value).is_ok()));
    assert!(EntryType::try_from(3).is_err());
}

#[test]
fn unset_message_reads_as_empty_and_stays_unset() {
    let mut message = Message::default();
    assert!(!message.has_snapshot());
    assert!(message.get_snapshot().is_empty());
    assert!(message.get_snapshot().get_metadata().get_conf_state().get_voters().is_empty());
    assert!(!message.has_snapshot());
    assert_eq!(message.take_snapshot(), Snapshot::default());
    assert!(!message.has_snapshot());
}

#[test]
fn mut_sets_and_take_unsets() {
    let mut message = Message::default();
    message.mut_snapshot().mut_metadata().set_index(4);
    message.mut_snapshot().mut_metadata().mut_conf_state().set_voters(vec![1]);
    assert!(message.has_snapshot());
    assert!(!message.get_snapshot().is_empty());
    let mut snapshot = message.take_snapshot();
    assert!(!message.has_snapshot());
    let conf_state = snapshot.mut_metadata().take_conf_state();
    assert_eq!(conf_state, ConfState::from(([1], [])));
    assert!(!snapshot.get_metadata().has_conf_state());

    message.mut_entries().push(Entry { data: Bytes::from_static(b"d"), ..Entry::default() });
    let mut entries = message.take_entries();
    assert!(message.get_entries().is_empty());
    assert_eq!(entries[0].take_data(), "d");
    assert!(entries[0].get_data().is_empty());
}

#[test]
fn unknown_enum_reads_as_zero_and_survives_a_round_trip() {
    let mut message = Message { msg_type: 77, ..Message::default() };
    assert_eq!(message.get_msg_type(), MessageType::MsgHup);
    assert_eq!(prost::Message::encode_to_vec(&message), [0x08, 77]);
    message.set_msg_type(MessageType::MsgBeat);
    assert_eq!(message.get_msg_type(), MessageType::MsgBeat);
}

#[test]
fn old_form_becomes_one_change_of_the_new_form() {
    let old = ConfChange {
        id: 1,
        change_type: ConfChangeType::AddLearnerNode.into(),
        node_id: 3,
        context: Bytes::from_static(b"who"),
    };
    let new = old.as_v2().into_owned();
    assert_eq!(new.get_changes(), [new_conf_change_single(3, ConfChangeType::AddLearnerNode)]);
    assert_eq!(new.get_context(), b"who");
    assert_eq!(new.enter_joint(), None);
    assert!(!new.leave_joint());
    assert_eq!(old.as_v1(), Some(&old));
    assert_eq!(new.as_v1(), None);
    assert_eq!(new.as_v2().into_owned(), new);
    assert_eq!(old.into_v2(), new);
}

#[test]
fn joint_consensus_follows_the_transition_and_the_number_of_changes() {
    use ConfChangeTransition::{Auto, Explicit, Implicit};
    let cases = [
        (Auto, 0, None, true),
        (Auto, 1, None, false),
        (Auto, 2, Some(true), false),
        (Implicit, 0, Some(true), false),
        (Implicit, 1, Some(true), false),
        (Explicit, 0, Some(false), false),
        (Explicit, 2, Some(false), false),
    ];
    for (transition, count, enters, leaves) in cases {
        let change = ConfChangeV2 {
            transition: transition.into(),
            changes: vec![ConfChangeSingle::default(); count],
            context: Bytes::from_static(b"context plays no part"),
        };
        assert_eq!(change.enter_joint(), enters, "{transition:?} with {count} changes");
        assert_eq!(change.leave_joint(), leaves, "{transition:?} with {count} changes");
    }
}

#[test]
fn configurations_compare_as_sets() {
    let state = conf_state();
    let turned = ConfState { voters: vec![300, 1, 2], ..state.clone() };
    assert!(conf_state_eq(&state, &turned));
    let others = [
        ConfState { voters: vec![1, 2], ..state.clone() },
        ConfState { learners: vec![], ..state.clone() },
        ConfState { voters_outgoing: vec![5, 6], ..state.clone() },
        ConfState { learners_next: vec![7], ..state.clone() },
        ConfState { auto_leave: false, ..state.clone() },
    ];
    for other in others {
        assert!(!conf_state_eq(&state, &other), "{other:?}");
        assert!(!conf_state_eq(&other, &state), "{other:?}");
    }
}

fn message(msg_type: MessageType, entries: Vec<Entry>) -> Message {
    Message { msg_type: msg_type.into(), entries, ..Message::default() }
}

fn entry(entry_type: i32, data: &'static [u8]) -> Entry {
    Entry { entry_type, index: 1, data: Bytes::from_static(data), ..Entry::default() }
}

#[test]
fn unknown_enums_are_refused_wherever_they_are() {
    let check = |message: Message, field, value| {
        let expected = InvalidMessage::UnknownEnum { field, value };
        assert_eq!(message.validate(), Err(expected));
    };
    check(Message { msg_type: 19, ..Message::default() }, "msg_type", 19);
    check(Message { msg_type: -1, ..Message::default() }, "msg_type", -1);
    let propose = |entry| message(MessageType::MsgPropose, vec![Entry::default(), entry]);
    check(propose(entry(3, b"")), "entry_type", 3);
    check(propose(entry(1, b"\x10\x03")), "change_type", 3);
    check(propose(entry(2, b"\x08\x03")), "transition", 3);
    check(propose(entry(2, b"\x12\x00\x12\x02\x08\x03")), "change_type", 3);
}

#[test]
fn conf_changes_must_decode() {
    let good = message(MessageType::MsgAppend, vec![entry(2, b"")]);
    assert_eq!(good.validate(), Ok(()));
    let bad = message(MessageType::MsgAppend, vec![entry(2, b"\x12")]);
    let error = bad.validate().expect_err("the change is cut short");
    assert!(matches!(error, InvalidMessage::ConfChange(_)), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn entry_counts_that_make_raft_panic_are_refused() {
    let check = |msg_type, count: usize, valid: bool| {
        let message = message(msg_type, vec![Entry::default(); count]);
        let refused = Err(InvalidMessage::EntryCount { msg_type, count });
        assert_eq!(message.validate(), if valid { Ok(()) } else { refused });
    };
    check(MessageType::MsgPropose, 0, false);
    check(MessageType::MsgPropose, 2, true);
    for msg_type in [MessageType::MsgReadIndex, MessageType::MsgReadIndexResp] {
        check(msg_type, 0, false);
        check(msg_type, 1, true);
        check(msg_type, 2, false);
    }
    check(MessageType::MsgHeartbeat, 0, true);
}

#[test]
fn appended_entries_must_follow_each_other() {
    let append = |index, indexes: &[u64]| {
        let entry = |&index| Entry { index, ..Entry::default() };
        let entries = indexes.iter().map(entry).collect();
        Message { index, ..message(MessageType::MsgAppend, entries) }.validate()
    };
    assert_eq!(append(4, &[]), Ok(()));
    assert_eq!(append(4, &[5, 6]), Ok(()));
    let gap = |expected, found| Err(InvalidMessage::EntryGap { expected, found });
    assert_eq!(append(4, &[4]), gap(5, 4));
    assert_eq!(append(4, &[5, 7]), gap(6, 7));
    assert_eq!(append(u64::MAX, &[u64::MAX]), gap(u64::MAX, u64::MAX));
}

//! The messages raft writes to its log and sends to its peers.
//!
//! Names, field numbers and types follow `eraftpb.proto` of raft 0.7.0, and so do their meanings,
//! for which raft is the authority. Each struct is followed by its accessors. The wire rules are
//! proto3's: a zero scalar is not written, an unknown field is skipped, `u64` lists are packed.
//!
//! This module deliberately has no logic beyond [`Snapshot::is_empty`]; see `validate.rs` for
//! what is checked and `confchange.rs` for configuration changes.

use bytes::Bytes;

use crate::accessors::accessors;

/// What the data of an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
#[expect(clippy::enum_variant_names, reason = "the names raft matches on")]
pub enum EntryType {
    /// A command for the state machine, or empty: a new leader's first entry.
    EntryNormal = 0,
    /// An encoded [`ConfChange`].
    EntryConfChange = 1,
    /// An encoded [`ConfChangeV2`]; empty data leaves the joint configuration.
    EntryConfChangeV2 = 2,
}

/// One position of the replicated log.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Entry {
    /// An [`EntryType`].
    #[prost(enumeration = "EntryType", tag = "1")]
    pub entry_type: i32,
    /// The term of the leader that appended the entry.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// The position in the log, from 1.
    #[prost(uint64, tag = "3")]
    pub index: u64,
    /// What is applied.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// Deprecated by raft, which ignores it; kept so that re-encoding loses nothing.
    #[prost(bool, tag = "5")]
    pub sync_log: bool,
    /// What the proposer attached; opaque to raft.
    #[prost(bytes = "bytes", tag = "6")]
    pub context: Bytes,
}

accessors!(Entry {
    choice entry_type: EntryType => get_entry_type;
    scalar term: u64 => get_term set_term;
    scalar index: u64 => get_index set_index;
    bytes data: Bytes => get_data set_data take_data;
    scalar sync_log: bool => get_sync_log set_sync_log;
    bytes context: Bytes => get_context set_context take_context;
});

/// Where in the log a [`Snapshot`] stands.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SnapshotMetadata {
    /// The configuration at `index`.
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    /// The last applied index the snapshot contains.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// The term of the entry at `index`.
    #[prost(uint64, tag = "3")]
    pub term: u64,
}

accessors!(SnapshotMetadata {
    nested conf_state: ConfState =>
        has_conf_state get_conf_state set_conf_state mut_conf_state take_conf_state;
    scalar index: u64 => get_index set_index;
    scalar term: u64 => get_term set_term;
});

impl SnapshotMetadata {
    const EMPTY: Self = Self { conf_state: None, index: 0, term: 0 };
}

/// The state machine at one index, in place of the log up to there.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Snapshot {
    /// The state; opaque to raft.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// Where the snapshot stands.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SnapshotMetadata>,
}

accessors!(Snapshot {
    bytes data: Bytes => get_data set_data take_data;
    nested metadata: SnapshotMetadata =>
        has_metadata get_metadata set_metadata mut_metadata take_metadata;
});

impl Snapshot {
    const EMPTY: Self = Self { data: Bytes::new(), metadata: None };

    /// Whether there is no snapshot: its index is zero, whatever its data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.get_metadata().index == 0
    }
}

/// What a [`Message`] asks or answers. Those marked local never cross the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
#[expect(clippy::enum_variant_names, reason = "the names raft matches on")]
pub enum MessageType {
    /// Local: start an election.
    MsgHup = 0,
    /// Local: the leader's heartbeat is due.
    MsgBeat = 1,
    /// Append the entries, on the leader; a follower forwards it.
    MsgPropose = 2,
    /// Append the entries after `index`, on a follower.
    MsgAppend = 3,
    /// How far the sender's log matches, or where it does not.
    MsgAppendResponse = 4,
    /// Vote for the sender.
    MsgRequestVote = 5,
    /// A vote, or its refusal.
    MsgRequestVoteResponse = 6,
    /// Install the snapshot.
    MsgSnapshot = 7,
    /// The leader is alive and its commit index is this.
    MsgHeartbeat = 8,
    /// The heartbeat's context, returned.
    MsgHeartbeatResponse = 9,
    /// Local: a message to the peer was lost.
    MsgUnreachable = 10,
    /// Local: a snapshot arrived at the peer, or did not.
    MsgSnapStatus = 11,
    /// Local: step down unless a quorum was heard of.
    MsgCheckQuorum = 12,
    /// Hand leadership to the sender.
    MsgTransferLeader = 13,
    /// Campaign now: leadership is being handed over.
    MsgTimeoutNow = 14,
    /// Which index must a linearizable read wait for? Its one entry names the read.
    MsgReadIndex = 15,
    /// That index, with the same one entry.
    MsgReadIndexResp = 16,
    /// Would you vote for the sender? Changes no term.
    MsgRequestPreVote = 17,
    /// Whether it would get the vote.
    MsgRequestPreVoteResponse = 18,
}

/// What members send each other. Which fields mean something depends on `msg_type`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Message {
    /// A [`MessageType`].
    #[prost(enumeration = "MessageType", tag = "1")]
    pub msg_type: i32,
    /// The receiver's member id.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// The sender's member id.
    #[prost(uint64, tag = "3")]
    pub from: u64,
    /// The sender's term; zero in messages that carry none.
    #[prost(uint64, tag = "4")]
    pub term: u64,
    /// The term of the entry at `index`, or at `reject_hint` in a rejection.
    #[prost(uint64, tag = "5")]
    pub log_term: u64,
    /// The position before `entries`, or the one that is answered about.
    #[prost(uint64, tag = "6")]
    pub index: u64,
    /// Entries to append, to propose, or the one that names a read.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    /// The sender's commit index.
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    /// The snapshot of [`MessageType::MsgSnapshot`].
    #[prost(message, optional, tag = "9")]
    pub snapshot: Option<Snapshot>,
    /// Whether the answer is no.
    #[prost(bool, tag = "10")]
    pub reject: bool,
    /// In a rejected append, where the logs may still agree.
    #[prost(uint64, tag = "11")]
    pub reject_hint: u64,
    /// Names a read in a heartbeat, or marks a campaign as a transfer.
    #[prost(bytes = "bytes", tag = "12")]
    pub context: Bytes,
    /// If not zero, the sender asks for a snapshot at this index or later.
    #[prost(uint64, tag = "13")]
    pub request_snapshot: u64,
    /// The candidate's priority, for receivers that do not know `priority`.
    #[prost(uint64, tag = "14")]
    pub deprecated_priority: u64,
    /// The term of the entry at `commit`, in vote messages.
    #[prost(uint64, tag = "15")]
    pub commit_term: u64,
    /// The candidate's priority.
    #[prost(int64, tag = "16")]
    pub priority: i64,
}

accessors!(Message {
    choice msg_type: MessageType => get_msg_type;
    scalar to: u64 => get_to set_to;
    scalar from: u64 => get_from set_from;
    scalar term: u64 => get_term set_term;
    scalar log_term: u64 => get_log_term set_log_term;
    scalar index: u64 => get_index set_index;
    list entries: Entry => get_entries set_entries mut_entries take_entries;
    scalar commit: u64 => get_commit set_commit;
    nested snapshot: Snapshot =>
        has_snapshot get_snapshot set_snapshot mut_snapshot take_snapshot;
    scalar reject: bool => get_reject set_reject;
    scalar reject_hint: u64 => get_reject_hint set_reject_hint;
    bytes context: Bytes => get_context set_context take_context;
    scalar request_snapshot: u64 => get_request_snapshot set_request_snapshot;
    scalar deprecated_priority: u64 => get_deprecated_priority set_deprecated_priority;
    scalar commit_term: u64 => get_commit_term set_commit_term;
    scalar priority: i64 => get_priority set_priority;
});

/// What a member must have on disk, beside its log, before it answers.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct HardState {
    /// The highest term seen.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The member voted for in that term, or zero.
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    /// The highest index known to be committed.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}

accessors!(HardState {
    scalar term: u64 => get_term set_term;
    scalar vote: u64 => get_vote set_vote;
    scalar commit: u64 => get_commit set_commit;
});

/// Who takes part. Outside a joint configuration only `voters` and `learners` are used.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfState {
    /// The voters, or those of the incoming configuration.
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
    /// Members that receive the log and do not vote.
    #[prost(uint64, repeated, tag = "2")]
    pub learners: Vec<u64>,
    /// The voters of the outgoing configuration; not empty exactly while it is joint.
    #[prost(uint64, repeated, tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners when the joint configuration is left.
    #[prost(uint64, repeated, tag = "4")]
    pub learners_next: Vec<u64>,
    /// Whether the leader leaves the joint configuration by itself.
    #[prost(bool, tag = "5")]
    pub auto_leave: bool,
}

accessors!(ConfState {
    list voters: u64 => get_voters set_voters mut_voters take_voters;
    list learners: u64 => get_learners set_learners mut_learners take_learners;
    list voters_outgoing: u64 =>
        get_voters_outgoing set_voters_outgoing mut_voters_outgoing take_voters_outgoing;
    list learners_next: u64 =>
        get_learners_next set_learners_next mut_learners_next take_learners_next;
    scalar auto_leave: bool => get_auto_leave set_auto_leave;
});

impl ConfState {
    const EMPTY: Self = Self {
        voters: Vec::new(),
        learners: Vec::new(),
        voters_outgoing: Vec::new(),
        learners_next: Vec::new(),
        auto_leave: false,
    };
}

/// What a configuration change does to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ConfChangeType {
    /// Makes it a voter.
    AddNode = 0,
    /// Removes it.
    RemoveNode = 1,
    /// Makes it a learner.
    AddLearnerNode = 2,
}

/// A change of one member, in its older form.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChange {
    /// What the proposer numbered it; opaque to raft.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// A [`ConfChangeType`].
    #[prost(enumeration = "ConfChangeType", tag = "2")]
    pub change_type: i32,
    /// The member.
    #[prost(uint64, tag = "3")]
    pub node_id: u64,
    /// What the proposer attached; opaque to raft.
    #[prost(bytes = "bytes", tag = "4")]
    pub context: Bytes,
}

accessors!(ConfChange {
    scalar id: u64 => get_id set_id;
    choice change_type: ConfChangeType => get_change_type;
    scalar node_id: u64 => get_node_id set_node_id;
    bytes context: Bytes => get_context set_context take_context;
});

/// One of the changes of a [`ConfChangeV2`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChangeSingle {
    /// A [`ConfChangeType`].
    #[prost(enumeration = "ConfChangeType", tag = "1")]
    pub change_type: i32,
    /// The member.
    #[prost(uint64, tag = "2")]
    pub node_id: u64,
}

accessors!(ConfChangeSingle {
    choice change_type: ConfChangeType => get_change_type;
    scalar node_id: u64 => get_node_id set_node_id;
});

/// How a [`ConfChangeV2`] gets from the old configuration to the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ConfChangeTransition {
    /// Directly for a single change, else as `Implicit`.
    Auto = 0,
    /// Through a joint configuration that the leader leaves by itself.
    Implicit = 1,
    /// Through a joint configuration that lasts until an empty change is proposed.
    Explicit = 2,
}

/// Changes of any number of members, made together. With no changes, leaves a joint configuration.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChangeV2 {
    /// A [`ConfChangeTransition`].
    #[prost(enumeration = "ConfChangeTransition", tag = "1")]
    pub transition: i32,
    /// The changes.
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<ConfChangeSingle>,
    /// What the proposer attached; opaque to raft.
    #[prost(bytes = "bytes", tag = "3")]
    pub context: Bytes,
}

accessors!(ConfChangeV2 {
    choice transition: ConfChangeTransition => get_transition;
    list changes: ConfChangeSingle => get_changes set_changes mut_changes take_changes;
    bytes context: Bytes => get_context set_context take_context;
});

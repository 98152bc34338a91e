//! Changes of the membership as raft and its log know them.
//!
//! Raft's configuration follows from the members; what changes who takes part is an entry of raft's
//! own kind, whose context is the log entry that apply executes (docs/formats.md).

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry, EntryType};
use reseed_core::cluster::Members;
use reseed_core::codec;
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::member_change::Change;
use reseed_proto::log::{LogEntry, MemberAdd, MemberChange, MemberRecord, log_entry::Request};

/// Why an entry of raft's own kind cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadChange {
    /// Not raft's message.
    #[error("{0}")]
    Raft(#[from] prost::DecodeError),
    /// Not our message in it.
    #[error("{0}")]
    Entry(#[from] codec::DecodeError),
    /// The two speak of different changes.
    #[error("raft's part and ours differ")]
    Differ,
}

/// Whether an entry changes who takes part.
pub(crate) fn is_change(entry: &Entry) -> bool {
    entry.entry_type != EntryType::EntryNormal as i32
}

/// Raft's configuration, as it follows from the members.
pub(crate) fn conf_state(members: &Members) -> ConfState {
    let ids = |learners| {
        let those = members.iter().filter(move |member| member.is_learner == learners);
        those.map(|member| member.id).collect()
    };
    ConfState { voters: ids(false), learners: ids(true), ..ConfState::default() }
}

/// The changes that lead from one configuration to another, each of one member. Who comes is
/// before who goes, so that somebody votes at any time.
pub(crate) fn steps(from: &ConfState, to: &ConfState) -> Vec<ConfChange> {
    let step = |change_type: ConfChangeType, node_id: u64| ConfChange {
        change_type: change_type as i32,
        node_id,
        ..ConfChange::default()
    };
    let new = |now: &[u64], before: &[u64]| -> Vec<u64> {
        now.iter().copied().filter(|id| !before.contains(id)).collect()
    };
    let mut steps = Vec::new();
    for id in new(&to.voters, &from.voters) {
        steps.push(step(ConfChangeType::AddNode, id));
    }
    for id in new(&to.learners, &from.learners) {
        steps.push(step(ConfChangeType::AddLearnerNode, id));
    }
    let leaving = from.voters.iter().chain(&from.learners);
    for id in leaving.filter(|_| !planted::on(Bug::RemovalUnheard)) {
        if !to.voters.contains(id) && !to.learners.contains(id) {
            steps.push(step(ConfChangeType::RemoveNode, *id));
        }
    }
    steps
}

/// What stands in the log for a change, waited for under `id`; `None` if raft need not know of it.
pub(crate) fn entry_data(id: u64, change: &MemberChange) -> Option<Bytes> {
    let (change_type, node_id) = in_raft(change)?;
    let request = Some(Request::MemberChange(change.clone()));
    let context = codec::encode(&LogEntry { id, request, ..LogEntry::default() });
    let change_type = change_type as i32;
    let in_raft = ConfChange { change_type, node_id, context, ..ConfChange::default() };
    Some(in_raft.encode_to_vec().into())
}

/// The log entry in an entry of raft's own kind.
///
/// # Errors
/// It is not what [`entry_data`] makes.
pub(crate) fn log_entry(data: &Bytes) -> Result<LogEntry, BadChange> {
    let change = ConfChange::decode(data.clone())?;
    let entry = codec::decode(&change.context)?;
    let Some(Request::MemberChange(ours)) = &entry.request else { return Err(BadChange::Differ) };
    let (change_type, node_id) = in_raft(ours).ok_or(BadChange::Differ)?;
    if (change.change_type, change.node_id) != (change_type as i32, node_id) {
        return Err(BadChange::Differ);
    }
    Ok(entry)
}

/// Which change of raft's configuration a change of the membership is.
fn in_raft(change: &MemberChange) -> Option<(ConfChangeType, u64)> {
    match change.change.as_ref()? {
        Change::Add(MemberAdd { member, .. }) => {
            let member = member.as_ref()?;
            let kind = if member.is_learner {
                ConfChangeType::AddLearnerNode
            } else {
                ConfChangeType::AddNode
            };
            Some((kind, member.id))
        }
        Change::Remove(id) => Some((ConfChangeType::RemoveNode, *id)),
        Change::Promote(id) => Some((ConfChangeType::AddNode, *id)),
        Change::Update(_) => None,
    }
}

/// Changes as entries behind `(index, term)`, waited for by nobody.
pub(crate) fn entries_behind(
    (index, term): (u64, u64),
    changes: impl IntoIterator<Item = Change>,
) -> Vec<Entry> {
    let entry = |(n, change)| {
        let change = MemberChange { change: Some(change) };
        let entry_type = EntryType::EntryConfChange as i32;
        let data = entry_data(0, &change).expect("only what raft knows is written at boot");
        Entry { index: index + n, term, entry_type, data, ..Entry::default() }
    };
    (1..).zip(changes).map(entry).collect()
}

/// The first entries of a cluster of these members, the same at each of them.
pub(crate) fn first_entries(mut members: Vec<MemberRecord>) -> Vec<Entry> {
    members.sort_unstable_by_key(|member| member.id);
    let add = |member| Change::Add(MemberAdd { member: Some(member), learners_max: 0 });
    entries_behind((0, 1), members.into_iter().map(add))
}

/// What leaves member `me` alone in its cluster, whatever `members` and the `tail` of the log
/// that they have not seen say (`--force-new-cluster`). What does not fit is refused at apply.
pub(crate) fn alone(me: &MemberRecord, members: &Members, tail: &[Entry]) -> Vec<Change> {
    let in_tail = tail
        .iter()
        .filter(|entry| is_change(entry))
        .filter_map(|entry| ConfChange::decode(entry.data.clone()).ok())
        .map(|change| change.node_id);
    let mut others: Vec<u64> = members.iter().map(|member| member.id).chain(in_tail).collect();
    others.retain(|id| *id != me.id);
    others.sort_unstable();
    others.dedup();
    if others.is_empty() && members.voters().any(|member| member.id == me.id) {
        return Vec::new();
    }
    let add = MemberAdd { member: Some(me.clone()), learners_max: 0 };
    let first = [Change::Add(add), Change::Promote(me.id)];
    first.into_iter().chain(others.into_iter().map(Change::Remove)).collect()
}

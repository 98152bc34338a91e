//! The pure step of consensus: inputs go in, one [`Output`] comes out.
//!
//! A thin skin around raft-rs' `RawNode` that keeps its calling rules in one place, so that the
//! driver reads as what it is: persist, send, apply. No I/O, no clock, no channel here.
//!
//! What must happen with an output, in this order (Raft §10.2.1 of the thesis for the first):
//!
//! 1. `send_now`: a leader's appends need not wait for its own disk.
//! 2. `snapshot`, `entries` and `hard_state` go to the WAL; if `must_sync`, they are synced.
//! 3. `send_after_sync`: what promises that step 2 has happened (votes, acknowledgements).
//! 4. [`Node::persisted`], which may commit the very entries just synced.
//! 5. `committed` entries are applied.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use raft::eraftpb::{
    ConfState, Entry, EntryType, HardState, Message, MessageType, SnapshotMetadata,
};
use raft::{Config, Progress, RawNode, ReadState, SnapshotStatus, StateRole};
use reseed_planted::{self as planted, Bug};

use super::changes;
use super::log_view::LogView;

/// What one step of raft wants done.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Messages that may leave before anything is synced.
    pub(crate) send_now: Vec<Message>,
    /// A state that replaces the log and everything applied: to be installed before the entries.
    pub(crate) snapshot: Option<SnapshotMetadata>,
    /// Entries to append to the WAL.
    pub(crate) entries: Vec<Entry>,
    /// Term, vote and commit, if they changed.
    pub(crate) hard_state: Option<HardState>,
    /// Whether term, vote or entries changed: they must be durable before going on.
    pub(crate) must_sync: bool,
    /// Messages that promise durability.
    pub(crate) send_after_sync: Vec<Message>,
    /// Entries known to be committed before this step's own are persisted.
    pub(crate) committed: Vec<Entry>,
    /// Answers to read-index requests.
    pub(crate) reads: Vec<ReadState>,
}

/// What follows once an output is durable.
#[derive(Debug, Default)]
pub(crate) struct Persisted {
    /// To be made durable before `committed` is applied: a change of the members is among it.
    pub(crate) hard_state: Option<HardState>,
    /// Entries committed by our own sync.
    pub(crate) committed: Vec<Entry>,
    /// Messages that follow from it.
    pub(crate) send: Vec<Message>,
}

/// How far a member has come, as the leader knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Whether it votes.
    pub(crate) votes: bool,
    /// Whether it was heard of within about an election timeout.
    pub(crate) is_active: bool,
    /// Index up to which its log matches the leader's; 0 = not heard of in this term.
    pub(crate) matched: u64,
    /// Index up to which it has said that it knows the log to be committed.
    pub(crate) committed: u64,
}

/// Why a proposal was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no leader to take it, or leadership is being handed over.
    NoLeader,
    /// Another change of the members is under way.
    ChangePending,
}

/// This member has acknowledged entries that it does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the leader knows that this member had entry {had}, and its log ends at {last}: its data \
     directory was lost, or is an old one; remove the member from the cluster and add it anew"
)]
pub(crate) struct Amnesia {
    had: u64,
    last: u64,
}

/// Raft's state machine for this member.
pub(crate) struct Node {
    raw: RawNode<LogView>,
    pending: Option<raft::Ready>,
    /// The commit index moved after the hard state was last given out to be stored.
    commit_unsaved: bool,
}

impl Node {
    /// A node that starts from what the WAL held.
    ///
    /// # Errors
    /// The configuration or the log contradicts itself.
    pub(crate) fn new(config: &Config, mut log: LogView) -> raft::Result<Self> {
        // Or a snapshot could not be offered before something more is applied, which may need the
        // very member that lacks it.
        log.applied_to(config.applied);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut raw = RawNode::new(config, log, &logger)?;
        raw.set_batch_append(true);
        Ok(Self { raw, pending: None, commit_unsaved: false })
    }

    /// Campaigns at once when nobody else could: a lone voter need not wait for a time-out.
    ///
    /// # Errors
    /// Raft refuses to campaign.
    pub(crate) fn campaign_if_alone(&mut self) -> raft::Result<()> {
        if self.votes_alone() && !self.is_leader() { self.raw.campaign() } else { Ok(()) }
    }

    fn votes_alone(&self) -> bool {
        let voters = self.raw.raft.prs().conf().voters();
        voters.contains(self.raw.raft.id) && voters.ids().iter().count() == 1
    }

    /// Whether this member leads and nobody else votes.
    pub(crate) fn leads_alone(&self) -> bool {
        self.is_leader() && self.votes_alone() && self.raw.raft.commit_to_current_term()
    }

    /// One heartbeat interval has passed.
    pub(crate) fn tick(&mut self) {
        self.raw.tick();
    }

    /// Proposes all `payloads` as one message: they enter the log together, in order, or not at
    /// all.
    ///
    /// # Errors
    /// [`Refused`]: nothing was proposed.
    pub(crate) fn propose(&mut self, payloads: Vec<bytes::Bytes>) -> Result<(), Refused> {
        let entries: Vec<Entry> = payloads
            .into_iter()
            .map(|data| Entry {
                entry_type: EntryType::EntryNormal as i32,
                data,
                ..Entry::default()
            })
            .collect();
        self.propose_entries(entries)
    }

    /// Proposes a change of the members, if this member leads and no other is under way.
    ///
    /// # Errors
    /// [`Refused`]: nothing was proposed. Raft itself would put an empty entry in its place and
    /// tell nobody.
    pub(crate) fn propose_change(&mut self, data: bytes::Bytes) -> Result<(), Refused> {
        if !self.is_leader() {
            return Err(Refused::NoLeader);
        }
        if self.raw.raft.has_pending_conf() {
            return Err(Refused::ChangePending);
        }
        let entry_type = EntryType::EntryConfChange as i32;
        self.propose_entries(vec![Entry { entry_type, data, ..Entry::default() }])
    }

    fn propose_entries(&mut self, entries: Vec<Entry>) -> Result<(), Refused> {
        let message = Message {
            msg_type: MessageType::MsgPropose as i32,
            from: self.raw.raft.id,
            entries,
            ..Message::default()
        };
        if planted::on(Bug::ForwardedTwice) && !self.is_leader() {
            // The answer to the first one decides nothing.
            let _again = self.raw.raft.step(message.clone());
        }
        self.raw.raft.step(message).map_err(|_dropped| Refused::NoLeader)
    }

    /// The members have changed at apply: raft's configuration is `wanted` from now on.
    ///
    /// # Errors
    /// Raft refuses a change, which one of one member at a time never is.
    pub(crate) fn set_members(&mut self, wanted: &ConfState) -> raft::Result<()> {
        assert!(self.pending.is_none(), "the previous output has not been persisted");
        let now = self.raw.raft.prs().conf().to_conf_state();
        for step in changes::steps(&now, wanted) {
            let state = self.raw.apply_conf_change(&step)?;
            self.raw.mut_store().set_conf_state(state);
        }
        if self.is_leader() && !wanted.voters.contains(&self.id()) {
            // raft-rs would go on leading, and panic at the next entry that it commits. Whoever has
            // the whole log is told to campaign (etcd's raft: `StepDownOnRemoval`).
            self.hand_over(None);
            let term = self.term();
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
        Ok(())
    }

    /// How far each member has come, this leader among them; `None` if it does not lead.
    pub(crate) fn standings(&self) -> Option<BTreeMap<u64, Standing>> {
        let members = self.raw.raft.prs();
        let standing = |(id, one): (&u64, &Progress)| {
            let standing = Standing {
                votes: members.conf().voters().contains(*id),
                is_active: one.recent_active || *id == self.id(),
                matched: one.matched,
                committed: one.committed_index,
            };
            (*id, standing)
        };
        self.is_leader().then(|| members.iter().map(standing).collect())
    }

    /// Heartbeats to everybody, if this member leads: of use to a bug on purpose only.
    pub(crate) fn heartbeats(&self) -> Vec<Message> {
        let (from, term) = (self.id(), self.term());
        let others = self.raw.raft.prs().iter().filter(|(id, _)| self.is_leader() && **id != from);
        let msg_type = MessageType::MsgHeartbeat as i32;
        others
            .map(|(to, _)| Message { msg_type, to: *to, from, term, ..Message::default() })
            .collect()
    }

    /// Takes a message from another member.
    ///
    /// Raft ignores what comes from strangers or from before this member's term; that is no error
    /// of this member's.
    ///
    /// # Errors
    /// [`Amnesia`]: this member must not go on.
    pub(crate) fn step(&mut self, mut message: Message) -> Result<(), Amnesia> {
        let is_heartbeat = message.msg_type == MessageType::MsgHeartbeat as i32;
        let last = self.raw.raft.raft_log.last_index();
        if is_heartbeat && message.term >= self.term() && message.commit > last {
            // A leader tells a member of no entry that it has not acknowledged; raft-rs panics.
            return Err(Amnesia { had: message.commit, last });
        }
        let is_append = message.msg_type == MessageType::MsgAppend as i32;
        if is_append && planted::on(Bug::PreviousUnchecked) {
            let own = self.raw.store().term_of(message.index);
            message.log_term = own.unwrap_or(message.log_term);
        }
        let is_call = message.msg_type == MessageType::MsgTimeoutNow as i32;
        if is_call && message.term == self.term() && self.raw.raft.state == StateRole::PreCandidate
        {
            // Who only asks whether it might campaign has voted for nobody; raft-rs would ignore
            // the leader's word that it may, and wait for another election timeout.
            self.raw.raft.become_follower(message.term, message.from);
        }
        if let Err(error) = self.raw.step(message) {
            tracing::debug!(%error, "raft does not take a message");
        }
        Ok(())
    }

    /// What was sent to member `id` lately may be lost.
    pub(crate) fn unreachable(&mut self, id: u64) {
        self.raw.report_unreachable(id);
    }

    /// A snapshot for member `id` has arrived there, or has not.
    pub(crate) fn snapshot_sent(&mut self, id: u64, arrived: bool) {
        let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raw.report_snapshot(id, status);
    }

    /// Whether there is a leader to take proposals, and it is not about to go.
    pub(crate) fn takes_proposals(&self) -> bool {
        self.leader() != 0 && self.raw.raft.lead_transferee.is_none()
    }

    /// Begins to hand leadership to member `to`, or to the voter whose log is furthest. Nothing
    /// happens if this member does not lead or nobody else votes; raft gives up after an election
    /// timeout.
    pub(crate) fn hand_over(&mut self, to: Option<u64>) {
        let furthest = || self.successors().first().copied();
        if let Some(to) = to.or_else(furthest).filter(|_| self.is_leader()) {
            self.raw.transfer_leader(to);
        }
    }

    /// The other voters, if this member leads: those heard of lately first, then those whose log is
    /// furthest. Raft forgets once per election timeout whom it has heard of, so none is left out.
    pub(crate) fn successors(&self) -> Vec<u64> {
        let raft = &self.raw.raft;
        let voters = raft.prs().conf().voters();
        let mut others: Vec<_> = raft
            .prs()
            .iter()
            .filter(|(id, _)| self.is_leader() && **id != raft.id && voters.contains(**id))
            .map(|(id, progress)| (Reverse(progress.recent_active), Reverse(progress.matched), *id))
            .collect();
        others.sort_unstable();
        others.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Asks for an index that makes a read linearizable; the answer carries `context`.
    ///
    /// Dropped silently while the leader has no commit in its term: ask again on a later tick.
    pub(crate) fn read_index(&mut self, context: Vec<u8>) {
        self.raw.read_index(context);
    }

    /// Whether there is an output to take.
    pub(crate) fn has_output(&self) -> bool {
        self.pending.is_none() && self.raw.has_ready()
    }

    /// Takes the next output; [`Node::persisted`] must follow before anything else is fed in.
    pub(crate) fn output(&mut self) -> Output {
        assert!(self.pending.is_none(), "the previous output has not been persisted");
        let mut ready = self.raw.ready();
        let snapshot = Some(ready.snapshot()).filter(|snapshot| !snapshot.is_empty());
        let mut output = Output {
            snapshot: snapshot.map(|snapshot| snapshot.get_metadata().clone()),
            send_now: ready.take_messages(),
            entries: ready.take_entries(),
            hard_state: ready.hs().cloned(),
            must_sync: ready.must_sync(),
            send_after_sync: ready.take_persisted_messages(),
            committed: ready.take_committed_entries(),
            reads: ready.take_read_states(),
        };
        if output.hard_state.is_none() && !output.entries.is_empty() && self.commit_unsaved {
            // A commit index is not worth a write of its own: it travels with the next entries.
            output.hard_state = Some(self.raw.store().hard_state().clone());
        }
        if output.committed.iter().any(changes::is_change) {
            // That a change of the members is committed decides who elects: what this member says
            // of it, it must know after a restart.
            output.hard_state.get_or_insert_with(|| self.raw.store().hard_state().clone());
            output.must_sync = true;
        }
        self.commit_unsaved &= output.hard_state.is_none();
        check_consecutive(&output.entries);
        check_consecutive(&output.committed);
        self.pending = Some(ready);
        output
    }

    /// The output's entries and hard state are in the WAL, and durable if they had to be.
    pub(crate) fn persisted(&mut self, output: &Output) -> Persisted {
        let ready = self.pending.take().expect("persisted follows output");
        let log = self.raw.mut_store();
        if let Some(SnapshotMetadata { conf_state, index, term }) = &output.snapshot {
            let term = if planted::on(Bug::InstallForgetsTerm) { 0 } else { *term };
            log.restore(*index, term, conf_state.clone().unwrap_or_default());
        }
        log.append(&output.entries);
        if let Some(hard_state) = &output.hard_state {
            log.set_hard_state(hard_state.clone());
        }
        let mut light = self.raw.advance_append(ready);
        if let Some(commit) = light.commit_index() {
            self.raw.mut_store().commit_to(commit);
            self.commit_unsaved = true;
        }
        let committed = light.take_committed_entries();
        check_consecutive(&committed);
        let hard_state = committed.iter().any(changes::is_change).then(|| {
            self.commit_unsaved = false;
            self.raw.store().hard_state().clone()
        });
        Persisted { hard_state, committed, send: light.take_messages() }
    }

    /// Everything up to `index` has been applied.
    pub(crate) fn applied(&mut self, index: u64) {
        if index > self.raw.raft.raft_log.applied {
            self.raw.advance_apply_to(index);
            self.raw.mut_store().applied_to(index);
        }
    }

    /// The part of the log that is in memory.
    pub(crate) fn log(&self) -> &LogView {
        self.raw.store()
    }

    /// Forgets entries up to `index`; they are applied and persisted in the backend.
    pub(crate) fn truncate_to(&mut self, index: u64) {
        self.raw.mut_store().truncate_to(index);
    }

    /// This member.
    pub(crate) fn id(&self) -> u64 {
        self.raw.raft.id
    }

    /// Ticks without a word from the leader after which this member may campaign, at the least.
    pub(crate) fn election_ticks(&self) -> u32 {
        u32::try_from(self.raw.raft.election_timeout()).unwrap_or(u32::MAX)
    }

    /// Current term.
    pub(crate) fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// The known leader, or 0.
    pub(crate) fn leader(&self) -> u64 {
        self.raw.raft.leader_id
    }

    /// Index up to which the log is committed.
    pub(crate) fn committed(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// The term, and for whom this member has voted in it, or 0.
    pub(crate) fn promised(&self) -> (u64, u64) {
        (self.raw.raft.term, self.raw.raft.vote)
    }

    /// Whether this member leads in this term.
    pub(crate) fn leads_in(&self, term: u64) -> bool {
        self.is_leader() && self.term() == term
    }

    /// Whether this member leads.
    pub(crate) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }
}

/// Entries come one after another, and terms never go down (Raft §5.3, Log Matching).
fn check_consecutive(entries: &[Entry]) {
    for (before, after) in entries.iter().zip(entries.iter().skip(1)) {
        assert_eq!(before.index + 1, after.index, "entries leave a gap");
        assert!(before.term <= after.term, "terms go down at index {}", after.index);
    }
}

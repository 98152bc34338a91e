//! The loop: takes events, steps raft, carries out what it wants.
//!
//! The only writer of the WAL and the only caller of raft. In production it owns a thread, so that
//! a sync blocks nobody else; while it blocks, proposals and reads gather in the queue and share
//! the next round. In simulation it is a task like any other.
//!
//! ```text
//!   events ──► Node (pure) ──► WAL append ──► one sync ──► committed ──► apply queue
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{Entry, HardState, Message, MessageType, SnapshotMetadata};
use reseed_core::error::Error;
use reseed_planted::{self as planted, Bug};
use reseed_rt::buggify::{self, Point};
use reseed_rt::chan::{Receiver, Sender};
use reseed_rt::clock::{self, Instant, interval};
use reseed_rt::probe::{self, Probe};
use reseed_rt::{disk, rng, task::Stop};
use reseed_storage::wal::{self, Mark, Wal, WalEntry};
use tokio::sync::oneshot;

use super::hurry::Hurry;
use super::node::{Amnesia, Node, Refused, Standing};
use super::read_queue::ReadQueue;
use super::reads::Reads;
use super::succession::heeds;
use super::voters::Voters;
use super::{Committed, Outbound, PeerEvent};
use crate::halt::Halt;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::sight::Sight;
use crate::waiters::Waiters;

/// Everything that can happen to the driver.
#[derive(Debug)]
pub(crate) enum Event {
    /// Append this payload to the log; whoever waits is in the wait table under `id`.
    Propose {
        /// Request id inside the payload.
        id: u64,
        /// Encoded log entry.
        payload: Bytes,
        /// Only if this member leads in this term; else it may be forwarded.
        led_in: Option<u64>,
    },
    /// Give leadership to this member, or to whoever is furthest.
    HandOver(Option<u64>),
    /// Change the members by this entry, if this member leads; who waits is under `id`.
    Change {
        /// Request id inside the payload.
        id: u64,
        /// The entry's data.
        data: Bytes,
    },
    /// Tell how far the members have come, or that this one does not lead.
    Standings(oneshot::Sender<Option<BTreeMap<u64, Standing>>>),
    /// Everything up to this entry is durable in the backend: the log before it may go.
    Persisted {
        /// Index of the last entry in the backend file.
        index: u64,
    },
}

/// Events taken per turn: enough to batch whatever a sync's worth of time brings.
const EVENTS_PER_TURN: usize = 1024;

/// Turns of peers heard per turn of the driver.
const PEER_EVENTS_PER_TURN: usize = 64;

/// Bytes of proposals after which a turn ends, so that a batch stays well below a WAL segment.
const BYTES_PER_TURN: usize = 8 << 20;

/// What the log adds to one entry's data, at most: two headers and alignment.
const ENTRY_OVERHEAD_BYTES: usize =
    wal::FRAME_HEADER_BYTES + wal::ENTRY_HEADER_BYTES + wal::FRAME_ALIGN;

/// Room kept beside a batch for what follows it into the log without being proposed: hard states,
/// a mark, and the end of the segment.
const BATCH_OVERHEAD_BYTES: usize = 1024;

/// A leader that is later than so many heartbeat intervals counts as one that failed; etcd's.
const LATE_TICKS: u32 = 2;

/// Ticks after which an unanswered read round is asked for again; etcd's 500 ms.
const READ_RETRY_TICKS: usize = 5;

/// What the driver needs to run.
pub(crate) struct Driver {
    pub(crate) node: Node,
    pub(crate) wal: Wal,
    pub(crate) events: Receiver<Event>,
    pub(crate) peers: Box<dyn Outbound>,
    pub(crate) from_peers: Receiver<PeerEvent>,
    pub(crate) voters: Arc<Voters>,
    pub(crate) readers: Arc<ReadQueue>,
    pub(crate) apply: Sender<Committed>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) halt: Halt,
    pub(crate) tick: std::time::Duration,
    pub(crate) catchup_entries: u64,
    pub(crate) sync_writes: bool,
    pub(crate) installing: Option<Installing>,
    pub(crate) hurry: Hurry,
    /// When this driver last went on after it had stood still.
    pub(crate) woke: Option<Instant>,
    /// Of entries that raft has taken and that are not in the log yet.
    pub(crate) taken_bytes: usize,
}

/// A snapshot that arrived and is not decided upon.
pub(crate) struct Installing {
    from: PathBuf,
    done: oneshot::Sender<()>,
}

/// What gathered for one turn.
#[derive(Default)]
struct Turn {
    ids: Vec<u64>,
    payloads: Vec<Bytes>,
    bytes: usize,
    persisted: Option<u64>,
}

impl Driver {
    /// Runs until `stop`; halts the member if the log can no longer be trusted.
    pub(crate) async fn run(mut self, stop: Stop) {
        match self.run_until(&stop).await {
            // Apply may stop first; what it did not apply is in the log.
            Err(DriverError::ApplyIsGone) if stop.is_cancelled() => {}
            Err(error) => self.halt.halt(error),
            Ok(()) => {}
        }
        self.readers.close();
    }

    async fn run_until(&mut self, stop: &Stop) -> Result<(), DriverError> {
        let (term, vote) = self.node.promised();
        self.progress.show(|| Sight::Recalled { term, vote });
        let log = self.node.log();
        self.show_logged(log.term_of(log.truncated()), log.tail());
        self.node.campaign_if_alone()?;
        let mut reads = Reads::of(self.node.id(), rng::u64(), Arc::clone(&self.readers));
        let mut ticks = interval(self.tick);
        let mut received = Vec::with_capacity(EVENTS_PER_TURN);
        let mut gathered = VecDeque::with_capacity(EVENTS_PER_TURN);
        loop {
            self.carry_out(&mut reads).await?;
            if let Some(Installing { done, .. }) = self.installing.take() {
                // It is in place, or raft did not want it. Who sent it may have given up.
                let _gone: Result<(), ()> = done.send(());
            }
            let takes_any = self.node.takes_proposals();
            let takes_more = takes_any && gathered.is_empty();
            // Raft drops questions while nobody leads.
            let round_due = takes_any.then(|| reads.due(Instant::now())).flatten();
            let hurried = self.hurry.due(self.node.leader());
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => self.on_tick(&mut reads),
                () = self.voters.changed() => {}
                () = self.readers.changed() => self.begin_round(&mut reads),
                () = clock::sleep_until_some(hurried) => {
                    self.hurry.tick(self.tick, Instant::now());
                    self.node.tick();
                }
                () = clock::sleep_until_some(round_due) => self.begin_round(&mut reads),
                event = self.from_peers.recv() => self.hear(event)?,
                // Without a leader, or while one hands over, proposals wait in the queue until
                // there is one or their callers give up (as etcd does).
                n = self.events.recv_many(&mut received, EVENTS_PER_TURN), if takes_more => {
                    if n == 0 {
                        return Ok(());
                    }
                    gathered.extend(received.drain(..));
                }
                // What the last turn had no room for needs no waiting.
                () = std::future::ready(()), if !gathered.is_empty() => {}
            }
            // Peers that write all the time must not keep this member's own clients waiting.
            while takes_more
                && gathered.len() < EVENTS_PER_TURN
                && let Ok(event) = self.events.try_recv()
            {
                gathered.push_back(event);
            }
            if !gathered.is_empty() {
                self.take_turn(&mut gathered)?;
            }
        }
    }

    /// Takes what peers sent: what is there already, up to a bound.
    fn hear(&mut self, first: Option<PeerEvent>) -> Result<(), DriverError> {
        let most = if buggify::point(Point::RaftHearOne) { 1 } else { PEER_EVENTS_PER_TURN };
        let mut next = first;
        let mut heard = 0;
        while let Some(event) = next {
            match event {
                PeerEvent::Unreachable(id) => self.node.unreachable(id),
                PeerEvent::Gone(id)
                    if id == self.node.leader() && !planted::on(Bug::GoneUnnoticed) =>
                {
                    probe::hit(Probe::RaftLeaderGone);
                    let pace = (self.tick, self.node.election_ticks());
                    self.hurry.begin(id, pace, Instant::now());
                }
                PeerEvent::Gone(_) => {}
                PeerEvent::SnapshotSent { to, arrived } => self.node.snapshot_sent(to, arrived),
                PeerEvent::Snapshot { message, from, done } => {
                    self.step(*message)?;
                    self.installing = Some(Installing { from, done });
                    // Nothing else comes in before it is decided.
                    return Ok(());
                }
                PeerEvent::Received(messages) => {
                    for message in messages {
                        self.step(message)?;
                    }
                }
            }
            heard += 1;
            next = (heard < most).then(|| self.from_peers.try_recv().ok()).flatten();
        }
        Ok(())
    }

    /// Gives raft a message, if the log has room for the entries it brings: what is not taken is
    /// not acknowledged, and comes again when there is room.
    fn step(&mut self, message: Message) -> Result<(), DriverError> {
        if !message.entries.is_empty() || message.msg_type == MessageType::MsgSnapshot as i32 {
            let bytes: usize =
                message.entries.iter().map(|e| e.data.len() + ENTRY_OVERHEAD_BYTES).sum();
            match self.reserve(bytes) {
                Ok(()) => {}
                Err(error @ wal::WalError::Full) => {
                    tracing::debug!(%error, "entries from a peer are refused");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let woke = || self.woke.map(Instant::elapsed);
        if heeds(&message, woke, self.tick * self.node.election_ticks()) {
            self.node.step(message)?;
        }
        Ok(())
    }

    /// Makes room for entries of so many bytes beside those that raft has taken already: all of
    /// them are written as one batch.
    fn reserve(&mut self, bytes: usize) -> Result<(), wal::WalError> {
        self.wal.reserve((self.taken_bytes + bytes + BATCH_OVERHEAD_BYTES) as u64)?;
        self.taken_bytes += bytes;
        Ok(())
    }

    fn send(&mut self, messages: Vec<Message>) {
        for id in self.peers.send(messages) {
            self.node.unreachable(id);
        }
    }

    fn on_tick(&mut self, reads: &mut Reads) {
        // Before the tick, at which raft may forget whom it has heard of.
        self.progress.set_successors(self.node.successors());
        self.node.tick();
        if self.node.is_leader() && self.progress.since_tick() > self.tick * LATE_TICKS {
            self.metrics.heartbeat_failures.inc();
        }
        if self.progress.tick(self.tick) {
            self.woke = Some(Instant::now());
        }
        let soon = buggify::point(Point::ReadAskAgain);
        if let Some(context) = reads.tick(if soon { 1 } else { READ_RETRY_TICKS }) {
            probe::hit(Probe::ReadAskedAgain);
            self.metrics.slow_read_indexes.inc();
            self.node.read_index(context);
        }
    }

    fn begin_round(&mut self, reads: &mut Reads) {
        if self.node.takes_proposals()
            && let Some(context) = reads.begin(Instant::now())
        {
            self.node.read_index(context);
        }
    }

    /// Takes events until their proposals make a batch; the rest waits for the next turn.
    fn take_turn(&mut self, gathered: &mut VecDeque<Event>) -> Result<(), DriverError> {
        let mut turn = Turn::default();
        let small = buggify::point(Point::RaftOneProposal);
        let bytes_max = if small { 1 } else { BYTES_PER_TURN };
        while turn.bytes < bytes_max
            && let Some(event) = gathered.pop_front()
        {
            match event {
                Event::Propose { id, .. } | Event::Change { id, .. } if !self.waiters.begin(id) => {
                }
                Event::Propose { id, led_in: Some(term), .. } if !self.node.leads_in(term) => {
                    self.waiters.refuse(&[id], &Error::NotLeader);
                }
                Event::Propose { id, payload, .. } => {
                    turn.bytes += payload.len() + ENTRY_OVERHEAD_BYTES;
                    turn.ids.push(id);
                    turn.payloads.push(payload);
                }
                Event::HandOver(to) => self.node.hand_over(to),
                Event::Change { id, data } => self.change(id, data)?,
                // Whoever asked may have given up.
                Event::Standings(asked) => _ = asked.send(self.node.standings()),
                Event::Persisted { index } => turn.persisted = Some(index),
            }
        }
        let persisted = turn.persisted;
        self.propose(turn)?;
        persisted.map_or(Ok(()), |index| self.truncate(index))
    }

    /// Hands the gathered payloads to raft as one message, if the WAL has room for them.
    fn propose(&mut self, turn: Turn) -> Result<(), DriverError> {
        if turn.payloads.is_empty() {
            return Ok(());
        }
        // Room is made before raft takes the entries: what raft has taken cannot be refused.
        match self.reserve(turn.bytes) {
            Ok(()) => {}
            Err(error @ wal::WalError::Full) if !planted::on(Bug::FullLogHalts) => {
                probe::hit(Probe::WalNoRoom);
                tracing::debug!(%error, "writes are refused");
                self.waiters.refuse(&turn.ids, &Error::NoSpace);
                return Ok(());
            }
            // A failed write or sync is final.
            Err(error) => return Err(error.into()),
        }
        if self.node.propose(turn.payloads).is_err() {
            self.metrics.proposals_failed.inc_by(turn.ids.len() as u64);
            self.waiters.refuse(&turn.ids, &Error::NoLeader);
        }
        Ok(())
    }

    /// Hands a change of the members to raft; as [`Driver::propose`].
    fn change(&mut self, id: u64, data: Bytes) -> Result<(), DriverError> {
        // The change before this one may just have been applied.
        self.follow_apply()?;
        let refused = match self.reserve(data.len() + ENTRY_OVERHEAD_BYTES) {
            Ok(()) => self.node.propose_change(data).err().map(|refused| match refused {
                Refused::NoLeader => Error::NotLeader,
                Refused::ChangePending => Error::TooManyRequests,
            }),
            Err(wal::WalError::Full) => Some(Error::NoSpace),
            Err(error) => return Err(error.into()),
        };
        if let Some(error) = refused {
            self.waiters.refuse(&[id], &error);
        }
        Ok(())
    }

    /// Tells raft what has been applied, members first: it counts a change as pending until then.
    fn follow_apply(&mut self) -> Result<(), DriverError> {
        let applied = self.progress.applied();
        let members = self.voters.take();
        if let Some(wanted) = &members {
            self.node.set_members(wanted)?;
        }
        self.node.applied(applied);
        if members.is_some() {
            self.node.campaign_if_alone()?;
        }
        Ok(())
    }

    /// Carries out outputs until raft has no more.
    async fn carry_out(&mut self, reads: &mut Reads) -> Result<(), DriverError> {
        self.follow_apply()?;
        while self.node.has_output() {
            let mut output = self.node.output();
            // Before any message leaves: who votes for another must not read as a leader.
            self.publish_progress();
            let first = output.entries.first().filter(|_| output.snapshot.is_none());
            let before = first.and_then(|first| self.node.log().term_of(first.index - 1));
            self.show_logged(before, &output.entries);
            self.send(std::mem::take(&mut output.send_now));
            self.hand_to_apply(std::mem::take(&mut output.committed)).await?;
            if let Some(snapshot) = output.snapshot.clone() {
                self.install(snapshot, output.hard_state.as_ref()).await?;
            }
            if planted::on(Bug::AppendAnsweredEarly) {
                self.send(std::mem::take(&mut output.send_after_sync));
            }
            self.persist(&output.entries, output.hard_state.as_ref(), output.must_sync).await?;
            if let Some(HardState { term, vote, .. }) = output.hard_state {
                self.progress.show(|| Sight::Promised { term, vote });
            }
            self.send(std::mem::take(&mut output.send_after_sync));
            let persisted = self.node.persisted(&output);
            self.publish_progress();
            self.send(persisted.send);
            self.persist(&[], persisted.hard_state.as_ref(), true).await?;
            self.hand_to_apply(persisted.committed).await?;
            for state in output.reads {
                reads.answer(&state.request_ctx, state.index, Instant::now());
            }
            // A round that has just been answered makes way for those who waited meanwhile.
            self.begin_round(reads);
            self.publish_progress();
        }
        self.taken_bytes = 0;
        Ok(())
    }

    /// Lets a snapshot take the place of log and state. The order is what a crash needs: the
    /// database is durable beside the old one already; the log says that it begins after it; then
    /// it takes the old one's name, at the latest when the member starts again.
    async fn install(
        &mut self,
        snapshot: SnapshotMetadata,
        hard_state: Option<&HardState>,
    ) -> Result<(), DriverError> {
        let Some(Installing { from, .. }) = &self.installing else {
            return Err(DriverError::NoState(snapshot.index));
        };
        let from = from.clone();
        let SnapshotMetadata { conf_state, index, term } = snapshot;
        self.wal.append(&[], hard_state.map(to_wal_hard_state))?;
        let conf_state = Bytes::from(conf_state.unwrap_or_default().encode_to_vec());
        if !planted::on(Bug::InstallUnmarked) {
            self.wal.mark(Mark { index, term, conf_state })?;
        }
        self.wal.sync()?;
        disk::settle().await;
        let (done, installed) = oneshot::channel();
        let install = Committed::Install { from, done };
        self.apply.send(install).await.map_err(|_closed| DriverError::ApplyIsGone)?;
        installed.await.map_err(|_dropped| DriverError::ApplyIsGone)?;
        self.wal.release(index)?;
        Ok(())
    }

    async fn persist(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        must_sync: bool,
    ) -> Result<(), DriverError> {
        if entries.is_empty() && hard_state.is_none() {
            return Ok(());
        }
        probe::hit_if(entries.len() > 1, Probe::BatchLarge);
        let entries: Vec<WalEntry> = entries.iter().map(to_wal_entry).collect();
        let hard_state = hard_state.map(to_wal_hard_state);
        if entries.is_empty() && planted::on(Bug::HardStateWithEntries) {
            return Ok(());
        }
        let began = Instant::now();
        self.wal.append(&entries, hard_state)?;
        let written: usize = entries.iter().map(|entry| entry.data.len()).sum();
        self.metrics.wal_write_bytes.add(i64::try_from(written).unwrap_or(i64::MAX));
        self.metrics.wal_write.observe(began.elapsed().as_secs_f64());
        if must_sync && self.sync_writes && !planted::on(Bug::AckBeforeSync) {
            let began = Instant::now();
            self.wal.sync()?;
            self.metrics.wal_fsync.observe(began.elapsed().as_secs_f64());
        }
        if buggify::point(Point::RaftSlowSync) {
            clock::sleep(self.tick / 2).await;
        }
        if planted::on(Bug::StalledLeaderHolds) {
            return self.settle_with_heartbeats().await;
        }
        disk::settle().await;
        Ok(())
    }

    /// A bug on purpose: whoever leads goes on as if its disk did.
    async fn settle_with_heartbeats(&mut self) -> Result<(), DriverError> {
        let mut settled = Box::pin(disk::settle());
        while clock::timeout(self.tick, &mut settled).await.is_err() {
            self.send(self.node.heartbeats());
        }
        Ok(())
    }

    async fn hand_to_apply(&mut self, committed: Vec<Entry>) -> Result<(), DriverError> {
        if committed.is_empty() {
            return Ok(());
        }
        self.publish_progress();
        self.apply
            .send(Committed::Entries(committed))
            .await
            .map_err(|_closed| DriverError::ApplyIsGone)
    }

    /// Shows entries that follow one of term `before`, if that is known.
    fn show_logged<'a>(
        &self,
        mut before: Option<u64>,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) {
        for Entry { index, term, data, .. } in entries {
            self.progress.show(|| Sight::Logged {
                index: *index,
                term: *term,
                before,
                digest: crc32c::crc32c(data),
            });
            before = Some(*term);
        }
    }

    fn publish_progress(&self) {
        let was_leader = self.progress.leader() == self.node.id();
        if self.node.is_leader() && !was_leader {
            probe::hit(Probe::RaftElected);
            // Its disk may stand still before the first tick.
            self.progress.set_successors(self.node.successors());
        }
        let leader = self.node.leader();
        if leader != 0 && leader != self.progress.leader() {
            // etcd counts a leader that was lost and is found again, too.
            self.metrics.leader_changes.inc();
        }
        self.progress.set_last_index(self.node.log().last());
        self.progress.set_raft(self.node.term(), self.node.leader(), self.node.committed());
        self.progress.set_leads_alone(self.node.leads_alone());
        self.metrics.is_leader.set(i64::from(self.node.is_leader()));
        self.metrics.has_leader.set(i64::from(self.node.leader() != 0));
    }

    /// The backend holds everything up to `index`: mark it, and drop the log before it except for
    /// what slow followers may still want.
    fn truncate(&mut self, index: u64) -> Result<(), DriverError> {
        let log = self.node.log();
        let Some(term) = log.term_of(index) else { return Ok(()) };
        let conf_state = Bytes::from(log.conf_state().encode_to_vec());
        match self.wal.mark(Mark { index, term, conf_state }) {
            Ok(()) => {}
            // Without the mark the log stays as long as it is; the next flush tries again.
            Err(wal::WalError::Full) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if !planted::on(Bug::ReleaseBeforeMark) {
            self.wal.sync()?;
        }
        self.wal.release(index)?;
        probe::hit(Probe::WalTruncated);
        self.node.truncate_to(index.saturating_sub(self.catchup_entries));
        Ok(())
    }
}

fn to_wal_hard_state(state: &HardState) -> wal::HardState {
    let vote = if planted::on(Bug::VoteForgotten) { 0 } else { state.vote };
    wal::HardState { term: state.term, vote, commit: state.commit }
}

/// As the log stores it.
pub(crate) fn to_wal_entry(entry: &Entry) -> WalEntry {
    WalEntry {
        index: entry.index,
        term: entry.term,
        // raft's entry types are 0, 1 and 2.
        kind: u8::try_from(entry.entry_type).unwrap_or(u8::MAX),
        data: entry.data.clone(),
        context: entry.context.clone(),
    }
}

/// The other direction, at boot.
pub(crate) fn from_wal_entry(entry: WalEntry) -> Entry {
    Entry {
        index: entry.index,
        term: entry.term,
        entry_type: i32::from(entry.kind),
        data: entry.data,
        context: entry.context,
        ..Entry::default()
    }
}

/// Why the driver cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    #[error("{0}")]
    Wal(#[from] wal::WalError),
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
    #[error("{0}")]
    Amnesia(#[from] Amnesia),
    #[error("raft wants a snapshot of entry {0} installed that nobody brought")]
    NoState(u64),
    #[error("the apply loop is gone")]
    ApplyIsGone,
}

#[cfg(test)]
mod tests;

//! The apply loop: committed entries, in log order, one at a time, exactly once.
//!
//! For each entry: execute it on the machine, put its changes and its index into the backend as
//! one commit, publish its events, answer whoever waits. The machine's lock is taken for a short
//! run of entries, so that readers get a turn in between.
//!
//! Apply answers or halts: an error that depends on this member (its disk, its memory) must not
//! become an answer, because other members answered otherwise.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::Entry;
use reseed_core::applied::{Applied, At, Effect, Response};
use reseed_core::error::Error;
use reseed_core::{Machine, codec};
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::{LogEntry, log_entry::Request};
use reseed_rt::buggify::{self, Point};
use reseed_rt::chan::Receiver;
use reseed_rt::clock::{self, Instant};
use reseed_rt::disk;
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::{self, Stop};
use reseed_storage::backend::AppliedAt;

use crate::halt::Halt;
use crate::raft::Committed;
use crate::raft::changes::{self, BadChange};
use crate::sight::Sight;
use crate::state::State;
use crate::waiters::{Answer, Waiters};
use crate::watch::feed::Publisher;

mod measure;

pub(crate) use measure::Times;

/// Entries executed under one hold of the machine's lock.
const ENTRIES_PER_LOCK: usize = 32;

/// How late the simulator makes apply, where it does.
const LATE: Duration = Duration::from_millis(20);

/// Told of each effect before the entry is answered, in log order; must not block.
pub(crate) type OnEffect = Box<dyn Fn(&Effect) + Send + Sync>;

/// Told when the whole state was replaced, before it counts as applied.
pub(crate) type OnInstall = Box<dyn Fn() + Send + Sync>;

/// What the apply loop needs to run.
pub(crate) struct Applier {
    pub(crate) state: Arc<State>,
    pub(crate) committed: Receiver<Committed>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) watchers: Publisher,
    pub(crate) on_effect: OnEffect,
    pub(crate) on_install: OnInstall,
    pub(crate) halt: Halt,
    pub(crate) times: Times,
}

/// What one entry left behind, to be handed out once the lock is gone.
struct Done {
    id: u64,
    answer: Answer,
    effects: Vec<Effect>,
    index: u64,
}

impl Applier {
    /// Runs until `stop`; halts the member if an entry cannot be executed.
    pub(crate) async fn run(mut self, stop: Stop) {
        loop {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                batch = self.committed.recv() => batch,
            };
            let Some(batch) = batch else { return };
            let applied = tokio::select! {
                biased;
                applied = self.take(batch) => applied,
                // Waiting for room that nobody makes any more; the log has what is left.
                () = stop.cancelled() => return,
            };
            if let Err(error) = applied {
                self.halt.halt(error);
                return;
            }
        }
    }

    async fn take(&mut self, committed: Committed) -> Result<(), ApplyError> {
        match committed {
            Committed::Entries(batch) => self.apply_batch(batch).await,
            Committed::Install { from, done } => {
                self.install(from).await?;
                // The driver may be gone; then the next start finds the state in place.
                let _gone: Result<(), ()> = done.send(());
                Ok(())
            }
        }
    }

    /// Puts another member's state in place of this one's. Watchers go on: what they have not seen
    /// they read from the new state's history, or are told that it is compacted there.
    async fn install(&mut self, from: PathBuf) -> Result<(), ApplyError> {
        let (state, watchers) = (Arc::clone(&self.state), self.watchers.clone());
        self.state.metrics.snapshot_applying.set(1);
        let installed = task::blocking(move || {
            let mut machine = state.machine.write();
            let applied = state.backend.install_blocking(&from)?;
            *machine = Machine::restore(&state.backend).map_err(ApplyError::Installed)?;
            let revision = machine.mvcc.revision();
            watchers.missed(revision);
            Ok::<_, ApplyError>((applied, revision))
        });
        let (applied, revision) = installed.await?;
        disk::settle().await;
        probe::hit(Probe::SnapshotInstalled);
        tracing::info!(index = applied.index, revision, "installed a snapshot");
        (self.on_install)();
        self.state.progress.show(|| Sight::Installed { index: applied.index });
        self.state.progress.set_applied(applied.index);
        self.state.metrics.snapshot_applying.set(0);
        Ok(())
    }

    async fn apply_batch(&mut self, batch: Vec<Entry>) -> Result<(), ApplyError> {
        let mut entries = batch.into_iter().peekable();
        while entries.peek().is_some() {
            self.state.backend.room().await?;
            if buggify::point(Point::ApplyLate) {
                clock::sleep(LATE).await;
            }
            let at_once = if buggify::point(Point::ApplyOneEntry) { 1 } else { ENTRIES_PER_LOCK };
            let began = Instant::now();
            let run: Vec<Entry> = entries.by_ref().take(at_once).collect();
            let done = self.execute(&run)?;
            let took = began.elapsed();
            if took > self.state.config.warning_apply_duration {
                self.state.metrics.slow_apply.inc();
                tracing::warn!(entries = run.len(), ?took, "apply request took too long");
            }
            self.hand_out(done);
            if entries.peek().is_some() {
                // A long log is applied at start while clients and peers ask.
                task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Executes a run of entries; events leave in revision order while the lock is held.
    fn execute(&mut self, run: &[Entry]) -> Result<Vec<Done>, ApplyError> {
        let state = &*self.state;
        let mut done = Vec::with_capacity(run.len());
        let mut machine = state.machine.write();
        for entry in run {
            let at = At { index: entry.index, term: entry.term };
            let applied_at = AppliedAt { index: entry.index, term: entry.term };
            state.progress.show(|| Sight::Applied {
                index: entry.index,
                term: entry.term,
                digest: crc32c::crc32c(&entry.data),
            });
            if entry.data.is_empty() {
                // A new leader's empty entry (Raft §8).
                state.backend.commit(reseed_core::port::Batch::default(), applied_at)?;
                done.push(Done {
                    id: 0,
                    answer: Ok(Response::None),
                    effects: vec![],
                    index: at.index,
                });
                continue;
            }
            let began = Instant::now();
            let log_entry = read_entry(entry)?;
            let applied = machine
                .apply(at, &log_entry, &state.backend)
                .map_err(|error| ApplyError::Entry { index: entry.index, error })?;
            count(state, log_entry.request.as_ref(), &applied);
            let Applied { response, revision, events, batch, effects } = applied;
            state.backend.commit(batch, applied_at)?;
            let refused = response.as_ref().err();
            self.times.observe(log_entry.request.as_ref(), refused, began.elapsed());
            if planted::on(Bug::EventsPublishedOneByOne) {
                events.into_iter().for_each(|one| self.watchers.publish(revision, vec![one]));
            } else if !events.is_empty() {
                self.watchers.publish(revision, events);
            }
            done.push(Done { id: log_entry.id, answer: response, effects, index: at.index });
        }
        Ok(done)
    }

    fn hand_out(&self, done: Vec<Done>) {
        // Who sees an index as applied may rely on its effects: the lease clock does.
        for effect in done.iter().flat_map(|done| &done.effects) {
            (self.on_effect)(effect);
        }
        if let Some(last) = done.last() {
            self.state.progress.set_applied(last.index);
        }
        let progress = &self.state.progress;
        let silent =
            planted::on(Bug::FollowerNeverAnswers) && progress.leader() != self.state.member_id;
        if !silent {
            self.waiters.answer(done.into_iter().map(|done| (done.id, done.answer)));
        }
    }
}

/// What an entry says, which for changes of who takes part is inside raft's own message.
fn read_entry(entry: &Entry) -> Result<LogEntry, ApplyError> {
    let index = entry.index;
    if changes::is_change(entry) {
        return changes::log_entry(&entry.data)
            .map_err(|error| ApplyError::BadChange { index, error });
    }
    let decoded =
        codec::decode(&entry.data).map_err(|error| ApplyError::Unreadable { index, error })?;
    if let Some(Request::MemberChange(change)) = &decoded.request
        && changes::entry_data(decoded.id, change).is_some()
    {
        return Err(ApplyError::NotInRaft(index));
    }
    Ok(decoded)
}

fn count(state: &State, request: Option<&Request>, applied: &Applied) {
    let metrics = &state.metrics;
    if applied.response.is_err() {
        return;
    }
    match request {
        Some(Request::Put(_)) => metrics.put_total.inc(),
        Some(Request::DeleteRange(_)) => metrics.delete_total.inc(),
        Some(Request::Txn(_)) => metrics.txn_total.inc(),
        Some(Request::LeaseGrant(_)) => metrics.lease_granted.inc(),
        Some(Request::LeaseRevoke(_)) => metrics.lease_revoked.inc(),
        _ => {}
    }
}

/// Why apply cannot go on.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("entry {index} cannot be applied: {error}")]
    Entry { index: u64, error: Error },
    #[error("entry {index} cannot be read: {error}")]
    Unreadable { index: u64, error: codec::DecodeError },
    #[error("entry {index} changes the membership and cannot be read: {error}")]
    BadChange { index: u64, error: BadChange },
    #[error("entry {0} changes the membership behind raft's back")]
    NotInRaft(u64),
    #[error("the installed snapshot cannot be read: {0}")]
    Installed(Error),
    #[error("backend: {0}")]
    Backend(#[from] reseed_storage::backend::BackendError),
}

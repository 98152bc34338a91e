//! Compaction after it has been decided: physical removal, and deciding it automatically.
//!
//! The compact revision itself is set by apply, the same everywhere. What is here is local: remove
//! what nobody can read any more, in bounded steps, with a pause between them so that nothing else
//! waits long; and propose compactions by the rule of `--auto-compaction-mode`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reseed_core::applied::Effect;
use reseed_core::error::Error;
use reseed_proto::etcdserverpb::CompactionRequest;
use reseed_proto::log::log_entry::Request;
use reseed_rt::buggify::{self, Point};
use reseed_rt::clock::{self, Instant, interval};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;
use tokio::sync::{Notify, watch};

use crate::config::AutoCompaction;
use crate::propose::Proposer;
use crate::state::State;

/// Time between two looks in revision mode (etcd's).
const REVISION_MODE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Removes what is compacted, and compacts when asked to or by rule.
#[derive(Clone, Debug)]
pub(crate) struct Compactor {
    state: Arc<State>,
    proposer: Proposer,
    scheduled: Arc<Notify>,
    finished: Arc<watch::Sender<i64>>,
}

impl Compactor {
    pub(crate) fn new(state: Arc<State>, proposer: Proposer) -> Self {
        let scheduled = Arc::new(Notify::new());
        // What a crash interrupted is resumed.
        scheduled.notify_one();
        Self { state, proposer, scheduled, finished: Arc::new(watch::Sender::new(0)) }
    }

    /// Apply has moved the compact revision.
    pub(crate) fn on_effect(&self, effect: &Effect) {
        if matches!(effect, Effect::CompactScheduled(_)) {
            self.scheduled.notify_one();
        }
    }

    /// The whole state was replaced: it may bring a compaction that is not finished.
    pub(crate) fn on_install(&self) {
        self.scheduled.notify_one();
    }

    /// Compacts through the log; with `physical` returns only when the bytes are gone, too.
    ///
    /// # Errors
    /// What apply answered: compacted already, or in the future.
    pub(crate) async fn compact(
        &self,
        request: CompactionRequest,
    ) -> Result<reseed_core::applied::Response, Error> {
        let CompactionRequest { revision, physical } = request;
        let response = self.proposer.propose(Request::Compaction(request)).await?;
        if physical {
            let mut finished = self.finished.subscribe();
            finished.wait_for(|done| *done >= revision).await.map_err(|_closed| Error::Stopped)?;
        }
        Ok(response)
    }

    /// Removes what is compacted, step by step, until `stop`.
    pub(crate) async fn run(self, stop: Stop) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.scheduled.notified() => {}
            }
            while !self.step() {
                let room = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    room = self.state.backend.room() => room,
                };
                if room.is_err() {
                    // The flusher has halted the member.
                    return;
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = clock::sleep(self.state.config.compaction_sleep_interval) => {}
                }
            }
        }
    }

    /// One bounded step; true when nothing is left to remove.
    fn step(&self) -> bool {
        let state = &*self.state;
        let one = buggify::point(Point::CompactionOneKey);
        let limit = if one { 1 } else { state.config.compaction_batch_limit };
        let mut machine = state.machine.write();
        let target = machine.mvcc.compact_revision();
        let (batch, done) = machine.mvcc.scrub_step(limit);
        let removed = batch.ops().iter().filter(|op| op.value.is_none()).count();
        state.metrics.compaction_keys.inc_by(removed as u64);
        if let Err(error) = state.backend.commit(batch, state.backend.applied()) {
            tracing::warn!(%error, "compaction step could not be stored; it will be repeated");
            return true;
        }
        drop(machine);
        probe::hit_if(!done, Probe::CompactionStep);
        if done {
            self.finished.send_if_modified(|finished| {
                let moved = target > *finished;
                *finished = target.max(*finished);
                moved
            });
        }
        done
    }

    /// Only the leader decides: one decision is enough, and the others' clocks agree little.
    async fn propose_at(&self, revision: i64) {
        if self.state.progress.leader() != self.state.member_id {
            return;
        }
        let request = CompactionRequest { revision, physical: false };
        match self.proposer.propose(Request::Compaction(request)).await {
            Ok(_) => tracing::info!(revision, "auto-compaction"),
            Err(Error::Compacted) => {}
            Err(error) => tracing::warn!(%error, revision, "auto-compaction failed"),
        }
    }
}

/// Compacts by rule until `stop`.
pub(crate) async fn run_auto(compactor: Compactor, stop: Stop) {
    let rule = async {
        match compactor.state.config.auto_compaction {
            AutoCompaction::Off => std::future::pending().await,
            AutoCompaction::Revision(keep) => run_by_revision(&compactor, keep).await,
            AutoCompaction::Periodic(retention) => run_periodic(&compactor, retention).await,
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = rule => {}
    }
}

async fn run_by_revision(compactor: &Compactor, keep: i64) {
    let mut ticks = interval(REVISION_MODE_INTERVAL);
    loop {
        ticks.tick().await;
        let revision = compactor.state.machine.read().mvcc.revision() - keep;
        if revision > compactor.state.machine.read().mvcc.compact_revision() && revision > 0 {
            compactor.propose_at(revision).await;
        }
    }
}

/// etcd's rule: sample the revision every tenth of min(retention, 1 h); compact first after one
/// retention, then every min(retention, 1 h), always to the revision of `retention` ago.
async fn run_periodic(compactor: &Compactor, retention: Duration) {
    let every = retention.min(Duration::from_secs(3600)).max(Duration::from_millis(10));
    let mut samples: VecDeque<(Instant, i64)> = VecDeque::new();
    let mut last = Instant::now();
    let mut first = true;
    let mut ticks = interval(every / 10);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        samples.push_back((now, compactor.state.machine.read().mvcc.revision()));
        let due = if first { retention } else { every };
        if now.saturating_duration_since(last) < due {
            continue;
        }
        let mut old = None;
        while let Some((at, revision)) = samples.front().copied()
            && now.saturating_duration_since(at) >= retention
        {
            old = Some(revision);
            samples.pop_front();
        }
        let Some(revision) = old else { continue };
        (first, last) = (false, now);
        if revision > compactor.state.machine.read().mvcc.compact_revision() {
            compactor.propose_at(revision).await;
        }
    }
}

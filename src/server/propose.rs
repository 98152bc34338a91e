//! From a checked request to the answer that its log entry gets.
//!
//! The request gets an id, becomes a log entry, and waits in a table until apply has executed the
//! entry with that id. Whoever gives up before the driver has taken the request is certain that it
//! never will be; later, giving up takes nothing back: the entry may still be applied, which is why
//! a time-out says "unknown", not "failed".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reseed_core::applied::Response;
use reseed_core::error::Error;
use reseed_core::{codec, limits};
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::{LogEntry, MemberChange, log_entry};
use reseed_rt::buggify::{self, Point};
use reseed_rt::chan::Sender;
use reseed_rt::clock::{self, Instant};
use reseed_rt::probe::{self, Probe};
use reseed_rt::{rng, task};
use reseed_storage::backend::Backend;
use tokio::sync::oneshot;

use crate::late::{Connected, Late};
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::raft::changes;
use crate::raft::driver::Event;
use crate::state::State;

/// How often is looked whether leadership has moved.
const LEADER_LOOK: Duration = Duration::from_millis(10);

/// What a waiter gets.
pub(crate) type Answer = Result<Response, Error>;

/// Who waits for which entry.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_id: Mutex<BTreeMap<u64, Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    answer: oneshot::Sender<Answer>,
    /// Whether the driver has taken what is waited for.
    is_taken: bool,
}

impl Waiters {
    pub(crate) fn register(&self, id: u64) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let before = self.by_id.lock().insert(id, Waiter { answer, is_taken: false });
        assert!(before.is_none(), "request id {id} is already waited for");
        receiver
    }

    /// The driver takes what is waited for under `id`, unless nobody waits any more: whoever gave
    /// up while there was no leader does not want it minutes later.
    pub(crate) fn begin(&self, id: u64) -> bool {
        let mut by_id = self.by_id.lock();
        let waiter = by_id.get_mut(&id);
        waiter.map(|waiter| waiter.is_taken = true).is_some()
    }

    /// Nobody waits for `id` any more; whether it may have been proposed.
    fn forget(&self, id: u64) -> bool {
        self.by_id.lock().remove(&id).is_none_or(|waiter| waiter.is_taken)
    }

    /// Takes whoever waits for `id`: nobody, if the entry came from elsewhere or from a replay.
    pub(crate) fn take(&self, id: u64) -> Option<oneshot::Sender<Answer>> {
        self.by_id.lock().remove(&id).map(|waiter| waiter.answer)
    }

    /// Tells all of `ids` that their proposals were not taken.
    pub(crate) fn refuse(&self, ids: &[u64], error: &Error) {
        for id in ids {
            if let Some(waiter) = self.take(*id) {
                // Whoever waited may have given up.
                drop(waiter.send(Err(error.clone())));
            }
        }
    }

    fn len(&self) -> usize {
        self.by_id.lock().len()
    }
}

/// Removes the waiter when its caller goes away before the answer comes.
struct Registration<'a> {
    waiters: &'a Waiters,
    id: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.waiters.forget(self.id);
    }
}

/// Proposes requests and waits for their answers.
#[derive(Clone, Debug)]
pub struct Proposer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    next_id: AtomicU64,
    driver: Sender<Event>,
    waiters: Arc<Waiters>,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    backend: Backend,
    request_bytes_max: usize,
    timeout: Duration,
    late: Late,
}

impl Proposer {
    pub(crate) fn new(
        driver: Sender<Event>,
        waiters: Arc<Waiters>,
        state: &Arc<State>,
        connected: Connected,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                // Ids of an earlier run may still be in the log: begin somewhere else.
                next_id: AtomicU64::new(match planted::on(Bug::RequestIdsCollide) {
                    true => 1,
                    false => rng::u64() | 1,
                }),
                driver,
                waiters,
                progress: Arc::clone(&state.progress),
                metrics: Arc::clone(&state.metrics),
                backend: state.backend.clone(),
                request_bytes_max: state.config.max_request_bytes,
                timeout: state.config.request_timeout(),
                late: Late { state: Arc::clone(state), connected },
            }),
        }
    }

    /// Sends `request` through the log and returns what applying it answered.
    ///
    /// # Errors
    /// What the state machine answered, or: [`Error::TooManyRequests`] when apply is behind,
    /// [`Error::RequestTooLarge`], [`Error::NoSpace`] when the disk is full (in these three
    /// cases nothing was proposed), nor with [`Error::NeverProposed`]; [`Error::Timeout`] and its
    /// kin ([`Late`]) and [`Error::Stopped`], after which the request may or may not be executed.
    pub async fn propose(&self, request: log_entry::Request) -> Result<Response, Error> {
        self.send(request, |id, payload| Event::Propose { id, payload, led_in: None }).await
    }

    /// As [`Proposer::propose`], but only if this member leads in `term` when the log takes it.
    ///
    /// # Errors
    /// As there, and `NotLeader`: nothing was proposed.
    pub(crate) async fn propose_leading(
        &self,
        request: log_entry::Request,
        term: u64,
    ) -> Result<Response, Error> {
        let led_in = Some(term);
        self.send(request, |id, payload| Event::Propose { id, payload, led_in }).await
    }

    /// Sends a change of the members through the log; as [`Proposer::propose`], but it must be
    /// this member that leads.
    ///
    /// # Errors
    /// As there; `NotLeader`, and `TooManyRequests` while another change is under way: nothing
    /// was proposed.
    pub(crate) async fn propose_change(&self, change: MemberChange) -> Result<Response, Error> {
        let in_raft = change.clone();
        let event = move |id, payload| match changes::entry_data(id, &in_raft) {
            Some(data) => Event::Change { id, data },
            None => Event::Propose { id, payload, led_in: None },
        };
        self.send(log_entry::Request::MemberChange(change), event).await
    }

    async fn send(
        &self,
        request: log_entry::Request,
        event: impl FnOnce(u64, Bytes) -> Event,
    ) -> Result<Response, Error> {
        let inner = &*self.inner;
        let behind = inner.progress.committed().saturating_sub(inner.progress.applied());
        if behind > limits::APPLY_BACKLOG_MAX {
            probe::hit(Probe::TooManyRequests);
            return Err(Error::TooManyRequests);
        }
        if inner.backend.is_full() {
            return Err(Error::NoSpace);
        }
        let id = inner.next_id.fetch_add(1, Ordering::Relaxed);
        let entry = LogEntry { id, request: Some(request), ..LogEntry::default() };
        let payload = codec::encode(&entry);
        if payload.len() > inner.request_bytes_max {
            return Err(Error::RequestTooLarge);
        }
        let began = Instant::now();
        let answer = inner.waiters.register(id);
        let _registration = Registration { waiters: &inner.waiters, id };
        let outcome = clock::timeout(inner.timeout, async {
            if buggify::point(Point::ProposeYield) {
                task::yield_now().await;
            }
            inner.driver.send(event(id, payload)).await.map_err(|_closed| Error::Stopped)?;
            answer.await.unwrap_or(Err(Error::Stopped))
        })
        .await;
        outcome.unwrap_or_else(|_elapsed| {
            inner.metrics.proposals_failed.inc();
            if !inner.waiters.forget(id) {
                return Err(Error::NeverProposed);
            }
            probe::hit(Probe::ProposalTimeout);
            let denies = planted::on(Bug::TimeoutDenies);
            Err(if denies { Error::TooManyRequests } else { inner.late.why(began) })
        })
    }

    /// Hands leadership to another member, the one that is furthest if none is named; returns once
    /// this member follows one.
    ///
    /// # Errors
    /// [`Error::TimeoutLeaderTransfer`] if that does not happen in time.
    pub(crate) async fn hand_over(&self, to: Option<u64>) -> Result<(), Error> {
        let progress = &self.inner.progress;
        let before = progress.leader();
        let moved = || match progress.leader() {
            0 => false,
            leader => to.map_or(leader != before, |to| leader == to),
        };
        let handed = clock::timeout(self.inner.timeout, async {
            let sent = self.inner.driver.send(Event::HandOver(to)).await;
            sent.map_err(|_closed| Error::Stopped)?;
            while !moved() {
                clock::sleep(LEADER_LOOK).await;
            }
            Ok(())
        });
        handed.await.unwrap_or(Err(Error::TimeoutLeaderTransfer))
    }

    /// Proposals that wait for their answer.
    pub(crate) fn pending(&self) -> usize {
        self.inner.waiters.len()
    }
}

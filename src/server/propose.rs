//! From a checked request to the answer that its log entry gets.
//!
//! The request gets an id, becomes a log entry, and waits in a table until apply has executed the
//! entry with that id. Whoever gives up before the driver has taken the request is certain that it
//! never will be; later, giving up takes nothing back: the entry may still be applied, which is why
//! a time-out says "unknown", not "failed".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
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

use crate::late::{Connected, Late};
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::raft::changes;
use crate::raft::driver::Event;
use crate::state::State;
use crate::waiters::Waiters;

/// How often is looked whether leadership has moved.
const LEADER_LOOK: Duration = Duration::from_millis(10);

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
        let mut answer = inner.waiters.register(id);
        let outcome = clock::timeout(inner.timeout, async {
            if buggify::point(Point::ProposeYield) {
                task::yield_now().await;
            }
            inner.driver.send(event(id, payload)).await.map_err(|_closed| Error::Stopped)?;
            (&mut answer).await
        })
        .await;
        outcome.unwrap_or_else(|_elapsed| {
            inner.metrics.proposals_failed.inc();
            if !answer.give_up() {
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

//! Questions that only the leader can answer, asked on behalf of clients of another member.
//!
//! Deadlines of leases are on the leader's clock alone. A follower passes a renewal on and repeats
//! the question while nobody leads or leadership moves: renewing twice does no harm.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reseed_core::error::Error;
use reseed_core::id::{LeaseId, Millis};
use reseed_core::lease::expiry::TimeLeft;
use reseed_planted::{self as planted, Bug};
use reseed_proto::peer::{LeaseQuestion, peer_client::PeerClient};
use reseed_rt::clock;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::Peers;
use super::stream::Route;
use crate::state::State;

/// Between two questions.
const RETRY: Duration = Duration::from_millis(50);

/// How a member is reached, and the connection to it.
type Way = (Route, PeerClient<Channel>);

/// The way to whoever leads.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    state: Arc<State>,
    peers: Peers,
    /// The connection to the last one asked.
    known: Arc<Mutex<Option<Way>>>,
}

impl Leader {
    pub(crate) fn new(state: Arc<State>, peers: Peers) -> Self {
        Self { state, peers, known: Arc::default() }
    }

    /// Whether this member itself leads.
    pub(crate) fn is_here(&self) -> bool {
        self.state.progress.leader() == self.state.member_id
    }

    /// As `LeaseClock::keep_alive`, at the leader. `here` is asked once this member leads itself.
    ///
    /// # Errors
    /// [`Error::NoLeader`], [`Error::Timeout`] if no leader answers in time; what `here` answers.
    pub(crate) async fn keep_alive<F>(
        &self,
        id: LeaseId,
        here: impl Fn() -> F,
    ) -> Result<Option<i64>, Error>
    where
        F: Future<Output = Result<Option<i64>, Error>>,
    {
        let ask = |route: Route, mut client: PeerClient<Channel>| async move {
            let question = route.request(LeaseQuestion { id: id.0 });
            let answer = client.keep_alive(question).await.map(Response::into_inner)?;
            Ok(answer.found.then_some(answer.ttl_secs))
        };
        if planted::on(Bug::RenewedByFollower) {
            return here().await;
        }
        self.ask(here, ask).await
    }

    /// As `LeaseClock::time_left`, at the leader.
    ///
    /// # Errors
    /// As [`Leader::keep_alive`].
    pub(crate) async fn time_left<F>(
        &self,
        id: LeaseId,
        here: impl Fn() -> F,
    ) -> Result<Option<TimeLeft>, Error>
    where
        F: Future<Output = Result<Option<TimeLeft>, Error>>,
    {
        let ask = |route: Route, mut client: PeerClient<Channel>| async move {
            let question = route.request(LeaseQuestion { id: id.0 });
            let answer = client.time_left(question).await.map(Response::into_inner)?;
            let left = Millis(answer.left_millis);
            Ok(answer.found.then_some(TimeLeft { ttl_secs: answer.ttl_secs, left }))
        };
        self.ask(here, ask).await
    }

    /// Asks whoever leads until somebody answers.
    async fn ask<T, H, F>(
        &self,
        here: impl Fn() -> H,
        there: impl Fn(Route, PeerClient<Channel>) -> F,
    ) -> Result<T, Error>
    where
        H: Future<Output = Result<T, Error>>,
        F: Future<Output = Result<T, Status>>,
    {
        let answered = clock::timeout(self.state.config.request_timeout(), async {
            loop {
                if self.is_here() {
                    match here().await {
                        // Not any more: whoever does is asked.
                        Err(Error::NotLeader) => {}
                        answer => return answer,
                    }
                }
                if let Some((route, client)) = self.find() {
                    let limit = route.silence_max;
                    match clock::timeout(limit, there(route, client)).await {
                        Ok(Ok(answer)) => return Ok(answer),
                        Ok(Err(status)) => {
                            tracing::debug!(reason = status.message(), "the leader cannot say");
                            self.forget();
                        }
                        Err(_elapsed) => self.forget(),
                    }
                }
                clock::sleep(RETRY).await;
            }
        });
        answered.await.unwrap_or_else(|_elapsed| Err(self.unanswered()))
    }

    /// Why a question was not answered in time.
    pub(crate) fn unanswered(&self) -> Error {
        if self.state.progress.leader() == 0 { Error::NoLeader } else { Error::Timeout }
    }

    /// The leader and the connection to it; nothing while nobody is known to lead.
    fn find(&self) -> Option<Way> {
        let id = self.state.progress.leader();
        let mut known = self.known.lock();
        if let Some((route, client)) = &*known
            && route.to == id
        {
            return Some((route.clone(), client.clone()));
        }
        let route = self.peers.route(id)?;
        let client = route.client(&route.url(0));
        *known = Some((route.clone(), client.clone()));
        Some((route, client))
    }

    fn forget(&self) {
        *self.known.lock() = None;
    }
}

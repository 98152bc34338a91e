//! The Lease service: grants, and keeping them alive.
//!
//! A [`KeepAlive`] is one stream for one lease, driven by its caller; HTTP/2 makes such streams
//! cheap. [`KeepAlive::run`] renews at a third of the TTL, as etcd's client does, and survives a
//! broken stream by opening another one. It ends when the lease is gone, which is an answer and
//! not an error.

use std::{any::Any, time::Duration};

use reseed_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_client::LeaseClient,
};
use reseed_rt::clock;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::{
    Client, Connection, Error,
    retry::{Backoff, Twice},
};

fn stub(connection: Connection) -> LeaseClient<Connection> {
    LeaseClient::new(connection).max_decoding_message_size(usize::MAX)
}

impl Client {
    /// Grants a lease of `ttl` seconds; `id` 0 lets the server draw one.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn lease_grant(&self, ttl: i64, id: i64) -> Result<LeaseGrantResponse, Error> {
        let call = async |c, r| stub(c).lease_grant(r).await;
        self.unary(Twice::Harmful, LeaseGrantRequest { ttl, id }, call).await
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn lease_revoke(&self, id: i64) -> Result<LeaseRevokeResponse, Error> {
        let call = async |c, r| stub(c).lease_revoke(r).await;
        self.unary(Twice::Harmful, LeaseRevokeRequest { id }, call).await
    }

    /// What a lease has left; a TTL of -1 if it is gone.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> Result<LeaseTimeToLiveResponse, Error> {
        let call = async |c, r| stub(c).lease_time_to_live(r).await;
        self.unary(Twice::Harmless, request, call).await
    }

    /// All leases.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn leases(&self) -> Result<LeaseLeasesResponse, Error> {
        let call = async |c, r| stub(c).lease_leases(r).await;
        self.unary(Twice::Harmless, LeaseLeasesRequest {}, call).await
    }

    /// Renews a lease once; a TTL of 0 in the answer if it is gone.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn lease_keep_alive_once(&self, id: i64) -> Result<LeaseKeepAliveResponse, Error> {
        let call = async |connection, request: tonic::Request<LeaseKeepAliveRequest>| {
            let (metadata, extensions, message) = request.into_parts();
            let one = tokio_stream::once(message);
            let request = tonic::Request::from_parts(metadata, extensions, one);
            let mut answers = stub(connection).lease_keep_alive(request).await?.into_inner();
            let answer = answers.message().await?;
            answer.map(tonic::Response::new).ok_or_else(|| {
                tonic::Status::unavailable("the keep-alive stream ended without an answer")
            })
        };
        self.unary(Twice::Harmless, LeaseKeepAliveRequest { id }, call).await
    }

    /// Prepares to keep a lease alive.
    #[must_use]
    pub fn lease_keep_alive(&self, id: i64) -> KeepAlive {
        KeepAlive { client: self.clone(), id, open: None }
    }
}

/// Keeps one lease alive while somebody polls it.
#[derive(Debug)]
pub struct KeepAlive {
    client: Client,
    id: i64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

impl KeepAlive {
    /// Renews once over the stream, opening it if need be.
    ///
    /// # Errors
    /// Any [`Error`]; the next call opens another stream, at another endpoint if this one is gone.
    pub async fn renew(&mut self) -> Result<LeaseKeepAliveResponse, Error> {
        let Some(observer) = self.client.observer.clone() else {
            return self.renew_in_time().await;
        };
        let name = observer.asked(&LeaseKeepAliveRequest { id: self.id });
        let outcome = self.renew_in_time().await;
        observer.answered(name, outcome.as_ref().map(|answer| answer as &dyn Any));
        outcome
    }

    async fn renew_in_time(&mut self) -> Result<LeaseKeepAliveResponse, Error> {
        let Some(limit) = self.client.request_timeout else {
            return self.renew_untimed().await;
        };
        clock::timeout(limit, self.renew_untimed()).await.unwrap_or_else(|_| {
            // A peer that lost power says nothing for ever: not even that the connection is gone.
            let silent = self.open.take().map(|open| open.connection);
            let silent = silent.unwrap_or_else(|| self.client.channel.pick());
            silent.forget();
            self.client.channel.avoid(&silent);
            Err(Error::Timeout)
        })
    }

    /// Renews at a third of the TTL, telling `each` of every answer, until the lease is gone
    /// (`Ok`), or could not be renewed for a whole TTL.
    ///
    /// # Errors
    /// The last [`Error`] met, once the lease must have run out.
    pub async fn run(
        &mut self,
        mut each: impl FnMut(&LeaseKeepAliveResponse),
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(self.client.channel.len());
        let mut expires = None;
        loop {
            match self.renew().await {
                Ok(answer) if answer.ttl <= 0 => return Ok(()),
                Ok(answer) => {
                    let ttl = Duration::from_secs(answer.ttl.unsigned_abs());
                    expires = Some(clock::Instant::now() + ttl);
                    backoff = Backoff::new(self.client.channel.len());
                    each(&answer);
                    clock::sleep(ttl / 3).await;
                }
                Err(error) => {
                    let is_over = expires.is_none_or(|at| clock::Instant::now() >= at);
                    if is_over || error.code() != Code::Unavailable && !is_silence(&error) {
                        return Err(error);
                    }
                    backoff.pause().await;
                }
            }
        }
    }

    async fn renew_untimed(&mut self) -> Result<LeaseKeepAliveResponse, Error> {
        let request = LeaseKeepAliveRequest { id: self.id };
        let answer = match &mut self.open {
            // A closed queue means a closed stream, whose error the next read tells.
            Some(open) => {
                open.requests.send(request).await.ok();
                open.answers.message().await
            }
            None => self.open(request).await,
        };
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                self.abandon();
                Err(Error::Closed)
            }
            Err(status) => {
                self.abandon();
                Err(status.into())
            }
        }
    }

    async fn open(
        &mut self,
        request: LeaseKeepAliveRequest,
    ) -> Result<Option<LeaseKeepAliveResponse>, tonic::Status> {
        let connection = self.client.channel.pick();
        // One renewal is under way at a time.
        let (requests, outbound) = mpsc::channel(1);
        // The queue is empty, so this neither waits nor fails.
        requests.send(request).await.ok();
        let outbound = ReceiverStream::new(outbound);
        let opened = stub(connection.clone()).lease_keep_alive(outbound).await;
        let mut answers = match opened {
            Ok(response) => response.into_inner(),
            Err(status) => {
                self.client.channel.avoid(&connection);
                return Err(status);
            }
        };
        let answer = answers.message().await;
        self.open = Some(Open { connection, requests, answers });
        answer
    }

    /// Drops the stream and the endpoint's good name.
    fn abandon(&mut self) {
        if let Some(open) = self.open.take() {
            self.client.channel.avoid(&open.connection);
        }
    }
}

/// Errors that only mean that nobody answered.
fn is_silence(error: &Error) -> bool {
    matches!(error, Error::Timeout | Error::Closed)
}

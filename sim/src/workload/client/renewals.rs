//! The keep-alive stream of a client, open as long as it works.

use futures::stream::{self, StreamExt as _};
use reseed_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, lease_client::LeaseClient,
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming, transport::Channel};

/// Renewals under way: one, a client does one thing at a time.
const QUEUE_LEN: usize = 1;

/// An open stream.
#[derive(Debug)]
pub(super) struct Renewals {
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

impl Renewals {
    /// Opens a stream with its first request.
    pub(super) async fn open(
        channel: Channel,
        first: LeaseKeepAliveRequest,
    ) -> Result<Self, Status> {
        let (requests, rest) = mpsc::channel(QUEUE_LEN);
        let rest = stream::unfold(rest, |mut rest| async {
            let next = rest.recv().await?;
            Some((next, rest))
        });
        let all = stream::iter([first]).chain(rest);
        let answers = LeaseClient::new(channel).lease_keep_alive(all).await?.into_inner();
        Ok(Self { requests, answers })
    }

    /// Sends another request.
    pub(super) async fn send(&mut self, request: LeaseKeepAliveRequest) -> Result<(), Status> {
        let sent = self.requests.send(request).await;
        sent.map_err(|_closed| Status::unavailable("the keep-alive stream is closed"))
    }

    /// The answer to the last request.
    pub(super) async fn answer(&mut self) -> Result<LeaseKeepAliveResponse, Status> {
        let answer = self.answers.message().await?;
        answer.ok_or_else(|| Status::unavailable("the keep-alive stream ended"))
    }
}

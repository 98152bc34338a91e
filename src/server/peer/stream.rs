//! The sending side: one stream to one member, opened again for as long as the member runs.

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;
use std::{io, iter};

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use raft::eraftpb::Message;
use reseed_proto::peer::{RaftBatch, RaftTaken, Refusal, peer_client::PeerClient};
use reseed_rt::chan::{Receiver, Sender};
use reseed_rt::clock::{self, Instant};
use reseed_rt::net::{ChannelOptions, channel};
use reseed_rt::task::Stop;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Extensions, Request, Status};

use super::measure::{Sent, bytes_of};
use super::outbox::Link;
use super::silence::{Silence, Unanswered};
use super::wire::{self, Wire};
use super::{BATCH_BYTES_MAX, PEER_VERSION, header};
use crate::departure::Departure;
use crate::raft::PeerEvent;

/// Between two attempts to reach a member.
const RETRY: Duration = Duration::from_millis(100);

/// How one member is reached.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The cluster.
    pub(crate) cluster: u64,
    /// This member.
    pub(crate) from: u64,
    /// The member it leads to.
    pub(crate) to: u64,
    /// Where this member listens for peers.
    pub(crate) own_urls: Vec<String>,
    /// Where that one listens for peers; tried in turn.
    pub(crate) urls: Vec<String>,
    /// A stream that is not answered for so long is given up.
    pub(crate) silence_max: Duration,
}

impl Route {
    /// Where the `attempt`-th attempt goes.
    pub(super) fn url(&self, attempt: usize) -> String {
        let url = self.urls.get(attempt % self.urls.len().max(1));
        url.cloned().unwrap_or_default()
    }

    /// A connection of its own.
    pub(super) fn client(&self, url: &str) -> PeerClient<Channel> {
        let connect_timeout = self.silence_max;
        PeerClient::new(channel(url, ChannelOptions { connect_timeout, ..Default::default() }))
    }

    /// Who asks whom.
    pub(super) fn introduction(&self) -> HeaderMap {
        let Self { cluster, from, to, .. } = *self;
        let ids = [(header::CLUSTER, cluster), (header::FROM, from), (header::TO, to)];
        let mut headers: HeaderMap = ids
            .map(|(name, id)| {
                let id = HeaderValue::try_from(format!("{id:x}")).expect("hexadecimal is ASCII");
                (HeaderName::from_static(name), id)
            })
            .into_iter()
            .collect();
        if let Ok(urls) = HeaderValue::try_from(self.own_urls.join(",")) {
            headers.insert(header::URLS, urls);
        }
        headers.insert(header::VERSION, HeaderValue::from_static(PEER_VERSION));
        headers
    }

    /// A request that says who asks whom.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let metadata = MetadataMap::from_headers(self.introduction());
        Request::from_parts(metadata, Extensions::default(), message)
    }
}

/// One member's queue on its way.
pub(crate) struct Sending {
    pub(super) route: Route,
    pub(super) waiting: Receiver<Vec<Message>>,
    pub(super) driver: Sender<PeerEvent>,
    pub(super) link: Link,
    pub(super) sent: Sent,
    pub(super) departure: Departure,
    /// After so long without anything to send, an empty batch is sent.
    pub(super) idle_max: Duration,
}

/// How one stream came to its end.
enum Ended {
    /// This member stops.
    Stopped,
    /// The other side is gone, refuses, or is silent.
    Broken(Status),
}

impl Sending {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: Stop) {
        let (mut attempt, mut refused) = (0, 0);
        let mut complained = false;
        loop {
            let began = Instant::now();
            let url = self.route.url(attempt);
            attempt += 1;
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => Ended::Stopped,
                ended = self.one_stream(&url) => ended,
            };
            if self.link.set_down() {
                self.sent.active.dec();
                self.sent.disconnected.inc();
            }
            let Ended::Broken(status) = ended else { return };
            if status.code() == Code::PermissionDenied {
                self.departure.begin();
                return;
            }
            // Once a stream has worked, its end is news; before, only the first failure is.
            if !complained || began.elapsed() > self.route.silence_max {
                tracing::warn!(
                    peer = format_args!("{:x}", self.route.to),
                    reason = status.message(),
                    "lost the connection to a peer; trying again"
                );
            }
            complained = true;
            self.lose().await;
            refused = if nobody_listens(&status) { refused + 1 } else { 0 };
            if refused == self.route.urls.len() {
                let _gone = self.driver.send(PeerEvent::Gone(self.route.to)).await;
            }
            // After a stream that stood for a while, the first attempt is made at once.
            let pause = RETRY.saturating_sub(began.elapsed());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock::sleep(pause) => {}
            }
        }
    }

    /// What waits is out of date by the time the next stream stands: raft makes it anew.
    async fn lose(&mut self) {
        self.sent.failures.inc();
        while self.waiting.try_recv().is_ok() {}
        // The driver may be gone at the end; then nobody needs to know.
        let _gone = self.driver.send(PeerEvent::Unreachable(self.route.to)).await;
    }

    /// Opens a stream and feeds it until it breaks.
    async fn one_stream(&mut self, url: &str) -> Ended {
        let opening = wire::open(url, self.route.introduction());
        let wire = match clock::timeout(self.route.silence_max, opening).await {
            Ok(Ok(wire)) => wire,
            Ok(Err(status)) => return Ended::Broken(status),
            Err(elapsed) => return Ended::Broken(Status::unavailable(elapsed.to_string())),
        };
        self.link.set_up(url);
        self.sent.active.inc();
        tracing::info!(peer = format_args!("{:x}", self.route.to), url, "connected to a peer");
        let (batches, answers) = wire.split();
        let unanswered = Unanswered::default();
        // Also the bound for batches that the connection does not take.
        let silent = unanswered.for_longer_than(self.route.silence_max);
        let sending = feed(&mut self.waiting, self.idle_max, batches, (&unanswered, &self.sent));
        tokio::select! {
            biased;
            status = hear(answers, &unanswered, &self.sent) => Ended::Broken(status),
            () = silent => Ended::Broken(Status::unavailable("the peer is silent")),
            ended = sending => ended,
        }
    }
}

/// Reads what the other side says until it says no more.
async fn hear(mut answers: SplitStream<Wire>, unanswered: &Unanswered, sent: &Sent) -> Status {
    loop {
        match wire::next::<RaftTaken>(&mut answers).await {
            Ok(RaftTaken { refused: None, batches, probe }) => {
                unanswered.taken(batches);
                sent.round_trips.answered(probe);
            }
            Ok(RaftTaken { refused: Some(Refusal { code, reason }), .. }) => {
                return Status::new(Code::from(code), reason);
            }
            Err(status) => return status,
        }
    }
}

/// Sends what waits, and a batch of nothing when nothing has waited for long. What has piled up
/// leaves together.
async fn feed(
    waiting: &mut Receiver<Vec<Message>>,
    idle_max: Duration,
    mut batches: SplitSink<Wire, Bytes>,
    (unanswered, sent): (&Unanswered, &Sent),
) -> Ended {
    let since_last = Silence::default();
    let mut idle = pin!(since_last.for_longer_than(idle_max));
    loop {
        since_last.restart();
        let first = tokio::select! {
            biased;
            messages = waiting.recv() => match messages {
                Some(messages) => messages,
                None => return Ended::Stopped,
            },
            () = &mut idle => {
                idle.set(since_last.for_longer_than(idle_max));
                Vec::new()
            }
        };
        let piled_up = iter::from_fn(|| waiting.try_recv().ok());
        for batch in iter::once(first).chain(piled_up).flat_map(to_batches) {
            unanswered.send();
            sent.bytes.inc_by(bytes_of(&batch));
            let batch = RaftBatch { probe: sent.round_trips.next(), ..batch };
            if let Err(error) = batches.feed(wire::frame(&batch)).await {
                return Ended::Broken(wire::broken(error));
            }
        }
        if let Err(error) = batches.flush().await {
            return Ended::Broken(wire::broken(error));
        }
    }
}

/// Did the other side refuse the connection? Then its process does not run.
pub(super) fn nobody_listens(status: &Status) -> bool {
    iter::successors(status.source(), |&error| error.source()).any(|error| {
        let io = error.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// Encodes messages, cut where a batch becomes large.
fn to_batches(messages: Vec<Message>) -> Vec<RaftBatch> {
    let mut batches = Vec::new();
    let mut batch = RaftBatch::default();
    let mut bytes = 0;
    for message in messages {
        let encoded = Bytes::from(message.encode_to_vec());
        if bytes > 0 && bytes + encoded.len() > BATCH_BYTES_MAX {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += encoded.len();
        batch.messages.push(encoded);
    }
    batches.push(batch);
    batches
}

#[cfg(test)]
mod tests;

//! The sending side: one stream to one member, opened again for as long as the member runs.

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;
use std::{io, iter};

use bytes::Bytes;
use futures::stream;
use parking_lot::Mutex;
use prost::Message as _;
use raft::eraftpb::Message;
use reseed_proto::peer::{RaftBatch, RaftTaken, peer_client::PeerClient};
use reseed_rt::chan::{self, Receiver, Sender};
use reseed_rt::clock::{self, Instant};
use reseed_rt::net::{ChannelOptions, channel};
use reseed_rt::task::Stop;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::outbox::Link;
use super::{BATCH_BYTES_MAX, PEER_VERSION, header};
use crate::departure::Departure;
use crate::raft::PeerEvent;

/// Between two attempts to reach a member.
const RETRY: Duration = Duration::from_millis(100);
/// Batches handed to HTTP/2 before it asks for more.
const BATCHES_IN_STREAM: usize = 4;

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

    /// A request that says who asks whom.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let Self { cluster, from, to, .. } = *self;
        for (name, id) in [(header::CLUSTER, cluster), (header::FROM, from), (header::TO, to)] {
            let value = MetadataValue::try_from(format!("{id:x}"));
            request.metadata_mut().insert(name, value.expect("hexadecimal is ASCII"));
        }
        if let Ok(urls) = MetadataValue::try_from(self.own_urls.join(",")) {
            request.metadata_mut().insert(header::URLS, urls);
        }
        let version = MetadataValue::from_static(PEER_VERSION);
        request.metadata_mut().insert(header::VERSION, version);
        request
    }
}

/// One member's queue on its way.
pub(crate) struct Sending {
    pub(super) route: Route,
    pub(super) waiting: Receiver<Vec<Message>>,
    pub(super) driver: Sender<PeerEvent>,
    pub(super) link: Link,
    pub(super) departure: Departure,
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
                () = stop.cancelled() => return,
                ended = self.one_stream(&url) => ended,
            };
            self.link.set_up(false);
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
        while self.waiting.try_recv().is_ok() {}
        // The driver may be gone at the end; then nobody needs to know.
        let _gone = self.driver.send(PeerEvent::Unreachable(self.route.to)).await;
    }

    /// Opens a stream and feeds it until it breaks.
    async fn one_stream(&mut self, url: &str) -> Ended {
        let (batches, outgoing) = chan::bounded::<RaftBatch>("peer stream", BATCHES_IN_STREAM);
        let answers = match clock::timeout(self.route.silence_max, self.open(url, outgoing)).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(status)) => return Ended::Broken(status),
            Err(elapsed) => return Ended::Broken(Status::unavailable(elapsed.to_string())),
        };
        self.link.set_up(true);
        tracing::info!(peer = format_args!("{:x}", self.route.to), url, "connected to a peer");
        self.feed(&batches, answers).await
    }

    async fn open(
        &self,
        url: &str,
        outgoing: Receiver<RaftBatch>,
    ) -> Result<Streaming<RaftTaken>, Status> {
        let batches = stream::unfold(outgoing, |mut outgoing| async {
            outgoing.recv().await.map(|batch| (batch, outgoing))
        });
        let request = self.route.request(batches);
        Ok(self.route.client(url).raft(request).await?.into_inner())
    }

    async fn feed(
        &mut self,
        batches: &Sender<RaftBatch>,
        mut answers: Streaming<RaftTaken>,
    ) -> Ended {
        let unanswered = Unanswered::default();
        let silence_max = self.route.silence_max;
        let mut silent = pin!(unanswered.for_longer_than(silence_max));
        loop {
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(_)) => unanswered.end(),
                    Ok(None) => return Ended::Broken(Status::unavailable("the stream has ended")),
                    Err(status) => return Ended::Broken(status),
                },
                () = &mut silent => {
                    return Ended::Broken(Status::unavailable("the peer is silent"));
                }
                messages = self.waiting.recv(), if !batches.is_closed() => {
                    let Some(messages) = messages else { return Ended::Stopped };
                    for batch in to_batches(messages) {
                        unanswered.begin();
                        // Bounded by the silence above only if somebody watches it.
                        let sent = clock::timeout(silence_max, batches.send(batch)).await;
                        if !matches!(sent, Ok(Ok(()))) {
                            return Ended::Broken(Status::unavailable("the peer takes nothing"));
                        }
                    }
                }
            }
        }
    }
}

/// When the oldest batch that nobody has answered was sent.
#[derive(Debug, Default)]
struct Unanswered(Mutex<Option<Instant>>);

impl Unanswered {
    fn begin(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    fn end(&self) {
        *self.0.lock() = None;
    }

    /// Returns once something has been unanswered for `max`. One timer for all batches: it looks
    /// again when the oldest it knew of would be too old.
    async fn for_longer_than(&self, max: Duration) {
        loop {
            let since = *self.0.lock();
            let left = since.map_or(max, |since| max.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return;
            }
            clock::sleep(left).await;
        }
    }
}

/// Did the other side refuse the connection? Then its process does not run.
fn nobody_listens(status: &Status) -> bool {
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
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    #[test]
    fn large_turns_are_cut_into_batches_without_losing_or_reordering() {
        let message = |index, bytes| Message {
            index,
            entries: vec![Entry { data: vec![0; bytes].into(), ..Entry::default() }],
            ..Message::default()
        };
        let turn = vec![message(1, 10), message(2, 3 << 20), message(3, 3 << 20), message(4, 9)];
        let batches = to_batches(turn);
        let indexes = |batch: &RaftBatch| -> Vec<u64> {
            let decode = |bytes: &Bytes| Message::decode(bytes.clone()).expect("whole").index;
            batch.messages.iter().map(decode).collect()
        };
        assert_eq!(batches.iter().map(indexes).collect::<Vec<_>>(), [vec![1, 2], vec![3, 4]]);
    }
}

//! The receiving side of a stream.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::SinkExt as _;
use http::{Request, Response};
use hyper::body::Incoming as Body;
use reseed_proto::peer::{RaftBatch, RaftTaken, Refusal};
use reseed_rt::clock;
use reseed_rt::net::UpgradeRequest;
use tonic::Status;

use super::measure::{Heard, bytes_of};
use super::silence::Silence;
use super::wire::{self, Wire};
use super::{Door, IDLE_MAX, SILENT_ELECTIONS, decode};
use crate::raft::PeerEvent;

/// Batches are answered so many times while the other side waits for an election timeout: it gives
/// up after several of those.
const ANSWERS_PER_ELECTION: u32 = 2;
/// A sender that says nothing for so many of its idle turns is gone.
const IDLE_TURNS_MAX: u32 = 3;

/// When the receiving side does something by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// What came is answered so often.
    pub(super) answer_interval: Duration,
    /// A sender that has said nothing for so long is gone.
    pub(super) gone_after: Duration,
}

impl Pace {
    /// That of a member with this election timeout.
    pub(crate) fn of(election_timeout: Duration) -> Self {
        Self {
            answer_interval: election_timeout / ANSWERS_PER_ELECTION,
            // No less than the time a batch may be on its way.
            gone_after: (IDLE_MAX * IDLE_TURNS_MAX).max(election_timeout * SILENT_ELECTIONS),
        }
    }
}

/// The answer to a peer that wants to send raft's messages, which are taken from then on.
pub(crate) fn take_stream(
    door: Door,
    pace: Pace,
    mut request: Request<Body>,
) -> Response<tonic::body::Body> {
    let from = match door.check(request.headers()) {
        Ok(from) => from,
        Err(status) => return status.into_http(),
    };
    let Some(asked) = UpgradeRequest::of(&mut request, wire::PROTOCOL) else {
        return Status::invalid_argument("this path is for streams of peers").into_http();
    };
    let heard = door.heard(from);
    let incoming = Incoming { from, door, pace, heard };
    asked.agree(wire::PROTOCOL, |connection| incoming.take(wire::over(connection)))
}

/// A stream on its way in.
#[derive(Debug)]
struct Incoming {
    from: u64,
    door: Door,
    pace: Pace,
    heard: Heard,
}

impl Incoming {
    /// Takes batches until the stream ends; a sender that is refused is told why.
    async fn take(self, mut wire: Wire) {
        let Err(status) = self.take_all(&mut wire).await;
        let refused = Refusal { code: status.code().into(), reason: status.message().to_owned() };
        let answer = RaftTaken { refused: Some(refused), ..RaftTaken::default() };
        // It may be gone.
        let _told = clock::timeout(self.pace.gone_after, wire.send(wire::frame(&answer))).await;
    }

    async fn take_all(&self, wire: &mut Wire) -> Result<Infallible, Status> {
        let Pace { answer_interval, gone_after } = self.pace;
        let (mut taken, mut told) = (0, 0);
        let mut due = pin!(clock::sleep(answer_interval));
        let quiet = Silence::default();
        quiet.begin();
        let mut gone = pin!(quiet.for_longer_than(gone_after));
        loop {
            let batch: RaftBatch = tokio::select! {
                biased;
                () = &mut due, if taken > told => {
                    told = taken;
                    answer(wire, RaftTaken { batches: taken, ..RaftTaken::default() }).await?;
                    due.set(clock::sleep(answer_interval));
                    continue;
                }
                batch = wire::next(wire) => batch?,
                () = &mut gone => return Err(Status::unavailable("the peer is silent")),
            };
            if batch.probe != 0 {
                let probe = batch.probe;
                answer(wire, RaftTaken { batches: taken, probe, ..RaftTaken::default() }).await?;
            }
            self.heard.bytes.inc_by(bytes_of(&batch));
            self.hand_on(&batch).await?;
            taken += 1;
            quiet.restart();
        }
    }

    async fn hand_on(&self, batch: &RaftBatch) -> Result<(), Status> {
        // It may have been removed since the stream began.
        self.door.check_member(self.from)?;
        if batch.messages.is_empty() {
            return Ok(());
        }
        let messages = decode(batch, self.from).inspect_err(|status| {
            self.heard.failures.inc();
            let from = format_args!("{:x}", self.from);
            tracing::warn!(from, reason = status.message(), "refused a peer's messages");
        })?;
        let handed = self.door.driver.send(PeerEvent::Received(messages)).await;
        handed.map_err(|_closed| Status::unavailable("this member stops"))
    }
}

/// Says what was taken.
async fn answer(wire: &mut Wire, taken: RaftTaken) -> Result<(), Status> {
    wire.send(wire::frame(&taken)).await.map_err(wire::broken)
}

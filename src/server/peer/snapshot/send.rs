//! The sending side: one export, offered until it has arrived.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use prost::Message as _;
use raft::eraftpb::{Message, MessageType};
use reseed_planted::{self as planted, Bug};
use reseed_proto::peer::{SnapshotChunk, SnapshotOffer, SnapshotPart, snapshot_part::Part};
use reseed_rt::clock;
use reseed_rt::probe::{self, Probe};
use tonic::Status;

use super::measure::{Direction, Measured};
use super::{BYTES_PER_SEC, CHUNK_BYTES};
use crate::peer::stream::Route;
use crate::snapshot::{self, Export};
use crate::state::State;

/// Attempts before raft is told that the snapshot has not arrived; it makes another one then.
const ATTEMPTS: usize = 20;
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// One snapshot on its way.
pub(in crate::peer) struct Transfer {
    pub(in crate::peer) route: Route,
    pub(in crate::peer) state: Arc<State>,
    pub(in crate::peer) message: Message,
}

impl Transfer {
    /// Makes the snapshot and sends it; whether it arrived.
    pub(in crate::peer) async fn run(self) -> bool {
        let state = Arc::clone(&self.state);
        let measured = Measured::begin(Direction::sent(&state.metrics), self.route.to);
        let arrived = self.deliver().await;
        measured.end(arrived);
        arrived
    }

    async fn deliver(mut self) -> bool {
        let state = Arc::clone(&self.state);
        let export = match snapshot::export(Arc::clone(&state), &state.peer_snapshots).await {
            Ok(export) => Arc::new(export),
            Err(error) => {
                tracing::warn!(%error, "cannot make a snapshot for a peer");
                return false;
            }
        };
        let to = format!("{:x}", self.route.to);
        let (index, bytes) = (export.exported.applied.index, export.exported.bytes);
        tracing::info!(to, index, bytes, "sending a snapshot");
        let offer = offer(&mut self.message, &export);
        for attempt in 0..ATTEMPTS {
            match self.attempt(&export, &offer, attempt).await {
                Ok(()) => {
                    tracing::info!(to, index, "the snapshot has arrived");
                    return true;
                }
                Err(status) => {
                    tracing::debug!(to, reason = status.message(), "the snapshot has to wait");
                }
            }
            clock::sleep(RETRY).await;
        }
        tracing::warn!(to, index, "gave up sending a snapshot");
        false
    }

    async fn attempt(
        &self,
        export: &Arc<Export>,
        offer: &SnapshotOffer,
        attempt: usize,
    ) -> Result<(), Status> {
        let url = self.route.url(attempt);
        let mut client = self.route.client(&url);
        let silence_max = self.route.silence_max;
        let offered = client.offer_snapshot(self.route.request(offer.clone()));
        let held = clock::timeout(silence_max, offered).await.map_err(too_late)??.into_inner();
        probe::hit_if(held.bytes > 0, Probe::SnapshotResumed);
        let first = SnapshotPart { part: Some(Part::Offer(offer.clone())) };
        let rest = chunks(Arc::clone(export), held.bytes);
        let parts = stream::iter([first]).chain(rest);
        // As long as it takes at the bounded rate, and as long again for the receiver to install.
        let limit = silence_max * 10 + Duration::from_secs(4 * offer.bytes / BYTES_PER_SEC);
        let sent = client.send_snapshot(self.route.request(parts));
        clock::timeout(limit, sent).await.map_err(too_late)??;
        Ok(())
    }
}

/// The message says what the export is: it may be newer than what raft asked for.
fn offer(message: &mut Message, export: &Export) -> SnapshotOffer {
    let metadata = message.snapshot.get_or_insert_default().metadata.get_or_insert_default();
    let applied = export.exported.applied;
    if metadata.index == 0 || !planted::on(Bug::SnapshotIndexStale) {
        (metadata.index, metadata.term) = (applied.index, applied.term);
    }
    SnapshotOffer {
        sha256: Bytes::copy_from_slice(&export.exported.sha256),
        bytes: export.exported.bytes,
        message: message.encode_to_vec().into(),
    }
}

/// The whole state for member `to`, which has lost its own.
///
/// # Errors
/// It is older than `index_min`, or cannot be made.
pub(crate) async fn serve(
    state: Arc<State>,
    to: u64,
    index_min: u64,
) -> Result<impl stream::Stream<Item = SnapshotPart> + Send, Status> {
    if state.progress.applied() < index_min {
        return Err(Status::failed_precondition("this member has not come so far"));
    }
    let from = state.member_id;
    let export = snapshot::export(Arc::clone(&state), &state.peer_snapshots).await;
    let export = Arc::new(export.map_err(|error| Status::unavailable(error.to_string()))?);
    let (to_text, index) = (format!("{to:x}"), export.exported.applied.index);
    tracing::info!(to = to_text, index, "a member has lost its state and gets this one's");
    let msg_type = MessageType::MsgSnapshot as i32;
    let mut message = Message { msg_type, from, to, ..Message::default() };
    let first = SnapshotPart { part: Some(Part::Offer(offer(&mut message, &export))) };
    Ok(stream::iter([first]).chain(chunks(export, 0)))
}

fn too_late(elapsed: clock::Elapsed) -> Status {
    Status::deadline_exceeded(elapsed.to_string())
}

/// The file from `offset` on, no faster than it may.
fn chunks(export: Arc<Export>, offset: u64) -> impl stream::Stream<Item = SnapshotPart> + Send {
    stream::unfold((export, offset), |(export, offset)| async move {
        let left = export.exported.bytes.checked_sub(offset).filter(|left| *left > 0)?;
        let len = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let mut data = vec![0; len];
        // A file that cannot be read ends the stream early, and the receiver asks again.
        export.file.read_at(&mut data, offset).ok()?;
        let nanos = len as u64 * 1_000_000_000 / BYTES_PER_SEC;
        clock::sleep(Duration::from_nanos(nanos)).await;
        let crc32c = crc32c::crc32c(&data);
        let chunk = SnapshotChunk { offset, data: data.into(), crc32c };
        Some((SnapshotPart { part: Some(Part::Chunk(chunk)) }, (export, offset + len as u64)))
    })
}

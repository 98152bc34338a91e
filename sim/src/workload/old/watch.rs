//! A watcher of everything that never gives up.

use std::time::Duration;

use futures::stream;
use reseed_proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_client::WatchClient,
    watch_request::RequestUnion,
};
use reseed_rt::clock;
use tonic::{Status, Streaming};

use super::{MESSAGE_BYTES_MAX, Scribe, connection, translate};
use crate::kv_history::{Change, What};

/// A stream that says nothing for this long is given up: its machine may have lost power, which
/// nobody hears.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Watches everything from revision `next` on, again from where it was after each broken stream.
/// Never returns.
pub async fn watch_all(scribe: Scribe, mut next: i64) {
    loop {
        scribe.note(What::WatchOpen { start_revision: next });
        // Why a stream ended does not matter: what was received is what is checked.
        let _ended = follow(&mut next, |revision, events| {
            scribe.note(What::Watched { revision, events });
        })
        .await;
        clock::sleep(PAUSE).await;
    }
}

/// Hands on batches of changes from `next` on until the stream ends; keeps `next` up to date.
pub(super) async fn follow(
    next: &mut i64,
    mut hand_on: impl FnMut(i64, Vec<Change>),
) -> Result<(), Status> {
    let mut incoming = timely(open(*next)).await?;
    while let Some(response) = timely(incoming.message()).await? {
        if response.canceled {
            return Err(Status::aborted(response.cancel_reason));
        }
        let events: Vec<Change> = response.events.iter().filter_map(translate::change).collect();
        if let Some(last) = events.last() {
            *next = last.revision + 1;
            hand_on(translate::revision(response.header.as_ref()), events);
        }
    }
    Ok(())
}

/// Opens a watch of everything; the request side stays open, as a client's does.
async fn open(start_revision: i64) -> Result<Streaming<WatchResponse>, Status> {
    let (key, range_end) = translate::EVERYTHING;
    let create = WatchCreateRequest { key, range_end, start_revision, ..Default::default() };
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = stream::StreamExt::chain(stream::iter([request]), stream::pending());
    let mut client = WatchClient::new(connection()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.watch(requests).await?.into_inner())
}

/// The same, but not for ever.
pub(super) async fn timely<T>(
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match clock::timeout(SILENCE_MAX, answer).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(Status::deadline_exceeded(elapsed.to_string())),
    }
}

//! `Watch`: many watchers on one stream; what they mean is decided in [`crate::watch`].
//!
//! Requests are read and checked by a task of their own, so that a client may cancel while it is
//! slow to read. A request that cannot be is refused in its place in the order of answers, because
//! clients tell answers to creates apart by their order alone.

use futures::stream::{self, BoxStream, StreamExt as _};
use reseed_core::error::Error;
use reseed_core::watch::{Filters, KeyRange};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::watch_request::RequestUnion;
use reseed_rt::task::{self, Stop};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Services, status};
use crate::watch::hub::{Ask, Create};
use crate::watch::outbox::Wishes;
use crate::watch::stream::Requests;

#[tonic::async_trait]
impl pb::watch_server::Watch for Services {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let opened = self.watch.open().await;
        let (requests, mut responses) = opened.map_err(|error| self.refuse(error))?;
        let ended = Stop::new();
        let stops = Stops { server: self.stop.clone(), ended: ended.clone() };
        // It ends with the responses, which hold the guard, or with the server.
        drop(task::spawn("watch-requests", pass_on(request.into_inner(), requests, stops)));
        let guard = ended.drop_guard();
        // Headers go out with the first answer, as etcd's do: clients take the call's return for
        // the news that their watcher stands, and write at once.
        let first = responses.next().await?;
        let rest = stream::unfold(Some((responses, guard)), |state| async {
            let (mut responses, guard) = state?;
            match responses.next().await {
                Ok(response) => Some((Ok(response), Some((responses, guard)))),
                Err(status) => Some((Err(status), None)),
            }
        });
        let responses = stream::iter([Ok(first)]).chain(rest);
        Ok(Response::new(responses.boxed()))
    }
}

struct Stops {
    /// The server drains.
    server: Stop,
    /// The client reads no more.
    ended: Stop,
}

/// Reads requests until the stream is over. A client that only half-closes goes on listening.
async fn pass_on(mut inbound: Streaming<pb::WatchRequest>, requests: Requests, stops: Stops) {
    let reading = async {
        loop {
            match inbound.message().await {
                Ok(Some(request)) => {
                    let Some(ask) = ask(request) else { continue };
                    requests.send(ask).await.map_err(|error| status::of(&error))?;
                }
                Ok(None) => return Ok(()),
                Err(error) if error.code() == Code::Cancelled => {
                    return Err(status::of(&Error::WatchCanceled));
                }
                Err(error) => return Err(error),
            }
        }
    };
    let read = tokio::select! {
        biased;
        () = stops.ended.cancelled() => return,
        () = stops.server.cancelled() => Err(status::of(&Error::Stopped)),
        read = reading => read,
    };
    if let Err(status) = read {
        return requests.end(status);
    }
    tokio::select! {
        biased;
        () = stops.ended.cancelled() => {}
        () = stops.server.cancelled() => requests.end(status::of(&Error::Stopped)),
    }
}

/// What a request asks of the hub; a request that asks nothing is passed over, as etcd does.
fn ask(request: pb::WatchRequest) -> Option<Ask> {
    Some(match request.request_union? {
        RequestUnion::CreateRequest(create) => ask_create(create),
        RequestUnion::CancelRequest(cancel) => Ask::Cancel(cancel.watch_id),
        RequestUnion::ProgressRequest(_) => Ask::Progress,
    })
}

fn ask_create(create: pb::WatchCreateRequest) -> Ask {
    if create.start_revision < 0 {
        return Ask::Refuse(Error::Compacted.to_string());
    }
    let Ok(range) = KeyRange::new(create.key, create.range_end) else {
        return Ask::Refuse("mvcc: watcher range is empty".into());
    };
    Ask::Create(Create {
        range,
        filters: Filters::from_request(&create.filters),
        watch_id: create.watch_id,
        start_revision: create.start_revision,
        wishes: Wishes { prev_kv: create.prev_kv, fragment: create.fragment },
        progress_notify: create.progress_notify,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn refusal(create: pb::WatchCreateRequest) -> Option<String> {
        match ask_create(create) {
            Ask::Refuse(reason) => Some(reason),
            Ask::Open(_) | Ask::Create(_) | Ask::Cancel(_) | Ask::Progress => None,
        }
    }

    #[test]
    fn what_cannot_be_watched_is_refused_in_etcds_words() {
        let key = Bytes::from_static;
        let create = |range_end, start_revision| pb::WatchCreateRequest {
            key: key(b"b"),
            range_end: key(range_end),
            start_revision,
            ..Default::default()
        };
        let empty = Some("mvcc: watcher range is empty".to_owned());
        let compacted = Some("etcdserver: mvcc: required revision has been compacted".to_owned());
        assert_eq!(refusal(create(b"a", 0)), empty);
        assert_eq!(refusal(create(b"b", 3)), empty);
        assert_eq!(refusal(create(b"a", -1)), compacted);
        assert_eq!(refusal(create(b"", 0)), None);
        assert_eq!(refusal(create(b"\0", 0)), None);
    }

    #[test]
    fn a_request_without_content_asks_nothing() {
        assert!(ask(pb::WatchRequest { request_union: None }).is_none());
    }
}

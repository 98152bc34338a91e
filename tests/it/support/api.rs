//! The etcd API over gRPC: tonic's generated clients, and shorthands for what tests do most.
//!
//! Not our client crate: a test of the server must not depend on what another part of ours makes
//! of an answer.

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::cluster_client::ClusterClient;
use reseed_proto::etcdserverpb::kv_client::KvClient;
use reseed_proto::etcdserverpb::lease_client::LeaseClient;
use reseed_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use reseed_proto::etcdserverpb::watch_client::WatchClient;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::{Node, wait};

/// One connection to a node.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    channel: Channel,
}

impl Api {
    /// Connects to `node`.
    pub(crate) async fn connect(node: &Node) -> Self {
        let endpoint = Endpoint::from_shared(node.endpoint()).expect("a URL");
        let channel = wait::within("a connection", endpoint.connect()).await;
        Self { channel: channel.expect("the node accepts connections") }
    }

    /// The connection itself.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// KV.
    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    /// Lease.
    pub(crate) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel())
    }

    /// Maintenance.
    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel())
    }

    /// Cluster.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel())
    }

    /// Puts a pair; its revision.
    pub(crate) async fn put(&self, key: &str, value: &str) -> i64 {
        let put = pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() };
        let response = self.kv().put(put).await.expect("put").into_inner();
        response.header.expect("a header").revision
    }

    /// Puts a pair attached to a lease.
    pub(crate) async fn put_leased(&self, key: &str, lease: i64) {
        let put = pb::PutRequest { key: bytes(key), lease, ..Default::default() };
        self.kv().put(put).await.expect("put");
    }

    /// Deletes one key; how many there were.
    pub(crate) async fn delete(&self, key: &str) -> i64 {
        let delete = pb::DeleteRangeRequest { key: bytes(key), ..Default::default() };
        self.kv().delete_range(delete).await.expect("delete").into_inner().deleted
    }

    /// The value of a key.
    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let range = pb::RangeRequest { key: bytes(key), ..Default::default() };
        let mut response = self.kv().range(range).await.expect("range").into_inner();
        response.kvs.pop().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    }

    /// Everything in the store.
    pub(crate) async fn everything(&self) -> pb::RangeResponse {
        self.kv().range(all_keys()).await.expect("range").into_inner()
    }

    /// Compacts, physically.
    pub(crate) async fn compact(&self, revision: i64) -> Result<(), Status> {
        let request = pb::CompactionRequest { revision, physical: true };
        self.kv().compact(request).await.map(|_| ())
    }

    /// Grants a lease.
    pub(crate) async fn grant(&self, id: i64, ttl: i64) -> Result<pb::LeaseGrantResponse, Status> {
        let request = pb::LeaseGrantRequest { ttl, id };
        self.lease().lease_grant(request).await.map(tonic::Response::into_inner)
    }

    /// Opens a watch stream.
    pub(crate) async fn watch_stream(&self) -> WatchStream {
        let (requests, outgoing) = mpsc::channel(64);
        let outgoing = futures::stream::unfold(outgoing, |mut outgoing| async move {
            outgoing.recv().await.map(|request| (request, outgoing))
        });
        let client = WatchClient::new(self.channel()).max_decoding_message_size(usize::MAX);
        let mut client = client;
        // It opens when the first answer comes, as etcd's does.
        let opening = tokio::spawn(async move { client.watch(outgoing).await });
        WatchStream { requests, opening: Some(opening), responses: None }
    }
}

/// One stream of watches.
#[derive(Debug)]
pub(crate) struct WatchStream {
    requests: mpsc::Sender<pb::WatchRequest>,
    opening: Option<Opening>,
    responses: Option<Streaming<pb::WatchResponse>>,
}

type Opening =
    tokio::task::JoinHandle<Result<tonic::Response<Streaming<pb::WatchResponse>>, Status>>;

impl WatchStream {
    /// Sends one request.
    pub(crate) async fn send(&self, request: pb::watch_request::RequestUnion) {
        let request = pb::WatchRequest { request_union: Some(request) };
        self.requests.send(request).await.expect("the stream is open");
    }

    /// Asks for a watcher.
    pub(crate) async fn create(&self, create: pb::WatchCreateRequest) {
        self.send(pb::watch_request::RequestUnion::CreateRequest(create)).await;
    }

    /// Asks for a watcher and takes the first answer.
    pub(crate) async fn created(&mut self, create: pb::WatchCreateRequest) -> pb::WatchResponse {
        self.create(create).await;
        let response = self.next().await;
        assert!(response.created, "{response:?}");
        response
    }

    /// Cancels a watcher.
    pub(crate) async fn cancel(&self, watch_id: i64) {
        let cancel = pb::WatchCancelRequest { watch_id };
        self.send(pb::watch_request::RequestUnion::CancelRequest(cancel)).await;
    }

    /// Asks how far the stream is.
    pub(crate) async fn progress(&self) {
        let progress = pb::WatchProgressRequest {};
        self.send(pb::watch_request::RequestUnion::ProgressRequest(progress)).await;
    }

    /// The next answer.
    pub(crate) async fn next(&mut self) -> pb::WatchResponse {
        if let Some(opening) = self.opening.take() {
            let opened = wait::within("a watch stream", opening).await.expect("no panic");
            self.responses = Some(opened.expect("a watch stream").into_inner());
        }
        let responses = self.responses.as_mut().expect("it has been opened");
        let next = wait::within("a watch response", responses.message()).await;
        next.expect("the stream goes on").expect("the stream goes on")
    }

    /// The next `count` events, whatever responses they come in.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<reseed_proto::mvccpb::Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let response = self.next().await;
            assert!(!response.canceled, "{response:?}");
            events.extend(response.events);
        }
        assert_eq!(events.len(), count, "more events than expected: {events:?}");
        events
    }
}

/// Text as a key or value.
pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A range of everything.
pub(crate) fn all_keys() -> pb::RangeRequest {
    let zero = Bytes::from_static(b"\0");
    pb::RangeRequest { key: zero.clone(), range_end: zero, ..Default::default() }
}

/// Panics unless `result` is this refusal.
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    text: &str,
) {
    let status = result.expect_err("a refusal");
    assert_eq!((status.code(), status.message()), (code, text));
}

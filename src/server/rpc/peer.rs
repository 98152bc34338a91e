//! What other members ask, on the peer port.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{self, BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, StreamExt as _};
use hyper::body::Incoming;
use reseed_core::id::LeaseId;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::MemberChange;
use reseed_proto::peer::{
    ChangedMembers, ClusterMembers, LeaseQuestion, LeaseRenewed, LeaseTimeLeft, MembersQuestion,
    SnapshotHeld, SnapshotOffer, SnapshotPart, SnapshotTaken, SnapshotWanted,
    peer_server::{Peer, PeerServer},
};
use reseed_rt::task;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};

use super::status;
use crate::hash;
use crate::lease_clock::LeaseClock;
use crate::membership::Changer;
use crate::peer::{
    self, Door, Pace, RECEIVED_BYTES_MAX, Receiving, STREAM_PATH, check_version, serve,
};

/// Takes what peers send.
#[derive(Clone, Debug)]
pub(crate) struct PeerService {
    door: Door,
    changer: Changer,
    snapshots: Receiving,
    leases: LeaseClock,
}

impl PeerService {
    /// The service behind `door` of the member whose backend is the file `db`; `changer` knows its
    /// members and how they change, `leases` its leases.
    pub(crate) fn new(door: Door, changer: Changer, db: PathBuf, leases: LeaseClock) -> Self {
        Self { door, changer, snapshots: Receiving::new(db), leases }
    }

    /// Returns when no snapshot is being received or installed.
    pub(crate) async fn snapshots_ended(&self) {
        self.snapshots.ended().await;
    }

    /// As a service for the listener.
    pub(crate) fn port(self) -> PeerPort {
        let pace = Pace::of(self.changer.state.config.election_timeout);
        let door = self.door.clone();
        let server = PeerServer::new(self).max_decoding_message_size(RECEIVED_BYTES_MAX);
        PeerPort { door, pace, server }
    }

    /// Only the leader's clock counts.
    fn check_primary(&self) -> Result<(), Status> {
        let leads = self.leases.is_primary();
        leads.then_some(()).ok_or_else(|| Status::failed_precondition("this member does not lead"))
    }
}

/// What the peer port serves: the stream of raft's messages, and gRPC.
#[derive(Clone, Debug)]
pub(crate) struct PeerPort {
    door: Door,
    pace: Pace,
    server: PeerServer<PeerService>,
}

impl tower::Service<http::Request<Incoming>> for PeerPort {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        if request.uri().path() == STREAM_PATH {
            let answer = peer::take_stream(self.door.clone(), self.pace, request);
            future::ready(Ok(answer)).boxed()
        } else {
            self.server.call(request)
        }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type FetchSnapshotStream = BoxStream<'static, Result<SnapshotPart, Status>>;

    async fn offer_snapshot(
        &self,
        request: Request<SnapshotOffer>,
    ) -> Result<Response<SnapshotHeld>, Status> {
        self.door.check(request.metadata().as_ref())?;
        let bytes = self.snapshots.held(request.get_ref())?;
        Ok(Response::new(SnapshotHeld { bytes }))
    }

    async fn send_snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<SnapshotTaken>, Status> {
        let from = self.door.check(request.metadata().as_ref())?;
        let measured = self.door.snapshot(from);
        let taken = self.snapshots.receive(request.into_inner(), from, &self.door.driver).await;
        measured.end(taken.is_ok());
        taken?;
        Ok(Response::new(SnapshotTaken {}))
    }

    async fn keep_alive(
        &self,
        request: Request<LeaseQuestion>,
    ) -> Result<Response<LeaseRenewed>, Status> {
        self.door.check(request.metadata().as_ref())?;
        self.check_primary()?;
        let renewed = self.leases.keep_alive(LeaseId(request.get_ref().id)).await;
        let ttl_secs = renewed.map_err(|error| Status::unavailable(error.to_string()))?;
        let found = ttl_secs.is_some();
        Ok(Response::new(LeaseRenewed { found, ttl_secs: ttl_secs.unwrap_or(0) }))
    }

    async fn time_left(
        &self,
        request: Request<LeaseQuestion>,
    ) -> Result<Response<LeaseTimeLeft>, Status> {
        self.door.check(request.metadata().as_ref())?;
        self.check_primary()?;
        let left = self.leases.time_left(LeaseId(request.get_ref().id)).await;
        let left = left.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(LeaseTimeLeft {
            found: left.is_some(),
            ttl_secs: left.map_or(0, |left| left.ttl_secs),
            left_millis: left.map_or(0, |left| left.left.0),
        }))
    }

    async fn members(
        &self,
        request: Request<MembersQuestion>,
    ) -> Result<Response<ClusterMembers>, Status> {
        check_version(request.metadata().as_ref())?;
        let members = self.changer.state.machine.read().members.iter().cloned().collect();
        Ok(Response::new(ClusterMembers { cluster_id: self.door.cluster, members }))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<SnapshotWanted>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let to = self.door.check(request.metadata().as_ref())?;
        let (state, index_min) = (Arc::clone(&self.changer.state), request.get_ref().index_min);
        let parts = serve(state, to, index_min).await?;
        Ok(Response::new(parts.map(Ok).boxed()))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.door.check(request.metadata().as_ref())?;
        let (state, revision) = (Arc::clone(&self.changer.state), request.get_ref().revision);
        let hashed = task::blocking(move || hash::by_revision(&state, revision)).await;
        hashed.map(Response::new).map_err(|error| status::of(&error))
    }

    async fn change_members(
        &self,
        request: Request<MemberChange>,
    ) -> Result<Response<ChangedMembers>, Status> {
        self.door.check(request.metadata().as_ref())?;
        let members = self.changer.lead(request.get_ref()).await;
        let members = members.map_err(|error| status::of(&error))?;
        Ok(Response::new(ChangedMembers { members }))
    }
}

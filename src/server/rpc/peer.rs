//! What other members ask, on the peer port.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use reseed_core::id::LeaseId;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::MemberChange;
use reseed_proto::peer::{
    ChangedMembers, ClusterMembers, LeaseQuestion, LeaseRenewed, LeaseTimeLeft, MembersQuestion,
    RaftBatch, RaftTaken, SnapshotHeld, SnapshotOffer, SnapshotPart, SnapshotTaken, SnapshotWanted,
    peer_server::Peer,
};
use reseed_rt::clock::{self, Instant};
use reseed_rt::task;
use tonic::{Request, Response, Status, Streaming};

use super::status;
use crate::hash;
use crate::lease_clock::LeaseClock;
use crate::membership::Changer;
use crate::peer::{Door, RECEIVED_BYTES_MAX, Receiving, check_version, decode, serve};
use crate::raft::PeerEvent;

/// Batches are answered so many times while the other side waits for an election timeout: it gives
/// up after several of those.
const ANSWERS_PER_ELECTION: u32 = 2;

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

    /// As a service for the listener.
    pub(crate) fn server(self) -> reseed_proto::peer::peer_server::PeerServer<Self> {
        reseed_proto::peer::peer_server::PeerServer::new(self)
            .max_decoding_message_size(RECEIVED_BYTES_MAX)
    }
}

impl PeerService {
    /// Only the leader's clock counts.
    fn check_primary(&self) -> Result<(), Status> {
        let leads = self.leases.is_primary();
        leads.then_some(()).ok_or_else(|| Status::failed_precondition("this member does not lead"))
    }
}

/// A stream on its way in.
struct Incoming {
    from: u64,
    batches: Streaming<RaftBatch>,
    /// Batches taken, and of how many the sender knows.
    taken: u64,
    told: u64,
    answered: Instant,
    answer_interval: Duration,
    door: Door,
}

impl Incoming {
    /// Takes batches until it is time to say so.
    async fn take(mut self) -> Option<(Result<RaftTaken, Status>, Option<Self>)> {
        let mut due = pin!(clock::sleep_until(self.answered + self.answer_interval));
        loop {
            let batch = tokio::select! {
                biased;
                () = &mut due, if self.taken > self.told => {
                    self.answered = Instant::now();
                    self.told = self.taken;
                    return Some((Ok(RaftTaken { batches: self.taken }), Some(self)));
                }
                batch = self.batches.message() => batch,
            };
            let taken = match batch {
                Ok(Some(batch)) => self.hand_on(&batch).await,
                Ok(None) => return None,
                Err(status) => Err(status),
            };
            if let Err(status) = taken {
                return Some((Err(status), None));
            }
            self.taken += 1;
        }
    }

    async fn hand_on(&self, batch: &RaftBatch) -> Result<(), Status> {
        // It may have been removed since the stream began.
        self.door.check_member(self.from)?;
        let messages = decode(batch, self.from).inspect_err(|status| {
            let from = format_args!("{:x}", self.from);
            tracing::warn!(from, reason = status.message(), "refused a peer's messages");
        })?;
        let handed = self.door.driver.send(PeerEvent::Received(messages)).await;
        handed.map_err(|_closed| Status::unavailable("this member stops"))
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type RaftStream = BoxStream<'static, Result<RaftTaken, Status>>;
    type FetchSnapshotStream = BoxStream<'static, Result<SnapshotPart, Status>>;

    async fn raft(
        &self,
        request: Request<Streaming<RaftBatch>>,
    ) -> Result<Response<Self::RaftStream>, Status> {
        let from = self.door.check(request.metadata())?;
        let incoming = Incoming {
            from,
            batches: request.into_inner(),
            taken: 0,
            told: 0,
            answered: Instant::now(),
            answer_interval: self.changer.state.config.election_timeout / ANSWERS_PER_ELECTION,
            door: self.door.clone(),
        };
        let answers = stream::unfold(Some(incoming), |incoming| async { incoming?.take().await });
        Ok(Response::new(answers.boxed()))
    }

    async fn offer_snapshot(
        &self,
        request: Request<SnapshotOffer>,
    ) -> Result<Response<SnapshotHeld>, Status> {
        self.door.check(request.metadata())?;
        let bytes = self.snapshots.held(request.get_ref())?;
        Ok(Response::new(SnapshotHeld { bytes }))
    }

    async fn send_snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<SnapshotTaken>, Status> {
        let from = self.door.check(request.metadata())?;
        self.snapshots.receive(request.into_inner(), from, &self.door.driver).await?;
        Ok(Response::new(SnapshotTaken {}))
    }

    async fn keep_alive(
        &self,
        request: Request<LeaseQuestion>,
    ) -> Result<Response<LeaseRenewed>, Status> {
        self.door.check(request.metadata())?;
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
        self.door.check(request.metadata())?;
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
        check_version(request.metadata())?;
        let members = self.changer.state.machine.read().members.iter().cloned().collect();
        Ok(Response::new(ClusterMembers { cluster_id: self.door.cluster, members }))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<SnapshotWanted>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let to = self.door.check(request.metadata())?;
        let (state, index_min) = (Arc::clone(&self.changer.state), request.get_ref().index_min);
        let parts = serve(state, to, index_min).await?;
        Ok(Response::new(parts.map(Ok).boxed()))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.door.check(request.metadata())?;
        let (state, revision) = (Arc::clone(&self.changer.state), request.get_ref().revision);
        let hashed = task::blocking(move || hash::by_revision(&state, revision)).await;
        hashed.map(Response::new).map_err(|error| status::of(&error))
    }

    async fn change_members(
        &self,
        request: Request<MemberChange>,
    ) -> Result<Response<ChangedMembers>, Status> {
        self.door.check(request.metadata())?;
        let members = self.changer.lead(request.get_ref()).await;
        let members = members.map_err(|error| status::of(&error))?;
        Ok(Response::new(ChangedMembers { members }))
    }
}

//! `etcdserverpb.Lease`.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use reseed_core::applied::Response as Applied;
use reseed_core::check;
use reseed_core::error::Error;
use reseed_core::id::LeaseId;
use reseed_core::quota as cost;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request as Proposed;
use reseed_rt::{rng, task};
use tonic::{Request, Response, Status, Streaming};

use super::Services;
use super::kv::answer;

/// Draws of an id before giving up; two leases would have to share 63 random bits each time.
const ID_DRAWS: usize = 8;

impl Services {
    /// An id nobody has: positive, so that it prints the same everywhere.
    fn draw_lease_id(&self) -> Result<i64, Status> {
        let machine = self.state.machine.read();
        let mut drawn = (0..ID_DRAWS).map(|_| (rng::u64() >> 1).cast_signed());
        drawn
            .find(|id| *id != 0 && machine.leases.get(LeaseId(*id)).is_none())
            .ok_or_else(|| self.refuse(Error::LeaseExist))
    }

    async fn renew(
        &self,
        request: pb::LeaseKeepAliveRequest,
    ) -> Result<pb::LeaseKeepAliveResponse, Status> {
        // As in etcd, the header is from before the renewal.
        let header = Some(self.state.header());
        let id = LeaseId(request.id);
        let renewed = self.leader.keep_alive(id, || self.leases.keep_alive(id)).await;
        // A lease that does not exist is answered with a TTL of 0, not with an error.
        let ttl = renewed.map_err(|error| self.refuse(error))?.unwrap_or(0);
        Ok(pb::LeaseKeepAliveResponse { header, id: request.id, ttl })
    }
}

#[tonic::async_trait]
impl pb::lease_server::Lease for Services {
    type LeaseKeepAliveStream = BoxStream<'static, Result<pb::LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let mut request = request.into_inner();
        check::lease_grant(&request).map_err(|error| self.refuse(error))?;
        self.admit(cost::lease_grant()).await?;
        request.ttl = self.limits().lease_ttl_secs(request.ttl);
        if request.id == 0 {
            request.id = self.draw_lease_id()?;
        }
        answer!(self, self.proposer.propose(Proposed::LeaseGrant(request)).await, LeaseGrant)
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let request = request.into_inner();
        answer!(self, self.proposer.propose(Proposed::LeaseRevoke(request)).await, LeaseRevoke)
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let state = Some((self.clone(), request.into_inner()));
        let responses = stream::unfold(state, |state| async {
            let (services, mut requests) = state?;
            let stop = services.stop.clone();
            let request = tokio::select! {
                biased;
                () = stop.cancelled() => Err(services.refuse(Error::Stopped)),
                request = requests.message() => request,
            };
            let answer = match request {
                Ok(Some(request)) => {
                    // Not as a part of the stream: one that its client does not read stands still,
                    // and with it all who share its round.
                    let services = services.clone();
                    let renewal = async move { services.renew(request).await };
                    let renewed = task::spawn("renewal", renewal).await;
                    renewed.unwrap_or_else(|_cancelled| Err(Status::cancelled("stopped")))
                }
                Ok(None) => return None,
                Err(status) => Err(status),
            };
            let next = answer.is_ok().then_some((services, requests));
            Some((answer, next))
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let waited = self.read_index.wait().await.map_err(|error| match error {
            Error::Timeout => self.leader.unanswered(),
            other => other,
        });
        waited.map_err(|error| self.refuse(error))?;
        let id = LeaseId(request.id);
        let mut response = pb::LeaseTimeToLiveResponse {
            header: Some(self.state.header()),
            id: request.id,
            ttl: -1,
            ..pb::LeaseTimeToLiveResponse::default()
        };
        let left = self.leader.time_left(id, || self.leases.time_left(id)).await;
        let Some(left) = left.map_err(|error| self.refuse(error))? else {
            return Ok(Response::new(response));
        };
        let machine = self.state.machine.read();
        let Some(lease) = machine.leases.get(id) else { return Ok(Response::new(response)) };
        response.ttl = left.left.as_secs();
        response.granted_ttl = left.ttl_secs;
        if request.keys {
            response.keys = lease.keys().map(bytes::Bytes::copy_from_slice).collect();
        }
        drop(machine);
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let leases =
            self.leases.leases().into_iter().map(|id| pb::LeaseStatus { id: id.0 }).collect();
        let header = Some(self.state.header());
        Ok(Response::new(pb::LeaseLeasesResponse { header, leases }))
    }
}

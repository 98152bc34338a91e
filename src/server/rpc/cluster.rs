//! `etcdserverpb.Cluster`: who is in the cluster. Changing it needs the peer transport, which this
//! version does not have.

use reseed_proto::etcdserverpb as pb;
use tonic::{Request, Response, Status};

use super::Services;

/// What every membership change is answered with.
fn one_member() -> Status {
    Status::unimplemented("reseed: membership changes need the peer transport of a later version")
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Services {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.linearize(!request.get_ref().linearizable).await?;
        let members = self.state.machine.read().members.list();
        // etcd leaves the revision out of the headers of this service.
        let header = Some(self.state.header_at(0));
        Ok(Response::new(pb::MemberListResponse { header, members }))
    }

    async fn member_add(
        &self,
        _: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(one_member())
    }

    async fn member_remove(
        &self,
        _: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(one_member())
    }

    async fn member_update(
        &self,
        _: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(one_member())
    }

    async fn member_promote(
        &self,
        _: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(one_member())
    }
}

//! The Cluster service, as far as one member needs it.

use reseed_proto::etcdserverpb::{
    MemberListRequest, MemberListResponse, cluster_client::ClusterClient,
};

use crate::{Client, Error, retry::Twice};

impl Client {
    /// The members of the cluster; `linearizable` asks the cluster instead of the member's memory.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn member_list(
        &self,
        request: MemberListRequest,
    ) -> Result<MemberListResponse, Error> {
        let call = async |c, r| ClusterClient::new(c).member_list(r).await;
        self.unary(Twice::Harmless, request, call).await
    }
}

//! The Cluster service: who is in the cluster, and changing it.

use reseed_proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, cluster_client::ClusterClient,
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

    /// Adds a member; it is to be started with these peer URLs afterwards.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn member_add(&self, request: MemberAddRequest) -> Result<MemberAddResponse, Error> {
        let call = async |c, r| ClusterClient::new(c).member_add(r).await;
        self.unary(Twice::Harmful, request, call).await
    }

    /// Removes a member for ever.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn member_remove(&self, id: u64) -> Result<MemberRemoveResponse, Error> {
        let call = async |c, r| ClusterClient::new(c).member_remove(r).await;
        self.unary(Twice::Harmful, MemberRemoveRequest { id }, call).await
    }

    /// Tells other peer URLs of a member.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn member_update(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<MemberUpdateResponse, Error> {
        let call = async |c, r| ClusterClient::new(c).member_update(r).await;
        self.unary(Twice::Harmful, MemberUpdateRequest { id, peer_ur_ls: peer_urls }, call).await
    }

    /// Makes a learner vote.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn member_promote(&self, id: u64) -> Result<MemberPromoteResponse, Error> {
        let call = async |c, r| ClusterClient::new(c).member_promote(r).await;
        self.unary(Twice::Harmful, MemberPromoteRequest { id }, call).await
    }
}

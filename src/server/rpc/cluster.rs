//! `etcdserverpb.Cluster`: who is in the cluster, and changing it.
//!
//! What is asked is checked for sense here and turned into a change; whether it is wise, the leader
//! judges ([`crate::membership`]), and whether it is possible, the log.

use reseed_core::error::Error;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::member_change::Change;
use reseed_proto::log::{MemberAdd, MemberChange, MemberRecord, MemberUpdate};
use reseed_rt::clock;
use tonic::{Request, Response, Status};

use super::Services;
use crate::config::listen_address;
use crate::identity;

/// The most peer URLs of a member.
const URLS_MAX: usize = 64;

/// Peer URLs in the order in which they are kept, each of the form `http://host:port`.
fn peer_urls(urls: Vec<String>) -> Result<Vec<String>, Error> {
    let is_bad = |url: &String| url.ends_with('/') || listen_address(url).is_err();
    if urls.is_empty() || urls.len() > URLS_MAX || urls.iter().any(is_bad) {
        return Err(Error::MemberBadUrls);
    }
    let mut urls = urls;
    urls.sort();
    Ok(urls)
}

impl Services {
    async fn change_members(&self, change: Change) -> Result<Vec<pb::Member>, Status> {
        let changed = self.changer.change(MemberChange { change: Some(change) }).await;
        changed.map_err(|error| self.refuse(error))
    }

    /// etcd leaves the revision out of the headers of this service.
    fn cluster_header(&self) -> Option<pb::ResponseHeader> {
        Some(self.state.header_at(0))
    }
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Services {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.linearize(!request.get_ref().linearizable).await?;
        let members = self.state.machine.read().members.list();
        Ok(Response::new(pb::MemberListResponse { header: self.cluster_header(), members }))
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let pb::MemberAddRequest { peer_ur_ls, is_learner } = request.into_inner();
        let peer_urls = peer_urls(peer_ur_ls).map_err(|error| self.refuse(error))?;
        let id = identity::added_id(&peer_urls, clock::wall().as_secs());
        let member = MemberRecord { id, peer_urls, is_learner, ..MemberRecord::default() };
        let learners_max = self.state.config.max_learners;
        let added = MemberAdd { member: Some(member), learners_max };
        let members = self.change_members(Change::Add(added)).await?;
        let member = members.iter().find(|member| member.id == id).cloned();
        Ok(Response::new(pb::MemberAddResponse { header: self.cluster_header(), member, members }))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        let members = self.change_members(Change::Remove(request.get_ref().id)).await?;
        Ok(Response::new(pb::MemberRemoveResponse { header: self.cluster_header(), members }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let pb::MemberUpdateRequest { id, peer_ur_ls } = request.into_inner();
        let peer_urls = peer_urls(peer_ur_ls).map_err(|error| self.refuse(error))?;
        let members = self.change_members(Change::Update(MemberUpdate { id, peer_urls })).await?;
        Ok(Response::new(pb::MemberUpdateResponse { header: self.cluster_header(), members }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        let members = self.change_members(Change::Promote(request.get_ref().id)).await?;
        Ok(Response::new(pb::MemberPromoteResponse { header: self.cluster_header(), members }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_urls_are_sorted_and_must_be_addresses() {
        let checked = |urls: &[&str]| peer_urls(urls.iter().map(ToString::to_string).collect());
        let sorted = checked(&["http://b:2380", "http://a:2380"]);
        assert_eq!(sorted, Ok(vec!["http://a:2380".into(), "http://b:2380".into()]));
        for bad in [&["http://a"][..], &[], &["a:1"], &["http://a:1/"], &["http://a:1", "x"]] {
            assert_eq!(checked(bad), Err(Error::MemberBadUrls), "{bad:?}");
        }
    }
}

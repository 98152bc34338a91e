//! Questions to one peer: a call each, beside the stream of raft's messages.

use std::time::Duration;

use reseed_core::error::Error;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::MemberChange;
use reseed_proto::peer::{ClusterMembers, MembersQuestion, peer_client::PeerClient};
use reseed_rt::clock;
use reseed_rt::net::{ChannelOptions, channel};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

use super::stream::{Route, nobody_listens};
use super::{PEER_VERSION, header};

/// Time to read everything that is hashed; a member with more is not compared.
const HASH_PATIENCE: Duration = Duration::from_secs(60);

/// Who is in the cluster of the member at `url`, as far as that member knows.
///
/// # Errors
/// It cannot be reached, or does not answer.
pub(crate) async fn members(url: &str, patience: Duration) -> Result<ClusterMembers, Status> {
    let options = ChannelOptions { connect_timeout: patience, ..ChannelOptions::default() };
    let mut request = Request::new(MembersQuestion {});
    let version = MetadataValue::from_static(PEER_VERSION);
    request.metadata_mut().insert(header::VERSION, version);
    let answer = PeerClient::new(channel(url, options)).members(request).await?;
    Ok(answer.into_inner())
}

/// The hash of what the member at the end of `route` holds up to `revision`.
///
/// # Errors
/// It is not heard of in time, has not come so far, or has compacted beyond.
pub(crate) async fn hash_kv(route: &Route, revision: i64) -> Result<pb::HashKvResponse, Status> {
    let request = route.request(pb::HashKvRequest { revision });
    let mut client = route.client(&route.url(0));
    let limit = route.silence_max + HASH_PATIENCE;
    match clock::timeout(limit, client.hash_kv(request)).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(elapsed) => Err(Status::deadline_exceeded(elapsed.to_string())),
    }
}

/// Has the leader at the end of `route` change the membership.
///
/// # Errors
/// What the leader refuses; `Timeout` if it was not heard of: it may have done it.
pub(crate) async fn change_members(
    route: &Route,
    change: MemberChange,
) -> Result<Vec<pb::Member>, Error> {
    match route.client(&route.url(0)).change_members(route.request(change)).await {
        Ok(answer) => Ok(answer.into_inner().members),
        // Nothing was asked of anybody.
        Err(status) if nobody_listens(&status) => Err(Error::NoLeader),
        Err(status) => Err(Error::from_message(status.message()).unwrap_or(Error::Timeout)),
    }
}

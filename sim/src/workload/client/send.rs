//! Sends a request to the service it belongs to.

use reseed_proto::etcdserverpb::{
    self as pb, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient,
};
use sha2::{Digest, Sha256};
use tonic::{Status, transport::Channel};

use super::{Client, MESSAGE_BYTES_MAX, renewals::Renewals};
use crate::{
    history::{Body, Request, Response},
    workload::translate::{self, Wire},
};

/// The checksum at the end of a snapshot.
const SHA256_BYTES: usize = 32;

impl Client {
    /// Sends `request` and translates its answer.
    pub(super) async fn send(&mut self, request: &Request) -> Result<Response, Status> {
        match translate::wire(request) {
            Wire::KeepAlive(ask) => self.renew(ask).await,
            Wire::Snapshot(ask) => snapshot(self.maintenance(), ask).await,
            Wire::Status(ask) => {
                let answer = self.maintenance().status(ask).await?.into_inner();
                Ok(done(answer.header.as_ref()))
            }
            Wire::HashKv(ask) => {
                Ok(translate::hash(&self.maintenance().hash_kv(ask).await?.into_inner()))
            }
            Wire::Defragment(ask) => {
                let answer = self.maintenance().defragment(ask).await?.into_inner();
                Ok(done(answer.header.as_ref()))
            }
            Wire::Alarm(ask) => {
                Ok(translate::alarms(&self.maintenance().alarm(ask).await?.into_inner()))
            }
            Wire::Grant(ask) => {
                let answer = self.lease().lease_grant(ask).await?.into_inner();
                let body = Body::Lease { id: answer.id, ttl: answer.ttl };
                Ok(Response { revision: translate::revision(answer.header.as_ref()), body })
            }
            Wire::Revoke(ask) => {
                let answer = self.lease().lease_revoke(ask).await?.into_inner();
                Ok(done(answer.header.as_ref()))
            }
            Wire::TimeToLive(ask) => {
                let answer = self.lease().lease_time_to_live(ask).await?.into_inner();
                Ok(translate::time_to_live(&answer))
            }
            Wire::Leases(ask) => {
                Ok(translate::leases(&self.lease().lease_leases(ask).await?.into_inner()))
            }
            wire => self.send_kv(wire).await,
        }
    }

    async fn send_kv(&self, wire: Wire) -> Result<Response, Status> {
        let mut kv =
            KvClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        match wire {
            Wire::Range(ask) => Ok(translate::range(&kv.range(ask).await?.into_inner())),
            Wire::Put(ask) => Ok(translate::put(&kv.put(ask).await?.into_inner())),
            Wire::Delete(ask) => Ok(translate::deletion(&kv.delete_range(ask).await?.into_inner())),
            Wire::Txn(ask) => Ok(translate::txn_answer(&kv.txn(ask).await?.into_inner())),
            Wire::Compact(ask) => Ok(done(kv.compact(ask).await?.into_inner().header.as_ref())),
            other => unreachable!("{other:?} does not belong to the KV service"),
        }
    }

    /// Renews a lease over the open stream, or opens one.
    async fn renew(&mut self, ask: pb::LeaseKeepAliveRequest) -> Result<Response, Status> {
        let mut renewals = match self.renewals.take() {
            Some(mut open) => {
                open.send(ask).await?;
                open
            }
            None => Renewals::open(self.channel.clone(), ask).await?,
        };
        let answer = renewals.answer().await?;
        // Only a stream without an answer under way may be used again.
        self.renewals = Some(renewals);
        let body = Body::Lease { id: answer.id, ttl: answer.ttl };
        Ok(Response { revision: translate::revision(answer.header.as_ref()), body })
    }

    fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

fn done(header: Option<&pb::ResponseHeader>) -> Response {
    Response { revision: translate::revision(header), body: Body::Done }
}

/// Takes a whole snapshot and checks its trailing checksum, as etcd's clients do.
async fn snapshot(
    mut maintenance: MaintenanceClient<Channel>,
    ask: pb::SnapshotRequest,
) -> Result<Response, Status> {
    let mut chunks = maintenance.snapshot(ask).await?.into_inner();
    let mut whole = Vec::new();
    let (mut revision, mut remaining) = (0, 0);
    while let Some(chunk) = chunks.message().await? {
        revision = translate::revision(chunk.header.as_ref()).max(revision);
        remaining = chunk.remaining_bytes;
        whole.extend_from_slice(&chunk.blob);
    }
    let matches = remaining == 0 && ends_with_its_hash(&whole);
    let body = Body::Snapshot { bytes: whole.len() as u64, whole: matches };
    Ok(Response { revision, body })
}

fn ends_with_its_hash(whole: &[u8]) -> bool {
    let Some(split) = whole.len().checked_sub(SHA256_BYTES) else { return false };
    let (content, hash) = whole.split_at(split);
    Sha256::digest(content).as_slice() == hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_whole_only_with_the_hash_of_its_content() {
        let mut file = b"content".to_vec();
        file.extend_from_slice(&Sha256::digest(b"content"));
        assert!(ends_with_its_hash(&file));
        file[0] ^= 1;
        assert!(!ends_with_its_hash(&file));
        assert!(!ends_with_its_hash(b"short"));
    }
}

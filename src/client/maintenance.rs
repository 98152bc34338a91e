//! The Maintenance service. All but the alarms are questions to one member: give the client a
//! single endpoint to choose which.

use bytes::Bytes;
use reseed_proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, HashKvRequest,
    HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse, alarm_request::AlarmAction,
    maintenance_client::MaintenanceClient,
};
use tonic::Streaming;

use crate::{Client, Connection, Error, retry::Twice};

fn stub(connection: Connection) -> MaintenanceClient<Connection> {
    MaintenanceClient::new(connection).max_decoding_message_size(usize::MAX)
}

impl Client {
    /// The member's view of itself.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        let call = async |c, r| stub(c).status(r).await;
        self.unary(Twice::Harmless, StatusRequest {}, call).await
    }

    /// The checksum of everything the member stores.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn hash(&self) -> Result<HashResponse, Error> {
        self.unary(Twice::Harmless, HashRequest {}, async |c, r| stub(c).hash(r).await).await
    }

    /// The checksum of all keys at `revision` (0: now).
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse, Error> {
        let call = async |c, r| stub(c).hash_kv(r).await;
        self.unary(Twice::Harmless, HashKvRequest { revision }, call).await
    }

    /// Lists, raises or clears alarms.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn alarm(&self, request: AlarmRequest) -> Result<AlarmResponse, Error> {
        let twice = match request.action() {
            AlarmAction::Get => Twice::Harmless,
            AlarmAction::Activate | AlarmAction::Deactivate => Twice::Harmful,
        };
        self.unary(twice, request, async |c, r| stub(c).alarm(r).await).await
    }

    /// Gives free space inside the member's database back to its disk.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn defragment(&self) -> Result<DefragmentResponse, Error> {
        let call = async |c, r| stub(c).defragment(r).await;
        self.unary(Twice::Harmful, DefragmentRequest {}, call).await
    }

    /// Hands leadership to the member `target_id`; only the leader does it.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn move_leader(&self, target_id: u64) -> Result<MoveLeaderResponse, Error> {
        let call = async |c, r| stub(c).move_leader(r).await;
        self.unary(Twice::Harmful, MoveLeaderRequest { target_id }, call).await
    }

    /// Starts to read a snapshot of the member's database. No deadline: it takes what it takes.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let stream = stub(self.connection()).snapshot(SnapshotRequest {}).await?.into_inner();
        Ok(Snapshot { stream, version: String::new() })
    }
}

/// A snapshot on its way. The last 32 bytes are the SHA-256 of all before them; checking it is the
/// receiver's duty.
#[derive(Debug)]
pub struct Snapshot {
    stream: Streaming<SnapshotResponse>,
    version: String,
}

impl Snapshot {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// Any [`Error`]; the snapshot is then useless.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(piece) = self.stream.message().await? else { return Ok(None) };
        if !piece.version.is_empty() {
            self.version = piece.version;
        }
        Ok(Some(piece.blob))
    }

    /// The storage version the server named so far; empty before etcd 3.6.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

//! Who is let in at the peer port, and what.

use http::HeaderMap;
use prost::Message as _;
use raft::eraftpb::{Message, MessageType};
use reseed_proto::peer::RaftBatch;
use reseed_rt::chan::Sender;
use tonic::Status;

use super::measure::Heard;
use super::snapshot::{Direction, Measured};
use super::{PEER_VERSION, Peers, header};
use crate::departure::REMOVED;
use crate::raft::PeerEvent;

/// Who is let in, and where what it says goes.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// The cluster this member is of.
    pub(crate) cluster: u64,
    /// This member.
    pub(crate) member: u64,
    /// Who was removed, and the ways to answer.
    pub(crate) peers: Peers,
    /// Who wants to know.
    pub(crate) driver: Sender<PeerEvent>,
}

impl Door {
    /// The sender's id, if it means this member of this cluster.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<u64, Status> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let id = |name| {
            u64::from_str_radix(text(name), 16)
                .map_err(|_| Status::invalid_argument(format!("{name} is missing or no id")))
        };
        check_version(headers)?;
        let (cluster, to) = (id(header::CLUSTER)?, id(header::TO)?);
        if cluster != self.cluster {
            return Err(Status::failed_precondition(format!(
                "this member is of cluster {:x}, not {cluster:x}: is --initial-cluster-token, or \
                 --initial-cluster, the same on all members?",
                self.cluster
            )));
        }
        if to != self.member {
            return Err(Status::failed_precondition(format!(
                "this is member {:x}, not {to:x}: does --initial-cluster name its peer URL?",
                self.member
            )));
        }
        let from = id(header::FROM)?;
        self.check_member(from)?;
        let urls = text(header::URLS).split(',').filter(|url| !url.is_empty());
        let urls: Vec<String> = urls.map(str::to_owned).collect();
        self.peers.answer_to(from, &urls);
        Ok(from)
    }

    /// What is counted of what this sender says. Each sender counted is kept for ever, so whoever
    /// gets no route is counted as nobody.
    pub(super) fn heard(&self, from: u64) -> Heard {
        Heard::new(self.peers.metrics(), self.countable(from))
    }

    /// As [`Door::heard`], of the snapshot that it begins to send.
    pub(crate) fn snapshot(&self, from: u64) -> Measured {
        Measured::begin(Direction::received(self.peers.metrics()), self.countable(from))
    }

    fn countable(&self, from: u64) -> u64 {
        self.peers.route(from).map_or(0, |route| route.to)
    }

    /// Who was removed is told so, with a code that nothing else is refused with.
    pub(crate) fn check_member(&self, from: u64) -> Result<(), Status> {
        if self.peers.is_removed(from) { Err(Status::permission_denied(REMOVED)) } else { Ok(()) }
    }
}

/// Refuses who speaks otherwise.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), Status> {
    let version = headers.get(header::VERSION).and_then(|value| value.to_str().ok());
    let version = version.unwrap_or("");
    if version != PEER_VERSION {
        return Err(Status::failed_precondition(format!(
            "this member speaks peer version {PEER_VERSION}, not {version:?}"
        )));
    }
    Ok(())
}

/// The messages of a batch.
///
/// # Errors
/// One is not fit for raft, or not of who opened the stream.
pub(crate) fn decode(batch: &RaftBatch, from: u64) -> Result<Vec<Message>, Status> {
    let one = |bytes: &bytes::Bytes| {
        let message = Message::decode(bytes.clone())
            .map_err(|error| Status::invalid_argument(format!("no raft message: {error}")))?;
        message
            .validate()
            .map_err(|error| Status::invalid_argument(format!("raft message: {error}")))?;
        if message.from != from {
            return Err(Status::invalid_argument(format!("a message from {:x}", message.from)));
        }
        if message.msg_type == MessageType::MsgSnapshot as i32 {
            return Err(Status::invalid_argument("a snapshot without its state"));
        }
        Ok(message)
    };
    batch.messages.iter().map(one).collect()
}

#[cfg(test)]
mod tests;

//! What a stream of raft's messages is on the wire: one HTTP/1.1 request that says who calls whom,
//! then frames both ways.
//!
//! ```text
//!   GET /raft, upgrade: reseed-raft, reseed-…: …   ──►
//!                                                  ◄──  101, or why not, in gRPC's headers
//!   length (4 bytes) RaftBatch …                   ──►
//!                                                  ◄──  length (4 bytes) RaftTaken …
//! ```
//!
//! A frame costs each side one turn of one task; a message of HTTP/2 costs five (ADR 008).

use std::io;

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use prost::Message;
use reseed_rt::net::{UpgradeAnswer, Upgraded, upgrade};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tonic::Status;

use super::RECEIVED_BYTES_MAX;

/// Where the peer port is asked for a stream.
pub(crate) const PATH: &str = "/raft";
/// What it is asked to be.
pub(super) const PROTOCOL: &str = "reseed-raft";

/// The bytes of a stream, in frames.
pub(super) type Wire = Framed<Upgraded, LengthDelimitedCodec>;

/// Frames over a connection that both sides agreed on.
pub(super) fn over(connection: Upgraded) -> Wire {
    let mut codec = LengthDelimitedCodec::builder();
    Framed::new(connection, codec.max_frame_length(RECEIVED_BYTES_MAX).new_codec())
}

/// Opens a stream to `url`.
///
/// # Errors
/// Why the other side refuses, or that it cannot be reached: then the source is an
/// [`io::Error`].
pub(super) async fn open(url: &str, introduction: HeaderMap) -> Result<Wire, Status> {
    let refused = |mut headers: HeaderMap| {
        // Nothing of ours, and tonic panics if it is not base64.
        headers.remove("grpc-status-details-bin");
        let status = Status::from_header_map(&headers);
        status.unwrap_or_else(|| Status::unimplemented("whoever listens there is no peer"))
    };
    match upgrade(url, PATH, PROTOCOL, introduction).await {
        Ok(UpgradeAnswer::Agreed(connection)) => Ok(over(connection)),
        Ok(UpgradeAnswer::Refused(headers)) => Err(refused(headers)),
        Err(error) => Err(broken(error)),
    }
}

/// A message as a frame's content.
pub(super) fn frame(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// The next message, of whatever the other half of the stream carries.
///
/// # Errors
/// The stream has ended, broken, or carries something else.
pub(super) async fn next<M: Message + Default>(
    frames: &mut (impl futures::Stream<Item = io::Result<bytes::BytesMut>> + Unpin),
) -> Result<M, Status> {
    match frames.next().await {
        Some(Ok(frame)) => M::decode(frame.freeze())
            .map_err(|error| Status::invalid_argument(format!("no message of a peer: {error}"))),
        Some(Err(error)) => Err(broken(error)),
        None => Err(Status::unavailable("the stream has ended")),
    }
}

/// What a connection's failure means for a stream.
pub(super) fn broken(error: io::Error) -> Status {
    Status::from_error(Box::new(error))
}

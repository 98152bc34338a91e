//! The transport between members, on the peer port: raft's messages over a stream of frames, and
//! gRPC for all else.
//!
//! ```text
//!  driver ──► Peers ──► outbox (bounded) ──► stream ══ wire ══► incoming ──► driver
//!               └ full: dropped, and raft is told that the member is unreachable
//! ```
//!
//! # What is promised
//! * **Order, or loss, never a wait.** One stream per peer carries messages in the order in which
//!   raft made them. A peer that does not keep up loses messages; it never holds up the driver.
//!   Raft is built for loss: what was dropped is sent again once the peer answers.
//! * **No stranger is listened to.** A stream names its cluster, its sender and whom it means;
//!   anything else than what this member believes is refused with a reason both sides log. A
//!   member that was removed is told so.
//! * **Nothing from a peer can panic.** What does not decode, or what raft would choke on
//!   (`raft-proto`'s `validate`), ends the stream.
//! * **Silence is noticed.** The receiver says regularly that it takes what comes; a stream whose
//!   batches stay unanswered is dropped and opened anew, because TCP alone would believe in a dead
//!   machine for minutes.
//!
//! ADR 006 says why gRPC, ADR 008 why not for raft's messages.

use std::time::Duration;

pub(crate) mod ask;
mod door;
mod incoming;
mod leader;
mod measure;
pub(crate) mod outbox;
mod silence;
mod snapshot;
mod stream;
mod wire;

use door::decode;
pub(crate) use door::{Door, check_version};
pub(crate) use incoming::{Pace, take_stream};
pub(crate) use leader::Leader;
pub(crate) use outbox::{Home, Peers};
pub(crate) use snapshot::{Receiving, serve};
pub(crate) use stream::Route;
pub(crate) use wire::PATH as STREAM_PATH;

/// Names of the metadata a stream begins with. Ids are hexadecimal, as everywhere.
pub(crate) mod header {
    /// The cluster's id.
    pub(crate) const CLUSTER: &str = "reseed-cluster-id";
    /// The sender's member id.
    pub(crate) const FROM: &str = "reseed-from";
    /// The id of the member that is meant.
    pub(crate) const TO: &str = "reseed-to";
    /// Where the sender listens for peers, with commas: who is addressed by a member that it does
    /// not know yet, or no longer at this place, can answer.
    pub(crate) const URLS: &str = "reseed-peer-urls";
    /// The version of what is sent.
    pub(crate) const VERSION: &str = "reseed-peer-version";
}

/// The version of the messages between members; one that differs is refused.
pub(crate) const PEER_VERSION: &str = "2";

/// Bytes of messages in one batch, about; a batch with one larger message is larger.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A peer that answers nothing for so many election timeouts is connected to anew.
const SILENT_ELECTIONS: u32 = 3;

/// A stream on which nothing has to be sent for so long carries a batch of nothing, so that both
/// sides notice when the other is gone.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How long a batch and its answer take is measured so often; etcd's.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of one batch at the receiver, at most: one message with one entry of the largest request
/// any configuration allows would be larger than [`BATCH_BYTES_MAX`].
pub(crate) const RECEIVED_BYTES_MAX: usize = 256 << 20;

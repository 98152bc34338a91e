//! Snapshots between members: a member that the log no longer helps gets the whole state.
//!
//! ```text
//!  raft ──MsgSnapshot──► send: export ══ chunks ══► receive: .part file
//!                                                       └──import──► driver ──► apply
//! ```
//! A snapshot travels on a connection of its own and at a bounded rate, so that it never stands
//! before a heartbeat. It is a file, named by its hash: a transfer that breaks off goes on where
//! it stopped, also when the receiver was restarted in between; each chunk has a checksum, and the
//! hash is checked before anything is believed. The receiver has it in a database beside its own
//! before raft hears of it; how it takes the old one's place is `storage::backend::install`.

mod measure;
mod receive;
mod send;

pub(crate) use measure::{Direction, Measured};
pub(crate) use receive::Receiving;
pub(super) use send::Transfer;
pub(crate) use send::serve;

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes sent in a second, at most.
const BYTES_PER_SEC: u64 = 64 << 20;

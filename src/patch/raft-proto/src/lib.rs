//! raft 0.7.0's messages as hand-written `prost` structs with [`bytes::Bytes`] payloads.
//!
//! # Why
//!
//! raft 0.7.0 takes its messages from the crate `raft-proto`, whose published form generates code
//! at build time: with one codec feature it needs `protoc`, prost 0.11 and `Vec<u8>` payloads;
//! with the other it needs protobuf 2.28 (RUSTSEC-2024-0437). This crate takes its name and
//! version through `[patch.crates-io]`. The messages are few and frozen, so they are written by
//! hand against prost 0.14, the codec of everything else in the tree.
//!
//! Payloads are `Bytes`: the proposer, the log cache and the message to each peer share one
//! buffer. Decoding from a `Bytes` shares it too, so an entry that is kept pins the whole frame
//! it arrived in; decode from a slice to copy instead.
//!
//! # What binds it
//!
//! - The **wire**: names, field numbers and types are those of `eraftpb.proto`. The tests hold
//!   the bytes of each message, computed by hand.
//! - The **accessors**: raft calls `get_`, `set_`, `mut_`, `take_` and `has_` methods and also uses
//!   the public fields. [`eraftpb`] gives each field the full set for its kind. Our own code uses
//!   fields, and `prost`'s getters for enums (`entry.entry_type()`).
//! - The **helpers** raft imports: [`ConfChangeI`], [`new_conf_change_single`],
//!   [`conf_state_eq`], [`prelude`].
//!
//! # What a peer can send
//!
//! An enum on the wire is any `i32`. Getters answer the zero value for one they do not know, and
//! never panic; but a configuration change of unknown type read as `AddNode` would be a silent
//! lie. raft also panics on some well-typed messages, for example a read without an entry.
//! [`eraftpb::Message::validate`] refuses both. **Call it on each message from the network
//! before `step`.**
//!
//! # What it deliberately does not do
//!
//! No reflection, no JSON, no text form of configuration changes, no codec trait: `protobuf`,
//! next door, implements the trait raft calls for every `prost` message.

mod accessors;
mod confchange;
mod confstate;
pub mod eraftpb;
mod validate;

#[cfg(test)]
mod tests;

pub use crate::confchange::{ConfChangeI, new_conf_change_single};
pub use crate::confstate::conf_state_eq;
pub use crate::validate::InvalidMessage;

/// All messages and enums, as `raft::prelude` re-exports them.
pub mod prelude {
    pub use crate::eraftpb::{
        ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2,
        ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata,
    };
}

//! The pure state machines of reseed.
//!
//! `no_std`: clock, files, sockets, threads, randomness and hash maps do not exist here, so the
//! same log entry makes the same state on every member and in every replay. Time enters as an
//! argument, chance as a value in the request; the one way out is a returned value.
//!
//! Read in this order: [`id`], [`error`], [`check`] (what may enter), [`port`] (how bytes are
//! kept), [`machine`] (one entry in, [`applied`] out), [`mvcc`] (the store itself), [`lease`],
//! [`watch`].
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod alarm;
pub mod applied;
pub mod check;
pub mod cluster;
pub mod codec;
pub mod error;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod harness;
pub mod id;
pub mod lease;
pub mod limits;
pub mod machine;
pub mod mvcc;
pub mod port;
pub mod quota;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod watch;

pub use applied::{Applied, At, Effect, Response};
pub use error::{Error, Fate};
pub use machine::Machine;

/// The version reseed reports on the wire: clients compare it to decide what a server can do.
pub const ETCD_VERSION: &str = "3.7.1";

/// The cluster version of a new cluster, and of the backend's storage format on the wire.
pub const CLUSTER_VERSION: &str = "3.7.0";

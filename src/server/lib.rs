//! One member of a reseed cluster: the etcd v3 API over a raft log, an MVCC backend, watches and
//! leases.
//!
//! [`Server::start`] opens a data directory and serves; [`Server::stop`] drains and flushes. The
//! journey of a put is `rpc::kv` → `propose` → `raft::driver` → `apply` → answer; ARCHITECTURE.md
//! tells it file by file.

mod apply;
mod boot;
mod compactor;
mod config;
mod corrupt;
mod departure;
mod flusher;
mod halt;
mod hash;
mod http;
mod identity;
mod late;
mod lease_clock;
mod membership;
mod metrics;
mod node;
mod peer;
mod progress;
mod propose;
mod quota;
mod raft;
mod read;
mod repair;
mod rpc;
mod sight;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod waiters;
mod watch;

pub use boot::BootError;
pub use config::{AutoCompaction, Config, ConfigError, InitialClusterState, InitialMember};
pub use halt::{Cause, Halted};
pub use metrics::Metrics;
pub use node::Server;
pub use progress::Progress;
pub use propose::Proposer;
pub use sight::{Observer, Sight};
pub use state::State;

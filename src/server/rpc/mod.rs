//! The gRPC services: check, call, wrap; no decisions.
//!
//! [`methods`] knows every method by its path, [`route`] dispatches a request to its service and
//! counts it. Each other module is one service of the etcd v3 API.

use std::sync::Arc;

use reseed_core::error::{Error, Fate};
use reseed_core::limits::Limits;
use reseed_rt::task::Stop;

use crate::compactor::Compactor;
use crate::lease_clock::LeaseClock;
use crate::membership::Changer;
use crate::peer::Leader;
use crate::propose::Proposer;
use crate::read::ReadIndex;
use crate::state::State;
use crate::watch::hub::Hub;
use leaderless::Leaderless;

mod auth;
mod cluster;
mod health;
mod kv;
pub(crate) mod leaderless;
mod lease;
mod limits;
mod maintenance;
pub(crate) mod methods;
pub(crate) mod peer;
mod range;
mod range_stream;
pub(crate) mod route;
pub(crate) mod status;
mod watch;

/// What the services call.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) state: Arc<State>,
    pub(crate) proposer: Proposer,
    pub(crate) read_index: ReadIndex,
    pub(crate) watch: Hub,
    pub(crate) leases: LeaseClock,
    pub(crate) leader: Leader,
    pub(crate) compactor: Compactor,
    pub(crate) changer: Changer,
    pub(crate) leaderless: Arc<Leaderless>,
    pub(crate) stop: Stop,
}

impl Services {
    /// The configured limits, as the checks want them.
    fn limits(&self) -> Limits {
        self.state.config.limits()
    }

    /// An error as the client sees it; one that must not become an answer halts the member.
    fn refuse(&self, error: Error) -> tonic::Status {
        if error.fate() == Fate::Halt {
            self.state.halt.halt(&error);
            return status::of(&Error::Stopped);
        }
        status::of(&error)
    }
}

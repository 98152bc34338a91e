//! All replicated state of a member, and the one way to change it.
use alloc::string::String;

use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::LogEntry;

use crate::alarm::Alarms;
use crate::applied::{Applied, At, Response};
use crate::cluster::Members;
use crate::error::Error;
use crate::port::{Batch, Read};
use crate::{lease, mvcc};

/// The state machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Keys and values.
    pub mvcc: mvcc::Store,
    /// Leases and what hangs on them.
    pub leases: lease::Table,
    /// Active alarms.
    pub alarms: Alarms,
    /// The members.
    pub members: Members,
    /// The version all members speak, `X.Y.Z`; empty until the first entry that sets it.
    pub cluster_version: String,
}

impl Machine {
    /// Rebuilds the state from what was persisted; an empty backend gives an empty machine.
    ///
    /// # Errors
    /// The backend cannot be read or contradicts itself.
    pub fn restore(_read: &dyn Read) -> Result<Self, Error> {
        Ok(Self::default())
    }

    /// Applies one entry. `read` shows every batch returned so far.
    ///
    /// # Errors
    /// Only such with [`Fate::Halt`](crate::error::Fate::Halt): the member must stop. A refusal is
    /// an `Ok` with an error inside.
    pub fn apply(&mut self, _at: At, _entry: &LogEntry, _: &dyn Read) -> Result<Applied, Error> {
        Ok(Applied {
            response: Ok(Response::None),
            revision: self.mvcc.revision(),
            events: alloc::vec![],
            batch: Batch::default(),
            effects: alloc::vec![],
        })
    }

    /// Carries out a transaction that only reads ([`mvcc::is_read_only`]), without the log.
    ///
    /// # Errors
    /// `Compacted`, `FutureRev`; the backend cannot be read.
    pub fn txn_read_only(
        &self,
        _request: &pb::TxnRequest,
        _read: &dyn Read,
    ) -> Result<pb::TxnResponse, Error> {
        Err(Error::Compacted)
    }
}

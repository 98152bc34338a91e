//! The backend quota: refuse what would grow a full backend, and raise NOSPACE for everybody.
//!
//! The size is a matter of this member's file, so it is judged here, before the log; what apply
//! refuses depends on the alarm alone, which is in the log and thus the same everywhere.
//! Deletions, compactions and revocations stay possible: they are how space comes back.

use reseed_core::error::Error;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;
use reseed_rt::probe::{self, Probe};

use crate::propose::Proposer;
use crate::state::State;

/// Admits a request that adds `cost` bytes, or raises the alarm and refuses.
///
/// # Errors
/// [`Error::NoSpace`].
pub(crate) async fn admit(state: &State, proposer: &Proposer, cost: u64) -> Result<(), Error> {
    let Some(quota) = state.config.quota_backend_bytes else { return Ok(()) };
    if cost == 0 || state.backend_size().in_use.saturating_add(cost) <= quota {
        return Ok(());
    }
    let raised = {
        let machine = state.machine.read();
        machine.alarms.is_active(pb::AlarmType::Nospace)
    };
    probe::hit(if raised { Probe::AlarmRefused } else { Probe::AlarmRaised });
    if !raised {
        tracing::warn!(quota, "the backend is over its quota: raising the NOSPACE alarm");
        let alarm = pb::AlarmRequest {
            action: pb::alarm_request::AlarmAction::Activate as i32,
            member_id: state.member_id,
            alarm: pb::AlarmType::Nospace as i32,
        };
        proposer.propose(Request::Alarm(alarm)).await?;
    }
    Err(Error::NoSpace)
}

//! What the checker may assume of the world that a plan makes: of its clocks, leases and members.
//!
//! Pure, so that a history is judged by the same rules whether its run has just ended or left a
//! bundle long ago.

use std::time::Duration;

use crate::{
    check::Rules,
    plan::{AutoCompaction, FaultKind, Plan},
};

/// A lease that nobody renews is gone so long after its time, besides what elections cost.
const LEASE_LATE_MAX: Duration = Duration::from_secs(10);
/// The shortest lease there is, whatever the timers.
const LEASE_TTL_LEAST: Duration = Duration::from_secs(2);

/// The rules of `plan`.
#[must_use]
pub fn of(plan: &Plan) -> Rules {
    let drifted = plan.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::ClockDrift { ppm, .. } => Some(1.0 + f64::from(ppm) / 1e6),
        _ => None,
    });
    let rates: Vec<f64> = plan.clocks.iter().map(|clock| clock.rate()).chain(drifted).collect();
    let election = plan.knobs.election_timeout;
    // etcd: ceil(3 × election ticks / 2 × heartbeat), in whole seconds; never below two here.
    let shortest = (election * 3 / 2).max(LEASE_TTL_LEAST);
    let ttl_secs = shortest.as_secs() + u64::from(shortest.subsec_nanos() > 0);
    Rules {
        clock_rate: (
            rates.iter().copied().fold(1.0, f64::min),
            rates.iter().copied().fold(1.0, f64::max),
        ),
        lease_ttl_min: Duration::from_secs(ttl_secs),
        txn_ops_max: plan.knobs.max_txn_ops,
        lease_late_max: LEASE_LATE_MAX + election * 2,
        lease_extended_max: election,
        members: plan.members,
        compacts_itself: plan.knobs.auto_compaction != AutoCompaction::Off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::scenario::Scenario;

    #[test]
    fn rules_are_those_of_the_plans_cluster_and_clocks() {
        let text = "version = 2\nname = \"x\"\nmembers = 3\n";
        let mut plan = Plan::draw(&Scenario::parse(text).expect("valid"), 1);
        plan.knobs.election_timeout = Duration::from_secs(4);
        plan.clocks[1].rate_ppm = -20_000;
        let rules = of(&plan);
        assert_eq!(rules.members, 3);
        assert_eq!(rules.lease_ttl_min, Duration::from_secs(6));
        assert_eq!(rules.lease_late_max, Duration::from_secs(18));
        assert!(rules.clock_rate.0 <= 0.98, "{:?}", rules.clock_rate);
    }
}

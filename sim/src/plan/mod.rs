//! From a scenario and a seed to the run there will be: every choice made, printable.

pub mod fault;
pub mod role;
pub mod scenario;

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::Serialize;

use scenario::{Faults, Mix, Scenario, Span};

/// A run with nothing left to choose.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Of the scenario.
    pub name: String,
    /// Bugs on purpose.
    pub planted: Vec<String>,
    /// Applied entries between two log truncations.
    pub snapshot_count: u64,
    /// Bytes of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Bytes of writes not yet in the backend file, at most.
    pub backend_overlay_bytes: u64,
    /// Longest time between two backend commits.
    pub backend_batch: Duration,
    /// Member seconds per true second.
    pub clock_rate: f64,
    /// Machines that send requests.
    pub clients: u64,
    /// Machines that watch.
    pub watchers: u64,
    /// Keys in use.
    pub keys: u64,
    /// Bytes of a value, at most.
    pub value_bytes_max: u64,
    /// Pause of a client between two requests, at most.
    pub think_max: Duration,
    /// Weights of the requests: put, get, delete, swap.
    pub mix: [u32; 4],
    /// How long clients send.
    pub load: Duration,
    /// What goes wrong, in order.
    pub faults: Vec<Fault>,
    /// Latency of a link, at least and at most.
    pub latency: (Duration, Duration),
    /// Chance of a segment to be lost.
    pub loss: f64,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// When, from the beginning of the load.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum FaultKind {
    /// The power fails at the n-th change of the disk from then; the machine boots by itself.
    PowerAtDiskOp(u64),
    /// The power fails at once, for so long.
    PowerCut(Duration),
    /// The program is killed, and started again after so long.
    ProcessKill(Duration),
    /// The n-th sync of the disk from then fails.
    SyncError(u64),
    /// The disk has no room for so long.
    DiskFull(Duration),
    /// No byte reaches or leaves the member for so long.
    Cut(Duration),
}

impl Plan {
    /// Makes all choices.
    #[must_use]
    pub fn draw(scenario: &Scenario, rng: &mut impl Rng) -> Self {
        let Scenario { member, workload, faults, net, .. } = scenario;
        let load = Duration::from_secs(workload.seconds);
        let schedule = schedule(faults, load, rng);
        let Mix { put, get, delete, swap } = workload.mix;
        let (least, most) = net.latency_micros.ends();
        Self {
            name: scenario.name.clone(),
            planted: scenario.planted.clone(),
            snapshot_count: pick(member.snapshot_count, rng),
            wal_segment_bytes: pick(member.wal_segment_kib, rng) * 1024,
            backend_overlay_bytes: pick(member.backend_overlay_kib, rng) * 1024,
            backend_batch: millis(member.backend_batch_millis, rng),
            clock_rate: pick(member.clock_rate_percent, rng).max(1) as f64 / 100.0,
            clients: pick(workload.clients, rng),
            watchers: pick(workload.watchers, rng),
            keys: pick(workload.keys, rng).max(1),
            value_bytes_max: pick(workload.value_bytes, rng),
            think_max: millis(workload.think_millis, rng),
            mix: [put, get, delete, swap],
            load,
            faults: schedule,
            latency: (Duration::from_micros(least), Duration::from_micros(most.max(least + 1))),
            loss: pick(net.loss_percent, rng) as f64 / 100.0,
        }
    }
}

/// Draws how often each fault comes, when, and how; in the order of time.
fn schedule<R: Rng>(faults: &Faults, load: Duration, rng: &mut R) -> Vec<Fault> {
    let mut schedule = Vec::new();
    let mut add = |times: Span, rng: &mut R, draw: &dyn Fn(&mut R) -> FaultKind| {
        for _ in 0..pick(times, rng) {
            let kind = draw(rng);
            // Not at the very end, so that there is load left to meet an armed fault.
            let at = load.mul_f64(rng.random_range(0.0..0.85));
            schedule.push(Fault { at, kind });
        }
    };
    let Faults { disk_op, sync_op, down_millis, lasting_millis, .. } = *faults;
    add(faults.power_at_disk_op, rng, &|rng| FaultKind::PowerAtDiskOp(pick(disk_op, rng)));
    add(faults.power_cut, rng, &|rng| FaultKind::PowerCut(millis(down_millis, rng)));
    add(faults.process_kill, rng, &|rng| FaultKind::ProcessKill(millis(down_millis, rng)));
    add(faults.sync_error, rng, &|rng| FaultKind::SyncError(pick(sync_op, rng)));
    add(faults.disk_full, rng, &|rng| FaultKind::DiskFull(millis(lasting_millis, rng)));
    add(faults.cut, rng, &|rng| FaultKind::Cut(millis(lasting_millis, rng)));
    schedule.sort_by_key(|fault| fault.at);
    schedule
}

fn pick(span: Span, rng: &mut impl Rng) -> u64 {
    let (least, most) = span.ends();
    rng.random_range(least..=most)
}

fn millis(span: Span, rng: &mut impl Rng) -> Duration {
    Duration::from_millis(pick(span, rng))
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn a_plan_stays_within_its_scenario_and_depends_on_the_seed_alone() {
        let text =
            "version = 1\nname = \"x\"\n[faults]\npower_cut = 2\n[workload]\nkeys = [3, 5]\n";
        let scenario = Scenario::parse(text).expect("valid");
        let draw = |seed| Plan::draw(&scenario, &mut ChaCha8Rng::seed_from_u64(seed));
        for seed in 0..50 {
            let plan = draw(seed);
            assert!((3..=5).contains(&plan.keys));
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
            let cuts = |fault: &&Fault| matches!(fault.kind, FaultKind::PowerCut(_));
            assert_eq!(plan.faults.iter().filter(cuts).count(), 2);
            assert_eq!(format!("{plan:?}"), format!("{:?}", draw(seed)));
        }
    }
}

//! From a scenario and a seed to a plan.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::{
    AutoCompaction, ClockKnobs, Expect, Fault, FaultKind, Knobs, Latency, Limits, Load, Net, Plan,
    Role,
    scenario::{Faults, Member, Scenario, Span, Workload},
};

impl Plan {
    /// Makes all choices.
    #[must_use]
    pub fn draw(scenario: &Scenario, seed: u64, rng: &mut impl Rng) -> Self {
        let Scenario { member, workload, faults, net, .. } = scenario;
        let lasting = Duration::from_secs(workload.seconds);
        let (least, most) = net.latency_micros.ends();
        let clients = pick(workload.clients, rng);
        let watchers = pick(workload.watchers, rng);
        let clients = (0..clients)
            .map(|_| Role::Register)
            .chain((0..watchers).map(|_| Role::Watcher))
            .collect();
        Self {
            version: super::VERSION,
            name: scenario.name.clone(),
            seed,
            planted: scenario.planted.clone(),
            members: 1,
            knobs: knobs(member, rng),
            clocks: vec![clock(member, rng)],
            buggify: false,
            clients,
            load: load(workload, lasting, rng),
            net: Net {
                latency: Latency {
                    least: Duration::from_micros(least),
                    most: Duration::from_micros(most.max(least + 1)),
                    tail_per_mille: 0,
                    tail_factor: 1,
                },
                loss_per_mille: u32::try_from(pick(net.loss_percent, rng) * 10).unwrap_or(0),
            },
            faults: schedule(faults, lasting, rng),
            expect: Expect { violation: scenario.expect.violation.clone() },
            limits: Limits {
                sim_seconds: scenario.limits.sim_seconds,
                acknowledged_min: scenario.limits.acknowledged_min,
                crashes_min: scenario.limits.crashes_min,
                ..Limits::default()
            },
        }
    }
}

fn knobs(member: &Member, rng: &mut impl Rng) -> Knobs {
    let snapshot_count = pick(member.snapshot_count, rng);
    Knobs {
        snapshot_count,
        snapshot_catchup_entries: snapshot_count / 2,
        wal_segment_bytes: pick(member.wal_segment_kib, rng) * 1024,
        quota_backend_bytes: Some(2 << 30),
        max_request_bytes: 1536 << 10,
        max_txn_ops: 128,
        auto_compaction: AutoCompaction::Off,
        compaction_batch_limit: 1000,
        compaction_sleep_interval: Duration::from_millis(10),
        backend_batch_interval: millis(member.backend_batch_millis, rng),
        backend_cache_bytes: 64 << 20,
        backend_overlay_bytes_max: pick(member.backend_overlay_kib, rng) * 1024,
        watch_progress_notify_interval: Duration::from_secs(600),
        heartbeat_interval: Duration::from_millis(100),
        election_timeout: Duration::from_secs(1),
        pre_vote: true,
    }
}

fn clock(member: &Member, rng: &mut impl Rng) -> ClockKnobs {
    let percent = i32::try_from(pick(member.clock_rate_percent, rng)).unwrap_or(100);
    ClockKnobs { rate_ppm: (percent.max(1) - 100) * 10_000, wall_offset_millis: 0 }
}

fn load(workload: &Workload, lasting: Duration, rng: &mut impl Rng) -> Load {
    Load {
        lasting,
        keys: pick(workload.keys, rng).max(1),
        key_skew_percent: 0,
        value_bytes_max: pick(workload.value_bytes, rng),
        think_max: millis(workload.think_millis, rng),
        txn_ops_max: 8,
        lease_ttl_secs_max: 8,
        answer_max: Duration::from_secs(7),
    }
}

/// Draws how often each fault comes, when, and how; in the order of time.
fn schedule<R: Rng>(faults: &Faults, load: Duration, rng: &mut R) -> Vec<Fault> {
    let mut schedule = Vec::new();
    let mut add = |times: Span, rng: &mut R, draw: &dyn Fn(&mut R) -> FaultKind| {
        for _ in 0..pick(times, rng) {
            let kind = draw(rng);
            // Not at the very end, so that there is load left to meet an armed fault.
            let at = rng.random_range(0.0..0.85) * load.as_millis() as f64;
            let at = Duration::from_millis(at as u64);
            schedule.push(Fault { at, kind });
        }
    };
    let member = 0;
    let Faults { disk_op, sync_op, down_millis, lasting_millis, .. } = *faults;
    let down = |rng: &mut R| millis(down_millis, rng);
    let lasting = |rng: &mut R| millis(lasting_millis, rng);
    add(faults.power_at_disk_op, rng, &|rng| FaultKind::PowerAtDiskOp {
        member,
        n: pick(disk_op, rng),
    });
    add(faults.power_cut, rng, &|rng| FaultKind::PowerCut { member, down: down(rng) });
    add(faults.process_kill, rng, &|rng| FaultKind::ProcessKill { member, down: down(rng) });
    add(faults.sync_error, rng, &|rng| FaultKind::SyncError { member, n: pick(sync_op, rng) });
    add(faults.disk_full, rng, &|rng| FaultKind::DiskFull { member, lasting: lasting(rng) });
    add(faults.cut, rng, &|rng| FaultKind::Cut {
        from: super::fault::Host::Member(member),
        to: super::fault::Host::Others,
        both_ways: true,
        lasting: lasting(rng),
    });
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
        let draw = |seed| Plan::draw(&scenario, seed, &mut ChaCha8Rng::seed_from_u64(seed));
        for seed in 0..50 {
            let plan = draw(seed);
            assert!((3..=5).contains(&plan.load.keys));
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
            let cuts = |fault: &&Fault| matches!(fault.kind, FaultKind::PowerCut { .. });
            assert_eq!(plan.faults.iter().filter(cuts).count(), 2);
            assert_eq!(plan, draw(seed));
            let file = serde_json::to_string(&plan).expect("plain data");
            assert_eq!(plan, serde_json::from_str(&file).expect("its own file"));
        }
    }
}

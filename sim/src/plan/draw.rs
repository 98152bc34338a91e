//! From a scenario and a seed to a plan.

use std::time::Duration;

use super::{
    AutoCompaction, ClockKnobs, Knobs, Latency, Load, Net, Plan, Role,
    dice::{Dice, choose},
    scenario::{DrawnKnobs, DrawnLoad, DrawnNet, Scenario},
    schedule,
};

impl Plan {
    /// What `seed` makes of `scenario`.
    #[must_use]
    pub fn draw(scenario: &Scenario, seed: u64) -> Self {
        let dice = Dice::new(seed);
        let omit = scenario.swarm.omit_percent;
        let load = scenario.load.draw(dice, omit);
        let clients = clients(scenario, load.clients, dice);
        let lasting = Duration::from_secs(unsigned(load.seconds));
        let faults = schedule::draw(scenario, lasting, clients.len(), dice);
        let clocks = (0..scenario.members).map(|member| clock(scenario, member, dice)).collect();
        Self {
            version: super::VERSION,
            name: scenario.name.clone(),
            seed,
            planted: scenario.planted.clone(),
            members: scenario.members,
            founders: scenario.founders.map(|span| small(dice.pick("founders", span))),
            knobs: knobs(&scenario.knobs.draw(dice, omit)),
            clocks,
            buggify: dice.chance("buggify", scenario.swarm.buggify_percent),
            clients,
            load: shared(&load),
            net: net(&scenario.net.draw(dice, omit)),
            disk_slowness: small(scenario.disk.draw(dice, omit).slowness),
            faults,
            expect: scenario.expect.clone(),
            limits: scenario.limits.clone(),
        }
    }
}

/// A role for each client machine: each weight is a chance, drawn machine by machine.
fn clients(scenario: &Scenario, count: i64, dice: Dice) -> Vec<Role> {
    let all: Vec<(Role, u64)> = if scenario.roles.is_empty() {
        vec![(Role::Register, 2), (Role::Watcher, 1)]
    } else {
        scenario.roles.iter().map(|(role, weight)| (*role, u64::from(*weight))).collect()
    };
    let left_out = |role: Role| dice.chance(&format!("omit.{role:?}"), scenario.swarm.omit_percent);
    let mut rng = dice.stream("roles");
    // Drawn before anything is left out, so that a run without one role is else the same.
    let last = choose(&all, &mut rng);
    let mut kept: Vec<_> = all.iter().copied().filter(|(role, _)| !left_out(*role)).collect();
    if kept.iter().all(|(_, weight)| *weight == 0) {
        kept = last.into_iter().map(|role| (role, 1)).collect();
    }
    let mut clients: Vec<Role> = (0..count).filter_map(|_| choose(&kept, &mut rng)).collect();
    if !clients.iter().any(|role| role.writes()) {
        // Where nobody writes there is nothing to watch or to lose.
        let writing: Vec<_> = all.iter().copied().filter(|(role, _)| role.writes()).collect();
        if let (Some(first), Some(role)) = (clients.first_mut(), choose(&writing, &mut rng)) {
            *first = role;
        }
    }
    clients
}

fn clock(scenario: &Scenario, member: u32, dice: Dice) -> ClockKnobs {
    let drawn = scenario.clock.draw(dice.of(member), scenario.swarm.omit_percent);
    ClockKnobs {
        rate_ppm: i32::try_from(drawn.rate_ppm).unwrap_or(0),
        wall_offset_millis: drawn.wall_offset_millis,
    }
}

fn knobs(drawn: &DrawnKnobs) -> Knobs {
    let auto_compaction = match (drawn.auto_compaction_millis, drawn.auto_compaction_revisions) {
        (0, 0) => AutoCompaction::Off,
        (0, revisions) => AutoCompaction::Revisions(unsigned(revisions)),
        (millis, _) => AutoCompaction::PeriodicMillis(unsigned(millis)),
    };
    let quota = unsigned(drawn.quota_backend_bytes);
    Knobs {
        snapshot_count: unsigned(drawn.snapshot_count),
        snapshot_catchup_entries: unsigned(drawn.snapshot_catchup_entries),
        wal_segment_bytes: unsigned(drawn.wal_segment_bytes),
        quota_backend_bytes: (quota > 0).then_some(quota),
        max_request_bytes: unsigned(drawn.max_request_bytes),
        max_txn_ops: unsigned(drawn.max_txn_ops),
        auto_compaction,
        compaction_batch_limit: unsigned(drawn.compaction_batch_limit),
        compaction_sleep_interval: millis(drawn.compaction_sleep_millis),
        backend_batch_interval: millis(drawn.backend_batch_millis),
        backend_cache_bytes: unsigned(drawn.backend_cache_bytes),
        backend_overlay_bytes_max: unsigned(drawn.backend_overlay_bytes),
        watch_progress_notify_interval: millis(drawn.watch_progress_millis),
        heartbeat_interval: millis(drawn.heartbeat_millis),
        election_timeout: millis(drawn.heartbeat_millis * drawn.election_ticks),
        pre_vote: drawn.pre_vote != 0,
        corrupt_check_interval: millis(drawn.corrupt_check_millis),
    }
}

fn shared(drawn: &DrawnLoad) -> Load {
    Load {
        lasting: Duration::from_secs(unsigned(drawn.seconds)),
        keys: unsigned(drawn.keys),
        key_skew_percent: small(drawn.key_skew_percent),
        value_bytes_max: unsigned(drawn.value_bytes_max),
        think_max: millis(drawn.think_max_millis),
        txn_ops_max: unsigned(drawn.txn_ops_max),
        lease_ttl_secs_max: unsigned(drawn.lease_ttl_secs_max),
        answer_max: millis(drawn.answer_max_millis),
    }
}

fn net(drawn: &DrawnNet) -> Net {
    let least = Duration::from_micros(unsigned(drawn.latency_least_micros));
    Net {
        latency: Latency {
            least,
            most: least + Duration::from_micros(unsigned(drawn.latency_spread_micros)),
            tail_per_mille: small(drawn.tail_per_mille),
            tail_factor: small(drawn.tail_factor),
        },
        loss_per_mille: small(drawn.loss_per_mille),
        unevenness: small(drawn.unevenness),
    }
}

/// The tables let nothing below zero through here.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn millis(value: i64) -> Duration {
    Duration::from_millis(unsigned(value))
}

//! Draws what goes wrong, when, and how.
//!
//! Each kind of fault has a stream of its own: a scenario with one kind more, or one more of a
//! kind, leaves the others where they were.

use std::time::Duration;

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Fault, FaultKind,
    dice::{Dice, choose, pick, pick_millis, pick_u32, pick_u64},
    fault::{FileKind, Host},
    scenario::{How, Scenario},
    whom::{Rank, Shape, Whom},
};

/// All faults of a run whose load lasts `lasting`, in the order of time.
pub(super) fn draw(
    scenario: &Scenario,
    lasting: Duration,
    clients: usize,
    dice: Dice,
) -> Vec<Fault> {
    let mut schedule = scenario.fault.clone();
    for (name, times) in &scenario.faults {
        let left_out = dice.chance(&format!("omit.{name}"), scenario.swarm.omit_percent);
        let mut maker = Maker {
            how: &scenario.how,
            members: scenario.members,
            clients: u32::try_from(clients).unwrap_or(u32::MAX),
            rng: dice.stream(&format!("faults.{name}")),
        };
        let times = if left_out { 0 } else { pick_u64(*times, &mut maker.rng) };
        for _ in 0..times {
            let percent = pick_u32(maker.how.begin_percent, &mut maker.rng);
            let within: f64 = maker.rng.random();
            let at = lasting.as_millis() as f64 * (f64::from(percent) + within) / 100.0;
            // Whole milliseconds, as files have them.
            let at = Duration::from_millis(at as u64);
            schedule.extend(maker.fault(name).map(|kind| Fault { at, kind }));
        }
    }
    schedule.sort_by_key(|fault| fault.at);
    schedule
}

/// Draws the details of one kind.
struct Maker<'a> {
    how: &'a How,
    members: u32,
    clients: u32,
    rng: ChaCha8Rng,
}

impl Maker<'_> {
    fn fault(&mut self, name: &str) -> Option<FaultKind> {
        let member = self.member();
        self.process(name, member)
            .or_else(|| self.disk(name, member))
            .or_else(|| self.net(name))
            .or_else(|| self.cluster(name, member))
            .or_else(|| self.clock(name, member))
    }

    fn process(&mut self, name: &str, member: Whom) -> Option<FaultKind> {
        let Self { how, rng, .. } = self;
        let lasting = how.lasting_millis;
        Some(match name {
            "power_at_disk_op" => {
                FaultKind::PowerAtDiskOp { member, n: pick_u64(how.disk_op, rng) }
            }
            "kill_at_disk_op" => FaultKind::KillAtDiskOp { member, n: pick_u64(how.disk_op, rng) },
            "kill_at_await" => FaultKind::KillAtAwait { member, n: pick_u64(how.await_n, rng) },
            "power_at_await" => FaultKind::PowerAtAwait { member, n: pick_u64(how.await_n, rng) },
            "power_cut" => FaultKind::PowerCut { member, down: pick_millis(how.down_millis, rng) },
            "process_kill" => {
                FaultKind::ProcessKill { member, down: pick_millis(how.down_millis, rng) }
            }
            "stop" => FaultKind::Stop { member, down: pick_millis(how.down_millis, rng) },
            "pause" => FaultKind::Pause { member, lasting: pick_millis(lasting, rng) },
            "slow_cpu" => FaultKind::SlowCpu {
                member,
                micros: pick_u64(how.cpu_micros, rng),
                lasting: pick_millis(lasting, rng),
            },
            _ => return None,
        })
    }

    fn disk(&mut self, name: &str, member: Whom) -> Option<FaultKind> {
        let Self { how, rng, .. } = self;
        let lasting = how.lasting_millis;
        Some(match name {
            "sync_error" => FaultKind::SyncError { member, n: pick_u64(how.sync_op, rng) },
            "read_error" => FaultKind::ReadError { member, n: pick_u64(how.read_op, rng) },
            "write_error" => FaultKind::WriteError { member, n: pick_u64(how.write_op, rng) },
            "disk_full" => FaultKind::DiskFull { member, lasting: pick_millis(lasting, rng) },
            "slow_disk" => FaultKind::SlowDisk {
                member,
                factor: pick_u32(how.disk_factor, rng),
                lasting: pick_millis(lasting, rng),
            },
            "disk_stall" => {
                FaultKind::DiskStall { member, lasting: pick_millis(how.stall_millis, rng) }
            }
            "bit_rot" => {
                let file = file(rng);
                FaultKind::BitRot { member, file, bits: pick_u32(how.bits, rng).max(1) }
            }
            "misdirected_write" => {
                let file = file(rng);
                FaultKind::MisdirectedWrite { member, file, n: pick_u64(how.misdirect_op, rng) }
            }
            _ => return None,
        })
    }

    fn net(&mut self, name: &str) -> Option<FaultKind> {
        let lasting = self.how.lasting_millis;
        let host = self.host();
        let (from, to) = self.link();
        let Self { how, rng, .. } = self;
        Some(match name {
            "cut_one_way" => {
                FaultKind::Cut { from, to, both_ways: false, lasting: pick_millis(lasting, rng) }
            }
            "cut_both_ways" => {
                FaultKind::Cut { from, to, both_ways: true, lasting: pick_millis(lasting, rng) }
            }
            "lossy" => FaultKind::Lossy {
                host,
                percent: pick_u32(how.loss_percent, rng),
                lasting: pick_millis(lasting, rng),
            },
            "slow_link" => FaultKind::SlowLink {
                host,
                latency: pick_millis(how.latency_millis, rng),
                lasting: pick_millis(lasting, rng),
            },
            "resets" => FaultKind::Resets { host, n: pick_u32(how.resets, rng) },
            "silent_death" => {
                FaultKind::SilentDeath { client: rng.random_range(0..self.clients.max(1)) }
            }
            "half_open" => FaultKind::HalfOpen { host },
            "slow_reader" => FaultKind::SlowReader { host, lasting: pick_millis(lasting, rng) },
            _ => return None,
        })
    }

    fn clock(&mut self, name: &str, member: Whom) -> Option<FaultKind> {
        let Self { how, rng, .. } = self;
        Some(match name {
            "clock_jump" => FaultKind::ClockJump { member, millis: pick(how.jump_millis, rng) },
            "clock_drift" => {
                let ppm = i32::try_from(pick(how.drift_ppm, rng)).unwrap_or(0);
                FaultKind::ClockDrift { member, ppm }
            }
            _ => return None,
        })
    }

    fn cluster(&mut self, name: &str, member: Whom) -> Option<FaultKind> {
        let Self { how, rng, members, .. } = self;
        Some(match name {
            "partition" => FaultKind::Partition {
                shape: *Shape::ALL.choose(rng).expect("there are some"),
                member,
                flaps: pick_u32(how.flaps, rng).max(1),
                lasting: pick_millis(how.lasting_millis, rng),
            },
            "blackout" => FaultKind::Blackout {
                member,
                n: pick_u32(how.blackout_members, rng).clamp(1, *members),
                power: rng.random(),
                down: pick_millis(how.down_millis, rng),
                apart: pick_millis(how.apart_millis, rng) * u32::from(rng.random::<bool>()),
            },
            "rejoin" => FaultKind::Rejoin { member, learner: rng.random() },
            "grow" => FaultKind::Grow { learner: rng.random() },
            "shrink" => FaultKind::Shrink { member },
            "readdress" => FaultKind::Readdress { member },
            "lost_majority" => FaultKind::LostMajority { learner: rng.random() },
            "rolling_restart" => {
                FaultKind::RollingRestart { down: pick_millis(how.down_millis, rng) }
            }
            _ => return None,
        })
    }

    /// A member: any, or whoever leads.
    fn member(&mut self) -> Whom {
        let number = self.rng.random_range(0..self.members.max(1));
        if self.members > 1 {
            let percent = pick_u32(self.how.leader_percent, &mut self.rng);
            if self.rng.random_range(0..100) < percent {
                return Whom::Rank(Rank::Leader);
            }
        }
        Whom::Number(number)
    }

    /// A machine whose links go wrong: a member, or one client.
    fn host(&mut self) -> Host {
        let member = Host::Member(self.member());
        let client = Host::Client(self.rng.random_range(0..self.clients.max(1)));
        if self.rng.random() { member } else { client }
    }

    /// Two ends of a cut: everybody and a member, or one client and a member; either way round.
    fn link(&mut self) -> (Host, Host) {
        let member = Host::Member(self.member());
        let client = Host::Client(self.rng.random_range(0..self.clients.max(1)));
        let other = if self.rng.random() { Host::Others } else { client };
        if self.rng.random() { (member, other) } else { (other, member) }
    }
}

/// The files that hold what is acknowledged are hit most.
fn file(rng: &mut ChaCha8Rng) -> FileKind {
    let weights = [(FileKind::Wal, 3), (FileKind::Backend, 3), (FileKind::Other, 1)];
    choose(&weights, rng).unwrap_or(FileKind::Wal)
}

/// A fault of each kind, to test what draws them.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_a_scenario_may_name_can_be_drawn() {
        let how = How::default();
        for name in FaultKind::NAMES {
            let rng = Dice::new(1).stream("test");
            let mut maker = Maker { how: &how, members: 1, clients: 3, rng };
            assert_eq!(maker.fault(name).map(|kind| kind.name()), Some(name));
        }
    }
}

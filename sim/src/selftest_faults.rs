//! Every kind of fault, proven to bite with a tiny service instead of the server.
//!
//! The service of `selftest.rs`, hardened: it writes a byte per call, syncs it, stops at the first
//! error of its disk, refuses to start on a damaged file and overwrites nothing then. Each fault of
//! the catalogue happens to it once; each must have been felt and counted, each call that was
//! answered must be on disk in the end, and a damaged file must keep the service down until it is
//! mended.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use madsim::time;
use rand::RngExt;

use crate::{
    nemesis::{self, Cast},
    plan::{
        Whom,
        fault::{Fault, FaultKind, FileKind, Host},
    },
    selftest::{self, ask_count, call_in_a_loop},
    world::{Room, node::Machine, tally::Counts},
};

/// Time for each fault, its consequences included: a machine that boots by itself takes up to ten
/// seconds, and the next fault must find it up.
const SLOT: Duration = Duration::from_secs(13);
/// How long a fault lasts that does.
const LASTING: Duration = Duration::from_secs(2);

/// What the test saw.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Calls answered.
    pub answered: u64,
    /// Calls the disk had counted in the end.
    pub counted: u64,
    /// How often each kind of fault was felt.
    pub fired: Counts,
}

/// Runs the test inside a simulation.
///
/// # Panics
/// If a fault did not bite, an answered call is not on disk, or damage went unnoticed.
pub async fn program() -> Summary {
    let room = Room::current();
    let server = Machine::supervised("server", address(1), selftest::careful_server);
    let answered = Arc::new(Mutex::new(0));
    let boot = {
        let answered = answered.clone();
        move |name: &str, last: u8| {
            let answered = answered.clone();
            Machine::boot(name, address(last), move || call_in_a_loop(answered.clone()))
        }
    };
    let clients = (0..3_u8).map(|n| (u32::from(n), boot(&format!("client-{n}"), 10 + n)));
    let clients: BTreeMap<u32, Machine> = clients.collect();
    let cast = Cast::new(vec![server.clone()], clients, move |_| boot("successor", 20));
    time::sleep(SLOT).await;

    let mut rng = room.stream("selftest faults");
    let mut faults = survivable();
    for (slot, fault) in faults.iter_mut().enumerate() {
        let jitter = Duration::from_millis(rng.random_range(0..2_000));
        fault.at = SLOT * u32::try_from(slot).expect("few") + jitter;
    }
    // The one kind that a second fault must bring out: reads happen at boot.
    let down = Duration::from_millis(10);
    let at = faults.iter().find(|fault| fault.kind.name() == "read_error").expect("is in it").at;
    let kind = FaultKind::ProcessKill { member: Whom::Number(0), down };
    faults.push(Fault { at: at + Duration::from_secs(1), kind });
    nemesis::inflict(&faults, &cast).await.expect("the machines are there");
    time::sleep(SLOT).await;
    assert!(server.is_up(), "nothing is wrong any more");

    let rot = FaultKind::BitRot { member: Whom::Number(0), file: FileKind::Other, bits: 3 };
    damage(&[rot], &cast, &server).await;
    let astray =
        FaultKind::MisdirectedWrite { member: Whom::Number(0), file: FileKind::Other, n: 3 };
    damage(&[astray, FaultKind::PowerCut { member: Whom::Number(0), down }], &cast, &server).await;

    let answered = *answered.lock().expect("nobody panics with it");
    let counted = ask_count().await;
    assert!(counted >= answered, "{answered} calls were answered, {counted} are on disk");
    let fired = room.fired();
    // What needs several members is proven by scenarios/cluster.
    for kind in FaultKind::NAMES.iter().filter(|kind| !FaultKind::OF_CLUSTERS.contains(kind)) {
        assert!(fired.contains_key(*kind), "{kind} did not bite: {fired:?}");
    }
    Summary { answered, counted, fired }
}

/// Lets faults that damage happen, sees the service refuse, heals, sees it back.
async fn damage(kinds: &[FaultKind], cast: &Cast, server: &Machine) {
    let fault = |(slot, kind): (usize, &FaultKind)| {
        let at = SLOT * u32::try_from(slot).expect("few");
        Fault { at, kind: kind.clone() }
    };
    let faults: Vec<Fault> = kinds.iter().enumerate().map(fault).collect();
    nemesis::inflict(&faults, cast).await.expect("the machine is there");
    time::sleep(SLOT).await;
    assert!(nemesis::allowed(server).refusal, "{kinds:?} damaged the file");
    let mut refused = false;
    for _ in 0..50 {
        refused |= !server.is_up();
        time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused, "{kinds:?} went unnoticed");
    nemesis::heal(cast).await;
    time::sleep(SLOT).await;
    assert!(server.is_up(), "the file is as it was");
    assert!(!nemesis::allowed(server).refusal);
}

/// One of each kind that the service survives by itself; times come later.
fn survivable() -> Vec<Fault> {
    let (member, lasting, down) = (Whom::Number(0), LASTING, LASTING);
    let (server, client) = (Host::Member(Whom::Number(0)), Host::Client(1));
    let kinds = [
        FaultKind::PowerAtDiskOp { member, n: 7 },
        FaultKind::KillAtDiskOp { member, n: 7 },
        FaultKind::PowerAtAwait { member, n: 50 },
        FaultKind::KillAtAwait { member, n: 50 },
        FaultKind::PowerCut { member, down },
        FaultKind::ProcessKill { member, down },
        FaultKind::Stop { member, down },
        FaultKind::Pause { member, lasting },
        FaultKind::SlowCpu { member, micros: 3_000, lasting },
        FaultKind::SyncError { member, n: 3 },
        FaultKind::ReadError { member, n: 0 },
        FaultKind::WriteError { member, n: 3 },
        FaultKind::DiskFull { member, lasting },
        FaultKind::SlowDisk { member, factor: 100, lasting },
        FaultKind::DiskStall { member, lasting },
        FaultKind::Cut { from: server, to: client, both_ways: false, lasting },
        FaultKind::Cut { from: server, to: Host::Others, both_ways: true, lasting },
        FaultKind::Lossy { host: server, percent: 50, lasting },
        FaultKind::SlowLink { host: client, latency: Duration::from_millis(300), lasting },
        FaultKind::Resets { host: server, n: 2 },
        FaultKind::SilentDeath { client: 2 },
        FaultKind::HalfOpen { host: server },
        FaultKind::SlowReader { host: client, lasting },
        FaultKind::ClockJump { member, millis: -30_000 },
        FaultKind::ClockDrift { member, ppm: 50_000 },
    ];
    kinds.map(|kind| Fault { at: Duration::ZERO, kind }).into()
}

fn address(last: u8) -> std::net::IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

//! The members of a trial: their settings, and the program on their machines.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use reseed_rt::signal;
use reseed_server::{
    AutoCompaction, BootError, Cause, Config, InitialClusterState, InitialMember, Server,
};

use super::address;
use crate::{
    consensus::Consensus,
    history::{Event, MemberStep, Recorder, What},
    judge::{HALTED, NO_BOOT},
    nemesis::{self, Roster},
    plan::{self, Plan},
    workload::member_name,
    world::{Room, node::Machine, room_lock},
};

/// The group of members' addresses.
const GROUP: u8 = 0;

/// What is seen of consensus; clones are the same.
pub(super) type Judge = Arc<Mutex<Consensus>>;

/// Boots all members.
pub(super) fn boot_all(
    room: &Room,
    plan: &Arc<Plan>,
    judge: &Judge,
    roster: &Roster,
    recorder: &Recorder,
) -> Vec<Machine> {
    let boot = |number| {
        let (judge, roster, recorder) = (judge.clone(), roster.clone(), recorder.clone());
        let config = config(number, plan);
        boot(room, plan, Program { number, config, judge, roster, recorder })
    };
    (0..plan.members.max(1)).map(boot).collect()
}

/// Who founds the cluster.
pub(super) fn founders(plan: &Plan) -> Roster {
    let machines = plan.members.max(1);
    Roster::founded(machines, plan.founders.unwrap_or(machines))
}

/// What runs on a member's machine.
#[derive(Clone)]
struct Program {
    number: u32,
    config: Config,
    judge: Judge,
    roster: Roster,
    recorder: Recorder,
}

fn boot(room: &Room, plan: &Arc<Plan>, program: Program) -> Machine {
    let number = program.number;
    let machine = Arc::new(OnceLock::new());
    let own = machine.clone();
    let booted = Machine::supervised(&member_name(number), address(GROUP, number + 1), move || {
        serve(program.clone(), own.clone())
    });
    // Before any task runs: none does until this one waits.
    let _first = machine.set(booted.clone());
    if let Some(clock) = plan.clocks.get(number as usize) {
        let (rate, ahead) = (clock.rate(), clock.wall_offset_millis);
        room.set_clock(booted.id(), |own| own.with_rate(rate, room.elapsed()).jumped(ahead));
    }
    room.with_drives(|drives| drives.drive(booted.id()).set_slowness(plan.disk_slowness));
    booted
}

/// The program. It ends when it is asked to, and by itself only when a fault allows that: then its
/// machine starts it again.
async fn serve(program: Program, machine: Arc<OnceLock<Machine>>) {
    let Program { number, config, judge, roster, recorder } = program;
    let seat = roster.seat(number);
    if !seat.is_member {
        // Idle until it is one.
        let _which: &str = signal::stop_requested().await;
        return;
    }
    let is_gone = || !roster.seat(number).is_member || roster.seat(number).is_leaving;
    let allowed = || machine.get().map(nemesis::allowed).unwrap_or_default();
    let server = match Server::start(as_of_now(config, number, &roster)).await {
        Ok(server) => server,
        Err(_) if allowed().refusal || is_gone() => return,
        // It is started again until somebody says who it is.
        Err(BootError::Join(_)) if seat.joins => return,
        Err(error) => panic!("{NO_BOOT}: {error}"),
    };
    // Once is enough: from now on there are no others.
    roster.set_alone(number, false);
    let id = server.state().member_id;
    // No task of the server runs before this one waits, so nothing is missed, unless it had to
    // compare itself with the others before it served.
    room_lock(&judge).boots(number);
    if seat.is_alone {
        room_lock(&judge).goes_on_alone();
    }
    let room = Room::current();
    let show = move |sight| {
        let now = room.elapsed();
        if room_lock(&judge).sees((number, id), sight, now) {
            let (at, step) = (super::nanos(now), MemberStep::Leads);
            recorder.record(Event { at, client: 0, what: What::Member { member: number, step } });
        }
    };
    server.state().progress.show_to(Box::new(show));
    tokio::select! {
        biased;
        halted = server.halted() => {
            assert!(allowed().halt || is_gone(), "{HALTED}: {halted}");
            if halted.cause == Cause::Outvoted {
                drop(server.stop().await);
            }
        }
        _signal = signal::stop_requested() => drop(server.stop().await),
    }
}

/// The settings that whoever runs the cluster starts a member with now.
fn as_of_now(config: Config, number: u32, roster: &Roster) -> Config {
    let seat = roster.seat(number);
    let named = roster.initial_cluster(number).into_iter();
    let named = named.map(|(name, url)| InitialMember { name, peer_urls: vec![url] });
    Config {
        initial_cluster: named.collect(),
        initial_cluster_state: match seat.joins {
            true => InitialClusterState::Existing,
            false => InitialClusterState::New,
        },
        force_new_cluster: seat.is_alone,
        listen_peer_urls: vec![format!("http://0.0.0.0:{}", roster.port(number))],
        initial_advertise_peer_urls: vec![roster.url(number)],
        ..config
    }
}

fn config(number: u32, plan: &Plan) -> Config {
    let knobs = &plan.knobs;
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Config {
        name: member_name(number),
        data_dir: PathBuf::from("/var/lib/reseed"),
        listen_client_urls: vec!["http://0.0.0.0:2379".to_owned()],
        advertise_client_urls: vec![format!("http://{}:2379", member_name(number))],
        heartbeat_interval: knobs.heartbeat_interval,
        election_timeout: knobs.election_timeout,
        pre_vote: knobs.pre_vote,
        corrupt_check_time: Some(knobs.corrupt_check_interval).filter(|time| !time.is_zero()),
        snapshot_count: knobs.snapshot_count,
        snapshot_catchup_entries: knobs.snapshot_catchup_entries,
        wal_segment_bytes: knobs.wal_segment_bytes,
        quota_backend_bytes: knobs.quota_backend_bytes,
        max_request_bytes: bytes(knobs.max_request_bytes),
        max_txn_ops: bytes(knobs.max_txn_ops),
        auto_compaction: match knobs.auto_compaction {
            plan::AutoCompaction::Off => AutoCompaction::Off,
            plan::AutoCompaction::PeriodicMillis(millis) => {
                AutoCompaction::Periodic(std::time::Duration::from_millis(millis))
            }
            plan::AutoCompaction::Revisions(revisions) => {
                AutoCompaction::Revision(i64::try_from(revisions).unwrap_or(i64::MAX))
            }
        },
        compaction_batch_limit: bytes(knobs.compaction_batch_limit),
        compaction_sleep_interval: knobs.compaction_sleep_interval,
        backend_batch_interval: knobs.backend_batch_interval,
        backend_cache_bytes: bytes(knobs.backend_cache_bytes),
        backend_overlay_bytes_max: bytes(knobs.backend_overlay_bytes_max),
        watch_progress_notify_interval: knobs.watch_progress_notify_interval,
        ..Config::default()
    }
}

//! One trial of a scenario: boot, load and faults, heal, audit, check.
//!
//! The real server runs on a machine called `member`; clients and watchers have machines of their
//! own. When the load is over, faults stop, the member comes back, and then three things are due
//! within a bound: an audit that succeeds, watchers that have caught up, and a history without a
//! violation.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use madsim::time;
use reseed_planted::Bug;
use reseed_rt::clock;
use reseed_server::{Config, Server};

use crate::{
    check::{
        Violation,
        old::{self, Audit},
    },
    figures::Figures,
    judge::{HALTED, NO_BOOT},
    kv_history::{Event, Recorder, What},
    nemesis::{self, Cast},
    plan::{Plan, Role},
    workload::old::{KvClient, Scribe, audit, watch_all},
    world::{
        Room,
        net::{Latency, Link},
        node::Machine,
    },
};

/// After healing, everything must be as it should within this.
const HEALED_MAX: Duration = Duration::from_secs(120);
/// Watchers have numbers from here on, clients below.
const WATCHERS_FROM: u32 = 100;

/// What a trial found, if it came to its end.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Broken promises, the most telling first.
    pub violations: Vec<Violation>,
    /// Counters.
    pub figures: Figures,
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

/// Runs `plan` inside a simulation; `recorder` keeps what clients saw even if this panics.
pub async fn run(plan: Plan, recorder: Recorder) -> Trial {
    let room = Room::current();
    room.arm_points(plan.buggify);
    for name in &plan.planted {
        reseed_planted::arm(Bug::named(name).expect("the scenario was checked"));
    }
    let latency = Latency {
        usual: plan.net.latency.least..plan.net.latency.most,
        tail_per_mille: plan.net.latency.tail_per_mille,
        tail_factor: plan.net.latency.tail_factor,
    };
    let loss = f64::from(plan.net.loss_per_mille) / 1000.0;
    let link = Link { latency, loss };
    room.with_network(|network| network.set_default_link(link));
    let config = member_config(&plan);
    let member = Machine::boot("member", address(1), move || serve(config.clone()));

    let (rate, ahead) = (plan.clocks[0].rate(), plan.clocks[0].wall_offset_millis);
    room.set_clock(member.id(), |clock| clock.with_rate(rate, room.elapsed()).jumped(ahead));
    let end = clock::Instant::now() + plan.load.lasting;
    let (mut clients, mut machines) = (Vec::new(), BTreeMap::new());
    let of = |role| plan.clients.iter().filter(|its| **its == role).count() as u32;
    for number in 1..=of(Role::Register) {
        let machine = Machine::idle(&format!("client-{number}"), address(10 + number as u8));
        machines.insert(machines.len() as u32, machine.clone());
        let scribe = Scribe::new(recorder.clone(), number);
        let (plan, rng) = (plan.clone(), room.stream(&format!("client-{number}")));
        // Made on the client's machine: a connection belongs to the machine that makes it.
        clients
            .push(machine.spawn(async move { KvClient::new(scribe, &plan, rng).run(end).await }));
    }
    for number in 0..of(Role::Watcher) {
        let machine = Machine::idle(&format!("watcher-{number}"), address(100 + number as u8));
        machines.insert(machines.len() as u32, machine.clone());
        let scribe = Scribe::new(recorder.clone(), WATCHERS_FROM + number);
        drop(machine.spawn(watch_all(scribe, 1)));
    }
    // Nobody takes the place of a client that is gone for ever.
    let cast = Cast::new(vec![member.clone()], machines, |number| {
        Machine::idle(&format!("successor of client {number}"), address(200 + number as u8))
    });
    if let Err(error) = nemesis::inflict(&plan.faults, &cast).await {
        panic!("{error}");
    }
    for client in clients {
        // Clients end by themselves; one that was cancelled would have nothing to say.
        let _ended = client.await;
    }
    nemesis::heal(&cast).await;
    let auditor = Machine::idle("auditor", address(2)).spawn(audit());
    let mut violations = Vec::new();
    let audit = match time::timeout(HEALED_MAX, auditor).await {
        Ok(Ok(audit)) => audit,
        Ok(Err(_)) | Err(_) => {
            let story = format!("the healed member cannot be read within {HEALED_MAX:?}");
            violations.push(stuck("live.stuck", story));
            Audit::default()
        }
    };
    if violations.is_empty() {
        violations.extend(wait_for_watchers(&recorder, audit.revision).await);
        let history = recorder.events();
        violations.splice(0..0, old::check(&history, &audit));
    }
    let mut figures = disk_figures(&room, &member);
    count(&mut figures, &recorder.events());
    figures.revision = audit.revision;
    Trial { violations, figures }
}

fn stuck(class: &str, story: String) -> Violation {
    Violation { class: class.to_owned(), story, ops: Vec::new() }
}

/// The program of the member's machine. It only ends by halting, and none of this scenario's
/// faults is a reason to.
async fn serve(config: Config) {
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(error) => panic!("{NO_BOOT}: {error}"),
    };
    let halted = server.halted().await;
    panic!("{HALTED}: {halted}");
}

fn member_config(plan: &Plan) -> Config {
    let knobs = &plan.knobs;
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Config {
        data_dir: PathBuf::from("/var/lib/reseed"),
        listen_client_urls: vec!["http://0.0.0.0:2379".to_owned()],
        advertise_client_urls: vec!["http://member:2379".to_owned()],
        listen_peer_urls: vec!["http://0.0.0.0:2380".to_owned()],
        snapshot_count: knobs.snapshot_count,
        snapshot_catchup_entries: knobs.snapshot_catchup_entries,
        wal_segment_bytes: knobs.wal_segment_bytes,
        backend_overlay_bytes_max: bytes(knobs.backend_overlay_bytes_max),
        backend_batch_interval: knobs.backend_batch_interval,
        ..Config::default()
    }
}

/// Waits until every watcher has seen everything up to `revision`.
async fn wait_for_watchers(recorder: &Recorder, revision: i64) -> Option<Violation> {
    let deadline = clock::Instant::now() + HEALED_MAX;
    loop {
        let mut seen: BTreeMap<u32, i64> = BTreeMap::new();
        for event in recorder.events() {
            match &event.what {
                What::WatchOpen { .. } => {
                    seen.entry(event.client).or_insert(1);
                }
                What::Watched { events, .. } => {
                    let last = events.last().map_or(1, |change| change.revision);
                    seen.insert(event.client, last);
                }
                What::Invoke { .. }
                | What::Ok { .. }
                | What::Fail { .. }
                | What::Unknown { .. } => {}
            }
        }
        let behind = seen.iter().find(|(_, last)| **last < revision)?;
        if clock::Instant::now() >= deadline {
            let (watcher, last) = behind;
            let story = format!("watcher {watcher} is at revision {last}, the store at {revision}");
            return Some(stuck("live.watch", story));
        }
        clock::sleep(Duration::from_millis(500)).await;
    }
}

fn disk_figures(room: &Room, member: &Machine) -> Figures {
    let disk = room.with_drives(|drives| drives.stats(member.id()));
    let fired = [
        ("torn_write", disk.torn_writes),
        ("lost_write", disk.lost_writes),
        ("lost_name", disk.lost_names),
    ];
    Figures {
        crashes: room.crashes(member.id()),
        fired: fired.map(|(name, count)| (name.to_owned(), count)).into(),
        syncs: disk.syncs,
        segments: room.with_network(|network| network.stats().segments),
        ..Figures::default()
    }
}

/// Adds what a history tells.
pub fn count(figures: &mut Figures, history: &[Event]) {
    for event in history {
        match &event.what {
            What::Ok { .. } => figures.acknowledged += 1,
            What::Fail { .. } => figures.refused += 1,
            What::Unknown { .. } => figures.unknown += 1,
            What::Watched { events, .. } => figures.watched += events.len() as u64,
            What::Invoke { .. } | What::WatchOpen { .. } => {}
        }
    }
}

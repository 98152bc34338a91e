//! One trial of a plan: boot, load and faults, heal, audit, check.
//!
//! Members run the real server, each on a machine of its own ([`member`]); so do clients, one per
//! role of the plan, and the witness ([`crowd`]). When the load is over, faults stop and the
//! members come back. Then everything is due within a bound: reads, a write, the end of leases, an
//! audit, watches that have caught up ([`settle`]); and a history without a violation.
//!
//! What a run counted is in [`tally`]; what the server called an error, in [`crate::errors`].

mod crowd;
mod member;
mod settle;
mod tally;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use madsim::time;
use reseed_planted::Bug;

use crate::{
    check::{self, Audit, Case, Violation},
    errors,
    figures::Figures,
    history::{Event, MemberStep, Recorder, What},
    nemesis::{self, Cast},
    plan::Plan,
    rules,
    workload::{Board, Scene},
    world::{
        Room, Step,
        net::{Latency, Link},
        room_lock,
    },
};

pub use tally::count;

/// After healing, each thing that is due must be done within this.
const HEALED_MAX: Duration = Duration::from_secs(60);

/// What an election takes besides time-outs: two rounds of messages, each with a sync, and a write.
const ELECTION_MAX: Duration = Duration::from_millis(500);

/// What a trial found, if it came to its end.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Broken promises, the most telling first.
    pub violations: Vec<Violation>,
    /// Why nothing, or not everything, can be said.
    pub undecided: Option<String>,
    /// What was there in the end; nothing, if it could not be looked at.
    pub audit: Option<Audit>,
    /// Counters.
    pub figures: Figures,
}

/// An address of the machine room.
fn address(group: u8, number: u32) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, group, high, low).into()
}

/// Runs `plan` inside a simulation; `recorder` keeps what clients saw even if this panics.
pub async fn run(plan: Plan, recorder: Recorder) -> Trial {
    let room = Room::current();
    prepare(&room, &plan);
    let plan = Arc::new(plan);
    let board = Board::default();
    let judge = member::Judge::default();
    let roster = member::founders(&plan);
    let members = member::boot_all(&room, &plan, &judge, &roster, &recorder);
    observe(&room, &members, &recorder);
    let crowd = crowd::Crowd::new(room.clone(), recorder.clone(), board.clone(), plan.clone());
    let clients = crowd.begin();
    let replacing = crowd.clone();
    let leads = judge.clone();
    let cast = Cast::new(members, clients, move |number| replacing.replace(number))
        .led(move || room_lock(&leads).leader());
    let cast = match plan.members {
        1 => cast,
        _ => cast.operated(crowd.staff("operator").0, roster, board.clone()),
    };

    let faults = nemesis::inflict(&plan.faults, &cast);
    let load = async {
        time::sleep(plan.load.lasting).await;
        board.end_load();
        room_lock(&judge).pace.end(room.elapsed());
    };
    let (inflicted, ()) = futures::future::join(faults, load).await;
    inflicted.expect("a plan names machines that there are");
    let settled = settle::settle(&cast, &crowd).await;

    let rules = rules::of(&plan);
    let history = recorder.take();
    let (mut violations, mut undecided) = (Vec::new(), None);
    if let Some(audit) = &settled.audit {
        let case = Case { history: &history, audit, rules: &rules };
        let checked = check::check(&case);
        (violations, undecided) = (checked.violations, checked.undecided);
    }
    violations.extend(room_lock(&judge).take());
    violations.extend(settled.violations);
    let standstill = room_lock(&judge).pace.longest();
    violations.extend(stands_still(&plan, standstill));
    violations.extend(board.complaints());
    let mut figures = tally::of_world(&room, &cast);
    violations.extend(errors::unexplained(&errors::take(), &figures.fired));
    tally::count(&mut figures, &history);
    for (cell, times) in board.all_sent() {
        *figures.coverage.entry(cell).or_default() += times;
    }
    let percent = standstill.0.as_millis() * 100 / plan.knobs.election_timeout.as_millis().max(1);
    figures.standstill_percent = u64::try_from(percent).unwrap_or(u64::MAX);
    figures.revision = settled.audit.as_ref().map_or(0, |audit| audit.revision);
    recorder.give_back(history);
    Trial { violations, undecided, audit: settled.audit, figures }
}

/// What is wrong with a cluster that committed nothing for so long, from then on.
fn stands_still(plan: &Plan, (lasting, from): (Duration, Duration)) -> Option<Violation> {
    let elections = plan.limits.standstill_elections?;
    let most = plan.knobs.election_timeout * elections + ELECTION_MAX;
    let story = || {
        let timeout = plan.knobs.election_timeout;
        format!(
            "nothing is committed for {lasting:?} from {from:?} on; {elections} election timeouts \
             of {timeout:?} and {ELECTION_MAX:?} are allowed"
        )
    };
    (lasting > most).then(|| Violation {
        class: "live.standstill".to_owned(),
        story: story(),
        ops: Vec::new(),
    })
}

/// Sets up the room as the plan wants it.
fn prepare(room: &Room, plan: &Plan) {
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
    room.with_network(|network| {
        network.set_default_link(Link { latency, loss });
        network.set_unevenness(plan.net.unevenness);
    });
}

/// Writes down when members come and go.
fn observe(room: &Room, members: &[crate::world::node::Machine], recorder: &Recorder) {
    let hosts: Vec<u64> = members.iter().map(|member| member.host()).collect();
    let recorder = recorder.clone();
    room.set_observer(Box::new(move |at, host, step| {
        let Some(place) = hosts.iter().position(|member| *member == host) else { return };
        let step = match step {
            Step::Boot => MemberStep::Boot,
            Step::Down => MemberStep::Down,
            Step::Paused => MemberStep::Paused,
            Step::Resumed => MemberStep::Resumed,
        };
        let (at, member) = (nanos(at), u32::try_from(place).unwrap_or(u32::MAX));
        recorder.record(Event { at, client: 0, what: What::Member { member, step } });
    }));
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

impl Scene for Room {
    fn now(&self) -> Duration {
        self.elapsed()
    }

    fn trace(&self, event: &Event) {
        let text = serde_json::to_vec(event).unwrap_or_default();
        Self::trace(self, "history", &[&text]);
    }
}

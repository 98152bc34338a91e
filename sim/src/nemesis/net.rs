//! Faults of the network.

use std::collections::BTreeSet;

use madsim::time;

use super::{Cast, lock};
use crate::{
    plan::fault::{FaultKind, Host},
    world::{
        Room,
        net::{Crash, Trouble, Who},
    },
};

/// One fault, from its beginning to its end.
pub(super) async fn inflict(fault: &FaultKind, cast: &Cast, room: &Room) {
    let kind = fault.name();
    let (trouble, lasting) = match *fault {
        FaultKind::Cut { from, to, both_ways, lasting } => {
            let (from, to) = ends(from, to, cast);
            (Trouble::Cut { from, to, both_ways }, lasting)
        }
        FaultKind::Lossy { host, percent, lasting } => {
            let chance = f64::from(percent.min(100)) / 100.0;
            (Trouble::Lossy(who(host, cast), chance), lasting)
        }
        FaultKind::SlowLink { host, latency, lasting } => {
            (Trouble::Slow(who(host, cast), latency), lasting)
        }
        FaultKind::SlowReader { host, lasting } => (Trouble::Deaf(who(host, cast)), lasting),
        FaultKind::Resets { host, n } => {
            return room.with_network(|network| network.doom(&who(host, cast), n, kind));
        }
        FaultKind::HalfOpen { host } => {
            if room.with_network(|network| network.forget(&who(host, cast))) > 0 {
                room.count(kind);
            }
            return;
        }
        FaultKind::SilentDeath { client } => return bury(client, cast, room),
        ref other => unreachable!("{} is not a fault of the network", other.name()),
    };
    let id = room.with_network(|network| network.begin(trouble, kind));
    time::sleep(lasting).await;
    room.with_network(|network| network.end(id));
}

/// A client's machine loses its power for ever; another takes its place.
fn bury(number: u32, cast: &Cast, room: &Room) {
    let Some(machine) = cast.client(number).filter(|machine| !machine.is_down()) else { return };
    machine.kill(Crash::Power);
    room.count("silent_death");
    let successor = (cast.replace)(number);
    lock(&cast.clients).insert(number, successor);
}

/// The machines a host's name stands for. Every machine that is no member is a client's, auditors
/// and those that take another's place included.
fn who(host: Host, cast: &Cast) -> Who {
    let members: BTreeSet<u64> = cast.members.iter().map(|member| member.host()).collect();
    let only = |machine: Option<u64>| Who::Only(machine.into_iter().collect());
    match host {
        Host::Member(whom) => Who::one(cast.member(whom).host()),
        Host::Client(number) => only(cast.client(number).map(|client| client.host())),
        Host::Clients => Who::AllBut(members),
        Host::Others => Who::AllBut(BTreeSet::new()),
    }
}

/// Both ends of a cut; `Others` are all but the other end.
fn ends(from: Host, to: Host, cast: &Cast) -> (Who, Who) {
    match (from, to) {
        (Host::Others, Host::Others) => (who(from, cast), who(to, cast)),
        (Host::Others, _) => (who(to, cast).others(), who(to, cast)),
        (_, Host::Others) => (who(from, cast), who(from, cast).others()),
        _ => (who(from, cast), who(to, cast)),
    }
}

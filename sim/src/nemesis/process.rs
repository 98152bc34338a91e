//! Faults of a member's process and power.

use std::time::Duration;

use madsim::time;

use crate::{
    plan::fault::FaultKind,
    world::{Room, net::Crash, node::Machine},
};

/// A program that was asked to stop and has not after this is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How often a stopping program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// One fault, from its beginning to its end.
pub(super) async fn inflict(fault: &FaultKind, member: &Machine, room: &Room) {
    if !member.is_up() {
        return;
    }
    let kind = fault.name();
    let crash_after = |n, how| {
        room.with_processor(member.id(), |processor, tally| {
            processor.crash_after(n, how, tally.arm(kind));
        });
    };
    match *fault {
        FaultKind::PowerAtAwait { n, .. } => crash_after(n, Crash::Power),
        FaultKind::KillAtAwait { n, .. } => crash_after(n, Crash::Process),
        FaultKind::PowerCut { down, .. } => {
            room.count(kind);
            restart_after(member, Crash::Power, down).await;
        }
        FaultKind::ProcessKill { down, .. } => {
            room.count(kind);
            restart_after(member, Crash::Process, down).await;
        }
        FaultKind::Stop { down, .. } => stop(member, down, kind, room).await,
        FaultKind::Pause { lasting, .. } => {
            let life = room.crashes(member.id());
            member.pause();
            room.count(kind);
            time::sleep(lasting).await;
            if room.crashes(member.id()) == life {
                member.resume();
            }
        }
        FaultKind::SlowCpu { micros, lasting, .. } => {
            room.with_processor(member.id(), |processor, tally| {
                let each = Duration::from_micros(micros);
                processor.set_slow(Some((each, tally.arm(kind))));
            });
            time::sleep(lasting).await;
            room.with_processor(member.id(), |processor, _| processor.set_slow(None));
        }
        ref other => unreachable!("{} is not a fault of a process", other.name()),
    }
}

/// Nothing more goes wrong with `member`; what is down boots, unless it does by itself.
pub(super) fn heal(member: &Machine, room: &Room) {
    if member.is_down() {
        if !room.boots_by_itself(member.id()) {
            member.restart();
        }
        return;
    }
    if room.is_stop_requested(member.id()) {
        member.kill(Crash::Process);
        member.restart();
        return;
    }
    member.resume();
    room.with_processor(member.id(), |processor, _| {
        processor.reset();
        processor.set_slow(None);
    });
}

pub(super) async fn restart_after(member: &Machine, how: Crash, down: Duration) {
    member.kill(how);
    let room = Room::current();
    let life = room.crashes(member.id());
    time::sleep(down).await;
    // Somebody else may have started it meanwhile, and taken it down for something else.
    if room.crashes(member.id()) == life {
        member.restart();
    }
}

/// Asks the program to stop and starts it again, unless something else takes it down meanwhile. It
/// counts if the program did stop.
pub(super) async fn stop(member: &Machine, down: Duration, kind: &'static str, room: &Room) {
    let life = room.crashes(member.id());
    let deadline = room.elapsed() + STOP_MAX;
    room.request_stop(member.id());
    while !room.has_ended(member.id()) && room.elapsed() < deadline {
        time::sleep(LOOK).await;
        if room.crashes(member.id()) != life {
            return;
        }
    }
    if room.has_ended(member.id()) {
        room.count(kind);
    }
    restart_after(member, Crash::Process, down).await;
}

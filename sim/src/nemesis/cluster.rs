//! Faults that need several members, and leave it at that.

use std::time::Duration;

use futures::future::join_all;
use madsim::time;

use super::{Cast, process};
use crate::{
    plan::{
        fault::FaultKind,
        whom::{self, Gap, Shape},
    },
    world::{
        Room,
        net::{Crash, Trouble, Who},
    },
};

/// Between the return of one member and the stop of the next, in a rolling restart.
const NEXT: Duration = Duration::from_millis(500);

/// One fault, from its beginning to its end.
pub(super) async fn inflict(fault: &FaultKind, cast: &Cast, room: &Room) {
    let kind = fault.name();
    match *fault {
        FaultKind::Partition { shape, member, flaps, lasting } => {
            partition(shape, cast.number(member), (flaps, lasting), cast, room).await;
        }
        FaultKind::Blackout { member, n, power, down, apart } => {
            let how = if power { Crash::Power } else { Crash::Process };
            let first = cast.number(member) as usize;
            let all = cast.members.len();
            let gone = (first..first + n as usize).map(|place| &cast.members[place % all]);
            let gone: Vec<_> = gone.take(all).filter(|member| member.is_up()).collect();
            room.count(kind);
            // Who was hit first, perhaps the leader, is back last: the others may do without it.
            let last = u32::try_from(gone.len()).unwrap_or(u32::MAX);
            let waits = (0..last).rev().map(|later| down + apart * later);
            join_all(
                gone.iter()
                    .zip(waits)
                    .map(|(member, down)| process::restart_after(member, how, down)),
            )
            .await;
        }
        FaultKind::RollingRestart { down } => {
            for member in cast.members.iter() {
                if member.is_up() {
                    process::stop(member, down, kind, room).await;
                    time::sleep(NEXT).await;
                }
            }
        }
        ref other => unreachable!("{} is not a fault of a cluster", other.name()),
    }
}

/// Cuts and joins in even parts; what is cut first stays the same, whoever leads later.
async fn partition(
    shape: Shape,
    one: u32,
    (flaps, lasting): (u32, Duration),
    cast: &Cast,
    room: &Room,
) {
    let members = u32::try_from(cast.members.len()).unwrap_or(u32::MAX);
    let Gap { from, to, both_ways } = whom::gap(shape, one, members);
    let who = |numbers: &[u32]| {
        let hosts = numbers.iter().filter_map(|number| cast.members.get(*number as usize));
        Who::Only(hosts.map(|member| member.host()).collect())
    };
    let (from, to) = (who(&from), who(&to));
    let flaps = flaps.max(1);
    let part = lasting / (2 * flaps - 1);
    for flap in 0..flaps {
        if flap > 0 {
            time::sleep(part).await;
        }
        let cut = Trouble::Cut { from: from.clone(), to: to.clone(), both_ways };
        let id = room.with_network(|network| network.begin(cut, "partition"));
        time::sleep(part).await;
        room.with_network(|network| network.end(id));
    }
}

//! What a trial counted.

use crate::{
    figures::Figures,
    history::{Event, WatchStep, What},
    nemesis::Cast,
    workload::coverage,
    world::Room,
};

/// What happened to the machines of a trial.
pub(super) fn of_world(room: &Room, cast: &Cast) -> Figures {
    let syncs = |room: &Room| {
        let of = |member: &crate::world::node::Machine| {
            room.with_drives(|drives| drives.stats(member.id()).syncs)
        };
        cast.members().iter().map(of).sum()
    };
    let fired = room.fired().into_iter().map(|(name, times)| (name.to_owned(), times));
    Figures {
        crashes: cast.members().iter().map(|member| room.crashes(member.id())).sum(),
        syncs: syncs(room),
        segments: room.with_network(|network| network.stats().segments),
        fired: fired.collect(),
        ..Figures::default()
    }
}

/// Adds what a history tells.
pub fn count(figures: &mut Figures, history: &[Event]) {
    for event in history {
        match &event.what {
            What::Invoke { request, .. } => {
                let kind = coverage::kind(request).to_owned();
                *figures.operations.entry(kind).or_default() += 1;
            }
            What::Ok { .. } => figures.acknowledged += 1,
            What::Fail { .. } => figures.refused += 1,
            What::Unknown { .. } => figures.unknown += 1,
            What::Watch { step: WatchStep::Events { changes, .. }, .. } => {
                figures.watched += changes.len() as u64;
            }
            What::Watch { .. } | What::Lock { .. } | What::Member { .. } | What::Healed => {}
        }
    }
    for (cell, times) in coverage::of(history) {
        *figures.coverage.entry(cell).or_default() += times;
    }
}

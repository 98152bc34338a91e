//! What one member says: never older than what it said before, until it starts again.
//!
//! A serializable read, a status or the beginning of a watch shows the member's own state, which
//! may lag behind the cluster but does not go back. A restart may: it replays its log.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    case::{Audit, View},
    ops::{Op, Parts},
    told::Told,
};
use crate::history::{Body, MemberStep, OpId, Request, SOME_MEMBER, WatchStep};

/// Something a member said of its revision.
#[derive(Clone, Copy)]
struct Said {
    asked: u64,
    at: u64,
    revision: i64,
    /// 0: a watch.
    op: OpId,
    /// It comes from the member's own state, so it must not go back.
    is_local: bool,
}

/// What one member said from its own state, and what it had said before.
#[derive(Default)]
struct Member {
    /// When it started.
    starts: Vec<u64>,
    /// What must not go back, in the order asked.
    local: Vec<Said>,
    /// For each of these the newest that was said between the one before and it, and in which of
    /// its lives the member said it.
    newest: Vec<Option<(usize, Said)>>,
}

/// Checks each member, from start to start.
pub(super) fn check(parts: &Parts<'_>, told: &mut Told) {
    let mut members: BTreeMap<u32, Member> = BTreeMap::new();
    each(parts, &mut |member, said| {
        if said.is_local && member != SOME_MEMBER {
            members.entry(member).or_default().local.push(said);
        }
    });
    for (id, member) in &mut members {
        let boots = parts.members.iter().filter(|one| one.step == MemberStep::Boot);
        member.starts = boots.filter(|one| one.member == *id).map(|one| one.at).collect();
        member.prepare();
    }
    // There are many answers and few that come from a member's own state.
    each(parts, &mut |member, said| {
        if let Some(member) = members.get_mut(&member) {
            member.hear(said);
        }
    });
    for (id, member) in &members {
        member.check(*id, told);
    }
}

/// Visits everything that members said.
fn each(parts: &Parts<'_>, visit: &mut impl FnMut(u32, Said)) {
    for op in &parts.ops {
        if let Some(said) = answered(op) {
            visit(op.member, said);
        }
    }
    for steps in parts.watches.values() {
        let mut asked = 0;
        for step in steps {
            let (revision, is_local) = match step.step {
                WatchStep::Open { .. } => {
                    asked = step.at;
                    continue;
                }
                WatchStep::Created { revision } => (*revision, true),
                WatchStep::Progress { revision } | WatchStep::Events { revision, .. } => {
                    (*revision, false)
                }
                _ => continue,
            };
            visit(step.member, Said { asked, at: step.at, revision, op: 0, is_local });
        }
    }
}

fn answered(op: &Op<'_>) -> Option<Said> {
    let is_local = !op.is_linearizable
        && matches!(op.request, Request::Range(_) | Request::Txn(_) | Request::Status);
    let (asked, at, revision, op) = (op.invoked, op.returned, op.revision, op.id);
    (revision > 0).then_some(Said { asked, at, revision, op, is_local })
}

impl Member {
    fn life(&self, at: u64) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// An answer counts only if its question is as young as the member.
    fn counts(&self, said: &Said) -> bool {
        self.life(said.asked) == self.life(said.at)
    }

    fn prepare(&mut self) {
        let mut local = std::mem::take(&mut self.local);
        local.retain(|one| self.counts(one));
        local.sort_by_key(|one| (one.asked, one.at));
        self.newest = vec![None; local.len()];
        self.local = local;
    }

    /// Remembers what was said for the next question after it. Of equally new answers the first
    /// is kept.
    fn hear(&mut self, said: Said) {
        let next = self.local.partition_point(|one| one.asked <= said.at);
        if next == self.local.len() || !self.counts(&said) {
            return;
        }
        let life = self.life(said.at);
        let rank = |(life, said): (usize, Said)| (life, said.revision, Reverse(said.at));
        let newest = &mut self.newest[next];
        if newest.is_none_or(|newest| rank(newest) < rank((life, said))) {
            *newest = Some((life, said));
        }
    }

    /// Goes through its own answers in the order asked.
    fn check(&self, id: u32, told: &mut Told) {
        let mut newest: Option<(usize, Said)> = None;
        for (one, before) in self.local.iter().zip(&self.newest) {
            let rank = |(life, said): (usize, Said)| (life, said.revision);
            if let Some(before) = *before
                && newest.is_none_or(|newest| rank(newest) < rank(before))
            {
                newest = Some(before);
            }
            if let Some((life, newest)) = newest
                && life == self.life(one.asked)
                && one.revision < newest.revision
            {
                let ops = [newest.op, one.op].into_iter().filter(|op| *op != 0);
                told.tell("member.back", &ops.collect::<Vec<OpId>>(), || {
                    let (revision, before) = (one.revision, newest.revision);
                    format!("member {id} says {revision} after it had said {before}")
                });
            }
        }
    }
}

/// Members that have applied the same log have the same leases, with the same keys, and the same
/// alarms: what hashes of the keys do not cover.
pub(super) fn check_views(audit: &Audit, told: &mut Told) {
    let Some((first, rest)) = audit.views.split_first() else { return };
    for (number, other) in (1..).zip(rest) {
        if !first.lasting().eq(other.lasting()) {
            told.tell("lease.members", &[], || {
                let of = |view: &View| view.lasting().map(|it| format!("{it:?}")).collect();
                let (here, there): (Vec<String>, Vec<String>) = (of(first), of(other));
                format!("member 0 has the leases {here:?}, member {number} {there:?}")
            });
        }
        if first.alarms != other.alarms {
            told.tell("alarm.members", &[], || {
                let (here, there) = (&first.alarms, &other.alarms);
                format!("member 0 has the alarms {here:?}, member {number} {there:?}")
            });
        }
    }
}

/// Hashes of the same keys at the same revision are equal, and a snapshot is whole.
pub(super) fn check_hashes(audit: &Audit, parts: &Parts<'_>, told: &mut Told) {
    if let Some((first, rest)) = audit.hashes.split_first()
        && rest.iter().any(|hash| hash != first)
    {
        told.tell("hash.members", &[], || {
            format!("at revision {} members have {:?}", audit.revision, audit.hashes)
        });
    }
    let mut known: BTreeMap<(i64, i64), (u32, OpId)> = BTreeMap::new();
    for op in parts.special() {
        match op.response().map(|response| &response.body) {
            Some(Body::Hash { hash, compact_revision, hash_revision }) => {
                let of = (*hash_revision, *compact_revision);
                let (before, other) = *known.entry(of).or_insert((*hash, op.id));
                if before != *hash {
                    told.tell("hash.differ", &[other, op.id], || {
                        format!("revision {}, compacted at {}: {before} and {hash}", of.0, of.1)
                    });
                }
            }
            Some(Body::Snapshot { bytes, whole: false }) => {
                told.tell("snapshot.broken", &[op.id], || {
                    format!("{bytes} bytes whose checksum does not match")
                });
            }
            _ => {}
        }
    }
}

//! What one member says: never older than what it said before, until it starts again.
//!
//! A serializable read, a status or the beginning of a watch shows the member's own state, which
//! may lag behind the cluster but does not go back. A restart may: it replays its log.

use std::collections::BTreeMap;

use super::{
    case::Audit,
    ops::{Op, Parts},
    order::is_linearizable,
    told::Told,
};
use crate::history::{Body, MemberStep, OpId, Request, SOME_MEMBER, WatchStep};

/// Something a member said of its revision.
struct Said {
    asked: u64,
    at: u64,
    revision: i64,
    /// 0: a watch.
    op: OpId,
    /// It comes from the member's own state, so it must not go back.
    is_local: bool,
}

/// Checks each member, from start to start.
pub(super) fn check(parts: &Parts<'_>, told: &mut Told) {
    let mut said: BTreeMap<u32, Vec<Said>> = BTreeMap::new();
    for op in &parts.ops {
        if let Some(one) = answered(op) {
            said.entry(op.member).or_default().push(one);
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
            let one = Said { asked, at: step.at, revision, op: 0, is_local };
            said.entry(step.member).or_default().push(one);
        }
    }
    said.remove(&SOME_MEMBER);
    for (member, said) in said {
        let starts: Vec<u64> = parts
            .members
            .iter()
            .filter(|one| one.member == member && one.step == MemberStep::Boot)
            .map(|one| one.at)
            .collect();
        check_one(member, &said, &starts, told);
    }
}

fn answered(op: &Op<'_>) -> Option<Said> {
    let response = op.response()?;
    let is_local = match op.request {
        request if is_linearizable(request) => false,
        Request::Range(_) | Request::Txn(_) | Request::Status => true,
        _ => false,
    };
    let (asked, at, revision, op) = (op.invoked, op.returned, response.revision, op.id);
    (revision > 0).then_some(Said { asked, at, revision, op, is_local })
}

/// Sweeps over beginnings and ends in the order of time; an answer counts only if its question is
/// as young as the member.
fn check_one(member: u32, said: &[Said], starts: &[u64], told: &mut Told) {
    let life = |at: u64| starts.partition_point(|start| *start <= at);
    let mut ends: Vec<&Said> = said.iter().filter(|one| life(one.asked) == life(one.at)).collect();
    ends.sort_by_key(|one| one.at);
    let mut begins: Vec<&Said> = ends.iter().copied().filter(|one| one.is_local).collect();
    begins.sort_by_key(|one| one.asked);
    let mut ends = ends.into_iter().peekable();
    let mut newest: Option<(usize, &Said)> = None;
    for begin in begins {
        while let Some(end) = ends.next_if(|end| end.at < begin.asked) {
            let life = life(end.at);
            if newest.is_none_or(|(old, newest)| old < life || newest.revision < end.revision) {
                newest = Some((life, end));
            }
        }
        if let Some((lived, newest)) = newest
            && lived == life(begin.asked)
            && begin.revision < newest.revision
        {
            let ops: Vec<OpId> = [newest.op, begin.op].into_iter().filter(|op| *op != 0).collect();
            told.tell("member.back", &ops, || {
                let (revision, before) = (begin.revision, newest.revision);
                format!("member {member} says {revision} after it had said {before}")
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
    for op in &parts.ops {
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

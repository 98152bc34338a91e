//! What is compacted, and who is told so.
//!
//! Compactions form a chain of their own: the bound only grows. Their headers carry what the
//! member had when it answered, so nothing is concluded from those.

use super::{
    Case,
    exec::each_range,
    ops::{Op, Outcome, Parts},
    order::is_linearizable,
    refusal::COMPACTED,
    told::Told,
};
use crate::history::{
    Body, Request,
    request::{Step, Txn},
};

/// Compactions by time.
#[derive(Debug, Default)]
pub(super) struct Compactions {
    /// From then on, so much may be compacted: the running maximum of what was asked for.
    asked: Vec<(u64, i64)>,
    /// From then on, so much is compacted: the running maximum of what was acknowledged.
    acked: Vec<(u64, i64)>,
    /// Members compact by themselves, so that anything may be.
    of_itself: bool,
}

impl Compactions {
    pub(super) fn of(case: &Case<'_>, parts: &Parts<'_>) -> Self {
        let mut asked = Vec::new();
        let mut acked = Vec::new();
        for op in parts.special() {
            let Request::Compact { revision, .. } = op.request else { continue };
            if !matches!(op.outcome, Outcome::Fail(_)) {
                asked.push((op.invoked, *revision));
            }
            if op.response().is_some() {
                acked.push((op.returned, *revision));
            }
        }
        let of_itself = case.rules.compacts_itself;
        Self { asked: running_max(asked), acked: running_max(acked), of_itself }
    }

    /// The highest revision anybody can have compacted below, at a time.
    pub(super) fn possible(&self, at: u64) -> i64 {
        if self.of_itself { i64::MAX } else { upto(&self.asked, at) }
    }

    /// The highest revision certainly compacted below, at a time.
    fn certain(&self, at: u64) -> i64 {
        upto(&self.acked, at.saturating_sub(1))
    }
}

fn running_max(mut list: Vec<(u64, i64)>) -> Vec<(u64, i64)> {
    list.sort_unstable();
    let mut max = i64::MIN;
    for (_, revision) in &mut list {
        max = max.max(*revision);
        *revision = max;
    }
    list
}

/// -1 is what etcd starts with: a first compaction at 0 is allowed.
fn upto(list: &[(u64, i64)], at: u64) -> i64 {
    let known = list.partition_point(|(since, _)| *since <= at);
    known.checked_sub(1).map_or(-1, |last| list[last].1)
}

/// Checks every answer that says something about compaction.
pub(super) fn check(case: &Case<'_>, parts: &Parts<'_>, all: &Compactions, told: &mut Told) {
    for op in &parts.ops {
        match op.outcome {
            Outcome::Ok(response) => answered(op, &response.body, all, told),
            Outcome::Fail(COMPACTED) => refused(op, all, told),
            Outcome::Fail(_) | Outcome::Unknown(_) => {}
        }
    }
    audited(case, all, told);
}

fn answered(op: &Op<'_>, body: &Body, all: &Compactions, told: &mut Told) {
    let certain = all.certain(op.invoked);
    if certain <= 0 && op.is_plain() {
        return;
    }
    match (op.request, body) {
        (Request::Compact { revision, .. }, _) if *revision <= certain => {
            told.tell("compaction.back", &[op.id], || {
                format!("compaction at {revision} succeeded after one at {certain}")
            });
        }
        (Request::HashKv { .. }, Body::Hash { compact_revision, .. })
            if *compact_revision > all.possible(op.returned).max(0) =>
        {
            told.tell("compaction.phantom", &[op.id], || {
                format!("says it is compacted at {compact_revision}; nobody asked for that")
            });
        }
        (request, body) if is_linearizable(request) => {
            each_range(request, body, &mut |range, _| {
                if range.revision > 0 && range.revision < certain {
                    told.tell("compaction.ignored", &[op.id], || {
                        format!("read {} after a compaction at {certain}", range.revision)
                    });
                }
            });
        }
        _ => {}
    }
}

/// Whatever is said to be compacted must have been asked for.
fn refused(op: &Op<'_>, all: &Compactions, told: &mut Told) {
    let possible = all.possible(op.returned);
    let is_right = match op.request {
        Request::Compact { revision, .. } => *revision <= possible,
        Request::Range(range) => range.revision > 0 && range.revision < possible,
        Request::HashKv { revision } => *revision > 0 && *revision < possible,
        Request::Txn(txn) => names_below(txn, possible),
        _ => false,
    };
    if !is_right {
        told.tell("compaction.phantom", &[op.id], || {
            format!("refused as compacted; at most {possible} can be")
        });
    }
}

/// Whether a range of a transaction asks for something below a revision. A negative revision, which
/// elsewhere means now, counts as compacted in transactions once anything is.
fn names_below(txn: &Txn, bound: i64) -> bool {
    txn.then.iter().chain(&txn.otherwise).any(|step| match step {
        Step::Range(range) => range.revision != 0 && range.revision < bound,
        Step::Txn(nested) => names_below(nested, bound),
        Step::Put(_) | Step::Delete(_) => false,
    })
}

fn audited(case: &Case<'_>, all: &Compactions, told: &mut Told) {
    let audit = case.audit;
    if audit.revision == 0 {
        return;
    }
    let (certain, possible) = (all.certain(audit.at), all.possible(audit.at));
    let found = audit.compact_revision;
    if found < certain {
        told.tell("durable.compaction", &[], || {
            format!("compaction at {certain} was acknowledged; in the end it is {found}")
        });
    }
    if found > possible.max(0) {
        told.tell("compaction.phantom", &[], || {
            format!("compacted at {found} in the end; at most {possible} was asked for")
        });
    }
}

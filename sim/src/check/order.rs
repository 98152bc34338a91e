//! Real time and revisions agree: bounds of each revision's commit time, and the search for times.
//!
//! `not_before[r]`: the latest beginning of what must come before revision r is committed: the
//! write itself, and every read that saw r - 1. `not_after[r]`: the earliest end of what must come
//! after: everything that saw r. Commit times between these, in the order of revisions, exist if
//! and only if no lower bound at or below r is later than the upper bound of r.
//!
//! Watch events are kept apart. An event received at t was committed before t, as all events have
//! one clock; but what contradicts only that is told as a class of its own.

use super::{
    Case, exec,
    ops::{NEVER, Op, Outcome, Parts},
    told::Told,
    watch,
    witness::revision_of,
};
use crate::history::{
    OpId, Request, WatchId, WatchStep,
    request::{Step, Txn},
};

/// Who sets a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    Nobody,
    /// An operation by its index.
    Op(u32),
    Watch(WatchId),
    Audit,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    at: u64,
    who: Who,
}

/// The bounds, indexed by revision.
#[derive(Debug)]
pub(super) struct Bounds {
    not_before: Vec<Bound>,
    not_after: Vec<Bound>,
    not_after_watch: Vec<Bound>,
    /// Earliest time at which this or a later revision was seen: by answers only, and by all.
    seen: Vec<u64>,
    seen_by_any: Vec<u64>,
    /// Latest lower bound of this and all earlier revisions.
    earliest: Vec<u64>,
    last: i64,
}

impl Bounds {
    /// The bounds that do not depend on who wrote what nobody acknowledged.
    pub(super) fn new(case: &Case<'_>, parts: &Parts<'_>, last: i64) -> Self {
        let len = usize::try_from(last).unwrap_or(0) + 2;
        let none = Bound { at: 0, who: Who::Nobody };
        let never = Bound { at: NEVER, who: Who::Nobody };
        let mut bounds = Self {
            not_before: vec![none; len],
            not_after: vec![never; len],
            not_after_watch: vec![never; len],
            seen: Vec::new(),
            seen_by_any: Vec::new(),
            earliest: Vec::new(),
            last,
        };
        for (index, op) in (0..).zip(&parts.ops) {
            bounds.add_op(index, op);
        }
        for (watch, steps) in &parts.watches {
            for step in steps {
                bounds.add_watch(*watch, step.at, step.step);
            }
        }
        if case.audit.revision > 0 {
            bounds.end(case.audit.revision, case.audit.at, Who::Audit);
        }
        bounds.seen = suffix_min(&bounds.not_after, None);
        bounds.seen_by_any = suffix_min(&bounds.not_after, Some(&bounds.not_after_watch));
        bounds
    }

    fn add_op(&mut self, index: u32, op: &Op<'_>) {
        let who = Who::Op(index);
        match op.outcome {
            Outcome::Ok(_) => {
                self.end(op.revision, op.returned, who);
                if !op.is_plain()
                    && let Request::Compact { revision, .. } = op.request
                {
                    self.end(*revision, op.returned, who);
                }
                if !op.is_linearizable {
                    return;
                }
                let before = if op.wrote { op.revision } else { op.revision + 1 };
                self.begin(before, op.invoked, who);
            }
            // What is in the future is committed later than that.
            Outcome::Fail(super::refusal::FUTURE) => {
                if let Some(revision) = newest_asked(op.request) {
                    self.begin(revision, op.invoked, who);
                }
            }
            Outcome::Fail(_) | Outcome::Unknown(_) => {}
        }
    }

    fn add_watch(&mut self, watch: WatchId, at: u64, step: &WatchStep) {
        let Some(index) = revision_of(step).and_then(|revision| self.index(revision)) else {
            return;
        };
        if at < self.not_after_watch[index].at {
            self.not_after_watch[index] = Bound { at, who: Who::Watch(watch) };
        }
    }

    /// Revision `revision` is committed after `at`.
    pub(super) fn begin(&mut self, revision: i64, at: u64, who: Who) {
        if let Some(index) = self.index(revision)
            && at > self.not_before[index].at
        {
            self.not_before[index] = Bound { at, who };
        }
    }

    /// Revision `revision` is committed before `at`.
    fn end(&mut self, revision: i64, at: u64, who: Who) {
        if let Some(index) = self.index(revision)
            && at < self.not_after[index].at
        {
            self.not_after[index] = Bound { at, who };
        }
    }

    fn index(&self, revision: i64) -> Option<usize> {
        (1..=self.last + 1).contains(&revision).then_some(usize::try_from(revision).ok()?)
    }

    /// Whether a write that began at `invoked` may be revision `revision`, as far as answers tell;
    /// or also watches.
    pub(super) fn allows(&self, revision: i64, invoked: u64, with_watches: bool) -> bool {
        let seen = if with_watches { &self.seen_by_any } else { &self.seen };
        self.index(revision).is_some_and(|index| invoked <= seen[index])
    }

    /// All revisions up to this one were certainly committed before `at`.
    pub(super) fn surely(&self, at: u64) -> i64 {
        self.seen.partition_point(|seen| *seen < at).saturating_sub(1).max(1) as i64
    }

    /// No revision above this one can have been committed by `at`.
    pub(super) fn possibly(&self, at: u64) -> i64 {
        let below = self.earliest.partition_point(|earliest| *earliest <= at);
        (below.saturating_sub(1) as i64).clamp(1, self.last)
    }

    /// When this revision or a later one was first seen by anybody; `NEVER` if it was not.
    pub(super) fn seen(&self, revision: i64) -> u64 {
        self.index(revision).map_or(NEVER, |index| self.seen_by_any[index])
    }

    /// No commit of this revision can have been earlier.
    pub(super) fn earliest(&self, revision: i64) -> u64 {
        self.index(revision).map_or(0, |index| self.earliest[index])
    }

    /// Takes the earliest times and tells of those that are too late.
    pub(super) fn check(&mut self, parts: &Parts<'_>, told: &mut Told) {
        let mut latest = (0, Bound { at: 0, who: Who::Nobody });
        let mut blamed = (Who::Nobody, Who::Nobody);
        self.earliest = Vec::with_capacity(self.not_before.len());
        for index in 0..self.not_before.len() {
            let begin = self.not_before[index];
            if begin.at > latest.1.at {
                latest = (index, begin);
            }
            self.earliest.push(latest.1.at);
            let (by_op, by_watch) = (self.not_after[index], self.not_after_watch[index]);
            if latest.1.at > by_op.at && blamed.0 != latest.1.who {
                blamed.0 = latest.1.who;
                tell(parts, told, latest, (index, by_op));
            } else if latest.1.at > by_watch.at && !blamed_contains(blamed, latest.1.who) {
                blamed.1 = latest.1.who;
                tell(parts, told, latest, (index, by_watch));
            }
        }
    }
}

fn blamed_contains(blamed: (Who, Who), who: Who) -> bool {
    blamed.0 == who || blamed.1 == who
}

fn suffix_min(bounds: &[Bound], more: Option<&[Bound]>) -> Vec<u64> {
    let mut seen: Vec<u64> = bounds.iter().map(|bound| bound.at).collect();
    if let Some(more) = more {
        for (seen, more) in seen.iter_mut().zip(more) {
            *seen = (*seen).min(more.at);
        }
    }
    for index in (1..seen.len()).rev() {
        seen[index - 1] = seen[index - 1].min(seen[index]);
    }
    seen
}

/// Whether an answer's revision is that of the moment it took effect. Others (leases, compaction,
/// maintenance) carry what the member had when it answered.
pub(super) fn is_linearizable(request: &Request) -> bool {
    match request {
        Request::Range(range) => !range.serializable,
        Request::Put(_) | Request::Delete(_) => true,
        Request::Txn(txn) => !is_serializable(txn),
        _ => false,
    }
}

/// Whether a transaction only reads, and only serializably, so that it needs no round.
pub(super) fn is_serializable(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.otherwise).all(|step| match step {
        Step::Range(range) => range.serializable,
        _ => false,
    })
}

/// The newest revision a request names.
fn newest_asked(request: &Request) -> Option<i64> {
    fn of_txn(txn: &Txn) -> Option<i64> {
        let of_step = |step: &Step| match step {
            Step::Range(range) => Some(range.revision),
            Step::Txn(nested) => of_txn(nested),
            Step::Put(_) | Step::Delete(_) => None,
        };
        txn.then.iter().chain(&txn.otherwise).filter_map(of_step).max()
    }
    match request {
        Request::Range(range) if !range.serializable => Some(range.revision),
        Request::Compact { revision, .. } => Some(*revision),
        Request::Txn(txn) if !is_serializable(txn) => of_txn(txn),
        _ => None,
    }
}

/// `late` (with the revision it holds from) began after `early` had shown a revision that must
/// come later.
fn tell(parts: &Parts<'_>, told: &mut Told, late: (usize, Bound), early: (usize, Bound)) {
    let op = |who| if let Who::Op(index) = who { parts.ops.get(index as usize) } else { None };
    let Some(second) = op(late.1.who) else { return };
    let first = op(early.1.who);
    let second_wrote = second.response().is_none_or(|response| exec::wrote(&response.body))
        && !matches!(second.outcome, Outcome::Fail(_));
    if let (Who::Watch(watch), true) = (early.1.who, second_wrote) {
        let (wrote, shown) = ((late.0, late.1.at), (early.0, early.1.at));
        return watch::nothing_from_the_future(watch, second, wrote, shown, told);
    }
    let class = match (first, early.1.who) {
        (_, Who::Watch(_)) => "order.watch_staleness",
        _ if !second_wrote => "order.stale",
        (Some(first), _) if matches!(first.request, Request::Compact { .. }) => "compaction.future",
        (Some(first), _) if !is_linearizable(first.request) => "member.future",
        (Some(first), _) if first.response().is_some_and(|it| exec::wrote(&it.body)) => {
            "order.write"
        }
        _ => "order.future",
    };
    let ids: Vec<OpId> = first.into_iter().chain([second]).map(|op| op.id).collect();
    told.tell(class, &ids, || {
        let saw = if second_wrote { late.0 } else { late.0.saturating_sub(1) };
        let verb = if second_wrote { "is" } else { "saw" };
        let who = match (early.1.who, first) {
            (Who::Watch(watch), _) => format!("watch {watch}"),
            (_, Some(first)) => format!("operation {}", first.id),
            _ => "the audit".to_owned(),
        };
        format!(
            "operation {} {verb} revision {saw} but began at {} ns, after {who} had been shown \
             revision {} at {} ns",
            second.id, late.1.at, early.0, early.1.at
        )
    });
}

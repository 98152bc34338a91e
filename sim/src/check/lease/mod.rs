//! Leases: not before their time, not long after, all keys at once, nothing of them afterwards.
//!
//! A lease lives by a member's clock, which runs within [`Rules::clock_rate`](super::Rules) of the
//! true one. Each renewal that was acknowledged promises life for its time to live after it was
//! asked for, by the fastest clock allowed; each sign of death gives an upper bound of the end.
//! After healing, nobody may see it alive later than its last renewal plus its time to live by the
//! slowest clock plus a stated delay.
//!
//! A lease has two ends: its time is over (nobody can renew it any more), and it is removed with
//! its keys. A restart in between may give it some time back, a removal is for ever.
//!
//! `life` gathers what clients saw of each lease; the checks are here and in `keys`. An id granted
//! more than once is checked for double grants only: which answer is about which lease cannot be
//! told.

mod keys;
mod life;

use std::time::Duration;

use super::{
    Case,
    ops::{Op, Parts},
    order::Bounds,
    timeline::{Cause, Timeline},
    told::Told,
};
use crate::history::{MemberStep, OpId};
use life::{Life, Lives, Question};

/// A server counts in milliseconds, which cuts off a little twice.
const ROUNDING_NS: u64 = 2_000_000;
/// A second.
pub(super) const SECOND_NS: f64 = 1e9;
/// A restart gives at most this share of a lease's time back: it is written to the log from then
/// on.
const UNWRITTEN_SHARE: f64 = 0.4;
/// And what passes until that is written.
const UNWRITTEN_SECS: f64 = 2.0;

/// The same, where a slow leader may also be late with it.
const HAND_OVER_UNWRITTEN_SECS: f64 = 5.0;

/// After a boot it takes so long until the log is applied, and so long besides two elections until
/// somebody decides about leases.
const UNDECIDED_MAX: Duration = Duration::from_secs(10);

/// What leases are checked against.
pub(super) struct Against<'a, 'p> {
    pub(super) case: &'p Case<'a>,
    pub(super) parts: &'p Parts<'a>,
    pub(super) bounds: &'p Bounds,
    pub(super) timeline: &'p Timeline<'a>,
}

impl Against<'_, '_> {
    pub(super) fn shortest(&self, ttl: i64) -> u64 {
        (ttl as f64 * SECOND_NS / self.case.rules.clock_rate.1) as u64
    }

    fn longest(&self, ttl: i64) -> u64 {
        (ttl as f64 * SECOND_NS / self.case.rules.clock_rate.0) as u64
    }

    /// How often a member started within a span.
    fn boots(&self, from: u64, to: u64) -> usize {
        let within = self.parts.members.iter().filter(|one| (from..=to).contains(&one.at));
        within.filter(|one| one.step == MemberStep::Boot).count()
    }
}

/// Checks every lease.
pub(super) fn check(against: &Against<'_, '_>, told: &mut Told) {
    let lives = Lives::gather(against);
    life::check_grants(against, &lives, told);
    for (id, life) in &lives.by_id {
        if life.grants == 1 {
            early(against, *id, life, told);
            zombie(against, *id, life, told);
            late(against, *id, life, told);
            stretched(against, *id, life, told);
        }
    }
    keys::check(against, &lives, told);
}

/// No sign of death before the last acknowledged renewal has run out, unless somebody revoked it.
fn early(against: &Against<'_, '_>, id: i64, life: &Life, told: &mut Told) {
    for end in &life.ends {
        if end.is_asked || life.revoke_asked.is_some_and(|asked| asked <= end.by) {
            continue;
        }
        let lives = life.renewals.iter().filter(|renewal| renewal.asked <= end.by);
        let Some(last) = lives.max_by_key(|renewal| renewal.asked) else { continue };
        let until = last.asked.saturating_add(against.shortest(life.ttl));
        if end.by + ROUNDING_NS < until {
            let ops: Vec<OpId> = [last.op, end.op].into_iter().filter(|op| *op != 0).collect();
            told.tell("lease.early", &ops, || {
                let (by, asked, ttl) = (end.by, last.asked, life.ttl);
                format!(
                    "lease {id} of {ttl} s, renewed at {asked} ns, is gone by {by} ns \
                     instead of {until} ns"
                )
            });
        }
    }
}

/// What is removed stays removed; what is over is not renewed, unless a restart gave it time.
fn zombie(against: &Against<'_, '_>, id: i64, life: &Life, told: &mut Told) {
    for sign in &life.signs {
        let before = life.ends.iter().find(|end| {
            let stays = end.is_removed
                || (sign.is_renewal && against.case.rules.members == 1)
                    && against.boots(end.asked, sign.at) == 0;
            stays && end.by < sign.asked
        });
        if let Some(end) = before {
            let ops: Vec<OpId> = [end.op, sign.op].into_iter().filter(|op| *op != 0).collect();
            told.tell("lease.zombie", &ops, || {
                let (asked, by) = (sign.asked, end.by);
                format!("lease {id} is alive at {asked} ns, but was gone by {by} ns")
            });
            return;
        }
    }
}

/// Once healed, a lease nobody renews goes in time.
fn late(against: &Against<'_, '_>, id: i64, life: &Life, told: &mut Told) {
    let (Some(healed), Some(renewed)) = (against.parts.healed, life.renewed_last) else { return };
    let delay = against.case.rules.lease_late_max.as_nanos() as u64;
    let due = renewed.max(healed).saturating_add(delay).saturating_add(against.longest(life.ttl));
    let tell = |told: &mut Told, at: u64, ops: &[OpId]| {
        told.tell("lease.late", ops, || {
            format!("lease {id} of {} s should end by {due} ns, lives at {at} ns", life.ttl)
        });
    };
    if let Some(sign) = life.signs.iter().find(|sign| sign.asked > due) {
        tell(told, sign.asked, &[sign.op]);
    }
    let audit = against.case.audit;
    let listed = audit.leases.iter().any(|lease| lease.id == id);
    if listed && audit.at > due + SECOND_NS as u64 {
        tell(told, audit.at, &[]);
    }
    for revision in life.deaths.iter().copied() {
        let earliest = against.bounds.earliest(revision);
        if earliest > due && matches!(against.timeline.cause(revision), Cause::Lease { .. }) {
            tell(told, earliest, &[]);
        }
    }
}

/// Time to live only shrinks until somebody renews it, also across a restart but for what was not
/// yet written down.
fn stretched(against: &Against<'_, '_>, id: i64, life: &Life, told: &mut Told) {
    for question in &life.questions {
        let extended = against.extended(life, question);
        if question.granted != life.ttl || question.left > life.ttl + extended {
            told.tell("lease.ttl", &[question.op], || {
                let Question { left, granted, .. } = question;
                format!("lease {id} has {left} of {granted} s; it was granted {}", life.ttl)
            });
        }
    }
    for pair in life.questions.windows(2) {
        let [first, second] = pair else { continue };
        if first.at >= second.asked || life.may_renew_between(first.asked, second.at) {
            continue;
        }
        if against.case.rules.members != 1 {
            handed_over(against, (id, life.ttl), (first, second), told);
            continue;
        }
        let passed = (second.asked - first.at) as f64 / SECOND_NS;
        let boots = against.boots(first.asked, second.at);
        let extension = against.extension(first.asked, second.at);
        let most = match boots {
            0 => first.left as f64 + 1.0 + extension - passed * against.case.rules.clock_rate.0,
            1 if against.log_works(first.at, second.asked) => {
                let unwritten = UNWRITTEN_SHARE * life.ttl as f64 + UNWRITTEN_SECS;
                first.left as f64 + unwritten + extension
            }
            _ => continue,
        };
        if second.left as f64 > most.max(0.0) {
            told.tell("lease.stretched", &[first.op, second.op], || {
                let (left, now) = (first.left, second.left);
                format!(
                    "lease {id} had {left} s left, {passed:.1} s and {boots} restarts later \
                     {now} s; nobody renewed it"
                )
            });
        }
    }
}

/// One hand-over gives back what the leader before could not yet write down, and the time to find
/// the new one. If something was written meanwhile, so was what was due before.
fn handed_over(
    against: &Against<'_, '_>,
    (id, ttl): (i64, i64),
    (first, second): (&Question, &Question),
    told: &mut Told,
) {
    let Some(until) = against.only_hand_over(first.asked, second.at) else { return };
    let Some(written) = against.written_between(first.at, until) else { return };
    let passed = (written - first.at) as f64 / SECOND_NS;
    let left = first.left as f64 + 1.0 - passed * against.case.rules.clock_rate.0;
    let unwritten = UNWRITTEN_SHARE * ttl as f64 + HAND_OVER_UNWRITTEN_SECS;
    let most = left.max(0.0) + unwritten + against.case.rules.lease_extended_max.as_secs_f64();
    if second.left as f64 > most {
        told.tell("lease.stretched", &[first.op, second.op], || {
            let (left, now) = (first.left, second.left);
            format!(
                "lease {id} of {ttl} s had {left} s left, and after a hand-over {now} s, though \
                 {passed:.1} s had passed; nobody renewed it"
            )
        });
    }
}

impl Against<'_, '_> {
    /// When another member began to lead within a span, if that happened once and nothing else did
    /// that leaders cannot help.
    fn only_hand_over(&self, from: u64, to: u64) -> Option<u64> {
        let before = UNDECIDED_MAX + self.case.rules.lease_extended_max * 2;
        let from = from.saturating_sub(before.as_nanos() as u64);
        let within = self.parts.members.iter().filter(|one| (from..=to).contains(&one.at));
        let mut leads = within.clone().filter(|one| one.step == MemberStep::Leads);
        let stood_still = within.clone().any(|one| one.step == MemberStep::Resumed);
        let first = leads.next().filter(|_| leads.next().is_none() && !stood_still)?;
        Some(first.at)
    }

    /// When the last thing was asked for that was written within a span.
    fn written_between(&self, from: u64, to: u64) -> Option<u64> {
        let written = self.parts.ops.iter().filter(|op| {
            let wrote = op.response().is_some_and(|it| super::exec::wrote(&it.body));
            wrote && op.invoked > from && op.returned < to
        });
        written.map(|op| op.invoked).max()
    }

    /// Whole seconds that a lease may have on top of its time to live: some, if another member may
    /// decide about it than did when it was renewed, or the same after a restart.
    fn extended(&self, life: &Life, question: &Question) -> i64 {
        let renewed = life.renewals.iter().filter(|renewal| renewal.at <= question.asked);
        let renewed = renewed.map(|renewal| renewal.asked).max().unwrap_or(0);
        self.extension(renewed, question.at).ceil() as i64
    }

    /// Whether no member is behind its log because it has just booted: etcd lists leases as they
    /// are where it is asked.
    fn has_caught_up(&self, op: &Op<'_>) -> bool {
        let before = op.invoked.saturating_sub(UNDECIDED_MAX.as_nanos() as u64);
        self.boots(before, op.returned) == 0
    }

    /// Seconds that a member may have added within a span, because it began to decide about leases
    /// then. It does so some time after its boot, when it leads and has applied its log.
    fn extension(&self, from: u64, to: u64) -> f64 {
        let begins = UNDECIDED_MAX + self.case.rules.lease_extended_max * 2;
        let from = from.saturating_sub(begins.as_nanos() as u64);
        let is_steady = self.case.rules.members == 1 && self.boots(from, to) == 0;
        if is_steady { 0.0 } else { self.case.rules.lease_extended_max.as_secs_f64() }
    }

    /// Whether something was written between a time and the restart after it, so that what was
    /// due to be written about leases before is written too.
    fn log_works(&self, from: u64, to: u64) -> bool {
        let is_end = |step| matches!(step, MemberStep::Boot | MemberStep::Down);
        let ends = self.parts.members.iter().filter(|one| is_end(one.step) && one.at >= from);
        let Some(end) = ends.map(|one| one.at).min().filter(|end| *end <= to) else {
            return false;
        };
        self.parts.ops.iter().any(|op| {
            let wrote = op.response().is_some_and(|it| super::exec::wrote(&it.body));
            wrote && op.invoked > from && op.returned < end
        })
    }
}

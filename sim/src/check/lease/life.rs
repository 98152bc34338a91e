//! What clients saw of each lease.

use std::collections::{BTreeMap, BTreeSet};

use super::Against;
use crate::{
    check::{
        ops::{NEVER, Op, Outcome},
        refusal::{LEASE_EXISTS, LEASE_NOT_FOUND},
        timeline::Cause,
        told::Told,
    },
    history::{
        Body, OpId, Request,
        request::{Step, Txn},
    },
};

/// One lease, or all that had one id.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Grants of this id that may have taken effect.
    pub(super) grants: u32,
    /// When the first of these was asked for.
    granted_from: Option<u64>,
    /// Seconds, as granted; as asked for, if nobody heard.
    pub(super) ttl: i64,
    /// Acknowledged grants and renewals.
    pub(super) renewals: Vec<Renewal>,
    /// Renewals nobody knows about: from when on they may happen.
    pub(super) renewals_unknown: Vec<u64>,
    /// The last time somebody who renewed it, or may have, knew.
    pub(super) renewed_last: Option<u64>,
    pub(super) signs: Vec<Sign>,
    pub(super) ends: Vec<End>,
    /// Answers about its time to live, in the order asked.
    pub(super) questions: Vec<Question>,
    /// When somebody first asked to revoke it.
    pub(super) revoke_asked: Option<u64>,
    /// Acknowledged revocations.
    pub(super) revoked: Vec<(OpId, u64)>,
    /// Revisions that deleted its keys.
    pub(super) deaths: Vec<i64>,
    /// From then on it is known to be there.
    pub(super) known_from: Option<u64>,
}

/// A promise of more time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    pub(super) asked: u64,
    pub(super) at: u64,
    pub(super) op: OpId,
}

/// It lives: at some time from `asked` to `at`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) asked: u64,
    pub(super) at: u64,
    pub(super) op: OpId,
    pub(super) is_renewal: bool,
}

/// It is gone by a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) asked: u64,
    pub(super) by: u64,
    pub(super) op: OpId,
    /// Removed with its keys, not only out of time.
    pub(super) is_removed: bool,
    /// Because a client wanted so.
    pub(super) is_asked: bool,
}

/// An answer about its time to live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) asked: u64,
    pub(super) at: u64,
    pub(super) op: OpId,
    pub(super) left: i64,
    pub(super) granted: i64,
}

impl Life {
    /// Whether a renewal can have happened within a span.
    pub(super) fn may_renew_between(&self, from: u64, to: u64) -> bool {
        self.renewals.iter().any(|one| one.asked <= to && one.at >= from)
            || self.renewals_unknown.iter().any(|since| *since <= to)
    }

    fn granted(&mut self, op: &Op<'_>) {
        self.grants += 1;
        let from = self.granted_from.get_or_insert(op.invoked);
        *from = (*from).min(op.invoked);
    }

    fn renewed(&mut self, op: &Op<'_>) {
        self.renewals.push(Renewal { asked: op.invoked, at: op.returned, op: op.id });
        self.signs(op, true);
        self.renewed_last = self.renewed_last.max(Some(op.returned));
    }

    fn signs(&mut self, op: &Op<'_>, is_renewal: bool) {
        self.signs.push(Sign { asked: op.invoked, at: op.returned, op: op.id, is_renewal });
        let known = self.known_from.get_or_insert(op.returned);
        *known = (*known).min(op.returned);
    }

    fn gone(&mut self, op: &Op<'_>, is_removed: bool) {
        let (asked, by, op) = (op.invoked, op.returned, op.id);
        self.ends.push(End { asked, by, op, is_removed, is_asked: false });
    }
}

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Lives {
    pub(super) by_id: BTreeMap<i64, Life>,
    /// Since when there may be leases whose id the server drew and nobody was told.
    nameless_from: Option<u64>,
}

impl Lives {
    pub(super) fn gather(against: &Against<'_, '_>) -> Self {
        let mut lives = Self::default();
        for op in against.parts.special() {
            lives.grant(op, against.case.rules.lease_ttl_min.as_secs() as i64);
        }
        for op in against.parts.special() {
            lives.op(op);
        }
        if against.case.rules.members == 1 {
            for op in against.parts.special() {
                let Some(Body::Leases { ids }) = op.response().map(|it| &it.body) else { continue };
                if against.has_caught_up(op) {
                    lives.listed(op, ids);
                }
            }
        }
        lives.facts(against);
        for life in lives.by_id.values_mut() {
            let known = life.known_from.unwrap_or(NEVER);
            // What nobody knew to be there may be missing because it was not there yet.
            life.ends.retain(|end| end.asked > known || end.is_asked);
            life.ends.sort_by_key(|end| end.by);
            life.questions.sort_by_key(|question| question.asked);
        }
        lives
    }

    fn life(&mut self, id: i64) -> &mut Life {
        self.by_id.entry(id).or_default()
    }

    fn grant(&mut self, op: &Op<'_>, least: i64) {
        let Request::Grant { id, ttl: wanted } = op.request else { return };
        match (op.outcome, op.response().map(|response| &response.body)) {
            (_, Some(Body::Lease { id, ttl })) => {
                let life = self.life(*id);
                life.granted(op);
                life.ttl = *ttl;
                life.renewed(op);
            }
            (Outcome::Unknown(at), _) if *id != 0 => {
                let life = self.life(*id);
                life.granted(op);
                if life.ttl == 0 {
                    life.ttl = (*wanted).max(least);
                }
                life.renewals_unknown.push(op.invoked);
                life.renewed_last = life.renewed_last.max(Some(at));
            }
            (Outcome::Unknown(_), _) => {
                let since = self.nameless_from.get_or_insert(op.invoked);
                *since = (*since).min(op.invoked);
            }
            _ => {}
        }
    }

    fn op(&mut self, op: &Op<'_>) {
        match (op.request, op.outcome) {
            (Request::KeepAlive { id }, Outcome::Ok(response)) => match response.body {
                Body::Lease { ttl, .. } if ttl > 0 => self.life(*id).renewed(op),
                Body::Lease { .. } => self.life(*id).gone(op, false),
                _ => {}
            },
            (Request::KeepAlive { id }, Outcome::Unknown(at)) => {
                let life = self.life(*id);
                life.renewals_unknown.push(op.invoked);
                life.renewed_last = life.renewed_last.max(Some(at));
            }
            (Request::TimeToLive { id, .. }, Outcome::Ok(response)) => match response.body {
                Body::TimeToLive { ttl: left, granted, .. } if left >= 0 => {
                    let (asked, at) = (op.invoked, op.returned);
                    let question = Question { asked, at, op: op.id, left, granted };
                    let life = self.life(*id);
                    life.questions.push(question);
                    life.signs(op, false);
                }
                Body::TimeToLive { .. } => self.life(*id).gone(op, false),
                _ => {}
            },
            (Request::Revoke { id }, outcome) => self.revoke(*id, op, outcome),
            (request, Outcome::Fail(LEASE_NOT_FOUND)) => {
                if let Some(id) = only_lease(request) {
                    self.life(id).gone(op, true);
                }
            }
            _ => {}
        }
    }

    fn revoke(&mut self, id: i64, op: &Op<'_>, outcome: Outcome<'_>) {
        let life = self.life(id);
        match outcome {
            Outcome::Fail(LEASE_NOT_FOUND) => return life.gone(op, true),
            Outcome::Fail(_) => return,
            Outcome::Ok(_) => {
                let (asked, by) = (op.invoked, op.returned);
                let end = End { asked, by, op: op.id, is_removed: true, is_asked: true };
                life.ends.push(end);
                life.revoked.push((op.id, op.returned));
            }
            Outcome::Unknown(_) => {}
        }
        let asked = life.revoke_asked.get_or_insert(op.invoked);
        *asked = (*asked).min(op.invoked);
    }

    /// A list names all there are.
    fn listed(&mut self, op: &Op<'_>, ids: &[i64]) {
        let listed: BTreeSet<i64> = ids.iter().copied().collect();
        for (id, life) in &mut self.by_id {
            if listed.contains(id) {
                life.signs(op, false);
            } else {
                life.gone(op, true);
            }
        }
    }

    /// Keys that hang on leases, and revisions that ended them.
    fn facts(&mut self, against: &Against<'_, '_>) {
        let timeline = against.timeline;
        for fact in timeline.facts() {
            let lease = fact.now.map_or(0, |now| now.lease);
            if lease == 0 {
                continue;
            }
            if let Cause::Op(op) = timeline.cause(fact.revision) {
                let op = &against.parts.ops[op as usize];
                if !op.is_unknown() {
                    self.life(lease).signs(op, false);
                }
            }
        }
        for revision in 2..=timeline.last() {
            let Cause::Lease { id, certain } = timeline.cause(revision) else { continue };
            let life = self.life(id);
            life.deaths.push(revision);
            let by = against.bounds.seen(revision);
            if certain && by != NEVER {
                let asked = against.bounds.earliest(revision).max(1);
                life.ends.push(End { asked, by, op: 0, is_removed: true, is_asked: false });
            }
        }
    }

    /// Whether a lease of that id can have been granted by a time.
    fn may_exist(&self, id: i64, at: u64) -> bool {
        let granted = self.by_id.get(&id).and_then(|life| life.granted_from);
        granted.is_some_and(|from| from < at)
    }

    /// Whether a lease can have been granted by a time without anybody being told its id.
    pub(super) fn may_be_nameless(&self, at: u64) -> bool {
        self.nameless_from.is_some_and(|since| since <= at)
    }
}

/// The lease a request needs, if it is one.
fn only_lease(request: &Request) -> Option<i64> {
    fn of_txn(txn: &Txn, ids: &mut BTreeSet<i64>) {
        for step in txn.then.iter().chain(&txn.otherwise) {
            match step {
                Step::Put(put) if put.lease != 0 => _ = ids.insert(put.lease),
                Step::Txn(nested) => of_txn(nested, ids),
                _ => {}
            }
        }
    }
    let mut ids = BTreeSet::new();
    match request {
        Request::Put(put) => _ = ids.insert(put.lease),
        Request::Txn(txn) => of_txn(txn, &mut ids),
        _ => {}
    }
    let first = ids.pop_first().filter(|id| *id != 0);
    if ids.is_empty() { first } else { None }
}

/// What a grant answers: the time asked for or the least there is; not an id that is in use.
pub(super) fn check_grants(against: &Against<'_, '_>, lives: &Lives, told: &mut Told) {
    let least = against.case.rules.lease_ttl_min.as_secs() as i64;
    for op in against.parts.special() {
        let Request::Grant { id, ttl } = op.request else { continue };
        match op.outcome {
            Outcome::Ok(response) => {
                let Body::Lease { id: said, ttl: granted } = response.body else { continue };
                if granted != (*ttl).max(least) || (*id != 0 && *id != said) || said == 0 {
                    told.tell("lease.ttl", &[op.id], || {
                        format!("asked lease {id} for {ttl} s, got {said} for {granted} s")
                    });
                }
                twice(against, op, said, lives, told);
            }
            Outcome::Fail(LEASE_EXISTS)
                if !lives.may_exist(*id, op.returned) && !lives.may_be_nameless(op.returned) =>
            {
                let story = || format!("lease {id} is said to exist; nobody granted it");
                told.tell("lease.exists", &[op.id], story);
            }
            _ => {}
        }
    }
}

/// Two grants of one id need an end between them.
fn twice(against: &Against<'_, '_>, op: &Op<'_>, id: i64, lives: &Lives, told: &mut Told) {
    let Some(life) = lives.by_id.get(&id).filter(|life| life.grants > 1) else { return };
    if life.revoke_asked.is_some_and(|asked| asked <= op.returned) {
        return;
    }
    for other in against.parts.special() {
        let Some(Body::Lease { id: same, ttl }) = other.response().map(|it| &it.body) else {
            continue;
        };
        let lives_until = other.invoked.saturating_add(against.shortest(*ttl));
        if *same == id && *ttl > 0 && other.returned < op.invoked && op.returned < lives_until {
            told.tell("lease.twice", &[other.id, op.id], || {
                format!("lease {id} was granted while it lived")
            });
            return;
        }
    }
}
